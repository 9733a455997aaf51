import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import LABELS, METRICS, PREDICTIONS, TRUTH, rank_columns
from genestill.core.tables import read_table, write_table
from genestill.evaluation.benchmark import compare, summarise_seeds
from genestill.evaluation.bootstrap import f1_score, interval, resample_sums
from genestill.evaluation.calibration import (
    area_under_precision_recall,
    expected_calibration_error,
    reliability,
    sweep,
)
from genestill.evaluation.calls import Predictions, read_calls
from genestill.evaluation.contig_peers.registry import is_trained
from genestill.evaluation.outcome_counts import write_outcome_counts
from genestill.evaluation.taxonomy import evaluate_taxonomy


def path(text):
    """'a b' -> a lineage whose family is constant, with genus a and species b ('-' for none)."""
    genus, species = (*text.split(), "-", "-")[:2]
    words = ["d__D", "p__P", "c__C", "o__O", "f__F"]
    words += [f"g__{genus}"] if genus != "-" else []
    words += [f"s__{species}"] if species != "-" else []
    return parse_lineage("" if text == "none" else ";".join(words))


def write_truth(file, rows):
    """rows: (id, path, genome, length, status)."""
    table = pd.DataFrame(
        {
            "id": [row[0] for row in rows],
            **rank_columns([path(row[1]) for row in rows]),
            "genome": [row[2] for row in rows],
            "length": [row[3] for row in rows],
            "status": [row[4] for row in rows],
        }
    )
    write_table(file, table.assign(chimera=None, identity=None, same_species=None), TRUTH)
    return file


def write_labels(file, rows):
    table = pd.DataFrame({"id": [row[0] for row in rows], **rank_columns([path(row[1]) for row in rows])})
    write_table(file, table.assign(taxid=None, support=None), LABELS)
    return file


def write_predictions(file, rows):
    """rows: (id, path, accepted, confidence at species)."""
    table = pd.DataFrame({"id": [row[0] for row in rows], **rank_columns([path(row[1]) for row in rows])})
    for rank in RANKS:
        table[f"confidence_{rank}"] = [row[3] if rank == "species" else 0.99 for row in rows]
    write_table(file, table.assign(accepted=[row[2] for row in rows], reason=""), PREDICTIONS)
    return file


@pytest.fixture
def case(tmp_path):
    """Six contigs of three genomes; g3's species is absent from the reference."""
    write_truth(
        tmp_path / "truth.parquet",
        [
            ("c1", "A a", "g1", 1500, "exact"),
            ("c2", "A a", "g1", 3000, "exact"),
            ("c3", "B b", "g2", 3000, "known"),
            ("c4", "B b", "g2", 30000, "known"),
            ("c5", "A z", "g3", 1500, "species"),
            ("c6", "A z", "g3", 1500, "species"),
        ],
    )
    write_labels(
        tmp_path / "labels.parquet",
        [("c1", "A a"), ("c2", "A"), ("c3", "A a"), ("c4", "none"), ("c5", "A a"), ("c6", "A a")],
    )
    write_predictions(
        tmp_path / "student.parquet",
        [
            ("c1", "A a", 7, 0.9),
            ("c2", "A a", 7, 0.7),
            ("c3", "B b", 7, 0.6),
            ("c4", "B b", 6, 0.4),
            ("c5", "A a", 6, 0.3),
            ("c6", "A a", 7, 0.85),
        ],
    )
    return tmp_path


def evaluate(folder, truth=True, threshold=None, **more):
    evaluate_taxonomy(
        folder / "truth.parquet" if truth else None,
        folder / "labels.parquet",
        [Predictions("student", folder / "student.parquet", seed=3, threshold=threshold)],
        folder / "metrics.parquet",
        "demo",
        seed=3,
        **more,
    )
    return read_table(folder / "metrics.parquet", METRICS)


def figure(
    table, metric, model="student", task="species", stratum="all", threshold="own", minus="", weight="", variant=""
):
    chosen = {"metric": metric, "model": model, "task": task, "stratum": stratum, "minus": minus}
    chosen |= {"weight": weight, "variant": variant}
    found = table[(table[list(chosen)] == pd.Series(chosen)).all(axis=1) & table["threshold"].isin(["", threshold])]
    assert len(found) == 1
    return found.iloc[0]


