"""The table of the ``mrna`` recipe as text and TSV, and the stability of trainings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.kinds import named
from genestill.core.table_schemas import METRICS, metrics_table
from genestill.core.tables import read_table, write_table, write_tsv
from genestill.evaluation.pages import Table, write_answer
from genestill.evaluation.probes.figures import draw_scores, draw_training
from genestill.evaluation.probes.probe import BESIDE, HEADLINE
from genestill.evaluation.probes.retained import (
    BENCHMARK,
    MEAN,
    best_baseline,
    bootstrap_scores,
    read_left_out,
    read_predictions,
    summarise,
    tabulate,
)

TRAINING = "training"  # the task of the rows about the stability of trainings
_STABILITY = ("diverged", "final_loss", "final_loss_deviation", "loss_spikes", "gradient_norm_tail")


@dataclass(frozen=True)
class Training:
    """The folder written by ``student distil-transcripts``, with its model and seed."""

    model: str
    seed: int
    folder: Path


def write_tables(
    predictions: Sequence[str | Path],
    dataset: str,
    teacher: str,
    baselines: Sequence[str],
    baseline_metrics: Sequence[str | Path],
    student: str,
    training: Sequence[Training],
    replicates: int,
    seed: int,
    output: str | Path,
) -> None:
    """Compare all models, fitted with blocks at equal variance, and show their other fits as well.

    The strongest of ``baselines`` is chosen by its scores on validation rows, in ``baseline_metrics`` (output of
    'probe').

    Writes metrics.parquet, table.txt, .html and .tsv, scores.svg, and with ``training`` stability.tsv, training.svg;
    metrics.parquet then also has the rows of `stability_metrics`.

    table.tsv has the rows of metrics.parquet, without constant columns.
    """
    output = Path(output)
    given = read_predictions(predictions)
    scores = bootstrap_scores(given, replicates, seed)
    pairs = student_pairs(given, student)
    teacher, student = _fair(given, teacher), _fair(given, student)
    probed = pd.concat([read_table(path, METRICS) for path in baseline_metrics], ignore_index=True)
    baseline = best_baseline(probed, [_fair(given, name) for name in baselines])
    summary = summarise(scores, teacher, baseline, student, pairs=[*pairs.index])
    metrics = tabulate(given, scores, summary, dataset, bootstrap_scores(given, replicates, seed, BESIDE))
    runs = stability_table(training)
    kinds = given.drop_duplicates("name").set_index("name")["kind"].to_dict()
    whole = pd.concat([metrics, stability_metrics(runs, kinds, dataset)], ignore_index=True)
    write_table(output / "metrics.parquet", whole, METRICS)
    shown = whole[
        ["task", "metric", "model", "variant", "kind", "minus", "value", "low", "high", "n_trainings", "n_units"]
    ]
    write_tsv(output / "table.tsv", shown, digits=4)
    blocks = format_table(metrics, teacher, baseline, student)
    if len(pairs):
        blocks.append(format_pairs(summary, pairs))
    if left_out := read_left_out(predictions[0]):
        blocks.append("\n".join(f"{task}: {sentence}." for task, sentence in left_out.items()))
    draw_scores(summary, output / "scores.svg")
    if training:
        write_tsv(output / "stability.tsv", runs, digits=4)
        blocks.append(format_stability(runs))
        draw_training(
            [(run.model, path) for run in training if (path := run.folder / "training.tsv").is_file()],
            output / "training.svg",
        )
    write_answer(output / "table.txt", "Transcript encoders probed", blocks)


def _fair(predictions: pd.DataFrame, name: str) -> str:
    """The name of the model ``name`` with the fit used in comparisons: in blocks, or the only available fit."""
    variants = predictions.loc[predictions["name"] == name, "variant"].unique().tolist()
    return named(name, "fit=blocks" if "fit=blocks" in variants or not variants else variants[0])


def student_pairs(predictions: pd.DataFrame, student: str) -> pd.DataFrame:
    """Pairs of the student and every other student, trained or not, probed in the same way.

    Args:
        predictions: from `retained.read_predictions`.
        student: name of the model that is compared.

    Returns:
        Columns student, other (names) and variant; the index has both names with their variant.
    """
    models = predictions[["name", "kind", "variant", "model"]].drop_duplicates()
    models = models[models["kind"].isin(["student", "control"])]
    ours = models[models["name"] == student]
    both = ours.merge(models[models["name"] != student], on="variant", suffixes=("", "_other"))
    index = pd.MultiIndex.from_frame(both[["model", "model_other"]])
    names = {"name": "student", "name_other": "other"}
    return both.rename(columns=names)[["student", "other", "variant"]].set_index(index)


def format_pairs(summary: pd.DataFrame, pairs: pd.DataFrame) -> Table:
    """The student minus each other student, both probed alone and with baselines: one row per pair and way."""
    cells = summary[summary["metric"] == "own"].set_index(["model", "minus"])
    rows = []
    for (model, other), row in zip(pairs.index, pairs.itertuples(), strict=True):
        cell = cells.loc[(model, other)]
        interval = f"{cell['low']:+.3f} to {cell['high']:+.3f}"
        rows.append([f"{row.student} minus {row.other}", row.variant, f"{cell['value']:+.3f}", interval])
    return Table(["mean over tasks", "probe", "difference", "95 % interval"], rows)


def format_table(metrics: pd.DataFrame, teacher: str, baseline: str, student: str) -> list[str | Table]:
    """The rows of `retained.tabulate`: scores, intervals, retained fraction above the best baseline; and a legend."""
    metrics = metrics.assign(model=list(map(named, metrics["model"], metrics["variant"])))
    cells = metrics.set_index(["task", "model", "metric", "minus"]).sort_index()
    single = metrics[metrics["task"] != MEAN]
    tasks = list(dict.fromkeys(zip(single["task"], single["metric"], strict=True)))
    names = [task if metric in HEADLINE.values() else f"{task} {metric}" for task, metric in tasks]
    columns = ["model", "mean", "95 % interval", f"less {student}", "retained", "95 % interval", *names]
    rows = []
    for model in dict.fromkeys(metrics.loc[metrics["task"] == MEAN, "model"]):
        fraction = interval = apart = ""
        if model not in (teacher, baseline):
            row = cells.loc[(MEAN, model, "retained_fraction", "")]
            sound = not math.isnan(row["low"])
            fraction = f"{row['value']:.2f}" if sound else "-"
            interval = f"[{row['low']:.2f}, {row['high']:.2f}]" if sound else "undefined"
        if model != student:
            row = cells.loc[(MEAN, model, "own", student)]
            apart = f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        own = cells.loc[(MEAN, model, "own", "")]
        scores = [f"{cells.loc[(task, model, metric, ''), 'value']:.3f}" for task, metric in tasks]
        mean = [f"{own['value']:.3f}", f"[{own['low']:.3f}, {own['high']:.3f}]"]
        rows.append([model, *mean, apart, fraction, interval, *scores])
    legend = [
        "mean: over tasks, of Pearson's r (regression), AUROC (classes). Strongest baseline on validation rows: "
        f"{baseline}.",
        "fit: mrnabench, features without scaling; blocks, every block of features at equal variance, its weight and "
        "the "
        "penalty chosen by leave-one-out on training rows; with: the blocks of that baseline beside the model's "
        "embeddings.",
        "retained: (model - baseline) / (teacher - baseline); undefined unless the teacher is better than the "
        "strongest baseline.",
        "Intervals: paired bootstrap over homology groups of the test transcripts, splits and trainings.",
    ]
    return [Table(columns, rows), "\n".join(legend)]


def stability_table(training: Sequence[Training]) -> pd.DataFrame:
    """One row per training: model, seed, objective, whether and where it diverged, loss, spikes, gradient norms."""
    rows = []
    for run in training:
        stored = read_json(run.folder / "training.json")
        if "objective" not in stored:
            raise InputError(
                f"{run.folder / 'training.json'}: no 'objective'; written by an earlier version of genestill, so train "
                "the student again"
            )
        objective = stored.pop("objective")
        rows.append({"model": run.model, "seed": run.seed, "objective": objective, **stored})
    return pd.DataFrame(rows)


def _stability_by_student(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per trained student of `stability_table`: model, objective, n_trainings, n_units, `_STABILITY`."""
    columns = ["diverged", "final_loss", "loss_spikes", "gradient_norm_99", "gradient_norm_median"]
    runs = runs.reindex(columns=["model", "objective", "steps", *columns])
    trained = runs[runs["steps"] > 0].astype(dict.fromkeys(columns, float))
    tail = trained["gradient_norm_99"] / trained["gradient_norm_median"]
    of_student = trained.assign(tail=tail).groupby(["model", "objective"], sort=False, as_index=False)
    return of_student.agg(
        n_trainings=("steps", "size"),
        n_units=("steps", "sum"),
        diverged=("diverged", "count"),
        final_loss=("final_loss", "mean"),
        final_loss_deviation=("final_loss", "std"),
        loss_spikes=("loss_spikes", "sum"),
        gradient_norm_tail=("tail", "mean"),
    )


