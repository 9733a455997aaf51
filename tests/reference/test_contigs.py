import gzip

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.tables import read_table
from genestill.reference.abundance import join_abundances
from genestill.reference.contigs import index_contigs, prepare_contigs, read_truth
from genestill.reference.coverage_tables import read_abundance_table

BASES = "ACGTTGCA" * 4
LINEAGES = [
    "d__Bacteria;p__A;c__B;o__C;f__D;g__E;s__E one",
    "d__Bacteria;p__A;c__B;o__C;f__D;g__E;s__E two",
    "d__Bacteria;p__A;c__B;o__C;f__D;g__F;s__F three",
]


@pytest.fixture
def given_files(tmp_path):
    """A small, valid input; each test makes one file invalid."""
    (tmp_path / "contigs.fna").write_text("".join(f">S1C{n} some words\n{BASES * n}\n" for n in (1, 2, 3)))
    (tmp_path / "abundance.tsv").write_text("contigname\ta\tb\nS1C3\t3\t0\nS1C1\t1\t0.5\nother\t9\t9\nS1C2\t2\t1e1\n")
    rows = "".join(f"S1C{n}\t{lineage}\n" for n, lineage in enumerate(LINEAGES, 1))
    (tmp_path / "labels.tsv").write_text(f"contigs\tpredictions\n{rows}")
    (tmp_path / "truth.tsv").write_text(
        "contig\tlineage\tgenome\tlength\tstatus\n"
        + "".join(f"S1C{n}\t{lineage}\tg{n}\t{len(BASES) * n}\texact\n" for n, lineage in enumerate(LINEAGES, 1))
    )
    return tmp_path


def run(folder, minimum_length=40, **more):
    prepare_contigs(
        folder / "contigs.fna",
        minimum_length,
        folder / "contigs.parquet",
        folder / "abundance.parquet",
        folder / "truth.parquet",
        **{"abundance": [folder / "abundance.tsv"], "labels": folder / "labels.tsv", "truth": folder / "truth.tsv"}
        | more,
    )


def refused(folder, **more) -> str:
    with pytest.raises(InputError) as caught:
        run(folder, **more)
    assert not list(folder.glob("*.parquet")), "nothing is written when the input is refused"
    return str(caught.value)


def test_rows_are_joined_by_id_in_any_order(given_files, caplog):
    caplog.set_level("INFO", logger="genestill")
    run(given_files)
    index = read_table(given_files / "contigs.parquet", table_schemas.INDEX)
    assert index["id"].tolist() == ["S1C2", "S1C3"]
    assert index["length"].tolist() == [64, 96]
    assert index["sample"].tolist() == ["S1", "S1"]
    assert index["gc"].tolist() == pytest.approx([0.5, 0.5])
    abundance = pq.read_table(given_files / "abundance.parquet").to_pandas()
    assert abundance.columns.tolist() == ["id", "a", "b"]
    assert abundance["a"].tolist() == [2, 3]
    assert abundance["b"].dtype == np.float32
    truth = read_table(given_files / "truth.parquet", table_schemas.TRUTH)
    assert truth["species"].tolist() == ["E two", "F three"]
    assert "1 shorter than 40 bp" in caplog.text
    assert "1 abundance rows of no contig" in caplog.text


def test_without_abundances_only_the_id_remains(given_files):
    run(given_files, abundance=[])
    assert pq.read_schema(given_files / "abundance.parquet").names == ["id"]


def test_gzipped_files_give_the_same_index(given_files):
    plain, _ = index_contigs(given_files / "contigs.fna", 1)
    packed = given_files / "contigs.fna.gz"
    packed.write_bytes(gzip.compress((given_files / "contigs.fna").read_bytes()))
    again, lengths = index_contigs(packed, 1)
    pd.testing.assert_frame_equal(plain, again)
    assert lengths == {"S1C1": 32, "S1C2": 64, "S1C3": 96}


def test_checksum_depends_on_bases_and_not_on_case(tmp_path):
    (tmp_path / "a.fna").write_text(f">a\n{BASES}\n>b\n{BASES.lower()}\n>c\n{BASES}N\n")
    checksums = index_contigs(tmp_path / "a.fna", 1)[0]["checksum"]
    assert checksums[0] == checksums[1] != checksums[2]
    assert len(checksums[0]) == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no sequences"),
        (">a\nACGT\n>a\nACGT\n", "the id 'a' occurs twice"),
        (">a 1\nACGT\n>a 2\nACGT\n", "ids end at the first white space"),
        (">a\n>b\nACGT\n", "the sequence of 'a'"),
        (">a\nACGT!\n", "the letter '!' at position 5"),
        (">a\nMKLVEEFPQILMKLVEEFPQIL\n", "looks like a protein"),
        (">a\nACGT\n", "none of its 1 contigs has 40 bp"),
    ],
)
def test_invalid_contigs_are_refused_with_a_clear_message(given_files, text, words):
    (given_files / "contigs.fna").write_text(text)
    message = refused(given_files)
    assert words in message
    assert "contigs.fna" in message


