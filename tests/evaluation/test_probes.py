import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import average_precision_score, roc_auc_score

from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.table_schemas import METRICS, PROBE_PREDICTIONS, metrics_table
from genestill.core.tables import read_table, write_table
from genestill.evaluation.probes import baselines
from genestill.evaluation.probes.baselines.kmers import kmer_features
from genestill.evaluation.probes.blocks import predict_with_blocks
from genestill.evaluation.probes.probe import run_probe, score
from genestill.evaluation.probes.report import (
    TRAINING,
    Training,
    format_pairs,
    format_stability,
    stability_metrics,
    stability_table,
    student_pairs,
    write_tables,
)
from genestill.evaluation.probes.retained import (
    best_baseline,
    bootstrap_scores,
    summarise,
    weighted_auroc,
    weighted_average_precision,
    weighted_pearson,
)
from genestill.evaluation.probes.splits import split_rows
from genestill.evaluation.probes.tables import _joined_by_gene
from genestill.evaluation.settings import TRANSCRIPT_BASELINES


def _table(rows=400, seed=0):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sequence": [
                "".join(generator.choice(list("ACGT"), 60, p=p)) for p in generator.dirichlet(np.ones(4), rows)
            ],
            "group": generator.integers(0, 120, rows),
            "chromosome": [f"chr{number}" for number in generator.integers(0, 15, rows)],
        }
    )


@pytest.mark.parametrize("method", ["default", "homology", "kmer", "chromosome"])
def test_splits_partition_all_rows_and_are_reproducible(method):
    table = _table(900)
    parts = split_rows(table, method, 2541)
    assert sorted(np.concatenate(parts)) == list(range(len(table)))
    again = split_rows(table, method, 2541)
    assert all(np.array_equal(one, two) for one, two in zip(parts, again, strict=True))


@pytest.mark.parametrize(("method", "column"), [("homology", "group"), ("chromosome", "chromosome")])
def test_no_group_is_in_two_parts_of_a_split(method, column):
    table = _table()
    sides = [set(table[column].iloc[rows]) for rows in split_rows(table, method, 7)]
    for one, two in itertools.combinations(sides, 2):
        assert not one & two


def test_rows_without_a_homology_group_form_separate_groups():
    table = _table(100)
    table["group"] = table["group"].astype("float").where(np.arange(100) % 2 == 0)
    parts = split_rows(table, "homology", 1)
    assert sorted(np.concatenate(parts)) == list(range(100))


def test_impossible_splits_are_refused():
    with pytest.raises(InputError, match="expected one of"):
        split_rows(_table(), "random", 1)
    with pytest.raises(InputError, match="needs a column"):
        split_rows(_table().assign(chromosome="chr1"), "chromosome", 1)
    with pytest.raises(InputError, match="empty"):
        split_rows(_table(30).assign(group=[0] * 29 + [1]), "homology", 1)


def test_probe_recovers_a_linear_target_and_finds_nothing_in_noise():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 8))
    rows = split_rows(_table(600), "default", 1)
    found = run_probe(features, features @ np.arange(8.0), "regression", rows)
    assert found.metrics["test"]["pearson"] > 0.999
    noise = run_probe(features, generator.normal(size=600), "regression", rows)
    assert abs(noise.metrics["test"]["pearson"]) < 0.35
    labels = np.stack([features[:, 0] > 0, features[:, 1] > 0], axis=1).astype(float)
    assert run_probe(features, labels, "multilabel", rows).metrics["test"]["auroc"] > 0.98


def test_invalid_embeddings_and_missing_classes_are_refused():
    features = np.ones((100, 2))
    rows = split_rows(_table(100), "default", 1)
    with pytest.raises(InputError, match="only one class"):
        run_probe(features, np.zeros(100), "classification", rows)
    features[3, 0] = np.nan
    with pytest.raises(InputError, match="1 of 100"):
        run_probe(features, np.zeros(100), "regression", rows)


def test_multilabel_average_is_micro():
    predictions = np.array([[0.9, 0.8], [0.2, 0.1], [0.4, 0.7]])
    targets = np.array([[1, 1], [0, 0], [1, 0]])
    assert score(predictions, targets, "multilabel")["auroc"] == roc_auc_score(targets.ravel(), predictions.ravel())


