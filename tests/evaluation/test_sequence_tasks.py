import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genestill.core.errors import InputError
from genestill.core.recipes import STRONGEST_BASELINE
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.core.table_schemas import METRICS, embeddings
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.core.task_metrics import confusion, score
from genestill.core.task_tables import TaskTable, read_task_table
from genestill.evaluation.sequence_tasks import baselines
from genestill.evaluation.sequence_tasks.baselines import cnn, gated_cnn, linear, stack
from genestill.evaluation.sequence_tasks.features import FEATURES, count_words
from genestill.evaluation.sequence_tasks.networks import encode_padded
from genestill.evaluation.sequence_tasks.pipeline import draw_rows, draw_task, fit_on_table, score_tables, write_rows
from genestill.evaluation.sequence_tasks.probe import linear_probe
from genestill.evaluation.sequence_tasks.scores import (
    MEAN,
    Question,
    Run,
    _drawn_runs,
    format_scores,
    read_run,
    read_test_rows,
    score_runs,
    strongest_baseline,
    tabulate_answers,
    tabulate_rows,
    with_groups,
    without_copies,
)
from genestill.evaluation.sequence_tasks.tables import (
    Protocol,
    protocol_of,
    read_catalogue,
    read_published,
)
from genestill.evaluation.settings import SEQUENCE_BASELINES, BaselineSettings

RESOURCES = Path(__file__).parents[2] / "resources"