def stability_metrics(runs: pd.DataFrame, kinds: dict[str, str], dataset: str) -> pd.DataFrame:
    """Rows of `table_schemas.METRICS` of the task `TRAINING`, from `stability_table`: one row per student and metric.

    The metrics are ``diverged`` (trainings), ``final_loss`` and ``final_loss_deviation`` (mean and standard deviation
    over trainings), ``loss_spikes`` (in all trainings) and ``gradient_norm_tail`` (the 99th percentile of the gradient
    norms over their median, mean over trainings). ``n_units`` is the number of steps of all trainings. Untrained
    students have no rows. ``kinds`` are those of the probed models by name; a student that was not probed is a
    ``student``.
    """
    same = ["model", "n_trainings", "n_units"]
    rows = _stability_by_student(runs).melt(id_vars=same, value_vars=list(_STABILITY), var_name="metric")
    kind = [kinds.get(model, "student") for model in rows["model"]]
    return metrics_table(rows.assign(kind=kind), benchmark=BENCHMARK, dataset=dataset, task=TRAINING, stratum="all")


def format_stability(runs: pd.DataFrame) -> Table:
    """Per student: runs, diverged runs, spread of the final loss over seeds, spikes, tail of gradient norms."""
    rows = [
        [
            of.model,
            of.objective,
            str(of.n_trainings),
            str(of.diverged),
            f"{of.final_loss:.4f}" + (f" +- {of.final_loss_deviation:.4f}" if of.n_trainings > 1 else ""),
            f"{of.loss_spikes:.0f}",
            f"{of.gradient_norm_tail:.2f}",
        ]
        for of in _stability_by_student(runs).itertuples()
    ]
    columns = ["student", "objective", "runs", "diverged", "final loss", "spikes", "gradient 99 % / median"]
    return Table(columns, rows)