@given(st.text("ACGTN", min_size=0, max_size=40))
@settings(max_examples=60, deadline=None)
def test_k_mer_counts_equal_counts_by_hand(text):
    features = kmer_features([text], 1, 3)[0]
    words = ["".join(word) for k in (1, 2, 3) for word in itertools.product("ACGT", repeat=k)]
    by_hand = [sum(text[start:].startswith(word) for start in range(len(text))) for word in words]
    assert features[:-1].tolist() == by_hand
    known = sum(base != "N" for base in text)
    assert features[-1] == pytest.approx((text.count("G") + text.count("C")) / known if known else 0)


def test_every_baseline_has_a_module_of_the_same_name():
    modules = {path.stem for path in Path(baselines.__path__[0]).glob("*.py")} - {"__init__", "parts"}
    assert modules == set(TRANSCRIPT_BASELINES)


def test_tracks_add_cds_length_and_exon_count():
    cds = np.zeros(12, np.int8)
    cds[[2, 5, 8]] = 1
    splice = np.zeros(12, np.int8)
    splice[[4, 11]] = 1
    assert kmer_features(["ACGTACGTACGT"], 1, 1, [cds], [splice])[0, -2:].tolist() == [9, 2]


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_weighted_scores_equal_those_of_repeated_rows(seed, rows):
    generator = np.random.default_rng(seed)
    predictions = generator.integers(0, 6, rows).astype(float)
    targets = generator.normal(size=rows)
    weights = generator.integers(0, 3, (1, rows)).astype(float)
    repeated = np.repeat(np.arange(rows), weights[0].astype(int))
    if len(repeated) > 1 and np.ptp(predictions[repeated]) and np.ptp(targets[repeated]) > 1e-3:
        expected = pearsonr(predictions[repeated], targets[repeated]).statistic
        assert weighted_pearson(predictions, targets, weights)[0] == pytest.approx(expected, abs=1e-8)
    labels = (targets > 0).astype(float)
    if len(set(labels[repeated])) == 2:
        expected = roc_auc_score(labels[repeated], predictions[repeated])
        assert weighted_auroc(predictions, labels, weights)[0] == pytest.approx(expected)
        expected = average_precision_score(labels[repeated], predictions[repeated])
        assert weighted_average_precision(predictions, labels, weights)[0] == pytest.approx(expected)


def _predictions(models, noise, seed=0):
    generator = np.random.default_rng(seed)
    tables = []
    for task in ("a", "b"):
        truth = generator.normal(size=300)
        for split_seed in (1, 2, 3):
            rows = np.sort(generator.choice(300, 100, replace=False))
            for model, spread in zip(models, noise, strict=True):
                said = truth[rows] + spread * generator.normal(size=100)
                tables.append(
                    pd.DataFrame(
                        {
                            "task": task,
                            "task_kind": "regression",
                            "model": model,
                            "name": model,
                            "kind": "student",
                            "variant": "",
                            "training": None,
                            "seed": split_seed,
                            "id": [f"t{row}" for row in rows],
                            "group": rows,
                            "targets": [np.array([value]) for value in truth[rows]],
                            "predictions": [np.array([value]) for value in said],
                        }
                    )
                )
    return pd.concat(tables, ignore_index=True)


def _trained(predictions):
    """The models "s 1" and "s 2" become two trainings of the model s."""
    of = predictions["model"].map({"s 1": 1, "s 2": 2}).astype("Int64")
    return predictions.assign(training=of, model=predictions["model"].where(of.isna(), "s"))


def test_the_retained_fraction_is_relative_to_baseline_and_teacher_and_has_an_interval():
    predictions = _predictions(["teacher", "student", "kmers"], [0.3, 0.6, 2.0])
    summary = summarise(bootstrap_scores(predictions, 200, 1), "teacher", "kmers", "student")
    cells = summary.set_index(["model", "metric", "minus"])
    assert cells.loc[("teacher", "retained_fraction", ""), "value"] == pytest.approx(1)
    assert cells.loc[("kmers", "retained_fraction", ""), "value"] == pytest.approx(0)
    kept = cells.loc[("student", "retained_fraction", "")]
    assert 0 < kept["low"] < kept["value"] < kept["high"] < 1
    assert cells.loc[("student", "own", "teacher"), "high"] < 0
    assert ("student", "own", "student") not in cells.index
    kmers = cells.loc[("kmers", "own", "student")]
    assert kmers["low"] < kmers["value"] < kmers["high"] < 0
    assert kmers["value"] == pytest.approx(-cells.loc[("student", "own", "kmers"), "value"])