def write_task(path: Path, rows: int = 240, motif: str = "TATAAA") -> Path:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, rows)
    sequences = []
    for label in labels:
        bases = generator.choice(list("ACGT"), 60)
        if label:
            bases[20:26] = list(motif)
        sequences.append("".join(bases))
    split = np.where(np.arange(rows) < rows * 2 // 3, "train", "test")
    pd.DataFrame({"sequence": sequences, "label": labels, "split": split}).to_csv(path, sep="\t", index=False)
    return path


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_metrics_equal_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    labels, predicted = generator.integers(0, classes, (2, 200))
    predicted = np.where(generator.random(200) < 0.6, labels, predicted)
    weights = generator.integers(0, 3, (4, 200)).astype(float)
    matrices = confusion(labels, predicted, classes, weights)
    average = "binary" if classes == 2 else "macro"
    for row, weight in enumerate(weights):
        expected = {
            "mcc": matthews_corrcoef(labels, predicted, sample_weight=weight),
            "f1": f1_score(labels, predicted, average=average, sample_weight=weight),
            "accuracy": accuracy_score(labels, predicted, sample_weight=weight),
        }
        for metric, value in expected.items():
            assert score(matrices, metric)[row] == pytest.approx(value)


def test_a_constant_guess_has_mcc_zero_and_no_warning():
    assert score(confusion(np.array([0, 1, 1]), np.array([1, 1, 1]), 2), "mcc")[0] == 0


def test_benchmarks_report_the_metric_they_define():
    metric_of = {task: one.metric for task, one in read_catalogue(RESOURCES / "sequence_tasks.tsv").items()}
    assert metric_of["nucleotide_transformer/H3"] == "mcc"
    assert metric_of["nucleotide_transformer/enhancers"] == "mcc"
    assert metric_of["nucleotide_transformer/promoter_all"] == "f1"
    assert metric_of["nucleotide_transformer/splice_sites_donors"] == "f1"
    assert metric_of["nucleotide_transformer/splice_sites_all"] == "accuracy"
    assert metric_of["genomic_benchmarks/human_enhancers_cohn"] == "accuracy"
    assert metric_of["nucleotide_transformer_revised/promoter_all"] == "mcc"
    assert metric_of["uci/splice"] == "accuracy"


def test_a_task_takes_the_protocol_of_its_benchmark_and_a_misspelled_one_is_refused():
    catalogue = read_catalogue(RESOURCES / "sequence_tasks.tsv")
    assert protocol_of("genomic_benchmarks/human_enhancers_cohn", catalogue) == Protocol("accuracy", 5, 5, 10)
    assert protocol_of("mine/anything", catalogue) == Protocol("mcc", 0, 1, None)
    with pytest.raises(InputError, match=r"uci/splices is not a task of the benchmark uci.*; did you mean uci/splice"):
        protocol_of("uci/splices", catalogue)


def test_published_rows_name_a_source_and_a_task_and_metric_of_the_catalogue():
    metric_of = {task: one.metric for task, one in read_catalogue(RESOURCES / "sequence_tasks.tsv").items()}
    table = read_published(sorted((RESOURCES / "published").glob("[ng]*.tsv")))
    assert len(table) > 300
    assert set(table["task"]) <= set(metric_of)
    assert (table["metric"] == table["task"].map(metric_of)).all()
    assert table["value"].between(0, 1).all()
    assert not table.duplicated(["task", "model"]).any()


def test_k_mer_counts_equal_counts_by_hand_and_exclude_unknown_bases():
    found = count_words(["ACAC", "ACNAC", "A", "GTGT"], [(0, 1)]).toarray()
    assert found[0].nonzero()[0].tolist() == [1, 4]  # AC, and CA
    assert found[0, [1, 4]].tolist() == [2, 1]
    assert found[1, 1] == found[1].sum() == 2
    assert found[2].sum() == 0
    assert (found[3] == found[0]).all()  # the other strand
    gapped = count_words(["ACTAC", "ACTA"], [(0, 1, 3, 4)]).toarray()
    assert gapped[0].nonzero()[0].tolist() == [0b00010001]
    assert gapped[1].sum() == 0


@settings(max_examples=10)
@given(st.lists(st.text("ACGTN", min_size=1, max_size=40), min_size=1, max_size=5))
def test_both_strands_have_the_same_k_mers(sequences):
    for name in ("kmers", "gapped_kmers"):
        turned = FEATURES[name]([reverse_complement(sequence) for sequence in sequences])
        assert (FEATURES[name](sequences) != turned).nnz == 0


def test_positional_features_encode_bases_and_adjacent_pairs():
    found = FEATURES["positions"](["ACG", "AN"]).toarray()
    assert found.shape == (2, 60)
    assert found[0].nonzero()[0].tolist() == [0, 5, 10, 12 + 1, 12 + 16 + 6]
    assert found[1].nonzero()[0].tolist() == [0]


def test_every_baseline_has_a_module_of_the_same_name():
    modules = {path.stem for path in Path(baselines.__path__[0]).glob("*.py")} - {"__init__"}
    assert modules == set(SEQUENCE_BASELINES)


@pytest.mark.parametrize(
    ("module", "rows"), [(linear, 300), (cnn, 600), (gated_cnn, 300), pytest.param(stack, 300, marks=pytest.mark.slow)]
)
def test_baselines_find_a_planted_motif(module, rows, tmp_path):
    table = read_task_table(write_task(tmp_path / "task.tsv", rows))
    probabilities = module.fit(table, BaselineSettings(epochs=6, most_epochs=6), seed=1)
    assert probabilities.shape == (len(table.test), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == table.labels[table.test]).mean() > 0.9


def test_the_gated_cnn_predicts_the_same_for_both_strands():
    torch.manual_seed(1)
    model = gated_cnn.GatedCNN(12, 2, both_strands=True).eval()
    one, other = (encode_padded([text]) for text in ("ACGTTGCATTAC", reverse_complement("ACGTTGCATTAC")))
    torch.testing.assert_close(model(one), model(other))


@pytest.mark.parametrize(
    ("kind", "training", "sentence"),
    [
        ("cnn", 18, "no validation rows can be drawn from the 18 training rows"),
        ("probe", 17, "the label 'class 8' has 1 of 17 training rows; expected at least 2"),
    ],
)
def test_too_few_rows_for_validation_are_reported_with_the_file(kind, training, sentence, tmp_path):
    lines = [f"{'ACGT' * 5}\tclass {number % 9}\t{'test' if number >= training else 'train'}" for number in range(27)]
    (tmp_path / "t.tsv").write_text("sequence\tlabel\tsplit\n" + "\n".join(lines) + "\n")
    features = None
    if kind == "probe":
        features = [tmp_path / "e.parquet"]
        table = pd.DataFrame({"id": [str(row) for row in range(27)], "embedding": list(np.zeros((27, 2), np.float16))})
        write_table(features[0], table.assign(tokens=1, truncated=False), embeddings(2))
    with pytest.raises(InputError, match=rf"t\.tsv: {sentence}"):
        fit_on_table(kind, tmp_path / "t.tsv", "mine/t", "m", features, BaselineSettings(), 1, tmp_path / "p.parquet")


def test_a_task_with_few_rows_of_a_class_is_still_fitted(tmp_path):
    rows = ["sequence\tlabel\tsplit", *(f"{'ACGT' * 5}\t{label}\t{split}" for label, split in
            [("a", "train")] * 5 + [("b", "train"), ("a", "test"), ("b", "test")])]  # fmt: skip
    (tmp_path / "task.tsv").write_text("\n".join(rows) + "\n")
    table = read_task_table(tmp_path / "task.tsv")
    assert linear.fit(table, BaselineSettings(), 1).shape == (2, 2)


def test_the_strongest_baseline_is_chosen_by_held_out_training_rows():
    runs = [
        dataclasses.replace(a_run(name, right, task=task), kind="baseline", held_out=held)
        for name, right, held in (("kmer", 0.9, 0.4), ("cnn", 0.6, 0.5))
        for task in ("mine/one", "mine/two")
    ]
    assert strongest_baseline(runs) == "cnn"  # although its test rows are worse
    with pytest.raises(InputError, match="no baseline was scored"):
        strongest_baseline([a_run("kmer", 0.9)])


def test_the_interval_over_several_trainings_is_wider_than_that_over_test_rows_alone():
    alike = [a_run("alike", 0.8, seed=1) for _ in range(6)]
    apart = [a_run("apart", right, seed) for seed, right in enumerate((0.5, 0.6, 0.7, 0.9, 1.0, 1.0))]
    scores = score_runs([dataclasses.replace(run, seed=n) for n, run in enumerate(alike)] + apart, "here", {}, None, 1)
    rows = scores[scores["seed"].isna() & (scores["metric"] == "accuracy")].set_index("model")
    width = rows["high"] - rows["low"]
    assert width["apart"] > 1.5 * width["alike"]


def test_several_runs_of_one_training_count_as_one_training():
    """Eight seeds of two trainings, which differ; with a separate training for each seed, the interval is narrower."""
    rights = [0.6, 0.9] * 4
    runs = [a_run("student", right, seed) for seed, right in enumerate(rights, 1)]
    of_two = [dataclasses.replace(run, training=number % 2 + 1) for number, run in enumerate(runs)]
    width = {}
    for name, cell in (("eight", runs), ("two", of_two)):
        scores = score_runs(cell, "here", {}, None, 1)
        row = scores[scores["seed"].isna() & (scores["metric"] == "accuracy")].iloc[0]
        width[name], trainings = row["high"] - row["low"], row["n_trainings"]
        assert trainings == {"eight": 8, "two": 2}[name]
    assert width["two"] > 1.5 * width["eight"]


def test_trainings_are_drawn_jointly_for_tasks_with_different_numbers_of_runs():
    cells = [[dataclasses.replace(a_run("m", 0.8, seed), training=(seed - 1) % 5 + 1) for seed in range(1, runs + 1)]
             for runs in (5, 10)]  # fmt: skip
    few, many = (_drawn_runs(cell, 1) for cell in cells)
    by_training = many[:, :5] + many[:, 5:]
    np.testing.assert_allclose(by_training[few == 0], 0)
    np.testing.assert_allclose(many.sum(axis=1), 1)
    assert np.corrcoef(few[:, 0], by_training[:, 0])[0, 1] > 0.99


def test_a_teacher_counts_as_one_training():
    run = dataclasses.replace(a_run("teacher", 0.8, seed=4), kind="teacher")
    assert run.trained == 1


def a_run(model: str, right: float, seed: int = 1, fold: int = 0, task: str = "mine/one", rows: int = 300) -> Run:
    labels = np.random.default_rng(0).integers(0, 2, rows)
    wrong = np.random.default_rng([seed, int(right * 100)]).random(rows) > right
    return Run(task, model, "", "student", seed, fold, np.arange(rows), labels, np.where(wrong, 1 - labels, labels), 2)


def test_scores_contain_runs_means_intervals_and_paired_differences():
    runs = [a_run("good", 0.9, seed, task=task) for seed in (1, 2) for task in ("mine/one", "mine/two")]
    runs += [a_run("bad", 0.6, seed, task=task) for seed in (1, 2) for task in ("mine/one", "mine/two")]
    scores = score_runs(runs, "here", {"mine/one": "accuracy"}, "bad", seed=1)
    each = scores[(scores["model"] == "good") & (scores["task"] == "mine/one") & (scores["metric"] == "accuracy")]
    mean = each.loc[each["seed"].isna(), "value"].item()
    assert mean == pytest.approx(each.loc[each["seed"].notna(), "value"].mean())
    assert each.loc[each["seed"].isna(), "n_trainings"].item() == 2
    cells = scores[scores["seed"].isna()].set_index(["task", "model", "metric", "minus"]).sort_index()
    found = cells.loc[("mine/one", "good", "accuracy", "")]
    assert found["low"] < mean < found["high"]
    assert cells.loc[(MEAN, "good", "own", "bad"), "low"] > 0
    both = (mean + cells.loc[("mine/two", "good", "mcc", ""), "value"]) / 2
    assert cells.loc[(MEAN, "good", "own", ""), "value"] == pytest.approx(both)
    assert (MEAN, "bad", "own", "good") not in cells.index
    assert set(METRICS.names) <= set(scores.columns)


def test_a_question_is_answered_for_every_number_of_rows_and_every_fitting_method(caplog):
    runs = [
        dataclasses.replace(a_run(model, right, seed, task=task), variant=f"fit={fit}, rows={rows}")
        for model, right in (("distilled", 0.95), ("untrained", 0.7))
        for rows in (64, 128)
        for fit in ("probe", "full")
        for seed in (1, 2)
        for task in ("mine/one", "mine/two")
    ]
    runs += [
        dataclasses.replace(a_run("kmer", 0.8, task=task), variant=f"rows={rows}")
        for task in ("mine/one", "mine/two")
        for rows in (64, 128)
    ]
    questions = [
        Question("pretraining", "distilled", "untrained"),
        Question("rows-saved", "distilled", "untrained", 2),
        Question("baseline", "untrained", "kmer"),
        Question("nothing", "distilled", "nobody"),
        Question("ways", "distilled", "distilled", fit="probe", minus_fit="full"),
    ]
    scores = score_runs(runs, "here", {}, "kmer", 1, questions)
    answers = tabulate_answers(scores, questions).set_index(["question", "model"])
    assert len(answers) == 4 + 2 + 4 + 2
    assert set(answers.loc["ways", "minus"]) == {f"distilled (fit=full, rows={rows})" for rows in (64, 128)}
    assert set(answers.loc["rows-saved", "minus"]) == {f"untrained (fit={fit}, rows=128)" for fit in ("probe", "full")}
    assert set(answers.loc["pretraining", "answer"]) == {"above"}
    assert set(answers.loc["baseline", "answer"]) == {"below"}
    assert set(answers.loc["baseline", "n_trainings"]) == {1}
    assert "question nothing is left out" in caplog.text
    less = scores[(scores["minus"] == "kmer (rows=64)") & (scores["stratum"] == "test")]
    assert len(less) == 4
    assert less["variant"].str.endswith("rows=64").all()
    assert "less kmer" in format_scores(scores, {}, "kmer")[0].columns


def test_fitting_methods_with_separate_tasks_have_separate_means():
    def fitted(model, right, fit, tasks):
        variant = f"fit={fit}" if fit else ""
        return [dataclasses.replace(a_run(model, right, seed, task=task), variant=variant) for task in tasks
                for seed in (1, 2)]  # fmt: skip

    probed, tuned = ["mine/a", "mine/b"], ["mine/b", "mine/c"]
    runs = fitted("good", 0.95, "probe", probed) + fitted("good", 0.9, "full", tuned)
    runs += fitted("bad", 0.7, "probe", probed) + fitted("kmer", 0.8, "", ["mine/a", "mine/b", "mine/c"])
    questions = [Question("better", "good", "bad"), Question("one", "good", "kmer", tasks=("mine/c",))]
    scores = score_runs(runs, "here", {}, "kmer", 1, questions)
    means = scores[(scores["task"] == MEAN) & (scores["minus"] == "")].set_index(["stratum", "model"])["n_units"]
    assert means.to_dict() == {
        ("fit=full", "good"): 2, ("fit=full", "kmer"): 2,
        ("fit=probe", "good"): 2, ("fit=probe", "bad"): 2, ("fit=probe", "kmer"): 2,
    }  # fmt: skip
    # Of every mean and difference, the test rows that its interval resamples: 300 of each task.
    resampled = scores[scores["task"] == MEAN].set_index("stratum")["n_clusters"]
    assert resampled.groupby(level=0).unique().map(list).to_dict() == {
        "better": [600], "fit=full": [600], "fit=probe": [600], "one": [300]
    }  # fmt: skip
    answers = tabulate_answers(scores, questions)
    assert answers[["question", "model", "n_tasks"]].values.tolist() == [
        ["better", "good (fit=probe)", 2], ["one", "good (fit=full)", 1],
    ]  # fmt: skip
    full, probe = format_scores(scores, {}, "kmer")
    assert (full.title, probe.title) == ("tasks of fit=full", "tasks of fit=probe")
    assert {row[0] for row in probe.rows} == {"good (fit=probe)", "bad (fit=probe)", "kmer"}
    assert {row[0] for row in full.rows} == {"good (fit=full)", "kmer"}
    assert probe.columns[-2:] == ["mine/a, mcc", "mine/b, mcc"]
    with pytest.raises(InputError, match="no predictions for task 'mine/a'"):
        score_runs(fitted("late", 0.9, "probe", ["mine/b"]) + runs, "here", {}, None, 1)


def test_rows_of_a_task_are_sampled_in_proportion_to_its_classes(tmp_path):
    split = ["train"] * 60 + ["validation"] * 20 + ["test"] * 40
    sequences = ["".join(np.random.default_rng(row).choice(list("ACGT"), 12)) for row in range(120)]
    frame = pd.DataFrame({"sequence": sequences, "label": ["a", "b", "b", "b"] * 30, "split": split})
    frame.to_csv(tmp_path / "whole.tsv", sep="\t", index=False)
    draw_rows(tmp_path / "whole.tsv", 40, 20, 1, tmp_path / "some.tsv.gz")
    some = pd.read_csv(tmp_path / "some.tsv.gz", sep="\t")
    assert some.groupby(["split", "label"]).size().to_dict() == {
        ("test", "a"): 5, ("test", "b"): 15, ("train", "a"): 10, ("train", "b"): 30,
    }  # fmt: skip
    place = {sequence: number for number, sequence in enumerate(sequences)}
    assert some["sequence"].map(place).is_monotonic_increasing
    draw_rows(tmp_path / "whole.tsv", None, 400, 1, tmp_path / "all.tsv")
    assert pd.read_csv(tmp_path / "all.tsv", sep="\t").equals(frame)


def test_folds_are_distinguished():
    runs = [a_run("good", 0.9, fold=fold) for fold in (0, 1)]
    scores = score_runs(runs, "here", {}, None, 1)
    assert scores.loc[scores["seed"].notna(), "fold"].tolist() == [0, 1] * 3
    assert scores.loc[scores["seed"].isna(), "fold"].isna().all()


def test_models_tested_on_different_rows_are_refused():
    with pytest.raises(InputError, match="different rows"):
        score_runs([a_run("good", 0.9), a_run("bad", 0.6, rows=200)], "here", {}, None, 1)
    with pytest.raises(InputError, match="no predictions for task 'mine/two'"):
        score_runs([a_run("a", 0.9), a_run("b", 0.9), a_run("a", 0.9, task="mine/two")], "here", {}, None, 1)


def test_published_rows_are_shown_beside_ours_and_never_enter_a_mean():
    scores = score_runs([a_run("good", 0.9)], "here", {}, None, 1)
    row = {"task": "mine/one", "model": "famous", "metric": "mcc", "value": 0.1, "spread": 0.02}
    published = pd.DataFrame([{**row, "benchmark": "mine", "protocol": "10-fold", "source": "a paper"}])
    table = tabulate_rows(scores, published, {})
    famous = table[table["model"] == "famous"]
    assert famous["origin"].tolist() == ["published"]
    assert famous["source"].tolist() == ["10-fold; a paper"]
    assert table.loc[table["task"] == MEAN, "model"].tolist() == ["good"]
    assert table.equals(tabulate_rows(scores, published, {}))


def test_the_rows_of_a_task_become_fasta_with_their_numbers_as_ids(tmp_path):
    task = write_task(tmp_path / "task.tsv")
    write_rows(task, tmp_path / "rows.fna.gz")
    sequences = pd.read_csv(task, sep="\t")["sequence"]
    assert list(read_fasta(tmp_path / "rows.fna.gz")) == [(str(row), one) for row, one in enumerate(sequences)]


def test_a_task_table_is_processed_from_sequences_to_scores_and_figures(tmp_path):
    task = write_task(tmp_path / "task.tsv")
    features = np.random.default_rng(1).normal(size=(240, 8)).astype(np.float16)
    features[:, 0] += 8 * pd.read_csv(task, sep="\t")["label"].to_numpy()
    frame = pd.DataFrame(
        {"id": [str(row) for row in range(240)], "embedding": list(features), "tokens": 60, "truncated": False}
    )
    write_table(tmp_path / "features.parquet", frame, embeddings(8))
    for kind, extra in (("kmer", None), ("probe", [tmp_path / "features.parquet"])):
        fit_on_table(kind, task, "mine/one", kind, extra, BaselineSettings(), 1, tmp_path / f"{kind}.parquet")
    run = read_run(tmp_path / "probe.parquet")
    assert (run.labels == run.predicted).mean() > 0.9
    assert json.loads(read_metadata(tmp_path / "probe.parquet")["classes"]) == ["0", "1"]
    out = [tmp_path / name for name in ("metrics.parquet", "table.tsv", "scores.svg")]
    predictions = [tmp_path / "kmer.parquet", tmp_path / "probe.parquet"]
    write_rows(task, tmp_path / "rows.fna", tmp_path / "test_rows.tsv")
    text = (tmp_path / "test_rows.tsv").read_text()
    (tmp_path / "test_rows.tsv").write_text(text.replace("\n170\t\t\n", "\n170\t\texact\n"))
    score_tables(
        predictions,
        "here",
        RESOURCES / "sequence_tasks.tsv",
        [],
        STRONGEST_BASELINE,
        1,
        *out,
        test_rows={task: tmp_path / "test_rows.tsv" for task in ("mine/one", "mine/of another run")},
    )
    metrics = read_table(out[0], METRICS)
    assert metrics["benchmark"].isin(["mine", "all"]).all()
    assert set(metrics.loc[(metrics["stratum"] == "clean") & (metrics["task"] != MEAN), "n_units"]) == {79}
    assert set(pd.read_csv(out[1], sep="\t")["origin"]) == {"measured"}
    page = (tmp_path / "table.html").read_text()
    assert page.index('<td class="word">probe (fit=probe)<') < page.index('<td class="word">kmer<')  # best first
    assert "less kmer" in page
    assert page.count(" to ") == 3
    assert out[2].read_text().startswith("<?xml")
    draw_task(task, {"mine": [tmp_path / "features.parquet"]}, 60, 1, tmp_path / "tsne.svg")
    assert (tmp_path / "tsne.svg").stat().st_size > 1000


def test_copies_of_training_rows_are_counted_and_the_remaining_rows_are_scored(tmp_path):
    table = pd.read_csv(write_task(tmp_path / "task.tsv"), sep="\t")
    tested = table.index[table["split"] == "test"]
    table.loc[tested[0], "sequence"] = reverse_complement(table.loc[0, "sequence"]).lower()
    table.loc[tested[1], "sequence"] = "A" * 20 + table.loc[1, "sequence"][:40]
    table.to_csv(tmp_path / "task.tsv", sep="\t", index=False)
    write_rows(tmp_path / "task.tsv", tmp_path / "rows.fna.gz", tmp_path / "test_rows.tsv")
    rows = read_test_rows(tmp_path / "test_rows.tsv")
    assert rows["row"].tolist() == tested.tolist()
    assert rows["copy"].tolist() == ["exact", "near"] + [""] * (len(tested) - 2)
    run = a_run("good", 0.9)
    some, most = (np.where(np.isin(np.arange(300), chosen), "exact", "") for chosen in ([0, 2], range(299)))
    clean = without_copies(run, pd.DataFrame({"row": range(300), "copy": some}))
    assert clean.rows.tolist() == [1, *range(3, 300)]
    assert without_copies(run, pd.DataFrame({"row": range(300), "copy": most})) is None
    assert without_copies(run, None) is None


def test_groups_of_test_rows_are_resampled_together_within_their_class():
    runs = [a_run("good", 0.9), a_run("bad", 0.6)]
    groups = np.where(runs[0].labels == 0, "a", "b") + (np.arange(300) // 60).astype(str).astype(object)
    rows = pd.DataFrame({"row": range(300), "group": groups, "copy": ""})
    grouped = [with_groups(run, rows) for run in runs]
    alone, together = (score_runs(some, "here", {}, None, 1) for some in (runs, grouped))
    for scores, clusters in ((alone, 300), (together, len(set(groups)))):
        assert set(scores.loc[scores["seed"].isna() & (scores["task"] != MEAN), "n_clusters"]) == {clusters}
    np.testing.assert_array_equal(alone["value"], together["value"])
    assert with_groups(runs[0], rows.assign(group="")) is runs[0]
    with pytest.raises(InputError, match="tested on the row 299, which is not a test row"):
        with_groups(runs[0], rows.iloc[:-1])


def test_rows_of_one_group_that_are_all_right_or_all_wrong_widen_the_interval():
    right = np.repeat(np.arange(20) % 4 > 0, 15)  # a quarter of the 20 groups of 15 rows is wrong as a whole
    labels = np.tile([0, 1], 150)
    run = dataclasses.replace(a_run("one", 1.0), labels=labels, predicted=np.where(right, labels, 1 - labels))
    rows = pd.DataFrame({"row": range(300), "group": [f"g{number // 15}" for number in range(300)], "copy": ""})
    widths = []
    for some in (run, with_groups(run, rows)):
        scores = score_runs([some], "here", {}, None, 1)
        mean = scores[(scores["task"] == MEAN) & (scores["metric"] == "own")].iloc[0]
        widths.append(mean["high"] - mean["low"])
    assert widths[1] > 2.5 * widths[0]


def test_models_with_the_same_trainings_are_compared_in_pairs():
    """If all effects are of the training number, the difference of two models has no uncertainty from trainings."""
    share = {1: 0.95, 2: 0.75, 3: 0.55}
    first = [a_run("one", value, seed) for seed, value in share.items()]
    second = [dataclasses.replace(run, model="two") for run in first]
    question = Question("same", "one", "two")
    scores = score_runs([*first, *second], "here", {}, None, 1, [question])
    answer = tabulate_answers(scores, [question]).iloc[0]
    assert (answer["low"], answer["high"]) == (0, 0)


def test_answers_are_also_given_for_rows_without_a_copy_in_training(tmp_path):
    task = write_task(tmp_path / "task.tsv")
    settings = BaselineSettings()
    for kind in ("kmer", "position"):
        fit_on_table(kind, task, "mine/one", kind, None, settings, 1, tmp_path / f"{kind}.parquet")
    write_rows(task, tmp_path / "rows.fna", tmp_path / "test_rows.tsv")
    text = (tmp_path / "test_rows.tsv").read_text()
    (tmp_path / "test_rows.tsv").write_text(text.replace("\n170\t\t\n", "\n170\t\tnear\n"))
    predictions = [tmp_path / f"{kind}.parquet" for kind in ("kmer", "position")]
    outputs = [tmp_path / name for name in ("metrics.parquet", "table.tsv", "scores.svg")]
    questions = [Question("which", "kmer", "position")]
    more = (questions, tmp_path / "answers.tsv", {"mine/one": tmp_path / "test_rows.tsv"})
    score_tables(predictions, "here", RESOURCES / "sequence_tasks.tsv", [], None, 1, *outputs, *more)
    assert pd.read_csv(tmp_path / "answers.tsv", sep="\t")["test_rows"].tolist() == ["all", "clean"]


def test_the_probe_finds_strong_regularisation_for_wide_features_of_few_rows(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 2
    features = generator.normal(size=(120, 600))
    features[:, :60] += 0.25 * labels[:, None]
    split = np.where(np.arange(120) < 80, "train", "test").astype(object)
    table = TaskTable([""] * 120, labels, ["a", "b"], split)
    guesses = linear_probe(features, table, "accuracy", 1).argmax(axis=1)
    weak = make_pipeline(StandardScaler(), LogisticRegression(C=1.0)).fit(features[:80], labels[:80])
    assert (guesses == labels[80:]).mean() > weak.score(features[80:], labels[80:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sequence\nACGT\n", "no column 'label'"),
        ("sequence\tlabel\nACGT\t1\n", "0 test rows"),
        ("sequence\tlabel\tsplit\nACGT\t1\ttrain\n", "0 test rows"),
        ("sequence\tlabel\tsplit\nACGT\t1\ttrain\nACGT\t2\ttest\n", "label '2'"),
        ("sequence\tlabel\tsplit\nACGT\t1\ttrain\nACGT\t1\tdev\n", "split 'dev'"),
        ("sequence\tlabel\tsplit\nACGT\t1\ttrain\n\t1\ttest\n", "line 3 has the sequence ''"),
    ],
)
def test_an_invalid_task_table_is_refused_with_a_clear_message(tmp_path, text, message):
    (tmp_path / "task.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_task_table(tmp_path / "task.tsv")
