"""Repeating a recorded command: what differs now, and whether the result is the same."""

import os
import platform
import runpy
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
# Fields in the record (`provenance.record_command`) of an input (large ones are sampled) and of an output.
_ENTRIES: dict[str, tuple[dict[str, type], ...]] = {
    "inputs": ({"path": str, "sha256": str}, {"path": str, "bytes": int, "modified": int, "sampled_sha256": str}),
    "outputs": ({"path": str, "content": str},),
}


@dataclass(frozen=True)
class Difference:
    """A difference from the record. ``decides``: whether it may change the result."""

    sentence: str
    decides: bool = True


def read_record(path: str | Path) -> dict:
    """Read a record written by `provenance.record_command`; raise `InputError`, with the field, for other files."""
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path}: has no record of provenance; expected an object")
    for name, kind in _FORM.items():
        if not isinstance(record.get(name), kind):
            raise InputError(
                f"{path}: {name} is {str(record.get(name))[:60]!r}; expected a record from a folder called provenance"
            )
    command = record["command"]
    if not all(isinstance(word, str) for word in command) or command[:1] != ["genestill"]:
        raise InputError(f"{path}: command is {str(command)[:60]}; expected the arguments of a genestill command")
    for role, forms in _ENTRIES.items():
        for name, entry in record[role].items():
            if not isinstance(entry, dict) or not any(_has_form(entry, form) for form in forms):
                fields = " or ".join(" and ".join(form) for form in forms)
                raise InputError(f"{path}: {role}: {name} is {str(entry)[:60]}; expected {fields}")
    if not record["outputs"]:
        raise InputError(f"{path}: lists no output")
    return record


def _has_form(entry: dict, form: dict[str, type]) -> bool:
    return all(isinstance(entry.get(field), kind) for field, kind in form.items())


def differences(record: dict) -> list[Difference]:
    """Differences between now and the record, one sentence each; paths are relative to the working folder."""
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
    # Snakemake only starts commands; no result depends on its version.
    return name != "snakemake"


def _inputs(inputs: dict) -> list[Difference]:
    found = []
    for role, entry in inputs.items():
        path = Path(entry["path"])
        what = f"the input {role}: {path}"
        if not path.exists():
            found.append(Difference(f"{what} does not exist; paths in records are those given to the command"))
            continue
        then = {name: value for name, value in entry.items() if name != "path"}
        # With the same kind of checksum as in the record, because the limit for large files may have changed.
        now = {"sha256": sha256_of(path)} if "sha256" in then else identity_of(path)
        if now != then and {**now, "modified": None} != {**then, "modified": None}:
            found.append(Difference(f"{what} has changed since"))
        elif now != then:
            sentence = f"{what} was written again since; its size and the sampled parts of its content are unchanged"
            found.append(Difference(sentence, False))
    return found


def _hardware(then: dict, now: dict) -> list[Difference]:
    # The number of cores does not affect the result; the number of threads does, and it is set as recorded. A device is
    # only known in a process that has loaded torch, so it is compared with the record of the repeated command.
    return [
        Difference(f"the {name}: {then.get(name)} then, {now[name]} now", name == "machine")
        for name in ("machine", "cores")
        if then.get(name) != now[name]
    ]


def rebuild(record: dict, parse: Callable[[list[str]], object]) -> list[str]:
    """Run the recorded command again, with its output in a temporary folder; return the differences as sentences.

    Args:
        record: from `read_record`.
        parse: the parser of the program. It determines which options are outputs, so that a record cannot name paths
            that would be overwritten.

    Raises:
        InputError: the recorded command does not exist in this version, or it writes nothing.
        CheckFailed: the command fails now.
    """
    words = record["command"][1:]
    try:
        paths = path_options(vars(parse(words)))
    except SystemExit:
        raise InputError(
            f"the recorded command does not exist in this version: {' '.join(record['command'])}"
        ) from None
    outputs = {role: path for role, path in paths.items() if is_output(role)}
    if not outputs:
        raise InputError(f"the recorded command writes nothing: {' '.join(record['command'])}")
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        places = {path: str(Path(folder) / role / Path(path).name) for role, path in outputs.items()}
        again = [redirected(word, places) for word in words]
        threads = record["hardware"].get("threads")
        environment = os.environ | ({"OMP_NUM_THREADS": threads} if isinstance(threads, str) else {})
        confined = f"from genestill.core.reproduction import run_confined; run_confined({folder!r})"
        done = subprocess.run([sys.executable, "-c", confined, *again], env=environment)
        if done.returncode:
            raise CheckFailed(f"the recorded command now ends with exit code {done.returncode}")
        made = read_record(record_path(places[next(iter(outputs.values()))]))
    return _outcome(record, made)


