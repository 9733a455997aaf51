"""Input of the wrong type, in every command and every model folder: a right result or one sentence, never a traceback.

All cases are written down by rules, not drawn, so that a run today and one tomorrow try the same.
"""

import argparse
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genestill import cli
from genestill.core.errors import InputError
from genestill.preflight import accept
from safety.test_fuzzing import FOLDERS
from snakemake_process import ROOT
from workflow.test_every_setting import Key, changed, keys_of, pattern_of

pytestmark = [pytest.mark.faults, pytest.mark.slow]

PATIENCE = 120  # seconds for one case, on a busy machine; what has no end takes longer
# What may stand in the place of any value of a JSON file.
VALUES = [None, True, 0, -1, 3, 1e308, 10**12, 0.5, "", "x", [], {}, [1], {"a": 1}, float("nan")]
NUMBERS = ["-1", "0", "nan", "inf", "-inf", "1e999", "x", "", "9" * 30, "0.5", "1e-300"]
# They start Snakemake, a network or a simulation that needs no input.
LEFT_OUT = {"run", "reference simulate-genomes", "reference simulate-transcriptome"}


@contextmanager
def ends() -> Iterator[None]:
    """Fail with TimeoutError what has no end."""

    def stop(*_):
        raise TimeoutError("no end")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


def places(value, at: tuple = ()) -> Iterator[tuple]:
    """Where a JSON value holds values; of a list the first two."""
    yield at
    entries = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*at, key))


def replaced(value, at: tuple, new):
    """A copy of a JSON value with another value at a place."""
    if not at:
        return new
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return copy


@pytest.mark.parametrize("name", ["corrector", "encoder", "teacher"])
def test_a_value_of_the_wrong_type_in_a_model_folder_gets_a_sentence(name, tmp_path, tally):
    fill, _, read = FOLDERS[name]
    fill(tmp_path)
    tried, wrong = 0, []
    for file in sorted(tmp_path.glob("*.json")):
        whole = json.loads(file.read_text())
        for at in places(whole):
            for value in VALUES:
                changed = replaced(whole, at, value)
                if changed == whole:
                    continue
                file.write_text(json.dumps(changed))
                tried += 1
                try:
                    with ends():
                        read(tmp_path)
                except InputError:
                    pass
                except Exception as error:
                    wrong.append(f"{file.name}: {at} is {value!r}: {type(error).__name__}: {str(error)[:80]}")
        file.write_text(json.dumps(whole))
    tally(f"a value of another type in the folder of a model: {name}", tried, tried - len(wrong))
    assert wrong == []
    assert tried > 100


def commands() -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    """Every command with its parser."""

    def walk(parser, words):
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not below:
            yield words, parser
        for name, inner in (item for action in below for item in action.choices.items()):
            yield from walk(inner, [*words, name])

    yield from walk(cli.build_parser(), [])


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def words_for(action: argparse.Action, value: str) -> list[str]:
    """The words that give an option a value; as many values as it takes."""
    count = action.nargs if isinstance(action.nargs, int) else 1
    values = [] if action.nargs == 0 else [value] * count
    return [action.option_strings[-1], *values] if action.option_strings else values


def usual(action: argparse.Action, folder: Path) -> str:
    """A value of a required option: a file that is not there, a choice, a number."""
    if action.choices:
        return str(next(iter(action.choices)))
    if action.dest.startswith("output"):
        return str(folder / "made" / action.dest)
    if action.type is None:
        return str(folder / "missing" / f"{action.dest}.txt")
    for word in ("1", "name=missing/file.txt", "name@1=missing/file.txt"):
        try:
            action.type(word)
        except (argparse.ArgumentTypeError, ValueError, InputError):
            continue
        return word
    return "1"


def cases(parser: argparse.ArgumentParser, folder: Path) -> Iterator[list[str]]:
    """Words after a command: what it needs, and each option with values that it cannot use."""
    options = options_of(parser)
    needed = [action for action in options if action.required or not action.option_strings]
    wrong = [
        folder / "empty.txt",
        folder / "bytes.gz",
        folder / "folder",
        folder / ("n" * 300),
        folder / "empty.txt" / "a",
    ]

    def with_value(changed, value) -> list[str]:
        rest = [word for action in needed if action is not changed for word in words_for(action, usual(action, folder))]
        return [*rest, *words_for(changed, value)] if changed else rest

    yield with_value(None, "")
    for action in options:
        if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
            continue
        values = NUMBERS if action.type is not None or action.choices else map(str, wrong)
        for value in values:
            yield with_value(action, value)


def test_every_command_says_in_one_sentence_what_it_cannot_read_or_use(tmp_path, tally, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "bytes.gz").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "folder").mkdir()
    tried, wrong = 0, []
    parser = cli.build_parser()
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    for words, command in commands():
        name = " ".join(words)
        for case in cases(command, tmp_path) if name not in LEFT_OUT else ():
            tried += 1
            shown = f"{name} {' '.join(case)}"[:300]
            try:
                with ends():
                    code = cli.main([*words, *case])
            except SystemExit as error:
                code = error.code
            except BaseException as error:
                wrong.append(f"{shown}: {type(error).__name__}: {str(error)[:100]}")
                continue
            said = capsys.readouterr().err.splitlines()
            if code not in (0, 2, 3) or (code and not any(line.startswith("genestill") for line in said)):
                wrong.append(f"{shown}: {code}, {said[-1:]}")
    tally("an option of a command that it cannot use", tried, tried - len(wrong))
    assert wrong == []
    assert tried > 2000


def unusable(key: Key) -> Iterator[object]:
    """Values that the schema of a key of the configuration has to refuse: not finite, and beyond its bounds."""
    for number in ("nan", "inf", "-inf"):
        yield float(number)
        yield [float(number)]
        yield {"a": float(number)}
    for kind in [key.schema] if "anyOf" not in key.schema else []:
        if "null" not in (types := kind.get("type", ())) and types:
            yield None
        for bound, step in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1), ("exclusiveMaximum", 0)):
            if bound in kind:
                yield kind[bound] + step


def test_a_setting_of_another_type_or_beyond_its_bounds_gets_a_sentence(tally, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried, wrong, seen = 0, [], set()
    for recipe in ("taxdistill", "taxdistill-published", "mrna", "had", "seqlens"):
        given = {"recipe": recipe, "dataset": {"name": "x"}}
        for key in keys_of(accept(given, ROOT)):
            name = pattern_of(key)
            # Each community of a benchmark is a configuration of its own, which is accepted by itself.
            if name in seen or name == "benchmark.<name>":
                continue
            seen.add(name)
            values = [(value, True) for value in unusable(key)]
            for value, refused in values + [(value, False) for value in (True, -1, 1e308, "", "x", [])]:
                tried += 1
                try:
                    accept(changed(given, key.place, value), ROOT)
                except InputError:
                    continue
                except Exception as error:
                    wrong.append(f"{name}: {value!r}: {type(error).__name__}: {str(error)[:80]}")
                    continue
                wrong += [f"{name}: {value!r} is accepted"] if refused else []
    tally("a setting of another type or beyond its bounds", tried, tried - len(wrong))
    assert wrong == []
    assert tried > 2000
