"""The first page of the report: outcomes of contigs, and gains of students over other models."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS
from genestill.core.predictions import predictions_of, read_reason
from genestill.core.table_schemas import (
    CONTIG_GROUPS,
    GROUPED_CONTIGS,
    INDEX,
    METRICS,
    NOVEL_SHARES,
    PREDICTIONS,
    metrics_table,
)
from genestill.core.tables import write_table
from genestill.evaluation.outcomes import ABSENT, NAMED, UNDECIDED, draw_outcomes, read_outcomes
from genestill.evaluation.summary import Difference, task_differences

ROOT = Path(__file__).parents[2]
TREE = LabelTree.from_lineages(
    [tuple(f"{rank}{number}" for rank in RANKS[:6]) + (f"species{number}{twin}",) for number in "ab" for twin in "12"],
    other_children=True,
)


def write_case(folder, probabilities, depths=None):
    """Predictions, index and abundances of contigs of 1, 2, … kb."""
    ids = [f"c{number}" for number in range(len(probabilities))]
    table = predictions_of(ids, np.array(probabilities), TREE, 0.5)
    write_table(folder / "predictions.parquet", table, PREDICTIONS)
    lengths = [1000 * (number + 1) for number in range(len(ids))]
    index = pd.DataFrame({"id": ids, "length": lengths, "gc": np.float32(0.5), "sample": None, "checksum": "x"})
    write_table(folder / "contigs.parquet", index, INDEX)
    if depths is not None:
        columns = {f"S{number}": np.float32(column) for number, column in enumerate(depths)}
        schema = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in columns)])
        write_table(folder / "abundance.parquet", pd.DataFrame({"id": ids, **columns}), schema)
    return folder / "predictions.parquet", folder / "contigs.parquet", folder / "abundance.parquet"


def leaf(lineage=None, other_of=None):
    """Probabilities that favour one leaf: the species of ``lineage``, or the other child of the node ``other_of``."""
    found = np.zeros(len(TREE.leaves))
    for place, node in enumerate(TREE.leaves):
        if lineage and TREE.name[node] == lineage:
            found[place] = 1.0
        if other_of and TREE.is_other[node] and TREE.name[TREE.parent[node]] == other_of:
            found[place] = 1.0
    assert found.sum() == 1
    return found


@given(st.lists(st.floats(0, 1), min_size=len(TREE.leaves), max_size=len(TREE.leaves)).filter(lambda row: sum(row) > 0))
def test_every_reason_in_predictions_is_recognised(row):
    probabilities = np.array([row]) / sum(row)
    table = predictions_of(["c"], probabilities, TREE, 0.5)
    stop = read_reason(table["reason"].iloc[0])
    assert (stop.kind == "") == (table["accepted"].iloc[0] == len(RANKS))
    assert stop.kind != "absent" or (stop.rank == RANKS[table["accepted"].iloc[0]] and stop.nearest in TREE.name)


def test_a_reason_claims_absence_only_if_it_is_more_probable_than_all_known_taxa_together():
    tree = LabelTree.from_lineages([(*"BPCOFG", f"s{number}") for number in range(10)], other_children=True)
    other = tree.is_other[tree.leaves] & (tree.rank[tree.leaves] == len(RANKS))
    known = ~tree.is_other[tree.leaves]
    rows = np.array([0.08 * known + 0.2 * other, 0.04 * known + 0.6 * other])
    table = predictions_of(["scattered", "absent"], rows, tree, 0.5)
    assert table["accepted"].tolist() == [6, 6]
    # Ten species with .8 together are more probable than an absent one with .2.
    assert [read_reason(reason).kind for reason in table["reason"]] == ["undecided", "absent"]


def test_outcomes_count_contigs_and_weight_them_by_bases_in_each_sample(tmp_path):
    undecided = (leaf("speciesa1") + leaf("speciesa2")) / 2
    rows = [leaf("speciesa1"), leaf(other_of="genusa"), leaf(other_of="familyb"), undecided]
    outcomes = read_outcomes(*write_case(tmp_path, rows, depths=[[1, 1, 0, 0], [0, 0, 1, 3]]))
    assert outcomes.outcome.tolist() == [NAMED, ABSENT["species"], ABSENT["genus"], UNDECIDED]
    shares = outcomes.shares().set_index("outcome")
    assert shares.loc[NAMED, "S0"] == pytest.approx(1 / 3)  # 1 kb of 1 + 2 kb
    assert shares.loc[UNDECIDED, "S1"] == pytest.approx(12 / 15)  # 4 kb three times, and 3 kb once
    assert shares["all samples"].sum() == pytest.approx(1)
    groups = outcomes.groups[["rank", "within", "nearest", "contigs"]].values.tolist()
    assert groups == [["genus", "family familyb", "genusb", 1], ["species", "genus genusa", "speciesa1", 1]]
    assert draw_outcomes(outcomes, tmp_path).startswith(
        "The smallest share of bases named to species is in sample S1: 0%"
    )
    assert (tmp_path / "outcomes.svg").stat().st_size > 1000


def test_the_first_page_lists_what_was_found_and_how_it_was_made(tmp_path):
    predictions, index, _ = write_case(tmp_path, [leaf("speciesa1"), leaf(other_of="genusa")])
    (tmp_path / "logs" / "labels").mkdir(parents=True)
    (tmp_path / "logs" / "labels" / "search.log").write_text("10:00:00 INFO well\n10:00:01 WARNING 3 <left> out\n")
    (tmp_path / "configuration.yaml").write_text("recipe: taxdistill\nlabels: {sensitivity: 5.7}\n")
    (tmp_path / "taxonomy.json").write_text(json.dumps({"genomes": 1234, "mmseqs2": "15"}))
    (tmp_path / "cite.cff").write_text(
        "references:\n"
        "- {title: Ours, notes: 'Recipe taxdistill; as published.', authors: [{family-names: A}], doi: 10/a}\n"
        "- {title: Other, notes: Recipe mrna., authors: [{name: B}], doi: 10/b}\n"
    )
    words = (
        "evaluation summary --recipe taxdistill --dataset lake --configuration configuration.yaml --logs logs"
        f" --citations cite.cff --fact taxonomy=taxonomy.json gone=gone.json --predictions {predictions}"
        f" --index {index} --output summary.html"
    ).split()
    there = [str(tmp_path / word) if (tmp_path / word).exists() or word == "summary.html" else word for word in words]
    there = [word.replace("=taxonomy.json", f"={tmp_path}/taxonomy.json") for word in there]
    assert main([*there, "--download", f"lineage of every contig={tmp_path}/predictions.tsv"]) == 0
    page = (tmp_path / "summary.html").read_text()
    for told in (
        "<h1>lake: results of the run</h1>",
        "1 of 2 contigs are named to species; 1 stop above",
        "1,234",
        "labels.sensitivity",
        "3 &lt;left&gt; out",
        "Ours",
        'data-result="' + str(tmp_path / "predictions.tsv"),
    ):
        assert told in page
    assert "Other" not in page


def row(model, kind, value, minus="", low=None, high=None, variant=""):
    return {
        "benchmark": "all", "dataset": "d", "task": "mean of tasks", "metric": "own", "model": model, "kind": kind,
        "stratum": "test", "variant": variant, "value": value, "minus": minus, "low": low, "high": high,
    }  # fmt: skip


def test_students_are_compared_with_the_strongest_baseline_and_precede_those_with_its_features():
    table = metrics_table(
        [
            row("student", "student", 0.6),
            row("student", "student", 0.9, variant="with=kmers"),
            row("student", "student", -0.1, "kmers", -0.2, -0.05),
            row("student", "student", 0.2, "lengths", 0.1, 0.3),
            row("student", "student", 0.2, "kmers", 0.1, 0.3, variant="with=kmers"),
            row("kmers", "baseline", 0.7),
            row("lengths", "baseline", 0.4),
            row("kmers", "baseline", 0.3, "lengths", 0.1, 0.5),
        ]
    )
    assert set(table.columns) == set(METRICS.names)
    differences, numbers = task_differences(table)
    assert [(one.model, one.minus, one.side) for one in differences] == [
        ("student", "kmers", "below"),
        ("student (with=kmers)", "kmers", "above"),
    ]
    assert [number for number, _ in numbers] == ["0.600", "0.700", "-0.100"]
    assert Difference("a", "b", "F1", 0.1, -0.1, 0.3).side == "inconclusive"


def test_taxa_missing_from_the_reference_come_first(tmp_path):
    shares = [("", rank, "bases", 0.5, 0.4, 0.6, 0.0, 1e6) for rank in ("species", "genus", "family")]
    ledger = tmp_path / "ledger"
    write_table(ledger / "shares.parquet", pd.DataFrame(shares, columns=NOVEL_SHARES.names), NOVEL_SHARES)
    for name, schema in (("groups", CONTIG_GROUPS), ("contigs", GROUPED_CONTIGS)):
        write_table(ledger / f"{name}.parquet", schema.empty_table(), schema)
    predictions, index, _ = write_case(tmp_path, [leaf("speciesa1")])
    run = ["--recipe", "taxdistill", "--dataset", "small", "--logs", tmp_path, "--citations", ROOT / "CITATION.cff"]
    files = ["--predictions", predictions, "--index", index, "--ledger", ledger]
    page = tmp_path / "page" / "summary.html"
    assert main(["evaluation", "summary", *map(str, [*run, *files, "--output", page])]) == 0
    text = page.read_text("utf-8")
    assert text.index("The reference lacks the species of 50 %") < text.index("named to species")
