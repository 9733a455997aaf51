"""The figures of all benchmarks on tiny inputs are those that they were before model, seed and threshold, intervals
and differences became columns of the metric table: computed then, compared now to ten digits.
"""

import hashlib

import pandas as pd
import pytest
import test_probes
import test_sequence_tasks
import test_taxonomy

from genestill.evaluation.probes.retained import bootstrap_scores, summarise
from genestill.evaluation.sequence_tasks.scores import score_runs

case = test_taxonomy.case


def figures(table, keys):
    """One line per figure, also for each end of an interval: its keys, which end, and its value to ten digits."""
    lines = []
    for row in table.to_dict("records"):
        for end in ("value", "low", "high"):
            if end == "value" or not pd.isna(row[end]):
                text = "null" if pd.isna(row[end]) else f"{row[end]:.10g}"
                words = ["" if pd.isna(row[key]) else str(row[key]) for key in keys]
                lines.append("\t".join([*words, end, text]))
    return sorted(lines)


def checksum(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_same_figures_of_contig_classification(case):
    """Values of all contigs; strata and intervals have been computed differently since."""
    table = test_taxonomy.evaluate(case)
    table["threshold"] = table["threshold"].replace("", "own")
    later = table["metric"].isin(["recall_known", "absent_named", "risk", "coverage_at_risk"])
    later |= table["metric"].isin(["precision", "recall", "f1"]) & (table["weight"] == "bases")
    later |= table["model"] == ""  # content of a stratum
    lines = figures(table[~later], ["task", "stratum", "metric", "model", "minus", "threshold"])
    lines = [line for line in lines if line.split("\t")[1] == "all" and line.split("\t")[-2] == "value"]
    assert len(lines) == 338
    assert checksum(lines) == "d307be9693752b02bf2abe9b03a2489c4f0ee7cc16a8c45aba8e8fe7b0e6971a"


def test_same_scores_of_sequence_tasks():
    runs = [
        test_sequence_tasks.a_run(model, right, seed, seed - 1, task, 60)
        for model, right in (("good", 0.9), ("bad", 0.6))
        for seed in (1, 2)
        for task in ("mine/one", "mine/two")
    ]
    table = score_runs(runs, "here", {"mine/one": "accuracy"}, "bad", seed=1)
    lines = figures(table, ["task", "metric", "model", "minus", "seed", "fold"])
    assert len(lines) == 69
    assert checksum(lines) == "de9f55e80e65046763c835a7ff12ade0fc091523e0b23add1cf66f4361e4f212"


def test_same_summary_of_probes():
    predictions = test_probes._predictions(["teacher", "kmer", "s 1", "s 2"], [0.3, 1.5, 0.5, 0.5])
    scores = bootstrap_scores(test_probes._trained(predictions), 200, 1)
    summary = summarise(scores, "teacher", "kmer", "s")
    cells = summary.set_index(["model", "metric", "minus"])[["value", "low", "high"]]
    for cell, expected in {
        ("teacher", "own", ""): [0.9582577353, 0.948987397, 0.9675410265],
        ("s", "own", ""): [0.8964753888, 0.8649277992, 0.9177694283],
        ("kmer", "own", ""): [0.5727472357, 0.4962633308, 0.6436440153],
        ("s", "own", "teacher"): [-0.06178234645, -0.08979483984, -0.04051119642],
        ("s", "own", "kmer"): [0.3237281531, 0.2465338446, 0.3964405069],
        ("kmer", "own", "s"): [-0.3237281531, -0.3964405069, -0.2465338446],
        ("s", "retained_fraction", ""): [0.8397388748, 0.7582700948, 0.902879221],
        ("s", "ratio_to_teacher", ""): [0.9355263786, float("nan"), float("nan")],
    }.items():
        assert cells.loc[cell].tolist() == pytest.approx(expected, rel=1e-9, nan_ok=True), cell
    assert list(dict.fromkeys(summary["model"])) == ["teacher", "s", "kmer"]
    assert [scores["s"][task][0] for task in "ab"] == pytest.approx([0.8887553406, 0.9041954371], rel=1e-9)
