import numpy as np
import pandas as pd
import pytest

from genestill.evaluation.peers import import_taxometer
from genestill.ground.artefacts import INDEX, PREDICTIONS
from genestill.ground.errors import InputError
from genestill.ground.tables import read_table, write_table


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
    import_taxometer(given, index, tmp_path / "out.parquet", 0.5)
    table = read_table(tmp_path / "out.parquet", PREDICTIONS)
    assert table["id"].tolist() == ["a", "b"]
    assert table["accepted"].tolist() == [0, 2]
    assert table.loc[1, ["domain", "phylum", "class"]].tolist() == ["X", "Y", "Z"]
    np.testing.assert_allclose(table.loc[1, ["confidence_domain", "confidence_class"]].tolist(), [0.9, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("contig\tprediction\tscore\n", "expected contigs, predictions, scores"),
        ("contigs\tpredictions\tscores\nz\td__X\t1\n", "'z' is not in the index"),
        ("contigs\tpredictions\tscores\na\td__X;p__Y\t1\n", "1 scores for 2 ranks"),
        ("contigs\tpredictions\tscores\na\td__X\thigh\n", "expected numbers"),
    ],
)
def test_results_that_are_not_taxometers_are_refused(tmp_path, index, text, sentence):
    with pytest.raises(InputError, match=sentence):
        import_taxometer(results(tmp_path, text), index, tmp_path / "out.parquet", 0.5)
