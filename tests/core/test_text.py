import bz2
import gzip
import lzma
import os
import struct
import threading
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from xopen import zstd

from genestill.core.errors import InputError
from genestill.core.text import open_text, read_text, read_text_lines, text_lines


def zstandard(content):
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})  # as in the program zstd


COMPRESS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\r\n\0\ufeff", exclude_categories=["Cs"])), max_size=5),
    mark=st.booleans(),
    last=st.booleans(),
)
@example(lines=["form\ffeed", "separator\x1c", "\u2028"], mark=True, last=False)
def test_lines_do_not_depend_on_how_the_file_was_saved(tmp_path_factory, compress, ends, lines, mark, last):
    path = tmp_path_factory.mktemp("text") / "named.txt"
    lines = [*lines, "the last"]
    text = ends.join(lines) + (ends if last else "")
    path.write_bytes(compress(text.encode("utf-8-sig" if mark else "utf-8")))
    assert read_text_lines(path) == lines
    assert read_text(path).removesuffix("\n") == "\n".join(lines)


@pytest.mark.parametrize("compress", list(COMPRESS.values())[1:], ids=list(COMPRESS)[1:])
def test_any_damage_to_a_compressed_stream_is_reported_with_a_clear_message(tmp_path, compress):
    """Damage that does not affect the content (a byte in a header) is allowed; no other exception is raised."""
    content = "".join(f"contig_{number}\t{number * 7919 % 9973}\n" for number in range(3000)).encode()
    whole = compress(content)
    path = tmp_path / "table.tsv"
    for cut in (12, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"table\.tsv: cannot be read after \d+ bytes .* is the file truncated"):
            read_text_lines(path)
    refused = 0
    for place in range(10, len(whole), len(whole) // 50):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            assert "\n".join(read_text_lines(path)) + "\n" == content.decode()
        except InputError:
            refused += 1
    assert refused > 25


def test_text_in_latin_1_is_refused_with_its_line_and_a_remedy(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_bytes("a\tone\nb\tthe Café\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 has the byte 0xe9 after 'b\\tthe Caf'.*iconv -f WINDOWS-1252"):
        read_text_lines(path)
    with open_text(path, errors="surrogateescape") as text:
        assert text.readline() == "a\tone\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_and_refused(tmp_path, encoding):
    path = tmp_path / "table.txt"
    path.write_bytes("contig\tsample\r\nc1\t1.5\r\n".encode(encoding))
    with pytest.raises(InputError, match=r"is UTF-16 text.*iconv -f UTF-16"):
        read_text(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04\x14\0\x06\0", "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "workbook"),
        (gzip.compress(b"BAM\x01\0\0\0\0", mtime=0), "BAM file"),
        (b"PAR1\x15\0", "Parquet"),
        (b"\n<!DOCTYPE html>\n<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"c1\t1\nc2\t\0\n", "zero byte in line 2"),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_its_format(tmp_path, content, what):
    path = tmp_path / "table.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=what):
        list(text_lines(path))


def test_a_missing_file_and_a_folder_are_reported_with_a_clear_message(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "missing.tsv")
    with pytest.raises(InputError, match="is a folder"):
        read_text(tmp_path)


def test_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(b"one\ntwo"),))
    writer.start()
    assert read_text_lines(pipe) == ["one", "two"]
    writer.join()


def bgzip(content, size=1000):
    """Blocks of gzip whose extra field contains their length (SAM specification, section 4.1)."""
    blocks = [content[at : at + size] for at in range(0, len(content), size)] + [b""]
    packed = b""
    for block in blocks:
        engine = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = engine.compress(block) + engine.flush()
        head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(data) + 25)
        packed += head + data + struct.pack("<II", zlib.crc32(block), len(block))
    return packed


def test_a_bgzip_file_truncated_between_two_blocks_is_refused(tmp_path):
    content = "".join(f"contig_{number}\t{number}\n" for number in range(1000)).encode()
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(bgzip(content))
    assert read_text(path) == content.decode()
    for cut in (bgzip(content)[:-28], bgzip(content[:2000])[:-28]):
        path.write_bytes(cut)
        assert content.startswith(gzip.decompress(cut)), "decompression itself does not notice"
        with pytest.raises(InputError, match="the last block of the bgzip file is missing; is the file truncated"):
            read_text(path)
