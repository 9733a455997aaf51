"""For any name of a file, a header or an entry in the configuration, the shell sees one word."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

from genestill.cli import build_parser

RULES = sorted((Path(__file__).parents[1] / "workflow" / "rules").glob("*.smk"))
_RULE = re.compile(r"\s*(?:use )?rule (\w+)(?: as (\S+))?(?: with)?:")


def blocks(file):
    """(rule, the rule that it is made from, directive, its text) of each params and shell block of a file."""
    rule = base = None
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if header := _RULE.fullmatch(line):
            base, rule = (header[1], header[2]) if header[2] else (None, header[1])
        elif directive := re.fullmatch(r"( +)(params|shell):", line):
            inside = []
            for inner in lines[number + 1 :]:
                if inner.strip() and len(inner) - len(inner.lstrip()) <= len(directive[1]):
                    break
                inside.append(inner)
            yield rule, base, directive[2], textwrap.dedent("\n".join(inside))


def arguments(text):
    """Keyword arguments of a params block, as syntax trees."""
    return {word.arg: word.value for word in ast.parse(f"f({text})", mode="eval").body.keywords}


def functions():
    """Functions of the rule files, and constants that are a call of one, by name, as syntax trees."""
    found = {}
    for file in RULES:
        source = file.read_text(encoding="utf-8")
        for text in re.findall(r"^def \w+\(.*?(?=^\S|\Z)", source, re.DOTALL | re.MULTILINE):
            function = ast.parse(text).body[0]
            found[function.name] = function
        for name, text in re.findall(r"^([A-Z_]+) = (\w+\(\n(?: .*\n)*\))$", source, re.MULTILINE):
            found[name] = ast.parse(text, mode="eval").body
    return found


def is_quoted(node, known):
    """Whether an expression gives words that ``options`` has quoted, a literal text in the rule, or a number."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Lambda):
        return is_quoted(node.body, known)
    if isinstance(node, ast.IfExp):
        return is_quoted(node.body, known) and is_quoted(node.orelse, known)
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return is_quoted(node.elt, known)
    if isinstance(node, ast.List):
        return all(is_quoted(element, known) for element in node.elts)
    if isinstance(node, ast.BinOp):
        return is_quoted(node.left, known) and is_quoted(node.right, known)
    if isinstance(node, ast.Name):
        name = node.id  # a function that Snakemake calls
    elif not isinstance(node, ast.Call):
        return False
    elif isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        return is_quoted(node.args[0], known)
    else:
        name = ast.unparse(node.func)
    if name == "options":
        return True
    if isinstance(known.get(name), ast.expr):
        return is_quoted(known[name], known)
    returned = (
        [inner.value for inner in ast.walk(known[name]) if isinstance(inner, ast.Return)] if name in known else []
    )
    return bool(returned) and all(is_quoted(value, known) for value in returned)


def unquoted():
    """(file, rule, field) of everything that reaches a shell without quotes."""
    known = functions()
    shells, params = {}, {}
    for file in RULES:
        for rule, base, directive, text in blocks(file):
            if directive == "shell":
                shells[rule] = (file, "".join(ast.literal_eval(f"({text})")))
            else:
                params[rule] = (file, base, arguments(text))
    for rule, (file, command) in shells.items():
        fields = re.findall(r"(?<!\{)\{(\w+(?:\.\w+)?)(:q)?\}(?!\})", command)
        expressions = [params.get(rule, (file, None, {}))[2]]
        expressions += [own for _, base, own in params.values() if base == rule]
        for field, quoted in fields:
            part, _, name = field.partition(".")
            safe = part == "threads" or (
                part == "params" and all(is_quoted(own[name], known) for own in expressions if name in own)
            )
            if not quoted and not safe:
                yield file.name, rule, field


def test_every_file_and_name_reaches_the_shell_quoted():
    assert [f"{file}: {rule}: {field}" for file, rule, field in unquoted()] == []


def test_shell_commands_are_found():
    assert sum(directive == "shell" for file in RULES for _, _, directive, _ in blocks(file)) > 40


@pytest.mark.parametrize(
    "name", ["a b", "a'b", 'a"b', "a;touch pwned", "$(touch pwned)", "`touch pwned`", "a\nb", "-x"]
)
def test_options_quote_their_values(name):
    import shlex

    source = (RULES[0].parent / "common.smk").read_text(encoding="utf-8")
    text = re.search(r"^def options\(.*?(?=^\S)", source, re.DOTALL | re.MULTILINE)[0]
    scope = {"shlex": shlex}
    exec(compile(text, "options", "exec"), scope)
    assert shlex.split(scope["options"](contigs=name, bam=[name, "b"])) == ["--contigs", name, "--bam", name, "b"]


def hidden_settings(text):
    """Names of settings in params that are functions of files or resources: Snakemake does not compare their values."""
    hidden = set()
    for value in arguments(text).values():
        if isinstance(value, ast.Lambda) and [word.arg for word in value.args.args] != ["wildcards"]:
            names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
            hidden |= {name for name in names if name == "config" or (name.isupper() and name != "RESULTS")}
    return hidden


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_no_setting_is_hidden_in_a_function_where_a_change_reruns_nothing(file):
    hidden = {(rule, *hidden_settings(text)) for rule, _, kind, text in blocks(file) if kind == "params"}
    assert {entry for entry in hidden if len(entry) > 1} == set()


def test_a_hidden_setting_is_found():
    assert hidden_settings('a=lambda wildcards, input: options(k=MRNA["k"], file=input.x),') == {"MRNA"}
    assert hidden_settings('a=lambda wildcards: MRNA["k"], b=lambda wildcards, input: RESULTS + input.x,') == set()


def test_options_write_true_and_false_explicitly_and_omit_unset_values():
    import shlex

    source = (RULES[0].parent / "common.smk").read_text(encoding="utf-8")
    scope = {"shlex": shlex}
    exec(re.search(r"^def options\(.*?(?=^\S)", source, re.DOTALL | re.MULTILINE)[0], scope)
    words = scope["options"](tracks=True, own_strand=False, hits=None, bam=[], steps=0)
    assert words.split() == ["--tracks", "--no-own-strand", "--steps", "0"]


def test_rules_pass_only_existing_options_to_commands():
    stages = build_parser()._subparsers._group_actions[0].choices
    seen = 0
    for file in RULES:
        for rule, _, kind, text in blocks(file):
            for stage, command, words in re.findall(r"-m genestill (\w+) ([\w-]+)(.*)", text, flags=re.DOTALL):
                parser = stages[stage]._subparsers._group_actions[0].choices[command]
                options = set(re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", words.split("-m genestill")[0]))
                assert kind == "shell"
                assert options <= set(parser._option_string_actions), f"{file.name}: {rule}"
                seen += len(options)
    assert seen > 300
