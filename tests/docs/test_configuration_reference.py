"""Every key of the configuration is described, has a default or is required, and is used."""

import argparse
import ast
import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from genestill.cli import build_parser
from genestill.core.configuration import complete_configuration, effective_configuration, read_yaml
from genestill.core.settings import Settings, expand, schema_of

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    file.name.split(".")[0]: expand(yaml.safe_load(file.read_text(encoding="utf-8")))
    for file in sorted((ROOT / "workflow" / "schemas").glob("*.schema.yaml"))
}
RULES = [
    file.read_text(encoding="utf-8")
    for file in [
        ROOT / "workflow" / "Snakefile",
        *sorted((ROOT / "workflow" / "rules").glob("*.smk")),
        ROOT / "src" / "genestill" / "core" / "recipes.py",  # what rules derive from the configuration
    ]
]
# Keywords of JSON Schema; anything else is a mistake, such as a comma in a description without quotes.
KEYWORDS = {
    "$schema", "description", "type", "additionalProperties", "required", "properties", "enum", "default", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "items", "minItems", "maxItems", "anyOf", "const",
    "propertyNames", "if", "then", "not",
    "partial",  # ours: entries that override defaults
    "moved",  # ours: former keys and their present paths
    "recipes",  # ours: the only recipes that read a setting
    "path",  # ours: what a string names on disk
    "names",  # ours: words that are accepted where a path is expected
    "affects",  # ours: the first rules whose results depend on a setting
}  # fmt: skip
# Sections that a rule passes on as a whole: every key is an option of the command.
HANDED_ON = {
    "reference.simulated_genomes": ["reference simulate-genomes"],
    "reference.assembly": ["reference mixture", "reference reads"],
    "reference.community": ["reference community"],
    "labels": ["labels search"],
    "teacher.pretraining": ["teacher pretrain"],
    "teacher.check": ["teacher check"],
    "dna.windows": ["reference windows"],
    "dna.corpora.<name>": ["reference windows"],
    "dna.defaults": ["student distil-dna", "student pretrain-dna"],
    "dna.students.<name>": ["student distil-dna", "student pretrain-dna"],
    "mrna.homology": ["reference relatives"],
    "mrna.tasks.<name>": ["reference task"],
    "mrna.baselines.<name>": ["evaluation probe"],
    "mrna.defaults": ["student distil-transcripts"],
    "mrna.students.<name>": ["student distil-transcripts"],
}


def keys(schema: dict, path: str = ""):
    """(path, schema, schema above) of every key at or under ``path``."""
    for key, child in schema.get("properties", {}).items():
        place = f"{path}.{key}" if path else key
        yield place, child, schema
        yield from keys(child, place)
    named = schema.get("additionalProperties")
    if isinstance(named, dict) and "properties" in named:
        yield from keys(named, f"{path}.<name>")


ALL = [
    *((path, schema, above) for path, schema, above in keys(SCHEMAS["config"]) if path not in SCHEMAS),
    *(entry for section in SCHEMAS if section != "config" for entry in keys(SCHEMAS[section], section)),
]
LEAVES = [entry for entry in ALL if "properties" not in entry[1]]


def command_options() -> dict[str, set[str]]:
    """Options of every command, without dashes: {"student train-corrector": {"epochs", …}}."""
    found = {}

    def walk(parser, words):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, below in action.choices.items():
                    walk(below, [*words, name])
            else:
                options = {option.lstrip("-").replace("-", "_") for option in action.option_strings}
                found.setdefault(" ".join(words), set()).update(options)

    walk(build_parser(), [])
    return found


OPTIONS = command_options()


def test_the_schemas_have_as_many_keys_as_the_page_shows():
    sys.path.insert(0, str(ROOT / "docs" / "hooks"))
    reference = pytest.importorskip("generate_reference", reason="mkdocs comes with the extra docs")
    page = reference.configuration()
    assert len(LEAVES) > 150
    assert [path for path, *_ in LEAVES if f"| `{path}` |" not in page] == []


@pytest.mark.parametrize("section", SCHEMAS)
def test_a_schema_uses_only_keywords_of_json_schema(section):
    inner = [schema for _, schema, _ in keys(SCHEMAS[section], section)]
    assert set().union(*([SCHEMAS[section], *inner])) <= KEYWORDS


def test_a_key_is_described_in_a_sentence():
    for path, schema, _ in ALL:
        text = schema.get("description", "").strip()
        assert len(text) > 5, path
        assert text.rstrip(")").endswith("."), f"{path}: {text}"


