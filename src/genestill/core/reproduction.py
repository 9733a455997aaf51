"""Doing a recorded command again: what is different today, and whether the result is."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import genestill
from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import identity_of, read_json, sha256_of
from genestill.core.provenance import (
    commit,
    hardware,
    is_output,
    library_versions,
    path_options,
    record_path,
    source_checksum,
)

_FORM = {
    "genestill": str, "source": str, "python": str, "libraries": dict, "command": list, "settings": dict,
    "inputs": dict, "hardware": dict, "outputs": dict,
}  # fmt: skip
# What `provenance.record_command` says of an input (a large one is not read through) and of an output.
_ENTRIES = {
    "inputs": ({"path": str, "sha256": str}, {"path": str, "bytes": int, "modified": int, "sampled_sha256": str}),
    "outputs": ({"path": str, "content": str},),
}


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was. ``decides``: whether it may change the result."""

    sentence: str
    decides: bool = True


def read_record(path: str | Path) -> dict:
    """Read a record that `provenance.record_command` wrote; raise `InputError`, naming the field, for anything else."""
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no record of provenance; expected an object")
    for name, kind in _FORM.items():
        if not isinstance(record.get(name), kind):
            raise InputError(
                f"{path}: {name} is {str(record.get(name))[:60]!r}; expected a record from a folder called provenance, "
                "which stands beside every result"
            )
    command = record["command"]
    if not all(isinstance(word, str) for word in command) or command[:1] != ["genestill"]:
        raise InputError(f"{path}: command is {str(command)[:60]}; expected the words of a genestill command")
    for role, forms in _ENTRIES.items():
        for name, entry in record[role].items():
            if not isinstance(entry, dict) or not any(_has_form(entry, form) for form in forms):
                fields = " or ".join(" and ".join(form) for form in forms)
                raise InputError(f"{path}: {role}: {name} is {str(entry)[:60]}; expected {fields}")
    if not record["outputs"]:
        raise InputError(f"{path}: names no output; there is nothing to make again")
    return record


def _has_form(entry: dict, form: dict[str, type]) -> bool:
    return all(isinstance(entry.get(field), kind) for field, kind in form.items())


def differences(record: dict) -> list[Difference]:
    """What is different now from when the record was written, a sentence each; paths are relative to this folder."""
    found = [
        *_versions(record),
        *_inputs(record["inputs"]),
        *_hardware(record["hardware"], hardware()),
    ]
    if record["source"] != source_checksum():
        found.insert(0, Difference(f"the source of genestill: commit {record.get('commit')} then, {commit()} now"))
    elif record.get("commit") != commit():
        found.append(
            Difference(f"the commit: {record.get('commit')} then, {commit()} now; the source is the same", False)
        )
    return found


def _versions(record: dict) -> list[Difference]:
    now = {"genestill": genestill.__version__, "Python": platform.python_version(), **library_versions()}
    then = {"genestill": record["genestill"], "Python": record["python"], **record["libraries"]}
    return [
        Difference(f"{name}: {version} then, {now.get(name, 'none')} now", _decides(name, version, now.get(name)))
        for name, version in then.items()
        if version != now.get(name)
    ]


def _decides(name: str, then: str, now: str | None) -> bool:
    if name == "Python" and now:
        return str(then).split(".")[:2] != now.split(".")[:2]
    # Snakemake starts commands; no number depends on it.
    return name != "snakemake"


def _inputs(inputs: dict) -> list[Difference]:
    found = []
    for role, entry in inputs.items():
        path = Path(entry["path"])
        what = f"the input {role}: {path}"
        if not path.exists():
            found.append(Difference(f"{what} is not here; records hold paths as the command was given them"))
            continue
        then = {name: value for name, value in entry.items() if name != "path"}
        # The same way as then: what is large today may have been recorded in full, or the other way round.
        now = {"sha256": sha256_of(path)} if "sha256" in then else identity_of(path)
        if now != then and {**now, "modified": None} != {**then, "modified": None}:
            found.append(Difference(f"{what} has another content than then"))
        elif now != then:
            sentence = f"{what} was written at another time than then; its size and samples of its content are the same"
            found.append(Difference(sentence, False))
    return found