def value(*row, **more):
    return figure(*row, **more)["value"]


def test_scores_follow_the_published_definition(case):
    table = evaluate(case)
    assert [value(table, metric, "MMseqs2") for metric in ("correct", "wrong", "none")] == [1, 3, 2]
    assert value(table, "precision", "MMseqs2") == 1 / 4
    assert value(table, "recall", "MMseqs2") == 1 / 6
    assert value(table, "f1", "MMseqs2") == pytest.approx(0.2)
    assert [value(table, metric) for metric in ("correct", "wrong", "none")] == [3, 1, 2]
    assert [value(table, metric, task="genus") for metric in ("correct", "wrong", "none")] == [6, 0, 0]


def test_rule_based_peers_count_no_trainings_for_any_seed():
    trained, rules = ("corrector", "taxometer", "vamb-bins"), ("kraken2-at0.2", "minimap2", "kraken2-10mb")
    assert [is_trained(name) for name in trained] == [True] * 3
    assert [is_trained(name) for name in rules] == [False] * 3


def test_fixed_thresholds_count_calls_strictly_above_the_score_accepted_or_not(case):
    table = evaluate(case)
    assert [value(table, metric, threshold="0.5") for metric in ("correct", "wrong", "none")] == [3, 1, 2]
    assert [value(table, metric, threshold="0.8") for metric in ("correct", "wrong", "none")] == [1, 1, 4]
    assert value(table, "f1", threshold="0.95") == 0
    assert np.isnan(value(table, "precision", threshold="0.95"))


def test_a_models_own_threshold_replaces_what_it_accepts(case):
    table = evaluate(case, threshold=0.35)
    assert [value(table, metric) for metric in ("correct", "wrong", "none")] == [4, 1, 1]


def test_calls_of_absent_species_are_counted(case):
    table = evaluate(case)
    assert value(table, "absent_called", "MMseqs2") == 2
    assert value(table, "absent_called") == 1
    assert table.query("metric == 'absent_called' and task == 'genus'").empty
    assert table.query("metric == 'absent_called'")["n_units"].tolist() == [2] * 5
    assert value(table, "over_depth", task="lineage") == 1
    # c1, c2, c3 at species and c5 at genus; c4 stops too early, c6 too late.
    assert value(table, "exact_answer", task="lineage") == 4
    assert value(table, "exact_answer", "MMseqs2", task="lineage") == 1


def test_calls_of_absent_species_count_only_contigs_whose_true_species_is_known(tmp_path):
    rows = [("c1", "A z", "g1", 1500, "species"), ("c2", "A", "g2", 1500, "species")]
    write_truth(tmp_path / "truth.parquet", rows)
    write_labels(tmp_path / "labels.parquet", [("c1", "A a"), ("c2", "A a")])
    write_predictions(tmp_path / "student.parquet", [("c1", "A a", 7, 0.9), ("c2", "A a", 7, 0.9)])
    called = figure(evaluate(tmp_path), "absent_called")
    assert (called["value"], called["n_units"]) == (1, 1)


def test_correct_names_of_absent_species_count_as_named_although_absent_and_not_as_recall_of_known_ones(case):
    """The model knows the species of c5 from another reference; c1 to c4 are of known species."""
    calls = [("c1", "A a", 7, 0.9), ("c2", "A", 6, 0.9), ("c3", "B", 6, 0.9), ("c4", "B", 6, 0.9)]
    write_predictions(case / "student.parquet", [*calls, ("c5", "A z", 7, 0.9), ("c6", "A", 6, 0.9)])
    table = evaluate(case)
    assert value(table, "absent_named") == 1 / 2
    assert value(table, "absent_called") == 1
    assert value(table, "recall_known") == 1 / 4
    files = (
        case / "truth.parquet",
        case / "labels.parquet",
        [Predictions("student", case / "student.parquet", seed=3)],
    )
    counts = write_outcome_counts(*files, "demo", case / "counts.parquet")
    summary = summarise_seeds(counts, None, resamples=10).query("task == 'species' and stratum == 'all'")
    summary = summary[summary["model"] == "student"].set_index("metric")["value"]
    assert summary[["absent_named", "recall_known"]].tolist() == [1 / 2, 1 / 4]
    rows = compare(counts, "student", [], seed=1, resamples=10).query("rank == 'species' and stratum == 'all'")
    assert rows[(rows["model"] == "student") & (rows["threshold"] == "own")]["recall_known"].unique().tolist() == [
        1 / 4
    ]


