"""Atomic writing: write to a temporary name, sync to the disk, then rename."""

import errno
import glob
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from genestill.core.errors import CheckFailed, InputError
from genestill.core.text import read_text

# The suffix of names made by tempfile; more precise than "*", which would also match names with further suffixes.
_DRAWN = "[a-z0-9_]" * 8
_FULL = 1 << 16  # bytes; a disk with less free space is considered full


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    The temporary name has the suffixes of ``path``, because some writers (gzip, Parquet) depend on them. On an error
    the temporary file is removed and ``path`` is not changed. Temporary files of killed processes beside ``path`` are
    removed first, so only one process at a time may write to a path. If ``path`` is a symbolic link, the link is
    replaced and its target is not changed.
    """
    path = Path(path)
    aside = _prepare(path)
    try:
        with _named_refusals(path):
            yield aside
            rename_synced(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def write_compressed(path: str | Path, level: int = 6) -> Iterator[io.BufferedIOBase]:
    """Yield a binary file that replaces ``path`` (`write_aside`), compressed with gzip if the name ends in ``.gz``.

    The gzip header contains neither time nor name (RFC 1952), so that the same bytes give the same file.
    """
    with write_aside(path) as aside, open(aside, "wb") as raw:
        if Path(path).suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=level) as handle:
                yield handle
        else:
            yield raw


@contextmanager
def folder_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that replaces it when the block ends without an error.

    Files in the folder may be links; their targets are not changed. Temporary folders of killed processes beside
    ``path`` are removed first, so only one process at a time may write to a path.
    """
    path = Path(path)
    aside = _prepare(path)
    aside.mkdir()
    permissions = aside.stat().st_mode & 0o777
    try:
        with _named_refusals(path):
            yield aside
            _grant(aside, permissions)
            if os.path.lexists(path):
                replaced = _beside(path, "replaced")
                os.replace(path, replaced)
                rename_synced(aside, path)
                _remove(replaced)
            else:
                rename_synced(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _named_refusals(path: Path) -> Iterator[None]:
    """Replace the file name in errors by ``path`` if it is missing or temporary.

    Libraries that write files themselves (safetensors, torch) report a full disk in different ways.
    """
    try:
        yield
    except OSError as error:
        known = error.filename is not None and ".aside." not in str(error.filename)
        if error.errno is None or known:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except (InputError, CheckFailed):
        raise
    except Exception as error:
        if shutil.disk_usage(path.parent).free > _FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


@contextmanager
def taken_away(path: Path | None) -> Iterator[None]:
    """Remove a file while the block runs, and restore it if the block ends with an error. None: do nothing."""
    if path is None:
        yield
        return
    aside = path.with_name(f".{path.name}.earlier")
    os.replace(path, aside)
    try:
        yield
    except BaseException:
        os.replace(aside, path)
        raise
    aside.unlink()


def rename_synced(aside: Path, path: Path) -> None:
    """Rename the file or folder ``aside`` to ``path``, so that ``path`` is complete even after a power failure.

    The data are written to the disk before the rename; otherwise a file system may keep the new name and lose the data.
    """
    for folder, _, files in os.walk(aside, topdown=False):
        for name in files:
            path_inside = os.path.join(folder, name)
            if not os.path.islink(path_inside):
                _sync(path_inside)
        _sync(folder)
    if not aside.is_dir():
        _sync(aside)
    os.replace(aside, path)
    _sync(path.parent)


def _sync(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _grant(folder: Path, permissions: int) -> None:
    """Give files and folders the permissions that the umask grants; some libraries write files for the owner only.

    ``permissions`` are those of a new folder. Links are not followed.
    """
    for place, _, files in os.walk(folder):
        for name in ("", *files):
            path = os.path.join(place, name)
            if os.path.islink(path):
                continue
            mode = stat.S_IMODE(os.stat(path).st_mode)
            granted = mode | (permissions if os.path.isdir(path) else permissions & 0o666)
            if granted != mode:
                os.chmod(path, granted)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; a file in its place raises `NotADirectoryError` (see `errors.refusal`)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None


def _beside(path: Path, what: str) -> Path:
    return path.parent / f".{os.getpid()}.{what}.{path.name}"


def _prepare(path: Path) -> Path:
    make_folder(path.parent)
    _sweep(path.parent, *(f".[0-9]*.{what}.{glob.escape(path.name)}" for what in ("aside", "replaced")))
    return _beside(path, "aside")


@contextmanager
def scratch_folder(parent: str | Path, name: str) -> Iterator[Path]:
    """Yield a hidden folder in ``parent`` that is removed afterwards; folders of killed processes are removed first."""
    parent = Path(parent)
    make_folder(parent)
    _sweep(parent, f".{glob.escape(name)}.{_DRAWN}")
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as folder:
        yield Path(folder)


def _sweep(folder: Path, *patterns: str) -> None:
    for left in [entry for pattern in patterns for entry in folder.glob(pattern)]:
        _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path):
    """Read a JSON file; raise `InputError` with file and line for invalid JSON."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None


def sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of the bytes of a file, read in blocks; for a folder, of the names and contents of its files."""
    path = Path(path)
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            digest.update(f"{file.relative_to(path)}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


LARGE = 4 * 1024**3  # bytes; larger files and folders are identified without reading them completely
_SAMPLES, _SAMPLE = 64, 1 << 20  # pieces of a large file that are read, and bytes of each


def identity_of(path: str | Path) -> dict[str, str | int]:
    """Identify an input file or folder, for the record of the command that reads it.

    Returns:
        ``sha256`` (`sha256_of`) below `LARGE` bytes. Otherwise, for example for a linked database of hundreds of GB:
        ``bytes`` (total size), ``modified`` (nanoseconds since 1970, of the last modified file) and
        ``sampled_sha256`` (`sampled_sha256_of`).
    """
    path = Path(path)
    files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
    found = [file.stat() for file in files]
    size = sum(one.st_size for one in found)
    if size < LARGE:
        return {"sha256": sha256_of(path)}
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}\0{sampled_sha256_of(file)}\n".encode())
    modified = max(one.st_mtime_ns for one in found)
    return {"bytes": size, "modified": modified, "sampled_sha256": digest.hexdigest()}


def sampled_sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of the size of a file and of 64 evenly spaced pieces of 1 MiB, including the first and the last.

    A changed size or another file is detected; a change of a few bytes within the file may not be.
    """
    size = Path(path).stat().st_size
    digest = hashlib.sha256(f"{size}\n".encode())
    with open(path, "rb") as handle:
        for number in range(_SAMPLES):
            handle.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1))
            digest.update(handle.read(_SAMPLE))
    return digest.hexdigest()


def checksums_of(paths: Iterable[str | Path]) -> dict[str, str]:
    """`sha256_of` each path, by path, for the record of a command that reads the paths from a table."""
    return {str(path): sha256_of(path) for path in paths}


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
