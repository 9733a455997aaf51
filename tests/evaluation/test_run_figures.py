import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.shards import write_embeddings
from genestill.core.table_schemas import PREDICTIONS, rank_columns
from genestill.core.tables import write_table
from genestill.evaluation.run_figures import draw_run

CONTIGS = 40


@pytest.fixture
def run(tmp_path):
    """Forty contigs of two families, which "student" separates and "teacher" does not; a training; two steps."""
    ids = [f"contig{number}" for number in range(CONTIGS)]
    lineages = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F{number % 2}") for number in range(CONTIGS)]
    confidences = {f"confidence_{rank}": 0.9 for rank in RANKS}
    table = pd.DataFrame({"id": ids, **rank_columns(lineages), **confidences, "accepted": 5, "reason": ""})
    write_table(tmp_path / "predictions.parquet", table, PREDICTIONS)
    random = np.random.default_rng(0)
    noise = random.normal(size=(CONTIGS, 8)).astype(np.float16)
    apart = noise + 40 * (np.arange(CONTIGS) % 2)[:, None].astype(np.float16)
    write_embeddings(tmp_path / "teacher0.parquet", ids[:25], noise[:25])
    write_embeddings(tmp_path / "teacher1.parquet", ids[25:], noise[25:])
    write_embeddings(tmp_path / "student.parquet", ids, apart)
    steps = {"step": [1, 2, 3, 4], "loss": [2.5, 1.5, 1.2, 0.8], "held_out_loss": [None, 2.5, None, 1.5]}
    steps["gradient_norm"] = [4.0, 2.0, 1.0, 1.0]
    pd.DataFrame(steps).to_csv(tmp_path / "training.tsv", sep="\t", index=False)
    for stage, seconds in (("labels", 5), ("student", 65)):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "step.tsv").write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:05\t300\t4\n")
    return tmp_path


def draw(run, **changes):
    settings = {
        "training": run / "training.tsv",
        "costs": [run / "labels" / "step.tsv", run / "student" / "step.tsv"],
        "representations": {
            "teacher": [run / "teacher0.parquet", run / "teacher1.parquet"],
            "student": [run / "student.parquet"],
        },
        "predictions": run / "predictions.parquet",
        "truth": None,
        "seed": 1,
        "folder": run / "drawn",
    }
    return draw_run(**settings | changes)


def test_figures_of_a_run_show_its_cost_its_training_and_its_maps(run):
    assert draw(run) == ["cost", "training", "maps"]
    cost = pd.read_csv(run / "drawn" / "cost.tsv", sep="\t")
    assert cost[["stage", "seconds"]].values.tolist() == [["labels", 5], ["student", 65]]
    assert "1.2 minutes" in (run / "drawn" / "cost.svg").read_text()
    training = pd.read_csv(run / "drawn" / "training.tsv", sep="\t")
    assert training.values.tolist() == [[1, 2.0, 2.5, 3.0], [2, 1.0, 1.5, 1.0]]
    assert "After 2 epochs the loss is 1.000, on contigs held out 1.500" in (run / "drawn" / "training.svg").read_text()


def test_a_map_separates_the_groups_that_the_model_separates(run):
    draw(run)
    places = pd.read_csv(run / "drawn" / "maps.tsv", sep="\t")
    assert len(places) == CONTIGS

    def silhouette(model):
        from sklearn.metrics import silhouette_score

        return silhouette_score(places[[f"{model} x", f"{model} y"]], places["family"])

    assert silhouette("student") > 0.5 > silhouette("teacher")


def test_the_same_seed_gives_byte_identical_figures(run):
    draw(run)
    draw(run, folder=run / "again")
    for name in ("cost.svg", "training.svg", "maps.svg", "maps.tsv"):
        assert (run / "drawn" / name).read_bytes() == (run / "again" / name).read_bytes()


def test_missing_data_is_not_drawn(run):
    assert draw(run, training=None, representations={}) == ["cost"]


@pytest.mark.parametrize("what", ["training", "costs"])
def test_a_file_of_the_wrong_kind_is_named_in_the_error(run, what):
    other = run / "other.tsv"
    other.write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"other\.tsv: not "):
        draw(run, **{what: [other] if what == "costs" else other})
