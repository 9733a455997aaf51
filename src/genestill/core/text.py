"""Reading text files: compressed or not, with any line ends, with or without a byte order mark."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from xopen import xopen

from genestill.core.errors import InputError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")  # suffixes of the formats that `open_bytes` reads, to be removed from names

_BLOCK = 1 << 17
_COMPRESSIONS = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zst",
}  # first bytes -> xopen's name
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The first bytes, after decompression, of binary files that are often given instead of text (BAM is gzip).
_NO_TEXT = {
    b"\xff\xfe": 'UTF-16 text (a spreadsheet\'s "Unicode text"); save it as UTF-8, or use iconv -f UTF-16 -t UTF-8',
    b"\xfe\xff": 'UTF-16 text (a spreadsheet\'s "Unicode text"); save it as UTF-8, or use iconv -f UTF-16 -t UTF-8',
    b"PK\x03\x04": "a zip archive or a workbook (.xlsx); unpack it, or save the sheet as text (CSV or TSV in UTF-8)",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls); save the sheet as text (CSV or TSV in UTF-8)",
    b"BAM\x01": "a BAM file; expected text",
    b"CRAM": "a CRAM file; expected text",
    b"PAR1": "a Parquet file; expected text",
    b"SQLite format 3": "an SQLite database; expected text",
    b"\x93NUMPY": "a NumPy array; expected text",
    b"\x89HDF": "an HDF5 file; expected text",
    b"%PDF": "a PDF document; expected text",
    b"version https://git-lfs": "the pointer of a file in Git LFS; fetch the file itself with git lfs pull",
    b"<!doctype html": "a web page; expected text. Was the page of a download saved in place of the file?",
    b"<html": "a web page; expected text. Was the page of a download saved in place of the file?",
}


class _Source(io.RawIOBase):
    """The decompressed bytes of a file; errors of the decompressor for a damaged file become an `InputError`."""

    def __init__(self, handle: BinaryIO, path: str | Path):
        self._handle, self._path, self._passed = handle, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            block = self._handle.read(len(buffer))
        except Exception as error:  # gzip, bzip2, xz and zstd and their libraries raise different errors
            raise InputError(
                f"{self._path}: cannot be read after {self._passed} bytes of content ({error}); is the file truncated?"
            ) from None
        buffer[: len(block)] = block
        self._passed += len(block)
        return len(block)


@contextmanager
def open_bytes(path: str | Path) -> Iterator[io.BufferedReader]:
    """Yield the bytes of a file, decompressed if it is gzip, bzip2, xz or zstd (detected by content, not by name).

    Pipes can be read once. A UTF-8 byte order mark at the start is skipped. Raises `InputError` for a file that is
    missing, a folder, or not readable, and on reading for a damaged file.
    """
    try:
        if Path(path).is_dir():
            raise InputError(f"{path}: is a folder; expected a file")
        raw = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened ({error})") from None
    with raw:
        # By content: a file may have been decompressed without changing its name. Without threads, an error is raised
        # where it occurs.
        start = raw.peek(18)
        if start[:4] == b"\x1f\x8b\x08\x04" and start[12:14] == b"BC" and raw.seekable():
            _refuse_without_end(path, raw)
        form = _compression(start)
        source: io.BufferedReader = io.BufferedReader(
            _Source(xopen(raw, "rb", threads=0, format=form) if form else raw, path), _BLOCK
        )
        if source.peek(3).startswith(_BYTE_ORDER_MARK):
            source.read(3)
        yield source


def compression_of(path: str | Path) -> str | None:
    """The compression of a file, by its first bytes: ``gz``, ``bz2``, ``xz``, ``zst``, or None for none of these.

    Raises `InputError` for a missing file.
    """
    try:
        with open(path, "rb") as handle:
            return _compression(handle.read(6))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _compression(start: bytes) -> str | None:
    return next((form for first, form in _COMPRESSIONS.items() if start.startswith(first)), None)


@contextmanager
def open_text(path: str | Path, errors: str = "strict") -> Iterator[TextIO]:
    """Yield a UTF-8 text file for reading; all line ends (LF, CRLF, CR) become ``"\\n"``.

    Args:
        path: as for `open_bytes`.
        errors: treatment of bytes that are not UTF-8: ``strict`` raises an error, ``surrogateescape`` keeps them.

    Raises:
        InputError: as `open_bytes`; for UTF-16, workbooks, archives and other binary files; and on reading, with the
            line number, for bytes that are not UTF-8.
    """
    with open_bytes(path) as source:
        _refuse_no_text(path, source.peek(_BLOCK))
        try:
            yield io.TextIOWrapper(source, encoding="utf-8", errors=errors, newline=None)
        except UnicodeDecodeError as error:
            raise InputError(_wrong_encoding(path, error)) from None


def text_lines(path: str | Path, errors: str = "strict") -> Iterator[str]:
    """Yield the lines of a text file without their ends; arguments and errors are those of `open_text`.

    Lines end only at LF, CRLF and CR, so that line numbers are the same as in an editor.
    """
    with open_text(path, errors) as text:
        for line in text:
            yield line.removesuffix("\n")


def read_text_lines(path: str | Path) -> list[str]:
    """All lines of a text file, as `text_lines` yields them."""
    return list(text_lines(path))


def read_text(path: str | Path) -> str:
    """The whole content of a text file; errors as for `open_text`."""
    with open_text(path) as text:
        return text.read()


def blanks_for_tabs(line: str) -> str:
    """The end of a message about a line that lacks columns, if it has spaces where tabs are expected."""
    return "; it has spaces where tabs are expected" if "\t" not in line and len(line.split()) > 1 else ""


def _refuse_without_end(path: str | Path, raw: io.BufferedReader) -> None:
    """Refuse a bgzip file (SAM specification, 4.1.2) truncated between two blocks, which decompresses without error."""
    raw.seek(-min(len(_BGZIP_END), raw.seek(0, io.SEEK_END)), io.SEEK_END)
    end = raw.read()
    raw.seek(0)
    if end != _BGZIP_END:
        raise InputError(f"{path}: the last block of the bgzip file is missing; is the file truncated?")


def _refuse_no_text(path: str | Path, start: bytes) -> None:
    low = start[:32].lstrip().lower()
    for first, what in _NO_TEXT.items():
        if start.startswith(first) or low.startswith(first):
            raise InputError(f"{path}: is {what}")
    if b"\0" in start:
        head = start[:200]
        # In Latin text as UTF-16 without a byte order mark, exactly every second byte is zero.
        if sorted((head[::2].count(0), head[1::2].count(0))) == [0, len(head) // 2]:
            raise InputError(f"{path}: is UTF-16 text; expected UTF-8: convert it with iconv -f UTF-16LE -t UTF-8")
        line = start[: start.index(b"\0")].count(b"\n") + 1
        raise InputError(f"{path}: is a binary file (a zero byte in line {line}); expected text in UTF-8")


def _wrong_encoding(path: str | Path, error: UnicodeDecodeError) -> str:
    where = f"the byte 0x{error.object[error.start]:02x}"
    if Path(path).is_file():  # a pipe cannot be read again
        with open_bytes(path) as source:
            for number, line in enumerate(source.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), 1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as found:
                    before = line[: found.start].decode("utf-8")[-20:]
                    where = f"line {number} has the byte 0x{line[found.start]:02x} after {before!r}"
                    break
    return (
        f"{path}: {where}, which is not UTF-8; if the file is in Latin-1 (Windows-1252), convert it: "
        "iconv -f WINDOWS-1252 -t UTF-8"
    )
