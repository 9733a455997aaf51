"""The record of every result: versions, checksums, settings, seeds, hardware, and the command."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import genestill
from genestill.core.contents import content_checksum
from genestill.core.files import identity_of, sha256_of, write_json
from genestill.core.manifest import RECORDS, manifest_of

LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "tokenizers", "torch", "transformers", "snakemake")
SOURCE = Path(genestill.__file__).resolve().parent

# A folder of genomes may be very large, or the working folder itself: recorded by name, without a checksum.
_NOT_READ_THROUGH = ("folder", "genomes_folder")
# Entries that the parser adds to the options of a command.
_NO_OPTIONS = ("run", "stage", "command", "quiet")


def record_command(arguments: list[str], options: dict, found: dict | None, began: float) -> Path | None:
    """Write the record of a command that succeeded, for `reproduction`; each result has one record.

    Args:
        arguments: the command line after the program's name.
        options: the parsed options, by name.
        found: further values that the command returned: the teacher and its revision, versions of other programs,
            checksums of files that are listed in a table, values that were fitted; None for nothing.
        began: start of the command, in seconds since 1970; older files were not written by it.

    Returns:
        ``provenance/<name>.json`` beside the first output, or None for a command that writes nothing.
    """
    paths = {role: path for role, path in path_options(options).items() if os.path.exists(path)}
    outputs = {role: path for role, path in paths.items() if is_output(role)}
    if not outputs:
        return None
    inputs = {
        role: path
        for role, path in paths.items()
        if role not in outputs and not (role in _NOT_READ_THROUGH and os.path.isdir(path))
    }
    taken = {*outputs, *_NO_OPTIONS}
    settings = {name: value for name, value in options.items() if name not in taken and _is_plain(value)}
    path = record_path(next(iter(outputs.values())))
    record = {
        "genestill": genestill.__version__,
        "commit": commit(),
        "source": source_checksum(),
        "python": platform.python_version(),
        "libraries": library_versions(),
        "command": ["genestill", *arguments],
        "settings": settings,
        "seed": options.get("seed"),
        "found": found or {},
        "inputs": {role: {"path": path, **identity_of(path)} for role, path in inputs.items()},
        "outputs": {role: {"path": path, "content": content_checksum(path)} for role, path in outputs.items()},
        "files": manifest_of(outputs.values(), path.parent.parent, began),
        "hardware": hardware(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(path, record)
    return path


def is_output(role: str) -> bool:
    """Whether the option ``role`` gives the path of an output. Output options have the same names in all commands."""
    return role.startswith("output")


def record_path(output: str | Path) -> Path:
    """The path of the record of a command with that first output."""
    output = Path(output)
    return output.parent / RECORDS / f"{output.name}.json"


def inputs_of(options: dict) -> list[str]:
    """Files and folders among the options of a command that exist.

    A source of several files (FILE,FILE) or with columns (FILE:key=column,…) is split into its files.
    """
    found = []
    for role, path in path_options(options).items():
        if not is_output(role):
            words = [path] if os.path.exists(path) else path.split(":", 1)[0].split(",")
            found += [word for word in words if os.path.exists(word)]
    return found


def outputs_of(options: dict) -> list[str]:
    """Files and folders that a command writes, as its options name them."""
    return [path for role, path in path_options(options).items() if is_output(role)]


def earlier_record(options: dict) -> Path | None:
    """The record of an earlier command with the same first output, if there is one."""
    return next((record for record in map(record_path, outputs_of(options)) if record.is_file()), None)


def find_record(output: str | Path) -> Path | None:
    """The record of the command that made a file or folder, or the folder that contains it; None without a record."""
    output = Path(output)
    return next((path for path in map(record_path, (output, output.parent)) if path.is_file()), None)


def path_options(options: dict) -> dict[str, str]:
    """Possible paths among the options of a command, by option, or by option and position for lists."""
    found = {}
    for name, value in options.items():
        words = [word for word in _flat(value) if isinstance(word, str)] if name not in _NO_OPTIONS else []
        for number, word in enumerate(words, 1):
            # Some options have a name before the file: corrector=predictions.parquet.
            named, equals, path = word.partition("=")
            path = path if equals and "/" not in named else word
            # A word without slash and dot may be the name of a folder by chance, unless the option is for paths.
            if is_output(name) or "/" in path or "." in path.strip("."):
                found[name if len(words) == 1 else f"{name} {number}"] = path
    return found


def _flat(value) -> Iterator:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value


def _is_plain(value) -> bool:
    return all(isinstance(word, str | int | float | bool | None) for word in _flat(value))


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that results depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def source_checksum() -> str:
    """Hex SHA-256 of the source code of the package, committed or not."""
    digest = hashlib.sha256()
    for file in sorted(SOURCE.rglob("*.py")):
        digest.update(f"{file.relative_to(SOURCE)}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


@functools.cache
def commit() -> str | None:
    """The commit of the source, or None outside of a git checkout."""
    try:
        found = subprocess.run(
            ["git", "-C", SOURCE, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def hardware() -> dict[str, str | int | None]:
    """Properties on which the last digits of results may depend: machine, device, threads; and the number of cores."""
    torch = sys.modules.get("torch")
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "cpu",
        "threads": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count()),
    }
