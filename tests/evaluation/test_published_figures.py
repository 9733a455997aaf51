import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.table_schemas import METRICS
from genestill.core.tables import write_table
from genestill.evaluation.published_figures import compare_with_published, published_communities
from genestill.student.corrector.settings import published_variant

HEAD = "benchmark\ttask\tmodel\tmetric\tvalue\tprotocol\tsource\n"


def metrics(path, *rows):
    """Rows (dataset, task, model, seed, stratum, value) of F1 at the models' own threshold."""
    blank = {name: None for name in METRICS.names}
    own = {"metric": "f1", "threshold": "own", "weight": "", "minus": ""}
    names = ("dataset", "task", "model", "seed", "stratum", "value")
    table = pd.DataFrame([blank | own | dict(zip(names, row, strict=True)) for row in rows])
    write_table(path, table, METRICS)
    return path


def test_published_figures_are_shown_beside_the_mean_of_our_runs(tmp_path):
    rows = [("oral", "species", "a", 1, "all", 0.5), ("oral", "species", "a", 2, "all", 0.7)]
    rows += [("oral", "genus", "a", 1, "all", 0.1), ("oral", "species", "a", 1, "no exact", 0.1)]
    (tmp_path / "p.tsv").write_text(HEAD + "cami2\toral\ta\tf1\t0.9\tx\ty\ncami2\tskin\ta\tf1\t0.8\tx\ty\n")
    assert published_communities(tmp_path / "p.tsv") == {"oral", "skin"}
    compare_with_published([metrics(tmp_path / "m.parquet", *rows)], tmp_path / "p.tsv", tmp_path / "out.tsv")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t").set_index("dataset")
    assert table.loc["oral", ["published", "ours", "runs"]].tolist() == [0.9, 0.6, 2]
    assert table.loc["skin", ["ours", "runs"]].isna().all()


def test_figures_of_data_sets_that_were_not_measured_are_refused(tmp_path):
    (tmp_path / "p.tsv").write_text(HEAD + "cami2\tskin\ta\tf1\t0.8\tx\ty\n")
    path = metrics(tmp_path / "m.parquet", ("oral", "species", "a", 1, "all", 0.5))
    with pytest.raises(InputError, match=r"none of its data sets was measured \(skin"):
        compare_with_published([path], tmp_path / "p.tsv", tmp_path / "out.tsv")


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("taxdistill-published", {}),
        ("taxdistill-published-alpha0.5", {"alpha": 0.5}),
        ("taxdistill-published-temperature2", {"temperature": 2.0}),
        ("taxdistill-published-alpha0.1-temperature6", {"alpha": 0.1, "temperature": 6.0}),
    ],
)
def test_the_name_of_a_published_corrector_contains_its_settings(model, settings):
    assert published_variant(model) == ("taxdistill-published", settings)