def test_a_key_has_a_default_or_is_required():
    for path, schema, above in LEAVES:
        then, otherwise = above.get("then", {}), above.get("if", {}).get("not", {})
        required = {*above.get("required", []), *then.get("required", []), *otherwise.get("required", [])}
        assert "default" in schema or path.rpartition(".")[2] in required, path


_SUBSCRIPT = r"""(?:\[(?:[^\[\]]|\[[^\[\]]*\])+\]|\.get\("\w+")"""
_PLACE = rf"(?<![\w.])(\w+)((?:{_SUBSCRIPT})*)"


class Reads:
    """What rules read of the configuration: ``config["a"]["b"]``, also by way of ``NAME = config["a"]``.

    Attributes:
        names: each name and the path that it refers to; a variable subscript is ``<name>``.
        keys: paths that are read by name.
        whole: paths whose keys all become options: ``**NAME``, ``for key, value in NAME.items()``, ``NAME[key]``.
        selected: (path, class of settings): those of its keys become options.
    """

    def __init__(self, files: list[str]):
        self.names = {"config": "", "configuration": "", "dna": "dna", "mrna": "mrna"}
        self.keys, self.whole, self.selected = set(), set(), set()
        before = None
        while before != self.names:
            before = dict(self.names)
            for rules in files:
                self._name(rules)
        for rules in files:
            # Names of loops are those of their file.
            names, self.names = self.names, self._with_loops(rules)
            found = {place for place in re.findall(_PLACE, rules) if place[0] in self.names}
            self.keys |= {self._path(*place) for place in found if place[1]}
            whole = re.findall(rf"(?:\*\*\(?|\bin (?={_PLACE}\.items\(\))){_PLACE}", rules)
            self.whole |= {self._path(*place[-2:]) for place in whole if place[-2] in self.names}
            calls = re.findall(rf"select_settings\(\s*{_PLACE},\s*(\w+)", rules)
            self.selected |= {(self._path(*place), kind) for *place, kind in calls if place[0] in self.names}
            self.names = names
        self.whole |= {path.removesuffix(".<name>") for path in self.keys if path.endswith(".<name>")}

    def _name(self, rules: str) -> None:
        assigned = re.findall(rf"^(\w+) = (?:\(\s*)?{_PLACE}(?:$|\s+or\b|\))", rules, re.MULTILINE)
        for name, block in re.findall(r"^(\w+) = \{$(.*?)^\}", rules, re.MULTILINE | re.DOTALL):
            # The outermost loop of a comprehension comes last.
            assigned += [(name, *place) for place in re.findall(rf"\bin {_PLACE}\.items\(\)", block)[-1:]]
        made = re.findall(r"^(\w+) = (dna|mrna)_(students|questions)\(", rules, re.MULTILINE)
        assigned += [(name, section, f'["{key}"]') for name, section, key in made]
        for name, base, subscripts in assigned:
            if base in self.names and name != "config":
                self.names.setdefault(name, self._path(base, subscripts))

    def _with_loops(self, rules: str) -> dict[str, str]:
        looped = re.findall(rf"\bfor \w+, (\w+) in {_PLACE}\.items\(\)", rules)
        own = {name: f"{self._path(*place)}.<name>" for name, *place in looped if place[0] in self.names}
        return own | self.names

    def _path(self, base: str, subscripts: str) -> str:
        keys = re.findall(r"""\[["'](\w+)["']\]|\.get\("(\w+)"|(\[)""", subscripts)
        path = [self.names[base], *(by_name or got or "<name>" for by_name, got, _ in keys)]
        return ".".join(word for word in path if word)

    def use(self, path: str) -> bool:
        """Whether a rule uses the key: reads it by its path, or passes it to a command that has it as an option."""
        section, _, key = path.rpartition(".")
        if path in self.keys:
            return True
        if any(place == section and key in schema_of(SETTINGS[kind]) for place, kind in self.selected):
            return True
        commands = HANDED_ON.get(section, ()) if section in self.whole else ()
        return any(key in OPTIONS[command] for command in commands)


