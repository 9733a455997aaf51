"""Writing that is never half done: write aside, then rename."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genestill.ground.errors import InputError

# The end that tempfile gives its names; more precise than "*", which would also fit names that go on after a dot.
_DRAWN = "[a-z0-9_]" * 8


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    The temporary name ends in the suffixes of ``path`` so that writers which look at suffixes (gzip, Parquet)
    behave as for the final name. On an error the temporary file is removed and ``path`` is left as it was. What a
    killed process left beside ``path`` is swept away: one process at a time writes to a path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent, f".[0-9]*.aside.{glob.escape(path.name)}")
    aside = path.parent / f".{os.getpid()}.aside.{path.name}"
    try:
        yield aside
        with open(aside, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that takes its place when the block ends without an error.

    What a killed process left beside ``path`` is swept away: one process at a time writes to a path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent, *(f".{what}.{glob.escape(path.name)}.{_DRAWN}" for what in ("aside", "replaced")))
    aside = Path(tempfile.mkdtemp(prefix=f".aside.{path.name}.", dir=path.parent))
    try:
        yield aside
        os.chmod(aside, 0o755)
        for file in aside.rglob("*"):  # safetensors writes files that nobody else may read
            file.chmod(file.stat().st_mode | (0o755 if file.is_dir() else 0o644))
        if path.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".replaced.{path.name}.", dir=path.parent))
            os.replace(path, replaced / path.name)
            os.replace(aside, path)
            shutil.rmtree(replaced)
        else:
            os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def scratch_folder(parent: str | Path, name: str) -> Iterator[Path]:
    """Yield a hidden folder in ``parent`` that is gone afterwards; those of killed processes are swept away first."""
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent, f".{glob.escape(name)}.{_DRAWN}")
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as folder:
        yield Path(folder)


def _sweep(folder: Path, *patterns: str) -> None:
    for left in [entry for pattern in patterns for entry in folder.glob(pattern)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path):
    """Read a JSON file; raise `InputError` naming file and line if it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None


def sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks; for a folder, of its files' names and contents in name order."""
    path = Path(path)
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            digest.update(f"{file.relative_to(path)}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def require_disk_space(folder: str | Path, needed: int, purpose: str) -> None:
    """Raise `InputError` if the disk under ``folder`` has fewer than ``needed`` bytes free for ``purpose``."""
    folder = Path(folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e9:.2f} GB free, but {purpose} needs about {needed / 1e9:.2f} GB; "
            "free some space or choose another results folder"
        )