def _hardware(then: dict, now: dict) -> list[Difference]:
    # The number of cores decides nothing: the number of threads does, and that is set as it was. A device shows only
    # in a process that has loaded torch; the record of the rebuilt result will tell.
    return [
        Difference(f"the {name}: {then.get(name)} then, {now[name]} now", name == "machine")
        for name in ("machine", "cores")
        if then.get(name) != now[name]
    ]


def rebuild(record: dict, parse: Callable[[list[str]], object]) -> list[str]:
    """Give the recorded command again, into a folder that is thrown away; return sentences on what came out different.

    Args:
        record: from `read_record`.
        parse: the program's parser; it decides which options are outputs, so that nothing of a record can name a place
            where something is overwritten.

    Raises:
        InputError: today's program does not know the command, or it writes nothing.
        CheckFailed: the command fails now.
    """
    words = record["command"][1:]
    try:
        paths = path_options(vars(parse(words)))
    except SystemExit:
        raise InputError(f"this version does not know the recorded command: {' '.join(record['command'])}") from None
    outputs = {role: path for role, path in paths.items() if is_output(role) or role in record["outputs"]}
    if not any(map(is_output, outputs)):
        raise InputError(f"the recorded command writes nothing: {' '.join(record['command'])}")
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        places = {path: str(Path(folder) / role / Path(path).name) for role, path in outputs.items()}
        again = [_redirected(word, places) for word in words]
        threads = record["hardware"].get("threads")
        environment = os.environ | ({"OMP_NUM_THREADS": threads} if isinstance(threads, str) else {})
        done = subprocess.run([sys.executable, "-m", "genestill", *again], env=environment)
        if done.returncode:
            raise CheckFailed(f"the recorded command now ends with exit code {done.returncode}")
        first = next(path for role, path in outputs.items() if is_output(role))
        made = read_record(record_path(places[first]))
    return _outcome(record, made)


def _redirected(word: str, places: dict[str, str]) -> str:
    option, equals, value = word.partition("=")
    if equals and option.startswith("-") and value in places:
        return f"{option}={places[value]}"
    return places.get(word, word)


def _outcome(record: dict, made: dict) -> list[str]:
    sentences = []
    if (then := record["hardware"].get("device")) != (now := made["hardware"].get("device")):
        sentences.append(f"the device: {then} then, {now} now")
    for name in sorted(record["settings"].keys() | made["settings"].keys()):
        then, now = record["settings"].get(name), made["settings"].get(name)
        if then != now:
            sentences.append(f"the setting {name}: {then!r} then, {now!r} now")
    for role, entry in record["outputs"].items():
        again = made["outputs"].get(role)
        if again is None:
            sentences.append(f"{entry['path']}: was not made this time")
        elif again["content"] != entry["content"]:
            sentences.append(f"{entry['path']}: came out with another content")
    return sentences


def reproduce(path: str | Path, parse: Callable[[list[str]], object], force: bool = False) -> None:
    """Say what differs from a record and, where nothing does that decides the result, make the result again.

    Args:
        path: the record.
        parse: see `rebuild`.
        force: rebuild whatever differs.

    Raises:
        InputError: no record, or not a command that can be given again.
        CheckFailed: something that decides the result differs, or the result does.
    """
    record = read_record(path)
    found = differences(record)
    for difference in found:
        print(f"{'differs' if difference.decides else 'differs, without effect'}: {difference.sentence}", flush=True)
    deciding = sum(difference.decides for difference in found)
    if deciding and not force:
        raise CheckFailed(
            f"{deciding} of the things that decide the result of {path} differ; fix them, or rebuild with --force"
        )
    print(f"doing again: {' '.join(record['command'])}", flush=True)
    outcome = rebuild(record, parse)
    for sentence in outcome:
        print(f"differs: {sentence}", flush=True)
    if outcome:
        raise CheckFailed(f"the result of {path} was not reproduced")
    for entry in record["outputs"].values():
        print(f"the same: {entry['path']}", flush=True)
