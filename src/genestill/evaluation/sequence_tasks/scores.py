"""From tables of predictions to the tidy metrics with intervals, and to a table beside the published rows."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.sequence_tasks.metrics import METRICS, confusion, score
from genestill.ground.artefacts import TASK_PREDICTIONS
from genestill.ground.errors import InputError
from genestill.ground.tables import read_metadata, read_table

RESAMPLES = 1000
LEVEL = 0.95
MEAN = "mean of tasks"
_BLOCK = 250  # resamples held at a time


@dataclass(frozen=True)
class Run:
    """One model, fitted once (a seed and a fold), on the test rows of one task."""

    task: str
    model: str
    seed: int
    fold: int
    rows: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: int


def read_run(path: str | Path) -> Run:
    """A table of predictions; raises `InputError` if it mixes runs or has a label its classes do not."""
    table = read_table(path, TASK_PREDICTIONS)
    classes = json.loads(read_metadata(path).get("classes", "null"))
    if not classes or not len(table):
        raise InputError(f"{path}: no classes in its metadata, or no row; expected predictions of a task's test rows")
    keys = table[["task", "model", "seed", "fold"]].drop_duplicates()
    if len(keys) != 1:
        raise InputError(f"{path}: holds {len(keys)} runs; expected one")
    codes = {name: number for number, name in enumerate(classes)}
    for column in ("label", "predicted"):
        strange = sorted(set(table[column]) - set(codes))
        if strange:
            raise InputError(f"{path}: {column} {strange[0]!r} is none of the classes {', '.join(classes)}")
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    labels, predicted = (table[column].map(codes).to_numpy(dtype=np.int64)[order] for column in ("label", "predicted"))
    key = keys.iloc[0]
    rows = table["row"].to_numpy()[order]
    return Run(key["task"], key["model"], int(key["seed"]), int(key["fold"]), rows, labels, predicted, len(classes))


def score_runs(
    runs: list[Run], dataset: str, metric_of: dict[str, str], reference: str | None, seed: int
) -> pd.DataFrame:
    """The tidy table (``artefacts.METRICS``) of all runs.

    For every run MCC, F1 and accuracy (split ``test``, or ``test, fold k``). For every task and model the mean over
    its runs, with the ends of its 95 % interval as ``<metric>_low`` and ``<metric>_high`` (seed null): test rows are
    resampled, the same for all models, so that differences are paired. For every model the mean over tasks of each
    task's own metric (metric ``own``), and against ``reference`` the difference of that mean (``own_minus_reference``).

    Args:
        runs: tasks are named ``benchmark/task``.
        dataset: as it stands in the table.
        metric_of: metric of each task; MCC for tasks that it does not name.
        reference: model that the others are compared with, or None.
        seed: of the resampling.

    Raises:
        InputError: two models of a task saw different test rows, or a model lacks tasks that others have.
    """
    tasks = sorted({run.task for run in runs})
    models = sorted({run.model for run in runs})
    by_cell = defaultdict(list)
    for run in runs:
        by_cell[run.task, run.model].append(run)
    rows, own = [], {}
    for number, task in enumerate(tasks):
        _refuse_unequal_rows(task, [run for run in runs if run.task == task])
        metric_here = metric_of.get(task, "mcc")
        for model in models:
            cell = by_cell[task, model]
            if not cell:
                raise InputError(f"model {model!r} has no predictions for task {task!r}, others have")
            drawn = _resample(cell, np.random.default_rng([seed, number]))
            for metric in METRICS:
                values = [float(score(confusion(run.labels, run.predicted, run.classes), metric)[0]) for run in cell]
                for run, value in zip(cell, values, strict=True):
                    split = f"test, fold {run.fold}" if len({one.fold for one in cell}) > 1 else "test"
                    rows.append((task, model, split, run.seed, metric, value, len(run.rows)))
                rows += _summary(task, model, metric, float(np.mean(values)), drawn[metric], len(cell[0].rows))
                if metric == metric_here:
                    own[task, model] = (float(np.mean(values)), drawn[metric])
    for model in models:
        mean, drawn = _over_tasks(own, tasks, model)
        rows += _summary(MEAN, model, "own", mean, drawn, len(tasks))
        if reference in models and model != reference:
            other_mean, other = _over_tasks(own, tasks, reference)
            rows += _summary(MEAN, model, "own_minus_reference", mean - other_mean, drawn - other, len(tasks))
    table = pd.DataFrame(rows, columns=["task", "model", "split", "seed", "metric", "value", "n"])
    table["seed"] = table["seed"].astype("Int64")
    benchmarks = [task.split("/")[0] if task != MEAN else "all" for task in table["task"]]
    return table.assign(benchmark=benchmarks, dataset=dataset)


def tabulate_rows(scores: pd.DataFrame, published: pd.DataFrame, metric_of: dict[str, str]) -> pd.DataFrame:
    """One row a (task, model): measured rows with intervals, then published rows with their published spread.

    Returns columns task, metric, model, kind (``measured`` or ``published``), value, low, high, source. Published
    rows stand beside measured ones of the same task and are never averaged with them.
    """
    rows = []
    summary = scores[scores["seed"].isna()]
    cells = summary.set_index(["task", "model", "metric"])["value"]
    for task, model in dict.fromkeys(zip(summary["task"], summary["model"], strict=True)):
        metric = "own" if task == MEAN else metric_of.get(task, "mcc")
        value, low, high = (float(cells[task, model, metric + end]) for end in ("", "_low", "_high"))
        rows.append((task, metric, model, "measured", value, low, high, ""))
    for row in published.itertuples():
        if row.task in set(scores["task"]):
            half = row.spread / 2 if np.isfinite(row.spread) else np.nan
            ends = (row.value - half, row.value + half)
            rows.append(
                (row.task, row.metric, row.model, "published", row.value, *ends, f"{row.protocol}; {row.source}")
            )
    names = ["task", "metric", "model", "kind", "value", "low", "high", "source"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["task", "kind", "value"], ascending=[True, True, False], kind="stable", ignore_index=True)


def format_scores(scores: pd.DataFrame, metric_of: dict[str, str], reference: str | None) -> str:
    """The measured rows as text: a line a model, best mean first; mean, interval, less ``reference``, every task."""
    summary = scores[scores["seed"].isna()]
    cells = summary.set_index(["task", "model", "metric"])["value"]
    tasks = [task for task in dict.fromkeys(summary["task"]) if task != MEAN]

    def interval(model: str, metric: str) -> str:
        if (MEAN, model, metric) not in cells.index:
            return "-"
        value, low, high = (cells[MEAN, model, metric + end] for end in ("", "_low", "_high"))
        return f"{value:.3f} ({low:.3f} to {high:.3f})"

    models = sorted(dict.fromkeys(summary["model"]), key=lambda model: -cells[MEAN, model, "own"])
    lines = pd.DataFrame({"mean": [interval(model, "own") for model in models]}, index=models)
    if reference in models:
        lines[f"less {reference}"] = [interval(model, "own_minus_reference") for model in models]
    for task in tasks:
        metric = metric_of.get(task, "mcc")
        lines[f"{task}, {metric}"] = [f"{cells[task, model, metric]:.3f}" for model in models]
    return lines.to_string() + "\n\n95 % intervals over resampled test sequences\n"


def _resample(cell: list[Run], generator: np.random.Generator) -> dict[str, np.ndarray]:
    number = len(cell[0].rows)
    parts = defaultdict(list)
    for start in range(0, RESAMPLES, _BLOCK):
        size = min(_BLOCK, RESAMPLES - start)
        weights = generator.multinomial(number, np.full(number, 1 / number), size=size).astype(np.float64)
        matrices = [confusion(run.labels, run.predicted, run.classes, weights) for run in cell]
        for metric in METRICS:
            parts[metric].append(np.mean([score(matrix, metric) for matrix in matrices], axis=0))
    return {metric: np.concatenate(blocks) for metric, blocks in parts.items()}


def _over_tasks(own: dict, tasks: list[str], model: str) -> tuple[float, np.ndarray]:
    return (
        float(np.mean([own[task, model][0] for task in tasks])),
        np.mean([own[task, model][1] for task in tasks], axis=0),
    )


def _summary(task: str, model: str, metric: str, value: float, drawn: np.ndarray, number: int) -> list[tuple]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    named = ((metric, value), (f"{metric}_low", float(low)), (f"{metric}_high", float(high)))
    return [(task, model, "test", None, name, number_, number) for name, number_ in named]


def _refuse_unequal_rows(task: str, runs: list[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.rows, first.rows) or not np.array_equal(run.labels, first.labels):
            raise InputError(
                f"task {task!r}: {run.model!r} and {first.model!r} were tested on different rows; they cannot stand in "
                "one table"
            )
