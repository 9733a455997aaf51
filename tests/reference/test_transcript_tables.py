"""Tables of transcripts and tasks as found in practice: empty cells, invalid numbers, tracks as lists."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.cells import LeftOut
from genestill.core.errors import InputError
from genestill.core.table_schemas import PROBE_TASK
from genestill.core.tables import read_metadata, read_table
from genestill.reference.probe_tasks import read_targets
from genestill.reference.transcripts import Columns, read_rows, transcripts_of_table

SEQUENCES = ["ATGGCATAA", "ATGGCCTAA", "ATGGCTTAA", "ATGGCGTAA", "ATGTCATAA", "ATGTCCTAA", "ATGTCTTAA", "ATGTCGTAA"]


def _write(path, header, rows):
    path.write_text("\n".join(["\t".join(header), *("\t".join(row) for row in rows)]) + "\n")
    return path


def _task(path, *more, output):
    keys = "sequence=seq,id=id"
    command = ["reference", "task", "--name", "t", "--table", f"{path}:{keys}", "--split", "default"]
    return main([*command, *more, "--output", str(output)])


def test_an_empty_gene_is_missing_and_genes_named_na_or_nan_are_kept(tmp_path, caplog):
    rows = [("007", "ACGT", ""), ("8", "ACGA", "NA"), ("9", "ACGC", "nan"), ("10", "ACGG", "-"), ("11", "AC", "7157.0")]
    path = _write(tmp_path / "t.tsv", ("id", "sequence", "gene"), rows)
    transcripts = transcripts_of_table(path, read_rows(path), Columns(id="id", gene="gene"))
    assert [transcript.gene for transcript in transcripts] == ["", "NA", "nan", "", "7157"]
    assert [transcript.id for transcript in transcripts] == ["007", "8", "9", "10", "11"]
    assert "read as a name" not in caplog.text


def test_many_rows_of_a_gene_named_na_are_reported(tmp_path, caplog):
    path = _write(tmp_path / "t.tsv", ("sequence", "gene"), [("ACGT", "NA"), ("ACGA", "NA")])
    transcripts_of_table(path, read_rows(path), Columns(gene="gene"))
    assert "2 rows have the gene 'NA'" in caplog.text


def test_nulls_and_integers_of_parquet_are_read_as_in_a_tsv(tmp_path):
    table = pd.DataFrame({"sequence": ["ACGT", "ACGA"], "gene": [None, "g"], "id": [7157.0, 8.0], "start": [np.nan, 1]})
    table.to_parquet(tmp_path / "t.parquet")
    rows = read_rows(tmp_path / "t.parquet")
    first, second = transcripts_of_table("t", rows, Columns(id="id", gene="gene", cds_start="start", cds_end="start"))
    assert (first.id, first.gene, len(first.cds)) == ("7157", "", 0)
    assert (second.id, second.gene) == ("8", "g")


@pytest.mark.parametrize("cell", ["", "NA", "nan", "NaN"])
def test_a_row_without_a_sequence_is_refused_with_its_line(tmp_path, cell):
    path = _write(tmp_path / "t.tsv", ("id", "sequence"), [("a", "ACGT"), ("b", cell)])
    with pytest.raises(InputError, match=r"t.tsv: line 3 \(b\) has no sequence"):
        transcripts_of_table(path, read_rows(path), Columns(id="id"))


def test_a_row_without_cds_or_exons_gives_a_transcript_without_them(tmp_path):
    rows = [("ATGGCATAAT", "0.0", "9", "4,6,"), ("ATGGCATAAT", "", "NA", "")]
    path = _write(tmp_path / "t.tsv", ("sequence", "a", "b", "e"), rows)
    columns = Columns(cds_start="a", cds_end="b", exon_sizes="e")
    first, second = transcripts_of_table(path, read_rows(path), columns)
    assert first.cds.tolist() == [0, 3, 6]
    assert first.splice.tolist() == [3, 9]
    assert len(second.cds) == len(second.splice) == 0


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("ATG", "0", "", "3"), "line 2: b is ''"),
        (("ATG", "0", "1_0", "3"), "line 2: b is '1_0'"),
        (("ATG", "0", "1,000", "3"), "line 2: b is '1,000'"),
        (("ATG", "0.5", "3", "3"), "line 2: a is '0.5'"),
        (("ATG", "0", "4", "3"), "line 2 has the coding sequence"),
        (("ATG", "0", "3", "4,-1"), "line 2 has an exon of -1"),
        (("ATG", "0", "3", "123,456"), "line 2: its exons sum to 579"),
        (("A-G", "0", "3", "3"), "line 2 contains letters"),
    ],
)
def test_positions_that_contradict_the_sequence_are_refused_with_their_line(tmp_path, row, sentence):
    path = _write(tmp_path / "t.tsv", ("sequence", "a", "b", "e"), [row])
    with pytest.raises(InputError, match=sentence):
        transcripts_of_table(path, read_rows(path), Columns(cds_start="a", cds_end="b", exon_sizes="e"))


def test_repeated_ids_are_reported(tmp_path, caplog):
    path = _write(tmp_path / "t.tsv", ("id", "sequence"), [("a", "ACGT"), ("b", "ACGA"), ("a", "ACGC")])
    assert len(transcripts_of_table(path, read_rows(path), Columns(id="id"))) == 3
    assert "1 ids have several rows (the first: 'a', rows 2, 4)" in caplog.text


def test_non_numeric_targets_are_counted_named_and_recorded_with_the_task(tmp_path, capsys):
    cells = ["1", "2.5", "-3", "1e-2", "1,204.3", "0.5", "7", "NA"]
    rows = [(f"r{number}", *pair) for number, pair in enumerate(zip(SEQUENCES, cells, strict=True))]
    path = _write(tmp_path / "t.tsv", ("id", "seq", "y"), rows)
    options = ("--target", "y", "--kind", "regression", "--most-left-out", ".25")
    assert _task(path, *options, output=tmp_path / "t.parquet") == 0
    table = read_table(tmp_path / "t.parquet", PROBE_TASK)
    assert [target[0] for target in table["targets"]] == [1, 2.5, -3, 0.01, 0.5, 7]
    said = read_metadata(tmp_path / "t.parquet")["left_out"]
    assert said.startswith("2 of 8 rows left out: ")
    assert "1 with a target that is not a number ('1,204.3' in line 6)" in said
    assert "1 without a target (line 9)" in said
    assert "2 of 8 rows are left out" in capsys.readouterr().err


def test_cut_transcripts_are_counted_in_the_metadata_of_the_task(tmp_path, capsys):
    rows = [(f"r{number}", sequence * (1 + number % 2), str(number)) for number, sequence in enumerate(SEQUENCES)]
    path = _write(tmp_path / "t.tsv", ("id", "seq", "y"), rows)
    options = ("--target", "y", "--kind", "regression", "--longest", "9")
    assert _task(path, *options, output=tmp_path / "t.parquet") == 0
    said = "4 of 8 transcripts cut to 9 bases around the start codon"
    assert read_metadata(tmp_path / "t.parquet")["left_out"] == said
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--logarithm",)])
def test_a_table_that_loses_more_than_a_fifth_of_its_rows_is_refused(tmp_path, capsys, more):
    cells = ["1", "2", "3", "4", "5", "0", "0", "0"] if more else ["1", "2", "3", "4", "5", "1,5", ">24", "n.d."]
    rows = [(f"r{number}", *pair) for number, pair in enumerate(zip(SEQUENCES, cells, strict=True))]
    path = _write(tmp_path / "t.tsv", ("id", "seq", "y"), rows)
    assert _task(path, "--target", "y", "--kind", "regression", *more, output=tmp_path / "t.parquet") == 2
    assert "3 of 8 rows are left out" in capsys.readouterr().err
    assert not (tmp_path / "t.parquet").exists()


def test_a_regression_with_several_targets_is_refused(tmp_path, capsys):
    path = _write(tmp_path / "t.tsv", ("id", "seq", "y", "z"), [("a", "ACGT", "1", "2")])
    assert _task(path, "--target", "y", "z", "--kind", "regression", output=tmp_path / "t.parquet") == 2
    assert "expected for regression: one number" in capsys.readouterr().err


def _mrnabench(path, targets):
    tracks = [np.array([1, 0, 0, 1, 0, 0, 1, 0, 0], np.int8) for _ in SEQUENCES]
    tracks[2] = None
    splice = [np.array([0] * 8 + [1], np.int8) for _ in SEQUENCES]
    table = {"sequence": SEQUENCES, "cds": tracks, "splice": splice, "target": targets, "gene": list("abcdefgh")}
    pd.DataFrame(table).to_parquet(path)
    return path


def test_tables_of_mrnabench_are_read_with_their_tracks_and_lists_of_targets(tmp_path):
    path = _mrnabench(tmp_path / "data_df.parquet", [np.array([1, 0, 1])] * 4 + [np.array([0, 1, 0])] * 4)
    output = tmp_path / "t.parquet"
    command = ["reference", "task", "--name", "go", "--table", f"{path}:cds=cds,splice=splice,gene=gene"]
    command += ["--target", "target", "--kind", "multilabel", "--split", "homology", "--output", str(output)]
    assert main(command) == 0
    table = read_table(output, PROBE_TASK)
    assert np.stack(table["targets"].tolist()).shape == (8, 3)
    assert [int(track.sum()) for track in table["cds"]] == [3, 3, 0, 3, 3, 3, 3, 3]
    assert all(track.tolist() == [0] * 8 + [1] for track in table["splice"])


def test_tracks_of_another_length_and_lists_of_unequal_length_are_refused(tmp_path):
    path = _mrnabench(tmp_path / "data_df.parquet", [[1, 0]] * 7 + [[1]])
    rows = read_rows(path)
    with pytest.raises(InputError, match="rows of 1 and 2 targets"):
        read_targets(rows, ["target"], "multilabel", False, LeftOut())
    rows["cds"] = [np.zeros(8)] * 8
    with pytest.raises(InputError, match="row 1: cds is a track of 8 numbers"):
        transcripts_of_table(path, rows, Columns(cds="cds"))
    with pytest.raises(InputError, match="no column 'cdz' for cds"):
        transcripts_of_table(path, rows, Columns(cds="cdz"))


@given(
    st.lists(st.lists(st.sampled_from(["0", "1", "1.0", "true", "", "NA", "n.d."]), min_size=2, max_size=2), min_size=1)
)
@settings(max_examples=60, deadline=None)
def test_every_row_of_a_multilabel_task_is_kept_completely_or_counted(cells):
    rows = pd.DataFrame(cells, columns=["a", "b"])
    left_out = LeftOut()
    kept, targets = read_targets(rows, ["a", "b"], "multilabel", False, left_out)
    assert len(kept) + len(left_out) == len(rows)
    assert np.isfinite(targets).all()
    assert set(np.unique(targets)) <= {0.0, 1.0}
    assert all(not {"", "NA", "n.d."} & set(cells[row]) for row in kept)


def test_the_table_of_probes_gives_the_rows_that_a_task_lost(tmp_path):
    from genestill.core.table_schemas import PROBE_PREDICTIONS
    from genestill.core.tables import write_table
    from genestill.evaluation.probes.retained import read_left_out

    sentences = {"half_life": "3 of 20 rows left out: 3 without a target (line 2, …)", "whole": ""}
    empty = pd.DataFrame({name: [] for name in PROBE_PREDICTIONS.names}, dtype=object)
    write_table(tmp_path / "p.parquet", empty, PROBE_PREDICTIONS, {"left_out": json.dumps(sentences)})
    assert read_left_out(tmp_path / "p.parquet") == {"half_life": sentences["half_life"]}
