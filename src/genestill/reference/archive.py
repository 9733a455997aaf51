"""Safe extraction of untrusted archives: no files outside the folder, no links, limited size."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, make_folder
from genestill.core.logs import logger
from genestill.core.text import open_bytes

MAXIMUM_BYTES = 100_000_000_000


def unpack(
    archive: str | Path, output: str | Path, wanted: Sequence[str] = ("*",), maximum_bytes: int = MAXIMUM_BYTES
) -> list[Path]:
    """Extract the files of a tar (plain, gzip, bzip2, xz) or zip archive whose names match ``wanted``.

    Args:
        archive: the file.
        output: the folder; it is created, or replaced, when everything is extracted.
        wanted: shell patterns for names in the archive (``*`` also matches ``/``); each must match a file.
        maximum_bytes: maximum total size of the extracted files.

    Returns:
        The extracted files, by name.

    Raises:
        InputError: a name that is absolute or outside the folder, a link or device, a repeated name, more
            bytes than ``maximum_bytes``, a pattern without a file, a truncated archive or another file. No files are
            left then.
    """
    archive, output = Path(archive), Path(output)
    unmatched, written, names = set(wanted), 0, []
    try:
        with folder_aside(output) as aside:
            for name, size, handle in _members(archive):
                matching = [pattern for pattern in wanted if fnmatchcase(name, pattern)]
                if not matching:
                    continue
                if handle is None:
                    raise InputError(f"{archive}: {name!r} is a link or device; expected a plain file")
                unmatched -= set(matching)
                written += size
                if written > maximum_bytes:
                    raise InputError(f"{archive}: unpacks to more than {maximum_bytes} bytes at {name!r}")
                target = aside / name
                make_folder(target.parent)
                try:
                    with open(target, "xb") as copy:
                        _copy(handle, copy, size, f"{archive}: {name!r}")
                except FileExistsError:
                    raise InputError(f"{archive}: has {name!r} twice") from None
                names.append(name)
            if unmatched:
                raise InputError(f"{archive}: has no file that matches {', '.join(sorted(unmatched))}")
    except (NotImplementedError, RuntimeError) as error:  # from zipfile: a password, or a method such as Deflate64
        raise InputError(
            f"{archive}: cannot be unpacked ({error}); expected an archive without password, packed with deflate, "
            "bzip2 or LZMA"
        ) from None
    except OSError as error:
        if error.errno is None:
            raise InputError(f"{archive}: cannot be unpacked ({error}); is it truncated?") from None
        raise InputError(f"{archive}: cannot be unpacked to {output} ({error.strerror})") from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError) as error:
        raise InputError(f"{archive}: cannot be unpacked ({error}); is it truncated?") from None
    logger.info("%s: %d files, %d bytes unpacked to %s", archive, len(names), written, output)
    return [output / name for name in sorted(names)]


def _copy(source: IO[bytes], target: IO[bytes], size: int, where: str) -> None:
    # Declared sizes may be wrong: with more bytes the archive is malicious, with fewer it is truncated.
    shutil.copyfileobj(_Bounded(source, size, where), target, 1 << 20)
    if target.tell() != size:
        raise InputError(f"{where} ends after {target.tell()} of {size} bytes")


class _Bounded:
    def __init__(self, source: IO[bytes], size: int, where: str):
        self.source, self.left, self.where = source, size, where

    def read(self, count: int = -1, /) -> bytes:
        block = self.source.read(count)
        self.left -= len(block)
        if self.left < 0:
            raise InputError(f"{self.where} is longer than the archive declares")
        return block


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """(safe name, declared size, open file; None for a link or device) of each entry; folders are skipped."""
    if not archive.is_file():
        raise InputError(f"{archive}: no such file")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            for entry in bundle.infolist():
                if entry.is_dir():
                    continue
                name = _safe_name(archive, entry.filename)
                kind = entry.external_attr >> 28  # the file type of Unix: 8 regular, 0 not given
                if kind not in (0, 8):
                    yield name, 0, None
                    continue
                with bundle.open(entry) as handle:
                    yield name, entry.file_size, handle
        return
    # Read as a stream, in one pass, with a decompressor that compares the checksum at the end of the file (that of
    # tarfile does not); therefore the rest of the file is read as well.
    with open_bytes(archive) as content:
        with tarfile.open(fileobj=content, mode="r|") as tar:
            for member in tar:
                name = _safe_name(archive, member.name)
                if not member.isdir():
                    yield name, member.size, tar.extractfile(member) if member.isreg() else None
        for _ in iter(lambda: content.read(1 << 20), b""):
            pass


def _safe_name(archive: Path, name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{archive}: the name {name!r} is not UTF-8") from None
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or any(ord(letter) < 32 for letter in name):
        raise InputError(f"{archive}: the name {name!r} is outside the folder that it is unpacked to")
    return str(path)