def test_truncated_gzip_is_refused_with_a_clear_message(given_files):
    rng = np.random.default_rng(1)
    letters = "".join("ACGT"[code] for code in rng.integers(0, 4, 5000))
    packed = gzip.compress(f">a\n{letters}\n".encode())
    path = given_files / "contigs.fna.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="truncated"):
        index_contigs(path, 1)
    table = given_files / "abundance.tsv.gz"
    table.write_bytes(gzip.compress(b"a\t1\n" * 1000)[:-12])
    with pytest.raises(InputError, match="truncated"):
        read_abundance_table(table)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contigname\ta\nS1C1\t1\nS1C2\t-3\nS1C3\t1\n", "line 3, column 2 (a): '-3' for contig 'S1C2'"),
        ("contigname\ta\tb\nS1C2\t1\tNaN\nS1C3\t1\t1\n", "line 2, column 3 (b): 'NaN'"),
        ("contigname\ta\nS1C2\tmany\nS1C3\t1\n", "line 2, column 2 (a): 'many'"),
        ("contigname\ta\nS1C2\tinf\nS1C3\t1\n", "'inf'"),
        ("contigname\ta\nS1C2\t\nS1C3\t1\n", "line 2, column 2 (a): ''"),
        ("contigname\ta\nS1C2\t1\t1\nS1C3\t1\n", "line 2 has 3 columns; expected 2"),
        ("contigname\ta\nS1C2\t1\nS1C2\t1\n", "the contig 'S1C2' is also in line 2"),
        ("contigname\ta\nS1C2\t1\n", "no row for 1 of 2 contigs (first: 'S1C3')"),
        ("contigname\ta\nx\t1\n", "none of its 1 contigs (first: 'x')"),
        ("contigname\ta\ta\nS1C2\t1\t2\n", "expected distinct names"),
        ("contigname\ta\n", "has a header but no contigs"),
        ("", "empty"),
        ("S1C2\nS1C3\n", "one column"),
    ],
)
def test_invalid_abundances_are_refused_with_a_clear_message(given_files, text, words):
    (given_files / "abundance.tsv").write_text(text)
    message = refused(given_files)
    assert words in message
    assert "abundance.tsv" in message


def test_strobealign_table_without_header_is_read_as_one_sample(tmp_path):
    (tmp_path / "a.tsv").write_text("c1\t0.25\nc2\t3\n")
    table = read_abundance_table(tmp_path / "a.tsv")
    assert table.to_dict() == {"sample": {"c1": 0.25, "c2": 3.0}}


def test_header_with_numeric_sample_names_is_recognised_as_a_header(tmp_path):
    (tmp_path / "a.tsv").write_text("contigname\t1\t2\nc1\t0.25\t0\nc2\t3\t0\n")
    assert read_abundance_table(tmp_path / "a.tsv").columns.tolist() == ["1", "2"]


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.text("ab\t\n1.-enNaif\"'", max_size=80).map(str.encode)))
def test_any_bytes_as_abundances_give_a_table_or_a_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "a.tsv"
    path.write_bytes(data)
    try:
        table = read_abundance_table(path)
    except InputError:
        return
    assert np.isfinite(table.to_numpy()).all()
    assert (table.to_numpy() >= 0).all()
    assert table.index.is_unique


