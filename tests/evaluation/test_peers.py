import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import INDEX, PREDICTIONS, rank_columns
from genestill.core.tables import read_table, write_table
from genestill.evaluation.peers import import_predictions


@pytest.fixture
def index(tmp_path):
    table = pd.DataFrame(
        {"id": ["a", "b"], "length": [9, 9], "gc": [0.5, 0.5], "sample": [None, None], "checksum": ["", ""]}
    )
    write_table(tmp_path / "index.parquet", table, INDEX)
    return tmp_path / "index.parquet"


def results(tmp_path, text):
    path = tmp_path / "results_taxometer.tsv"
    path.write_text(text)
    return path


def test_taxometers_scores_become_confidences_rank_by_rank(tmp_path, index):
    given = results(tmp_path, "contigs\tpredictions\tscores\nb\td__X;p__Y;c__Z\t0.9;0.6;0.4\n")
    import_predictions(given, "auto", index, None, 0.5, tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet", PREDICTIONS)
    assert table["id"].tolist() == ["a", "b"]
    assert table["accepted"].tolist() == [0, 2]
    assert table.loc[1, ["domain", "phylum", "class"]].tolist() == ["X", "Y", "Z"]
    np.testing.assert_allclose(table.loc[1, ["confidence_domain", "confidence_class"]].tolist(), [0.9, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("contig\tprediction\tscore\n", "not recognised"),
        ("contigs\tpredictions\tscores\nz\td__X\t1\n", "none of its 1 contigs .first: 'z'. is among the"),
        ("contigs\tpredictions\tscores\na\td__X\t1\na\td__Y\t1\n", "'a' is also in line 2"),
        ("contigs\tpredictions\tscores\na\td__X;p__Y\t1\n", "scores '1' for 2 ranks"),
        ("contigs\tpredictions\tscores\na\td__X\thigh\n", "support 'high'; expected a number"),
    ],
)
def test_tables_that_cannot_be_scored_are_refused(tmp_path, index, text, sentence):
    with pytest.raises(InputError, match=sentence):
        import_predictions(results(tmp_path, text), "auto", index, None, 0.5, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_row_with_mismatched_scores_is_omitted_and_reported(tmp_path, caplog):
    ids = [f"c{number}" for number in range(9)]
    table = {"id": ids, "length": 9, "gc": 0.5, "sample": None, "checksum": ""}
    write_table(tmp_path / "index.parquet", pd.DataFrame(table), INDEX)
    rows = [f"{name}\td__X;p__Y\t0.9;0.8" for name in ids[:8]] + ["c8\td__X;p__Y\t0.9"]
    given = results(tmp_path, "\n".join(["contigs\tpredictions\tscores", *rows, ""]))
    with caplog.at_level("WARNING", logger="genestill"):
        import_predictions(given, "auto", tmp_path / "index.parquet", None, 0.5, tmp_path / "out.parquet")
    assert read_table(tmp_path / "out.parquet", PREDICTIONS)["accepted"].tolist() == [2] * 8 + [0]
    assert "contig 'c8': scores '0.9' for 2 ranks" in caplog.text


def test_rows_that_the_reader_of_labels_leaves_out_do_not_refuse_the_predictions(tmp_path, caplog):
    """An empty first line, a row without scores, one with another number of columns and one with a score of 90."""
    ids = [f"c{number}" for number in range(20)]
    table = {"id": ids, "length": 9, "gc": 0.5, "sample": None, "checksum": ""}
    write_table(tmp_path / "index.parquet", pd.DataFrame(table), INDEX)
    rows = [f"{name}\td__X;p__Y\t0.9;0.4" for name in ids[:17]]
    rows += ["c17\td__X", "c18\td__X;p__Y\t0.9;0.8\tmore", "c19\td__X;p__Y\t0.9;90"]
    given = results(tmp_path, "\n".join(["", "contigs\tpredictions\tscores", *rows, ""]))
    with caplog.at_level("WARNING", logger="genestill"):
        import_predictions(given, "auto", tmp_path / "index.parquet", None, 0.5, tmp_path / "out.parquet")
    found = read_table(tmp_path / "out.parquet", PREDICTIONS)
    assert found["accepted"].tolist() == [1] * 17 + [0] * 3
    assert found["confidence_phylum"].tolist()[:17] == pytest.approx([0.4] * 17)
    assert "line 21: 4 columns; expected 3, as the header has; this row and 1 more of 20" in caplog.text
    assert "contig 'c17': scores '' for 1 ranks" in caplog.text


@pytest.fixture
def taxonomy(tmp_path):
    folder = tmp_path / "taxonomy"
    folder.mkdir()
    (folder / "lineages.tsv").write_text("taxid\tlineage\n1\t\n2\td__X\n3\td__X;p__Y\n")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "C\tb\t3\t1000\t3:5\nU\ta\t0\t500\t0:5\n",  # Kraken 2
        "b\t3\tphylum\tY\na\t0\tno rank\tunclassified\n",  # MMseqs2
        "@Version:0.9.1\n@SampleID:s\n@@SEQUENCEID\tTAXID\nb\t3\n",  # CAMI
    ],
)
def test_every_label_format_is_read_without_confidences(tmp_path, index, taxonomy, text):
    import_predictions(results(tmp_path, text), "auto", index, taxonomy, 0.5, tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet", PREDICTIONS)
    assert table["accepted"].tolist() == [0, 2]
    assert table.loc[1, ["domain", "phylum"]].tolist() == ["X", "Y"]
    assert table.filter(like="confidence").isna().all(axis=None)


def test_taxids_without_a_taxonomy_are_refused(tmp_path, index):
    given = results(tmp_path, "C\tb\t3\t1000\t3:5\n")
    with pytest.raises(InputError, match="labels are taxids"):
        import_predictions(given, "auto", index, None, 0.5, tmp_path / "out.parquet")


def test_a_table_of_predictions_is_used_as_is_and_not_modified(tmp_path, index):
    lineages = [parse_lineage(text) for text in ("d__X;p__Y", "d__Z", "d__X")]
    own = pd.DataFrame({"id": ["b", "z", "a"], **rank_columns(lineages), "accepted": [1, 1, 0], "reason": "x"})
    own = own.assign(**{f"confidence_{rank}": 0.25 for rank in RANKS})
    write_table(tmp_path / "mine.parquet", own, PREDICTIONS)
    before = (tmp_path / "mine.parquet").read_bytes()
    import_predictions(tmp_path / "mine.parquet", "auto", index, None, 0.5, tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet", PREDICTIONS)
    assert table["id"].tolist() == ["a", "b"]
    assert table["accepted"].tolist() == [0, 1]
    assert table["phylum"].fillna("").tolist() == ["", "Y"]
    assert (table["confidence_domain"] == 0.25).all()
    assert (tmp_path / "mine.parquet").read_bytes() == before