def test_a_share_of_wrong_names_equal_to_the_limit_is_within_the_limit(tmp_path):
    """19 of 20 names are right: the risk is .05, also with rounding."""
    ids = [f"c{number}" for number in range(20)]
    write_truth(tmp_path / "truth.parquet", [(name, "A a", "g1", 1500, "known") for name in ids])
    write_labels(tmp_path / "labels.parquet", [(name, "A a") for name in ids])
    calls = [(name, "B b" if name == "c0" else "A a", 7, 0.9) for name in ids]
    write_predictions(tmp_path / "student.parquet", calls)
    assert value(evaluate(tmp_path), "coverage_at_risk", variant="risk=0.05") == 1


def test_splits_by_status_and_length_add_up_to_the_total(case):
    table = evaluate(case)
    for metric in ("correct", "wrong", "none"):
        for kind in ("status=", "length="):
            parts = table[
                (table["stratum"].str.startswith(kind) & ~table["stratum"].str.contains("ANI"))
                & (table["metric"] == metric)
                & (table["task"] == "species")
                & (table["model"] == "student")
            ]
            assert parts["value"].sum() == value(table, metric)
    assert set(table["stratum"]) == {
        "all", "no exact", "taxon absent", "status=exact copy", "status=other strain", "status=absent species",
        "length=1-2 kb", "length=2-5 kb", "length=>=20 kb",
    }  # fmt: skip


def test_changes_report_the_outcome_of_each_label(case):
    table = evaluate(case)
    kinds = ("same", "added", "removed", "renamed")
    assert [value(table, kind) for kind in kinds] == [2, 1, 1, 1]
    assert value(table, "agreement") == pytest.approx(2 / 3)
    assert value(table, "improved") == 2
    assert value(table, "worsened") == 0


def test_without_ground_truth_coverage_and_changes_remain(case):
    table = evaluate(case, truth=False)
    assert set(table["metric"]) == {"coverage", "same", "added", "removed", "renamed", "agreement"}
    assert value(table, "coverage") == pytest.approx(4 / 6)
    write_truth(case / "truth.parquet", [])
    assert evaluate(case).equals(table)


def test_contigs_omitted_by_a_model_still_count_in_its_recall(case):
    write_predictions(case / "student.parquet", [("c2", "A a", 7, 0.9)])
    table = evaluate(case)
    assert value(table, "recall") == 1 / 6
    assert value(table, "precision") == 1


def test_a_homonym_under_another_parent_is_wrong(case):
    write_predictions(case / "student.parquet", [("c1", "B a", 7, 0.9)])
    assert value(evaluate(case), "wrong") == 1


def test_predictions_for_different_contigs_are_refused(case, capsys):
    write_predictions(case / "student.parquet", [("x1", "A a", 7, 0.9)])
    files = {name: str(case / f"{name}.parquet") for name in ("truth", "labels", "student", "metrics")}
    arguments = ["evaluation", "taxonomy", "--truth", files["truth"], "--labels", files["labels"]]
    arguments += ["--student", f"student={files['student']}", "--dataset", "demo", "--output", files["metrics"]]
    assert main(arguments) == 2
    assert "'x1' is not among the 6 evaluated contigs" in capsys.readouterr().err
    assert not (case / "metrics.parquet").exists()


def test_a_confidence_above_one_is_refused(case):
    write_predictions(case / "student.parquet", [("c2", "A a", 7, 0.9), ("c3", "A a", 7, 1.5)])
    with pytest.raises(InputError, match="confidences of 'c3' are not between 0 and 1"):
        evaluate(case)


def test_a_duplicate_contig_in_a_table_is_refused(case):
    write_predictions(case / "student.parquet", [("c2", "A a", 7, 0.9)] * 2)
    with pytest.raises(InputError, match="'c2' has two rows"):
        evaluate(case)