@settings(deadline=None)
@given(values=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.floats(0, 1e6, width=32), min_size=1))
def test_written_abundances_are_read_back_unchanged(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("written") / "a.tsv"
    path.write_text("contigname\ts\n" + "".join(f"{name}\t{value!r}\n" for name, value in values.items()))
    table = read_abundance_table(path)
    ids = sorted(values)
    joined, more = join_abundances({"a.tsv": table}, ids, set(values))
    assert joined["s"].tolist() == [values[name] for name in ids]
    assert more == 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.tsv", "contigs\tpredictions\nx\td__B\n", "does the table belong to other contigs?"),
        ("labels.tsv", f"contigs\tpredictions\nS1C1\t{LINEAGES[0]}\nS1C1\t{LINEAGES[1]}\n", "is also in line 2"),
        ("labels.tsv", f"contigs\tpredictions\nS1C2\t{LINEAGES[0]}\n", "1 species among the labels"),
        ("labels.tsv", "contigs\tpredictions\nS1C2\ta;b;c;d;e;f;g;h\n", "has 8 ranks"),
        (
            "labels.tsv",
            f"contigs\tpredictions\nS1C2\t{LINEAGES[0]}\nS1C3\t{LINEAGES[1].replace('f__D', 'f__X')}\n",
            "the genus 'E' has two parents",
        ),
        ("truth.tsv", "contig\tlineage\nx\td__B\n", "does the table belong to other contigs?"),
        ("truth.tsv", "contig\ttaxon\nS1C2\td__B\n", "no column 'lineage'; found contig, taxon"),
        ("truth.tsv", "contig\tlineage\nS1C2\td__B;d__C\n", "line 2: lineage 'd__B;d__C' gives domain twice"),
        (
            "truth.tsv",
            "contig\tlineage\tlength\nS1C2\td__B\tlong\n",
            "line 2: length is 'long'; expected a whole number",
        ),
        ("truth.tsv", "contig\tlineage\tstatus\nS1C2\td__B\tnew\n", "status 'new'"),
        ("truth.tsv", "contig\tlineage\nS1C2\n", "line 2 has 1 columns; expected 2"),
    ],
)
def test_invalid_labels_and_truth_are_refused_with_a_clear_message(given_files, name, text, words):
    (given_files / name).write_text(text)
    message = refused(given_files)
    assert words in message
    assert name in message


def test_contigs_missing_from_labels_and_truth_are_unlabelled_and_counted(given_files, caplog):
    caplog.set_level("INFO", logger="genestill")
    (given_files / "truth.tsv").write_text(f"contig\tlineage\nS1C3\t{LINEAGES[2]}\n")
    run(given_files)
    truth = read_table(given_files / "truth.parquet", table_schemas.TRUTH)
    assert truth["species"].tolist()[1] == "F three"
    assert truth["domain"].isna().tolist() == [True, False]
    assert "1 truth contigs without row" in caplog.text


def test_full_disk_is_reported_before_anything_is_written(given_files, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    assert "0.00 GB free" in refused(given_files)


def test_earlier_results_are_kept_when_new_input_is_refused(given_files):
    run(given_files)
    before = (given_files / "contigs.parquet").read_bytes()
    (given_files / "abundance.tsv").write_text("contigname\ta\nS1C2\t-1\nS1C3\t1\n")
    with pytest.raises(InputError):
        run(given_files)
    assert (given_files / "contigs.parquet").read_bytes() == before


def test_command_exits_with_status_2_and_a_one_line_error(given_files, capsys):
    (given_files / "contigs.fna").write_text("")
    code = main(
        ["reference", "contigs", "--contigs", str(given_files / "contigs.fna")]
        + ["--output-index", str(given_files / "i.parquet"), "--output-abundance", str(given_files / "a.parquet")]
    )
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_truth_without_optional_columns_leaves_them_null_except_for_the_lengths_of_the_contigs(tmp_path):
    (tmp_path / "t.tsv").write_text(f"contig\tlineage\na\t{LINEAGES[0]}\n")
    table, counts = read_truth(tmp_path / "t.tsv", ["a"], {"a": 1200})
    assert table["genome"].isna().all()
    assert table["length"].tolist() == [1200]
    assert counts == {"rows_of_no_contig": 0, "contigs_without_row": 0, "rows_without_readable_lineage": 0}


def test_missing_lengths_of_the_truth_are_those_of_the_contigs_and_other_lengths_are_refused(tmp_path):
    lengths = {"a": 1200, "b": 1300, "short": 200}
    (tmp_path / "t.tsv").write_text(f"contig\tlineage\tlength\na\t{LINEAGES[0]}\t\nb\t\t1300\nnone\t\t7\n")
    assert read_truth(tmp_path / "t.tsv", ["b", "a"], lengths)[0]["length"].tolist() == [1300, 1200]
    (tmp_path / "t.tsv").write_text(f"contig\tlineage\tlength\na\t{LINEAGES[0]}\t\nb\t\t130\n")
    with pytest.raises(InputError, match=r"t\.tsv: the contig 'b' has 130 bp; 1300 bp in the FASTA file"):
        read_truth(tmp_path / "t.tsv", ["a", "b"], lengths)
