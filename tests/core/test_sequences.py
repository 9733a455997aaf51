import bz2
import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xopen import zstd

from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases, read_fasta, reverse_complement, write_fasta

iupac = st.text(alphabet="ACGTNRYSWKMBDHVacgtnryswkmbdhv", min_size=1, max_size=300)


def fasta(tmp_path, text, name="contigs.fna"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        list(read_fasta(path))
    return str(caught.value)


@given(st.lists(iupac, min_size=1, max_size=8), st.sampled_from([".fna", ".fna.gz"]))
def test_written_records_are_read_back(tmp_path_factory, sequences, suffix):
    path = tmp_path_factory.mktemp("fasta") / f"contigs{suffix}"
    records = [(f"c{number}", sequence) for number, sequence in enumerate(sequences)]
    write_fasta(path, records)
    assert list(read_fasta(path)) == records


def test_the_same_records_give_the_same_gzip_bytes(tmp_path):
    for name in ("a.fna.gz", "b.fna.gz"):
        write_fasta(tmp_path / name, [("c", "ACGT" * 100)])
    assert (tmp_path / "a.fna.gz").read_bytes() == (tmp_path / "b.fna.gz").read_bytes()


@given(iupac)
def test_reverse_complement_is_its_own_inverse_except_for_uracil(sequence):
    assert reverse_complement(reverse_complement(sequence)) == sequence


def test_base_codes():
    assert encode_bases("ACGTUacgtuNRX").tolist() == [0, 1, 2, 3, 3, 0, 1, 2, 3, 3, 4, 4, 4]
    assert encode_bases("ACG").dtype == np.uint8


def test_an_id_ends_at_the_first_whitespace(tmp_path):
    assert next(read_fasta(fasta(tmp_path, ">c1 length=4\nACGT\n")))[0] == "c1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no sequences"),
        ("ACGT\n", "not a FASTA file"),
        (">a\nACGT\n>a\nACGT\n", "the id 'a' occurs twice"),
        (">a 1\nACGT\n>a 2\nACGT\n", "'a 1' and 'a 2'"),
        (">a\n>b\nACGT\n", "line 1: the sequence of 'a' is empty"),
        (">\nACGT\n", "line 1: the header is empty"),
        (">a\nACJ" + "ACGT" * 20 + "\n", "has the letter 'J' at position 3"),
        (">a\nMKVLAEFGHIPQR\n", "looks like a protein"),
        (">a\nAC\nGT\n>b\nACGT*\n", "line 4: 'b' has the letter '*' at position 5"),
    ],
)
def test_invalid_records_are_refused_with_a_clear_message(tmp_path, text, sentence):
    assert sentence in refusal(fasta(tmp_path, text))


def test_white_space_in_a_sequence_is_removed(tmp_path):
    assert list(read_fasta(fasta(tmp_path, ">a\nAC GT\n  TT\tA \n"))) == [("a", "ACGTTTA")]


def test_a_missing_file_is_reported(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.fna")


def test_a_truncated_gzip_stream_is_refused(tmp_path):
    whole = gzip.compress(b">a\n" + b"ACGTTGCA" * 5000 + b"\n>b\n" + b"GGCATTAC" * 5000)
    path = tmp_path / "contigs.fna.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(path) or "not a FASTA file" in refusal(path)


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "contigs.fna"
    path.write_bytes(content)
    try:
        for name, sequence in read_fasta(path):
            assert name
            assert sequence
    except InputError:
        pass


def test_repeated_ids_are_allowed_if_the_caller_checks_them(tmp_path):
    assert list(read_fasta(fasta(tmp_path, ">a\nAC\n>a\nGT\n"), unique=False)) == [("a", "AC"), ("a", "GT")]
    with pytest.raises(InputError, match="has no sequences"):
        next(read_fasta(fasta(tmp_path, ""), unique=False))


COMPRESS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd.compress}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@given(st.lists(iupac, min_size=1, max_size=4), st.booleans(), st.booleans(), st.integers(1, 80))
def test_records_do_not_depend_on_how_the_file_was_saved(
    tmp_path_factory, compress, ends, sequences, mark, last, width
):
    path = tmp_path_factory.mktemp("saved") / "contigs.fna"
    lines = []
    for number, sequence in enumerate(sequences):
        lines += [f">c{number}\tsome words", *(sequence[at : at + width] for at in range(0, len(sequence), width)), ""]
    text = ends.join(lines[:-1]) + (ends if last else "")
    path.write_bytes(compress(text.encode("utf-8-sig" if mark else "utf-8")))
    assert list(read_fasta(path)) == [(f"c{number}", sequence) for number, sequence in enumerate(sequences)]


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_sequences_are_read_from_fastq(tmp_path, compress, ends):
    records = [("r1", "ACGTN"), ("r2", "GGA")]
    lines = [line for name, bases in records for line in (f"@{name} 1:N:0", bases, "+", "I" * len(bases))]
    path = tmp_path / "reads.fq"
    path.write_bytes(compress(ends.join([*lines, ""]).encode()))
    assert list(read_fasta(path)) == records


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("@r1\nACGT\n+\nII\n", "not a FASTQ file"),
        ("@r1\nACGT\n", "not a FASTQ file"),
        ("@r1\nACGT\n+\nIIII\n@r1\nACGT\n+\nIIII\n", "the id 'r1' occurs twice"),
        ("@SQ\tSN:c1\tLN:4\nr1\t0\tc1\n", "SAM (alignments)"),
        ("LOCUS       c1  4 bp\n", "GenBank; convert it to FASTA"),
        ("contigname\tlake\nc1\t1\n", "line 1 is 'contigname\\tlake' (a table? Were two files swapped?)"),
        (">é\nACGT\n", "non-ASCII characters"),
    ],
)
def test_files_of_other_formats_are_recognised_and_reported(tmp_path, text, sentence):
    assert sentence in refusal(fasta(tmp_path, text))


def test_descriptions_after_an_id_may_be_in_any_encoding(tmp_path):
    path = tmp_path / "contigs.fna"
    path.write_bytes(">c1 d'après Gérard\nACGT\n>c2 été\nGG\n".encode("latin-1"))
    assert list(read_fasta(path)) == [("c1", "ACGT"), ("c2", "GG")]
    path.write_bytes(">c1\nAC\u00a0GT\n".encode())
    assert "'\\xa0' at position 3" in refusal(path)
