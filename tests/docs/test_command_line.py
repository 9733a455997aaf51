"""The command line's own information: help, examples, exit codes, completion."""

import argparse
import shlex
import signal
import subprocess
import sys

import pytest

from genestill import cli
from genestill.cli import EXAMPLES, build_parser, main
from genestill.completion import SHELLS, _actions
from genestill.core.errors import CheckFailed, InputError
from genestill.core.settings import Described
from snakemake_process import ROOT


def printed(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 0
    return capsys.readouterr().out


def completed(script: str, line: str) -> set[str]:
    """What bash would offer at the end of ``line``."""
    asked = f"""
    {script}
    COMP_WORDS=({line.rstrip()} {"''" if line.endswith(" ") else ""})
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    COMP_LINE={shlex.quote(line)}
    COMP_POINT=${{#COMP_LINE}}
    _shtab_genestill genestill "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}" 2>/dev/null
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = ["bash", "--norc", "-c", asked]
    return set(subprocess.run(bash, capture_output=True, text=True, check=True, timeout=60).stdout.split())


@pytest.fixture(scope="module")
def bash_script() -> str:
    command = [sys.executable, "-m", "genestill", "--print-completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_bash_completes_stages_commands_and_options(bash_script):
    assert completed(bash_script, "genestill stu") == {"student"}
    assert completed(bash_script, "genestill student exp") == {"export", "export-onnx"}
    assert "--no-neighbours" in completed(bash_script, "genestill student train-corrector --")


def test_bash_completes_files_after_an_option_that_takes_one(bash_script, tmp_path):
    (tmp_path / "contigs.fna.gz").touch()
    offered = completed(bash_script, f"genestill student predict --contigs {tmp_path}/con")
    assert f"{tmp_path}/contigs.fna.gz" in offered


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_with_every_command(shell, capsys):
    script = printed(capsys, "--print-completion", shell)
    for words in ("reference", "gold-standard", "probe-table", "export-onnx"):
        assert words in script


def test_help_shows_examples_that_the_program_accepts(capsys):
    text = printed(capsys, "--help")
    lines = [line.strip() for line in EXAMPLES.splitlines() if line.strip().startswith("genestill ")]
    assert len(lines) > 3
    for line in lines:
        assert line in text
        if "--help" not in line:
            build_parser().parse_args(shlex.split(line)[1:])


def test_every_option_of_every_command_has_a_description():
    silent = [action.option_strings or action.dest for action in _actions(build_parser()) if not action.help]
    assert silent == []


@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (InputError("a.tsv: line 3: …"), 2), (CheckFailed("loss 8.3; expected < 7"), 3)]
)
def test_the_exit_code_reports_success_or_the_kind_of_failure(monkeypatch, error, code):
    def run(options):
        if error:
            raise error

    parser = build_parser()
    options = parser.parse_args(["evaluation", "taxonomy-table", "--metrics", "a", "--output", "b"])
    options.run = run
    monkeypatch.setattr(parser, "parse_args", lambda arguments: options)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert main([]) == code


def test_an_invalid_option_exits_with_two_and_a_defect_with_one(tmp_path):
    def ended(*arguments):
        return subprocess.run([sys.executable, *arguments], capture_output=True, cwd=tmp_path).returncode

    assert ended("-m", "genestill", "student", "train-corrector", "--no-such-option") == 2
    defect = "import genestill.cli as cli; cli.build_parser = lambda: 1 / 0; cli.main([])"
    assert ended("-c", defect) == 1


def commands(parser, words=()):
    """Every command: its words and its parser."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for name, one in below[0].items() if below else ():
        yield from commands(one, (*words, name))


def bounded_options() -> list:
    """The last setting of every command that has bounds: words of the command, its parser, option, a value outside."""
    found = {}
    for words, parser in commands(build_parser()):
        for action in parser._actions:
            setting = getattr(action.type, "__self__", None)
            bounds = setting.bounds if isinstance(setting, Described) else {}
            for name, change in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1), ("exclusiveMaximum", 0)):
                if name in bounds:
                    found[words] = (words, parser, action, bounds[name] + change)
    return [pytest.param(*one, id=" ".join(words)) for words, one in found.items()]


@pytest.mark.parametrize(("words", "parser", "action", "value"), bounded_options())
def test_a_value_out_of_bounds_is_refused_before_any_file_is_read(words, parser, action, value, capsys):
    arguments = [*words, f"{action.option_strings[0]}={value}"]
    chosen = set()
    for group in parser._mutually_exclusive_groups:
        if group.required:
            chosen.add(group._group_actions[0])
    for other in parser._actions:
        if other.required or other in chosen:
            number = other.nargs if isinstance(other.nargs, int) else 1
            text = str(next(iter(other.choices))) if other.choices else "name=absent"
            arguments += [*other.option_strings[-1:], *[text] * number]
    if "--table" in parser._option_string_actions:
        arguments += ["--table", "absent"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"genestill: {action.dest} is ")
    assert "absent" not in said


@pytest.mark.parametrize("seed", ["-1", "1.5", "one"])
def test_a_seed_is_an_integer(seed, capsys):
    with pytest.raises(SystemExit) as end:
        main(["reference", "simulate-genomes", f"--seed={seed}", "--output", "absent"])
    assert end.value.code == 2
    assert f"--seed: '{seed}'; expected a whole number of 0 to 2^32 - 1" in capsys.readouterr().err


def test_an_interrupt_gives_the_exit_code_that_shells_expect():
    # The tests may run in the background of a shell that ignores interrupts there, and a process inherits that.
    interrupt = """
import genestill.cli as cli, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.build_parser = lambda: signal.raise_signal(signal.SIGINT)
cli.main([])
"""
    done = subprocess.run([sys.executable, "-c", interrupt], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT, "a shell shows this as 130"
    assert done.stderr == "genestill: stopped; partial files do not get their final names\n"


def test_examples_of_the_command_reference_page_parse():
    sys.path.insert(0, str(ROOT / "docs" / "hooks"))
    from generate_reference import BY_HAND

    for line in BY_HAND:
        _, *words = line.split()
        if words[0] != "run":  # what follows goes to Snakemake
            build_parser().parse_args(words)