def test_the_retained_fraction_is_undefined_where_the_teacher_does_not_beat_the_baseline():
    predictions = _predictions(["teacher", "student", "kmers"], [1.0, 1.0, 1.0])
    summary = summarise(bootstrap_scores(predictions, 200, 1), "teacher", "kmers", "student")
    assert summary.loc[summary["metric"] == "retained_fraction", ["low", "high"]].isna().all(axis=None)


def test_models_probed_on_different_rows_are_refused():
    predictions = _predictions(["teacher", "kmers"], [0.3, 2.0])
    predictions.loc[predictions["model"] == "kmers", "id"] += "x"
    with pytest.raises(InputError, match="other rows"):
        bootstrap_scores(predictions, 100, 1)


def test_a_student_has_the_mean_and_the_spread_over_its_trainings():
    predictions = _predictions(["teacher", "s 1", "s 2", "same 1", "same 2"], [0.3, 0.2, 2.0, 0.5, 0.5])
    apart = bootstrap_scores(predictions, 200, 1)
    trained = predictions.assign(
        training=predictions["model"].str.extract(r" (\d)")[0].astype("Int64"), model=predictions["model"].str[:-2]
    )
    trained.loc[predictions["model"] == "teacher", "model"] = "teacher"
    scores = bootstrap_scores(trained, 200, 1)
    assert set(scores) == {"teacher", "s", "same"}
    assert scores["s"]["a"][0] == pytest.approx(np.mean([apart[f"s {seed}"]["a"][0] for seed in (1, 2)]))
    assert scores["teacher"]["a"] == pytest.approx(apart["teacher"]["a"])
    spread = {model: np.std(values["a"]) for model, values in scores.items()}
    # A quarter of the draws hold one of the two trainings alone.
    assert spread["s"] > 3 * spread["same"]
    assert np.quantile(scores["s"]["a"], 0.02) < 0.55 < 0.95 < np.quantile(scores["s"]["a"], 0.98)


def test_students_with_different_training_seeds_are_refused():
    predictions = _trained(_predictions(["teacher", "s 1", "s 2", "u"], [0.3, 0.5, 0.5, 1]))
    predictions.loc[predictions["model"] == "u", "training"] = 1
    with pytest.raises(InputError, match="u was not trained with seed 2"):
        bootstrap_scores(predictions, 100, 1)


def test_the_student_is_compared_with_every_other_model_for_every_probe_that_both_have():
    predictions = _predictions(["s", "s (w)", "u", "u (w)", "t"], [0.5, 0.3, 1.0, 0.4, 0.2])
    predictions["name"] = predictions["model"].str[0]
    predictions["variant"] = np.where(predictions["model"].str.endswith("(w)"), "w", "")
    predictions["kind"] = predictions["name"].map({"s": "student", "u": "control", "t": "teacher"})
    pairs = student_pairs(predictions, "s")
    assert sorted(pairs.index) == [("s", "u"), ("s (w)", "u (w)")]
    summary = summarise(bootstrap_scores(predictions, 200, 1), "t", "u", "s", pairs=[*pairs.index])
    rows = {(row[0], row[1]): row[2] for row in format_pairs(summary, pairs).rows}
    values = summary[summary["metric"] == "own"].set_index(["model", "minus"])["value"]
    assert values[("s (w)", "u (w)")] == pytest.approx(values[("s (w)", "")] - values[("u (w)", "")])
    assert rows == {
        ("s minus u", way): f"{values[(f's{own}', f'u{own}')]:+.3f}" for way, own in (("", ""), ("w", " (w)"))
    }