def test_a_threshold_for_an_unknown_model_is_refused(case, capsys):
    files = {name: str(case / f"{name}.parquet") for name in ("labels", "student", "metrics")}
    arguments = ["evaluation", "taxonomy", "--labels", files["labels"], "--student", f"student={files['student']}"]
    assert main([*arguments, "--threshold", "pupil=0.5", "--dataset", "demo", "--output", files["metrics"]]) == 2
    assert "threshold for 'pupil', but the models are student" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_intervals(case):
    first = evaluate(case)
    assert first.equals(evaluate(case))
    own = figure(first, "f1")
    assert own["low"] <= own["value"] <= own["high"]
    assert value(first, "f1", minus="MMseqs2") == pytest.approx(0.6 - 0.2)
    reverse = value(first, "f1", "MMseqs2", minus="student")
    assert reverse == pytest.approx(-value(first, "f1", minus="MMseqs2"))


def test_table_shows_both_models_and_the_difference(case, capsys):
    evaluate(case)
    arguments = ["evaluation", "taxonomy-table", "--metrics", str(case / "metrics.parquet")]
    assert main([*arguments, "--output", str(case / "table.txt")]) == 0
    printed = capsys.readouterr().out
    assert printed == (case / "table.txt").read_text()
    species = next(line for line in printed.splitlines() if line.startswith("species "))
    assert species.split()[:9] == ["species", "6", "0.250", "0.167", "0.200", "0.750", "0.500", "0.600", "+0.400"]
    absent = next(line for line in printed.splitlines() if line.startswith("species called for 2 contigs"))
    assert absent.split()[-2:] == ["2", "1"]
    assert main([*arguments, "--baseline", "nobody", "--output", str(case / "table.txt")]) == 2


def test_the_table_has_no_difference_between_models_of_different_seeds(case, capsys):
    given = [Predictions(name, case / "student.parquet", seed=seed) for name, seed in (("one", 1), ("two", 2))]
    evaluate_taxonomy(case / "truth.parquet", None, given, case / "metrics.parquet", "demo", seed=3)
    arguments = ["evaluation", "taxonomy-table", "--metrics", str(case / "metrics.parquet")]
    assert main([*arguments, "--output", str(case / "table.txt")]) == 0
    species = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("species "))
    assert species.split()[-2:] == ["-", "-"]


def test_table_without_ground_truth_shows_coverage_and_changes(case, capsys):
    evaluate(case, truth=False)
    arguments = [
        "evaluation",
        "taxonomy-table",
        "--metrics",
        str(case / "metrics.parquet"),
        "--output",
        str(case / "t.txt"),
    ]
    assert main(arguments) == 0
    species = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("species "))
    assert species.split() == ["species", "6", "0.667", "0.667", "2", "1", "1", "1"]


def test_calibration_error_equals_a_hand_computed_case():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    correct = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    # two bins: |0.95 - 0.75| for four calls, |0.5 - 0.5| for two.
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.2 * 4 / 6)
    assert expected_calibration_error(confidence, correct, adaptive=True, bins=1) == pytest.approx(0.8 - 4 / 6)
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_threshold_sweep_accepts_ties_together_and_counts_uncalled_contigs():
    curve = sweep(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), total=4)
    assert curve["threshold"].tolist() == [0.9, 0.5]
    assert curve["precision"].tolist() == pytest.approx([1, 2 / 3])
    assert curve["recall"].tolist() == [0.25, 0.5]
    assert curve["coverage"].tolist() == [0.25, 0.75]
    assert area_under_precision_recall(curve) == pytest.approx(0.25 + 0.25 * 2 / 3)


scores = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(scores, st.booleans())
def test_bins_contain_every_call_once_and_the_error_is_a_fraction(drawn, adaptive):
    confidence, correct = (np.array(column) for column in zip(*drawn, strict=True))
    table = reliability(confidence, correct, adaptive)
    assert table["n"].sum() == len(drawn)
    assert ((table["low"] <= table["high"]) & (table["accuracy"] <= 1)).all()
    assert 0 <= expected_calibration_error(confidence, correct, adaptive) <= 1