def defaults_of_commands():
    """Every option for which a command writes a default itself."""
    for file in sorted((ROOT / "src" / "genestill").rglob("*commands.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument"):
                said = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if said.get("default", "[]") != "[]":
                    option = next((word.value for word in node.args if isinstance(word, ast.Constant)), "")
                    yield option.lstrip("-").replace("-", "_")


def test_a_setting_of_the_configuration_has_its_default_only_in_its_dataclass():
    words = {path.rpartition(".")[2] for path, *_ in LEAVES}
    written = set(defaults_of_commands())
    assert "attempts" in written
    # For imported predictions, which the configuration gives with their table.
    assert written & words <= {"threshold", "format"}


def test_no_schema_defines_its_own_number():
    """Its own defaults are paths, names and lists of tasks; numbers are settings of a command."""
    raw = {
        name: yaml.safe_load((ROOT / "workflow" / "schemas" / f"{name}.schema.yaml").read_text(encoding="utf-8"))
        for name in SCHEMAS
    }
    numbers = [
        path
        for section, schema in raw.items()
        for path, one, _ in keys(schema, section)
        if one.get("type") in ("number", "integer") and "default" in one
    ]
    assert numbers == ["config.seed"]


SETTINGS = {
    kind.__name__: kind
    for file in sorted((ROOT / "src" / "genestill").rglob("settings.py"))
    for module in [".".join(file.relative_to(ROOT / "src").with_suffix("").parts)]
    for kind in vars(importlib.import_module(module)).values()
    if isinstance(kind, type) and issubclass(kind, Settings)
}
READS = Reads(RULES)


def test_every_described_key_is_read_by_a_rule():
    assert [path for path, *_ in LEAVES if not READS.use(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        "student.window", "student.model", "evaluation.folds", "evaluation.steps", "labels.steps", "dataset.genomes",
        "reference.simulated_genomes.samples", "teacher.pretraining.window", "dna.defaults.window",
        "mrna.defaults.epochs",
    ],
)  # fmt: skip
def test_a_key_that_no_rule_reads_is_found_for_any_name(path):
    assert not READS.use(path)


def test_rules_read_only_keys_of_the_schemas():
    known = {path for path, *_ in ALL} | set(SCHEMAS)
    maps = tuple(f"{path}." for path, schema, _ in LEAVES if "additionalProperties" in schema)
    read = {path for path in READS.keys if "<name>" not in path and not path.startswith(maps)}
    assert len(read) > 30
    assert sorted(read - known) == []


@pytest.mark.parametrize("recipe", sorted(file.stem for file in (ROOT / "config" / "recipes").glob("*.yaml")))
def test_every_key_of_every_recipe_is_filled(recipe):
    config = complete_configuration(
        {"recipe": recipe, "dataset": {"name": "x"}}, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas"
    )
    for path, *_ in LEAVES:
        place = config
        for key in path.split(".<name>")[0].split("."):
            assert key in place, path
            place = place[key]


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_that_comes_with_the_project_is_accepted(file):
    assert complete_configuration(read_yaml(file), ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")


def turned(settings, schema: dict):
    """The same settings with the lines in reverse; names that the user chose, such as students', keep their order."""
    if not isinstance(settings, dict):
        return settings
    properties = schema.get("properties", {})
    named = schema.get("additionalProperties")
    own = named if isinstance(named, dict) else {}
    keys = reversed(settings) if properties else settings
    return {key: turned(settings[key], properties.get(key, own)) for key in keys}


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_order_of_lines_and_explicit_defaults_change_no_parameter(file):
    def completed(settings):
        return complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")

    settings = read_yaml(file)
    once = completed(settings)
    whole = SCHEMAS["config"] | {"properties": SCHEMAS["config"]["properties"] | SCHEMAS}
    assert json.dumps(completed(turned(settings, whole))) == json.dumps(once)
    effective = effective_configuration(once, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")
    assert json.dumps(completed(effective)) == json.dumps(once)


def test_a_task_with_an_explicit_default_is_the_same_task():
    def tasks(**more):
        task = {"kind": "regression", "table": "a.tsv:id=id", "target": "b"} | more
        settings = {"recipe": "mrna", "dataset": {"name": "x"}, "mrna": {"tasks": {"t": task}}}
        return complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")["mrna"]

    assert json.dumps(tasks(sample=0, split="homology")) == json.dumps(tasks())


def test_integers_may_be_written_with_or_without_a_decimal_point():
    def labels(**settings):
        settings = {"recipe": "taxdistill", "dataset": {"name": "x"}, "labels": settings}
        return complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")["labels"]

    assert json.dumps(labels(evalue=1, hits=10.0)) == json.dumps(labels())


def shown_configurations() -> list:
    """Every ```yaml block of README and documentation; one that shows a section alone gets what it needs."""
    found = []
    for page in [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(
            r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        ):
            settings = {"recipe": "taxdistill", "dataset": {"name": "shown"}} | yaml.safe_load(block)
            found.append(pytest.param(settings, id=str(page.relative_to(ROOT))))
    return found


@pytest.mark.parametrize("settings", shown_configurations())
def test_a_configuration_in_the_documentation_is_accepted(settings):
    completed = complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")
    published = read_yaml(ROOT / "resources" / "teachers.yaml")
    if completed["teacher"]["name"] in published:
        assert completed["teacher"]["model"], "the name alone does not fetch a teacher: model does"
