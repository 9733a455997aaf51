"""Checks that an input may be read, and is unchanged since a command wrote it.

A text file that lost its second half cannot be recognised as incomplete. Therefore the record of a result
(`provenance`) has the size and checksum of every file that its command wrote, except for formats in which damage is
detected on reading. A command that reads such a file, or its folder, compares it with the record first.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from genestill.core import files
from genestill.core.errors import InputError
from genestill.core.files import read_json, sha256_of

RECORDS = "provenance"  # folder of the records beside a result
# Formats in which truncation or changes are detected on reading: by page checksums, a final checksum, or brackets.
_TELL_THEMSELVES = {".parquet", ".gz", ".json"}
_CLOCKS_DIFFER = 2.0  # seconds; the clock of a file system may be late by as much


def manifest_of(outputs: Iterable[str | Path], beside: str | Path, since: float) -> dict[str, dict]:
    """Size and checksum of the files that a command has written.

    Args:
        outputs: its output files and folders.
        beside: the folder that paths are relative to.
        since: start of the command, in seconds since 1970; older files were not written by it.

    Returns:
        Path -> ``bytes`` and, below `files.LARGE` bytes, ``sha256``. Links and files in which damage is detected on
        reading are left out.
    """
    found = {}
    for file in sorted({file for output in outputs for file in _files_of(Path(output))}):
        status = file.stat()
        written = status.st_mtime >= since - _CLOCKS_DIFFER
        if file.suffix not in _TELL_THEMSELVES and not file.is_symlink() and written:
            entry: dict[str, int | str] = {"bytes": status.st_size}
            if status.st_size < files.LARGE:
                entry["sha256"] = sha256_of(file)
            found[os.path.relpath(file, beside)] = entry
    return found


def _files_of(output: Path) -> Iterator[Path]:
    if output.is_dir():
        for folder, folders, names in os.walk(output):
            # Hidden files are locks, checkpoints and files of Snakemake.
            folders[:] = [name for name in folders if name != RECORDS and not name.startswith(".")]
            yield from (Path(folder, name) for name in names if not name.startswith("."))
    elif output.is_file():
        yield output


def refuse_unreadable(inputs: Iterable[str | Path]) -> None:
    """Raise `PermissionError` for the first file or folder, also within a folder, that this user may not read.

    Without this, a library that reads the file may report it as damaged.
    """
    for path in map(Path, inputs):
        for one in (path, *_files_of(path)):
            if one.exists() and not os.access(one, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(one))


def refuse_changed(inputs: Iterable[str | Path], outputs: Iterable[str | Path] = ()) -> None:
    """Raise `InputError` for the first file, also within a folder, that changed since its command wrote it.

    Files without a record, such as the user's, are not checked, nor are the ``outputs`` of the command that reads the
    inputs: an output inside a folder that the command reads may be damaged or missing, since it is made again.
    """
    own = [Path(os.path.abspath(output)) for output in outputs]
    known: dict[Path, dict[Path, tuple[dict, Path]]] = {}
    for path in map(Path, map(os.path.abspath, inputs)):
        above = [folder for folder in (path, *path.parents) if _written_in(folder, known)]
        if path.is_dir():
            listed = {file for folder in above for file in known[folder] if file.is_relative_to(path)}
        else:
            listed = {path}
        for file in sorted(listed):
            if any(file.is_relative_to(output) for output in own):
                continue
            # The nearest record belongs to the command that wrote the file.
            nearest = next((known[one] for one in file.parents if file in _written_in(one, known)), None)
            if nearest is not None:
                _compare(file, *nearest[file])


def _written_in(folder: Path, known: dict) -> dict[Path, tuple[dict, Path]]:
    """File -> (its entry in a manifest, the record), from the records in ``folder``."""
    if folder not in known:
        known[folder] = {}
        records = folder / RECORDS
        for record in sorted(records.glob("*.json"), key=lambda path: path.stat().st_mtime) if records.is_dir() else ():
            for name, entry in _entries(record).items():
                known[folder][Path(os.path.normpath(folder / name))] = (entry, record)
    return known[folder]


def _entries(record: Path) -> dict[str, dict]:
    try:
        content = read_json(record)
    except InputError:  # the record is truncated, so nothing can be compared
        return {}
    entries = content.get("files") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        return {}
    return {name: one for name, one in entries.items() if isinstance(one, dict) and isinstance(one.get("bytes"), int)}


def _compare(file: Path, entry: dict, record: Path) -> None:
    shown = os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)
    if not file.is_file():
        found = "is missing, but was written"
    elif (size := file.stat().st_size) != entry["bytes"]:
        found = f"has {size} bytes, but {entry['bytes']} were written"
    elif "sha256" in entry and sha256_of(file) != entry["sha256"]:
        found = "differs from what was written"
    else:
        return
    raise InputError(
        f"{shown}: {found} by the command that made it, so it is damaged. Remove {_of_command(file, record)} and make "
        f"it again; a run of the workflow then does this automatically. If it was changed on purpose, remove "
        f"{os.path.relpath(record) if record.is_relative_to(Path.cwd()) else record}"
    )


def _of_command(file: Path, record: Path) -> str:
    """The output of a command that contains ``file``: the file itself, or the folder that the command wrote."""
    folder = record.parent.parent / record.stem
    whole = folder if folder.is_dir() and file.is_relative_to(folder) else file
    return os.path.relpath(whole) if whole.is_relative_to(Path.cwd()) else str(whole)