# Audit events of Python that change the file system: the positions of path arguments, with those of the folders that
# they are relative to (https://docs.python.org/3/library/audit_events.html). `open` is checked by its flags.
_WRITES: dict[str, dict[int, int | None]] = {
    "os.chmod": {0: 2}, "os.chown": {0: 3}, "os.link": {1: 3}, "os.mkdir": {0: 2}, "os.remove": {0: 1},
    "os.rename": {0: 2, 1: 3}, "os.rmdir": {0: 1}, "os.symlink": {1: 2}, "os.truncate": {0: None}, "os.utime": {0: 3},
}  # fmt: skip
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def run_confined(folder: str) -> None:
    """Run the program with ``sys.argv`` in this process, which can then write only in ``folder``.

    A record may come from an untrusted source, and its command may have an option that affects where files are
    written. Python's own calls that write, rename or remove files elsewhere are refused; `core.files` writes every
    result with such calls. Caches of libraries are placed in the folder.
    """
    sys.dont_write_bytecode = True
    os.environ |= {
        "TMPDIR": folder,
        "MPLCONFIGDIR": folder,
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "TRITON_CACHE_DIR": folder,
    }
    tempfile.tempdir = None
    sys.addaudithook(lambda event, arguments: _refuse_writes(Path(folder).resolve(), event, arguments))
    runpy.run_module("genestill", run_name="__main__", alter_sys=True)


def _refuse_writes(folder: Path, event: str, arguments: tuple) -> None:
    if event == "open":
        written = [(arguments[0], None)] if arguments[2] & _TO_WRITE else []
    else:
        written = [
            (arguments[path], None if base is None else arguments[base])
            for path, base in _WRITES.get(event, {}).items()
        ]
    for path, base in written:
        # An integer is the descriptor of an open file.
        if isinstance(path, int) or os.fspath(path) == os.devnull:
            continue
        path = os.fsdecode(path)
        if base is not None and base >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{base}"), path)
        # If the last part is a link, `open` writes to its target; the other events change the link.
        parent, name = os.path.split(os.path.abspath(path))
        place = Path(os.path.realpath(path) if event == "open" else os.path.join(os.path.realpath(parent), name))
        if not place.is_relative_to(folder):
            raise InputError(f"the recorded command writes {place}, which is not one of its outputs; it was stopped")


def redirected(word: str, places: dict[str, str]) -> str:
    """A word of a command, or the part after its ``=``, replaced by its new path if it is in ``places``."""
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
            sentences.append(f"{entry['path']}: was not written this time")
        elif again["content"] != entry["content"]:
            sentences.append(f"{entry['path']}: differs from the recorded result")
    return sentences


def reproduce(path: str | Path, parse: Callable[[list[str]], object], force: bool = False) -> None:
    """Report the differences from a record and, if none of them may change the result, run the command again.

    Args:
        path: the record.
        parse: see `rebuild`.
        force: run the command in any case.

    Raises:
        InputError: not a record, or a command that cannot be repeated.
        CheckFailed: there is a difference that may change the result, or the result differs.
    """
    record = read_record(path)
    found = differences(record)
    for difference in found:
        print(f"{'differs' if difference.decides else 'differs, without effect'}: {difference.sentence}", flush=True)
    deciding = sum(difference.decides for difference in found)
    if deciding and not force:
        raise CheckFailed(f"{deciding} differences affect the result of {path}; fix them, or rebuild with --force")
    print(f"running again: {' '.join(record['command'])}", flush=True)
    outcome = rebuild(record, parse)
    for sentence in outcome:
        print(f"differs: {sentence}", flush=True)
    if outcome:
        raise CheckFailed(f"the result of {path} was not reproduced")
    for entry in record["outputs"].values():
        print(f"the same: {entry['path']}", flush=True)