@given(scores, st.integers(0, 20))
def test_threshold_sweep_increases_recall_and_ends_with_all_calls(drawn, uncalled):
    confidence, correct = (np.array(column) for column in zip(*drawn, strict=True))
    curve = sweep(confidence, correct, len(drawn) + uncalled)
    assert (np.diff(curve["recall"]) >= 0).all()
    assert curve["coverage"].iloc[-1] == pytest.approx(len(drawn) / (len(drawn) + uncalled))
    assert 0 <= area_under_precision_recall(curve) <= 1 + 1e-12


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_f1_is_between_zero_and_one_and_is_the_harmonic_mean(correct, wrong, none):
    score = float(f1_score(correct, wrong, none))
    if not correct + wrong + none:
        assert np.isnan(score)
        return
    assert 0 <= score <= 1
    if correct:
        precision, recall = correct / (correct + wrong), correct / (correct + wrong + none)
        assert score == pytest.approx(2 * precision * recall / (precision + recall))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.2, 0.8))
def test_interval_contains_the_point_estimate_of_many_clusters_and_is_paired(seed, share):
    generator = np.random.default_rng(seed)
    correct = generator.random((2000, 1)) < share
    outcomes = np.hstack([part for part in (correct, ~correct, np.zeros_like(correct)) for _ in range(2)])
    sums = resample_sums(outcomes.astype(float), np.arange(2000) // 4, 300, seed)
    drawn = f1_score(*np.split(sums, 3, axis=1))
    low, high = interval(drawn[:, 0])
    assert low <= f1_score(correct.sum(), (~correct).sum(), 0) <= high
    assert (drawn[:, 0] == drawn[:, 1]).all()


def test_clustered_contigs_widen_the_interval():
    generator = np.random.default_rng(1)
    correct = np.repeat(generator.random(50) < 0.5, 40)[:, None]
    outcomes = np.hstack([correct, ~correct]).astype(float)
    width = {}
    for name, cluster in (("genome", np.repeat(np.arange(50), 40)), ("contig", np.arange(2000))):
        low, high = interval(f1_score(*resample_sums(outcomes, cluster, 500, 1).T, 0))
        width[name] = high - low
    assert width["genome"] > 4 * width["contig"]


lineages = st.sampled_from(["A a", "A b", "A", "B a", "none"])


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(lineages, lineages, st.sampled_from(["A a", "B a", "A b"])), min_size=1, max_size=12))
def test_counts_of_all_outcomes_add_up(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("counts")
    ids = [f"c{number}" for number in range(len(drawn))]
    write_truth(
        folder / "truth.parquet", [(name, row[2], name, 2000, "known") for name, row in zip(ids, drawn, strict=True)]
    )
    write_labels(folder / "labels.parquet", [(name, row[0]) for name, row in zip(ids, drawn, strict=True)])
    depth = {"none": 0, "A": 6}
    write_predictions(
        folder / "student.parquet",
        [(name, row[1], depth.get(row[1], 7), 0.9) for name, row in zip(ids, drawn, strict=True)],
    )
    table = evaluate(folder, resamples=10)
    whole = table[(table["stratum"] == "all") & table["threshold"].isin(["", "own"]) & (table["minus"] == "")]
    whole = whole[(whole["weight"] == "") & (whole["variant"] == "")]
    for (_, _), part in whole.groupby(["task", "model"]):
        counts = part.set_index("metric")["value"]
        if "correct" in counts:
            assert counts["correct"] + counts["wrong"] + counts["none"] == len(drawn)
            assert 0 <= counts["f1"] <= 1
        if "same" in counts and "correct" in counts:
            assert counts["coverage"] * len(drawn) == pytest.approx(
                counts["same"] + counts["added"] + counts["renamed"]
            )
            assert counts["improved"] <= counts["correct"]


def test_names_of_paths_can_be_looked_up(case):
    community, models = read_calls(
        case / "truth.parquet", case / "labels.parquet", [Predictions("s", case / "student.parquet")]
    )
    assert community.names[6][models[1].path[2, 6]] == path("B b")
    assert community.genome.tolist() == [0, 0, 1, 1, 2, 2]
