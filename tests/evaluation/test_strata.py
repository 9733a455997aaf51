"""The content of the strata of a community, and the scores beside the published one."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import LABELS, METRICS, PREDICTIONS, TRUTH, metrics_table, rank_columns
from genestill.core.tables import read_table, write_table
from genestill.evaluation.bootstrap import draw_weights
from genestill.evaluation.calls import Predictions, read_calls
from genestill.evaluation.result_tables import make_table
from genestill.evaluation.results import HELD, Run, rows_of
from genestill.evaluation.strata import clusters_of
from genestill.evaluation.taxonomy import evaluate_taxonomy
from genestill.evaluation.taxonomy_table import read_taxonomy_metrics


def path(words):
    """'F G a' -> the lineage of species a of genus G of family F; '-' is none."""
    names = dict(zip("fgs", words.split(), strict=False))
    text = ";".join(["d__D", "p__P", "c__C", "o__O", *(f"{rank}__{name}" for rank, name in names.items())])
    return parse_lineage("" if words == "-" else text)


# id, true path, genome, length, status, identity, chimera; called path, accepted, confidence at species, depth
ROWS = [
    ("exact", "F G a", "g1", 1000, "exact copy", 1.0, False, "F G a", 7, 0.9, 1),
    ("near", "F G a", "g2", 3000, "other strain", 0.995, False, "F G a", 7, 0.8, 2),
    ("far", "F G b", "g3", 1000, "other strain", 0.96, True, "F G b2", 7, 0.7, 1),
    ("species", "F G c", "g4", 1000, "absent species", 0.93, False, "F G a", 7, 0.6, 1),
    ("species2", "F G c", "g4", 2000, "absent species", 0.93, False, "F G", 6, 0.0, 3),
    ("genus1", "F N d", "g5", 1000, "absent genus", None, False, "F", 5, 0.0, 1),
    ("genus2", "F N e", "g6", 1000, "absent genus", None, False, "F G a", 7, 0.2, 1),
    ("plasmid", "-", "p1", 1000, "no prokaryotic chromosome", None, False, "F G a", 6, 0.5, 5),
]


@pytest.fixture
def case(tmp_path):
    ids = [row[0] for row in ROWS]
    truth = pd.DataFrame({"id": ids, **rank_columns([path(row[1]) for row in ROWS])})
    for column, name in enumerate(("genome", "length", "status", "identity", "chimera"), 2):
        truth[name] = [row[column] for row in ROWS]
    # b and b2 are one species within the radius.
    truth["same_species"] = [["b2"] if row[0] == "far" else None for row in ROWS]
    write_table(tmp_path / "truth.parquet", truth, TRUTH)
    labels = pd.DataFrame({"id": ids, **rank_columns([path("-")] * len(ids)), "taxid": None, "support": None})
    write_table(tmp_path / "labels.parquet", labels, LABELS)
    said = pd.DataFrame({"id": ids, **rank_columns([path(row[7]) for row in ROWS]), "reason": ""})
    for rank in RANKS:
        said[f"confidence_{rank}"] = [row[9] if rank == "species" else 0.99 for row in ROWS]
    write_table(tmp_path / "said.parquet", said.assign(accepted=[row[8] for row in ROWS]), PREDICTIONS)
    depths = pd.DataFrame({"id": ids, "S1": [row[10] for row in ROWS], "S2": 0.0})
    schema = pa.schema([("id", pa.string()), ("S1", pa.float32()), ("S2", pa.float32())])
    write_table(tmp_path / "abundance.parquet", depths, schema)
    return tmp_path


@pytest.fixture
def figures(case):
    table = evaluate_taxonomy(
        case / "truth.parquet",
        case / "labels.parquet",
        [Predictions("m", case / "said.parquet", seed=1)],
        case / "metrics.parquet",
        "d",
        1,
        resamples=200,
        abundance=case / "abundance.parquet",
    )
    table = table[(table["model"] == "m") & (table["minus"] == "") & table["threshold"].isin(["", "own"])]
    return table.set_index(["metric", "task", "stratum", "weight", "variant"]).sort_index()


def value(figures, metric, stratum="all", weight="", variant="", task="species"):
    return figures.loc[(metric, task, stratum, weight, variant), "value"]


def test_a_synonym_in_a_set_of_species_is_correct_at_species(figures):
    assert value(figures, "recall", "status=other strain, ANI .95-.97") == 1


def test_statuses_are_split_by_identity_to_the_nearest_relative(figures):
    strata = set(figures.index.get_level_values("stratum"))
    assert {name for name in strata if "ANI" in name} == {
        "status=other strain, ANI >.99",
        "status=other strain, ANI .95-.97",
        "status=absent species, ANI >.90",
    }
    assert {"chimera=yes", "chimera=no"} <= strata


def test_without_exact_copies_neither_they_nor_plasmids_count(figures):
    counts = [value(figures, metric, "no exact") for metric in ("correct", "wrong", "none")]
    assert counts == [2, 2, 2]
    assert figures.loc[("f1", "species", "no exact", "", ""), "n_units"].item() == 6


def test_recall_on_known_taxa_and_share_of_named_absent_taxa_are_per_stratum(figures):
    assert value(figures, "recall_known", "no exact") == 1
    assert value(figures, "recall_known", "no exact", task="genus") == 1
    assert value(figures, "absent_named", "no exact") == pytest.approx(2 / 4)
    assert value(figures, "absent_named", "status=absent genus", task="genus") == pytest.approx(1 / 2)
    assert ("absent_named", "species", "status=other strain", "", "") not in figures.index


def test_contigs_are_also_weighted_by_bases_and_by_reads(figures):
    assert value(figures, "absent_named", "no exact", "bases") == pytest.approx(2 / 5)
    assert value(figures, "absent_named", "no exact", "reads") == pytest.approx(2 / 9)


def test_contigs_that_are_not_prokaryotic_chromosomes_are_scored_separately(figures):
    apart = figures.xs("status=no prokaryotic chromosome", level="stratum")
    assert set(apart.index.get_level_values("metric")) == {"coverage"}
    assert apart.loc[("coverage", "genus", "", ""), "value"] == 1
    assert figures.loc[("f1", "species", "all", "", ""), "n_units"].item() == 7


def test_risk_is_the_share_of_wrong_calls_among_the_most_confident(figures):
    # In order of confidence, without the exact copy: right, right, wrong, wrong; of six contigs.
    assert value(figures, "risk", "no exact", variant="coverage=0.3") == 0
    assert value(figures, "risk", "no exact", variant="coverage=0.4") == pytest.approx(1 / 3)
    assert value(figures, "risk", "no exact", variant="coverage=0.6") == pytest.approx(1 / 2)
    assert ("risk", "species", "no exact", "", "coverage=0.9") not in figures.index
    assert value(figures, "coverage_at_risk", "no exact", variant="risk=0.05") == pytest.approx(2 / 6)


def test_confidence_in_calls_of_absent_taxa_is_a_calibration_error(figures):
    assert value(figures, "ece_adaptive", "taxon absent") == pytest.approx((0.6 + 0.2) / 2)
    assert value(figures, "ece_adaptive", "taxon absent", task="genus") == pytest.approx(0.99)


def test_the_figures_describe_the_content_of_each_stratum(case, figures):
    whole = read_table(case / "metrics.parquet", METRICS)
    held = whole[whole["task"] == "community"].set_index(["metric", "stratum"])["value"]
    assert (whole["model"] == "").sum() == len(held)
    counts = {metric: held[metric, "all"] for metric in HELD}
    # Species d and e share the genus N; plasmids are genomes without a family.
    assert list(counts.values()) == [8, 11_000, 7, 2, 1, 2]
    assert held["genomes", "status=absent species"] == 1
    assert held["families", "status=no prokaryotic chromosome"] == 0
    assert read_taxonomy_metrics(case / "metrics.parquet")["model"].unique().tolist() == ["MMseqs2", "m"]


def test_intervals_name_the_clusters_and_absent_genera_are_one(case, figures):
    community, _ = read_calls(case / "truth.parquet", case / "labels.parquet", [])
    cluster, status = clusters_of(community)
    assert cluster[5] == cluster[6]
    assert len(set(cluster)) == len(status) == 6
    row = figures.loc[("f1", "species", "no exact", "", "")]
    assert (row["n_units"], row["n_clusters"]) == (6, 4)
    assert row["low"] <= row["value"] <= row["high"]


def test_a_single_genome_gives_no_interval(figures):
    row = figures.loc[("absent_named", "species", "status=absent species", "", "")]
    assert (row["value"], row["n_clusters"]) == (0.5, 1)
    assert row[["low", "high"]].isna().all()


def test_clusters_are_resampled_within_their_group():
    group = np.array([0, 1, 0, 1, 1])
    weights = draw_weights(np.random.default_rng(1), 50, 5, group)
    assert (weights[:, group == 0].sum(axis=1) == 2).all()
    assert (weights[:, group == 1].sum(axis=1) == 3).all()
    assert weights.std() > 0


def test_published_rows_have_the_stratum_and_both_numbers(figures):
    row = {"benchmark": "taxonomy", "dataset": "d", "metric": "f1", "threshold": "own", "model": "m", "kind": "student"}
    row |= {"value": 0.5, "n_units": 6, "n_clusters": 4, "seed": 1}
    rows = [
        {"task": "species", "stratum": "no exact"},
        {"task": "species", "stratum": "no exact", "weight": "bases"},
        {"task": "phylum", "stratum": "no exact", "weight": "bases"},
    ]
    found = rows_of(metrics_table([row | more for more in rows]), Run("taxdistill", "c 1"))
    assert found[["task", "stratum", "weight", "n_units", "n_clusters"]].to_numpy().tolist() == [
        ["species", "no exact", "", "6", "4"],
        ["species", "no exact", "bases", "6", "4"],
    ]


def test_the_content_of_a_community_is_a_table_with_one_row_per_stratum(tmp_path):
    row = {"benchmark": "taxonomy", "task": "community", "value": 1234.0}
    strata = ["status=absent genus", "all", "status=exact copy"]
    rows = [
        row | {"dataset": dataset, "stratum": stratum, "metric": "contigs"}
        for dataset in ("one", "two")
        for stratum in strata
        if (dataset, stratum) != ("two", "status=exact copy")
    ]
    found = rows_of(metrics_table(rows), Run("taxdistill", "c 1"))
    found.to_csv(tmp_path / "taxdistill.tsv", sep="\t", index=False)
    made = make_table("taxdistill task=community metric=contigs by=stratum", tmp_path, "page")
    assert made.splitlines() == [
        "| stratum | one, contigs | two, contigs |",
        "|---|--:|--:|",
        "| all | 1,234 | 1,234 |",
        "| status=exact copy | 1,234 |  |",
        "| status=absent genus | 1,234 | 1,234 |",
    ]


def test_contigs_of_unknown_length_are_counted_in_a_warning(case, caplog):
    truth = read_table(case / "truth.parquet", TRUTH)
    truth["length"] = truth["length"].astype("Int64").mask(truth["id"].isin(["near", "far"]))
    write_table(case / "truth.parquet", truth, TRUTH)
    read_calls(case / "truth.parquet", case / "labels.parquet", [])
    assert "truth.parquet: 2 of 8 contigs have no length; metrics by bases and reads leave them out" in caplog.text