def test_a_training_of_an_earlier_version_is_recognised_in_the_stability_table(tmp_path):
    for folder, stored in (("new", {"objective": "mse"}), ("old", {"provenance": {"settings": {"objective": "mse"}}})):
        write_json(tmp_path / folder / "training.json", stored | {"parameters": 3, "diverged": None})
    table = stability_table([Training("s", 1, tmp_path / "new")])
    assert table[["model", "seed", "objective", "parameters"]].values.tolist() == [["s", 1, "mse", 3]]
    with pytest.raises(InputError, match=r"old/training\.json: no 'objective'; written by an earlier version"):
        stability_table([Training("s", 1, tmp_path / "old")])


def test_the_stability_of_trainings_is_a_row_of_the_metrics_for_every_trained_student():
    columns = ["model", "objective", "steps", "diverged", "final_loss", "loss_spikes"]
    columns += ["gradient_norm_99", "gradient_norm_median"]
    runs = pd.DataFrame(
        [
            ["s", "logits", 20, None, 1.0, 2, 3.0, 1.0],
            ["s", "logits", 12, 12, 3.0, 5, 10.0, 2.0],
            ["one", "mse", 20, None, 0.5, 0, 2.0, 1.0],
            ["u", "masked", 0, None, None, None, None, None],
        ],
        columns=columns,
    )
    metrics = stability_metrics(runs, {"s": "student", "one": "student", "u": "control"}, "d")
    assert set(metrics["task"]) == {TRAINING}
    of = metrics[metrics["model"] == "s"].set_index("metric")
    assert of["value"].to_dict() == {
        "diverged": 1, "final_loss": 2, "final_loss_deviation": pytest.approx(2**0.5), "loss_spikes": 7,
        "gradient_norm_tail": 4,
    }  # fmt: skip
    assert (of["n_trainings"] == 2).all()
    assert (of["n_units"] == 32).all()
    assert set(metrics["model"]) == {"s", "one"}
    assert format_stability(runs).rows == [
        ["s", "logits", "2", "1", "2.0000 +- 1.4142", "7", "4.00"],
        ["one", "mse", "1", "0", "0.5000", "0", "2.00"],
    ]


