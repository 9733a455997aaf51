"""Every text reader gives the same result for all ways of saving a file, and a clear message if it cannot read it."""

import bz2
import gzip
import lzma
import re

import pytest
from test_fuzzing import FILES
from xopen import zstd

from genestill.core.errors import InputError

TEXT = sorted(name for name, (_, content, _) in FILES.items() if isinstance(content, bytes))
SAVED = {
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "CR": lambda content: content.replace(b"\n", b"\r"),
    "no last line end": lambda content: content.rstrip(b"\n"),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "Zstandard": zstd.compress,
    "all at once": lambda content: gzip.compress(b"\xef\xbb\xbf" + content.rstrip(b"\n").replace(b"\n", b"\r\n")),
}
UNREADABLE = {
    "Latin-1": (lambda content: content[:-1] + b"\xe9" + content[-1:], "not UTF-8; if the file is in Latin-1"),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), "UTF-16 text"),
    "cut gzip": (lambda content: gzip.compress(content)[:-9], "is the file truncated?"),
    "damaged gzip": (lambda content: gzip.compress(content)[:12] + b"\xff" * 9, "is the file truncated?"),
    "cut bzip2": (lambda content: bz2.compress(content)[:-9], "is the file truncated?"),
    "cut xz": (lambda content: lzma.compress(content)[:-9], "is the file truncated?"),
    "a workbook": (lambda content: b"PK\x03\x04" + content, "workbook"),
    "a web page": (lambda content: b"<!DOCTYPE html>\n" + content, "web page"),
}


def shown(value):
    """The content of a value, as text without memory addresses."""
    if isinstance(value, list | tuple):
        return [shown(inner) for inner in value]
    if hasattr(value, "__dict__") and type(value).__module__.startswith("genestill"):
        return {name: shown(inner) for name, inner in vars(value).items()}
    return re.sub(r" at 0x\w+", "", repr(value))


def plain(name):
    file, content, read = FILES[name]
    return file, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content, read


@pytest.fixture
def put(tmp_path):
    from test_fuzzing import INDEX, pa, table_schemas, write_table

    # Content of the files beside it, for readers that join it to others.
    write_table(tmp_path / "index.parquet", pa.table(INDEX, schema=table_schemas.INDEX), table_schemas.INDEX)

    def put(file, content):
        (tmp_path / file).write_bytes(content)
        return tmp_path / file

    return put


@pytest.mark.parametrize("name", TEXT)
def test_a_file_is_read_identically_for_every_way_of_saving_it(put, name):
    file, content, read = plain(name)
    expected = shown(read(put(file, content)))
    for how, save in SAVED.items():
        assert shown(read(put(file, save(content)))) == expected, how


@pytest.mark.parametrize("name", TEXT)
def test_unreadable_files_are_reported_with_the_cause(put, name):
    file, content, read = plain(name)
    for how, (spoil, words) in UNREADABLE.items():
        if how == "Latin-1" and name == "fasta":
            continue  # only ids and bases are read of it
        with pytest.raises(InputError) as caught:
            read(put(file, spoil(content)))
        assert words in str(caught.value), how
        assert file in str(caught.value), how


@pytest.mark.parametrize("name", sorted({*TEXT} - {"bed", "lines", "report", "sources"}))
def test_spaces_instead_of_tabs_are_reported(put, name):
    """In BED, blanks are allowed; reports and sources are written by programs of ours."""
    file, content, read = plain(name)
    if b"\t" not in content:
        return
    with pytest.raises(InputError, match=r"it has spaces where tabs are expected"):
        read(put(file, content.replace(b"\t", b"    ")))