def test_the_table_shows_what_training_adds_to_a_baseline(tmp_path):
    models = ["teacher", "kmers", "s 1", "s 2", "u 1", "u 2"]
    alone, beside = (
        _predictions(models, noise, seed=1) for noise in ([1, 2, 0.8, 0.8, 2, 2], [1, 1, 0.3, 0.3, 0.9, 0.9])
    )
    beside = beside[beside["model"].str.contains(" ")]
    table = pd.concat([alone.assign(variant="fit=blocks"), beside.assign(variant="fit=blocks, with=composition")])
    table["training"] = table["model"].str.extract(r" (\d)")[0].astype("Int64")
    table["model"] = table["model"].str.split().str[0]
    table["kind"] = table["model"].map({"teacher": "teacher", "kmers": "baseline", "s": "student", "u": "control"})
    write_table(tmp_path / "predictions.parquet", table, PROBE_PREDICTIONS)
    write_table(tmp_path / "kmers.parquet", _probed({"kmers": 0.5}), METRICS)
    given = [tmp_path / "predictions.parquet"], "d", "teacher", ["kmers"], [tmp_path / "kmers.parquet"], "s"
    write_tables(*given, [], 200, 1, tmp_path / "table")
    metrics = read_table(tmp_path / "table" / "metrics.parquet", METRICS)
    added = metrics[(metrics["minus"] == "u (fit=blocks, with=composition)") & (metrics["model"] == "s")]
    (row,) = added.to_dict("records")
    assert row["variant"] == "fit=blocks, with=composition"
    assert 0 < row["low"] < row["value"] < row["high"]
    assert (row["n_trainings"], row["n_clusters"]) == (2, table["group"].nunique())
    text = (tmp_path / "table" / "table.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("s minus u")]
    assert any("with=composition" in line and f"{row['value']:+.3f}" in line for line in lines)


def _probed(validation, test=0.5):
    """Metrics of probes: baseline -> Pearson's r on validation rows."""
    rows = [
        {"task": "a", "stratum": stratum, "metric": "pearson", "model": name, "kind": "baseline"}
        | {"variant": "fit=blocks", "value": value, "n_units": 9, "n_trainings": 0}
        for name, found in validation.items()
        for stratum, value in (("validation", found), ("test", test - found))
    ]
    return metrics_table(rows, benchmark="mrnabench-protocol", dataset="d")


def test_the_strongest_baseline_is_chosen_on_validation_rows():
    """On the test rows, the other baseline is better."""
    metrics = _probed({"one": 0.4, "two": 0.3})
    names = ["one (fit=blocks)", "two (fit=blocks)"]
    assert best_baseline(metrics, names) == names[0]
    with pytest.raises(InputError, match="no metrics of 'three'"):
        best_baseline(metrics, [*names, "three"])


def test_transcripts_that_two_tasks_share_are_drawn_jointly():
    """The second task has the same transcripts and predictions, so the scores vary together."""
    of_one = _predictions(["m"], [1.0]).query("task == 'a'").reset_index(drop=True)
    again = of_one.assign(task="b")
    both = bootstrap_scores(pd.concat([of_one, again]), 300, 1)["m"]
    other_groups = again.assign(group=again["group"] + 10_000)
    apart = bootstrap_scores(pd.concat([of_one, other_groups]), 300, 1)["m"]
    correlation = [np.corrcoef(found["a"][1:], found["b"][1:])[0, 1] for found in (both, apart)]
    assert correlation[0] > 0.99
    # Splits are drawn jointly as well, so this correlation is not zero.
    assert correlation[1] < 0.9
    assert both["a"][0] == apart["a"][0]


def test_replicates_without_rows_of_a_small_task_are_left_out():
    """Three groups beside four hundred: some replicates draw none of them, which is not a score of 0."""
    large = _predictions(["m"], [1.0]).query("task == 'a'")
    small = large.assign(task="b", group=1000 + large["group"] % 3)
    scores = bootstrap_scores(pd.concat([large, small]), 300, 1)["m"]
    assert np.isnan(scores["b"]).any()
    assert np.nanmin(scores["b"]) > 0.3
    summary = summarise({"t": scores, "k": scores, "m": scores}, "t", "k", "m")
    assert summary.loc[summary["metric"] == "own", "low"].min() > -0.01


def test_a_baseline_without_a_score_or_a_task_is_not_the_strongest():
    easy, hard = (_probed(found).assign(task=task) for found, task in (({"one": 0.9, "two": 0.8}, "easy"),
                  ({"one": np.nan, "two": 0.4}, "hard")))  # fmt: skip
    names = ["one (fit=blocks)", "two (fit=blocks)"]
    assert best_baseline(pd.concat([easy, hard]), names) == names[1]
    with pytest.raises(InputError, match=r"one \(fit=blocks\) was not probed on the task hard"):
        best_baseline(pd.concat([easy, hard[hard["model"] == "two"]]), names)


@pytest.mark.parametrize("column", ["seed", "task"])
def test_models_that_were_not_probed_on_all_tasks_and_splits_are_refused(column):
    predictions = _predictions(["teacher", "kmers"], [0.3, 2.0])
    value = predictions[column].max()
    lacking = predictions[(predictions["model"] != "kmers") | (predictions[column] != value)]
    with pytest.raises(InputError, match="kmers was not probed on the task"):
        bootstrap_scores(lacking, 100, 1)


def test_groups_with_a_gene_in_common_are_one_group_with_all_their_members():
    group, gene = np.array([1, 2, 2, 3, 4, 4]), np.array(["A", "A", "B", "", "", "C"])
    assert _joined_by_gene(group, gene).tolist() == [1, 1, 1, 3, 4, 4]


def test_features_without_any_variation_give_the_mean():
    """A baseline of coding sequences on transcripts without any."""
    targets = np.arange(40.0)
    rows = tuple(np.array_split(np.arange(40), 3))
    predicted = predict_with_blocks([np.zeros((40, 3), np.float32)], targets[:, None], rows[0], rows[2], 1)
    assert np.allclose(predicted, targets[rows[0]].mean())


def test_a_label_that_is_constant_in_training_is_predicted_as_it_is():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(90, 3))
    targets = np.column_stack([features[:, 0] > 0, np.zeros(90)]).astype(float)
    targets[85, 1] = 1
    found = run_probe(features, targets, "multilabel", tuple(np.split(np.arange(90), [50, 70])))
    assert (found.predictions[:, 1] == 0).all()
    assert found.metrics["test"]["auroc"] > 0.9
