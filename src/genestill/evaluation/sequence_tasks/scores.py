"""From tables of predictions to tidy metrics with intervals, and to a table with published rows."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.kinds import TASK_METRICS, named
from genestill.core.logs import logger
from genestill.core.table_schemas import TASK_PREDICTIONS, metrics_table
from genestill.core.tables import read_metadata, read_table, read_tsv
from genestill.core.task_metrics import confusion, measure, score
from genestill.core.task_tables import variant_of
from genestill.evaluation.bootstrap import draw_shares, draw_weights, interval
from genestill.evaluation.pages import Table

RESAMPLES = 1000
MEAN = "mean of tasks"
CLEAN = "clean"  # stratum of the test rows without a copy in training
TEST_ROWS = ("row", "group", "copy")
FEW_GROUPS = 10  # with fewer groups of test rows, percentile intervals are too narrow
_BLOCK = 250  # resamples in memory at a time


@dataclass(frozen=True)
class Run:
    """One model, fitted once (a seed and a fold), with its predictions for the test rows of one task.

    ``variant`` is how it was fitted, if there are several ways (``fit=probe``); ``kind`` is one of `kinds.KINDS`;
    ``held_out`` is the score of a baseline on held-out training rows; ``training`` the number of the training of the
    model, which may be fitted several times: by default, every seed is a separate training. ``groups`` are the numbers
    of the groups of the rows, int64 [rows], from 0; None if the rows are independent.
    """

    task: str
    model: str
    variant: str
    kind: str
    seed: int
    fold: int
    rows: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: int
    held_out: float | None = None
    training: int | None = None
    groups: np.ndarray | None = None

    @property
    def trained(self) -> int:
        """The number of its training; a teacher is trained once."""
        if self.kind == "teacher":
            return 1
        return self.seed if self.training is None else self.training

    @property
    def name(self) -> str:
        """The model with its variant."""
        return named(self.model, self.variant)

    @property
    def fit(self) -> str:
        """How it was fitted; empty for a model with only one way of fitting."""
        return _parts(self.variant).get("fit", "")

    @property
    def fitted_rows(self) -> int | None:
        """Number of training rows on which it was fitted; None for all."""
        rows = _parts(self.variant).get("rows")
        return int(rows) if rows else None

    @property
    def name_of_all_rows(self) -> str:
        """The name of the same model fitted on all training rows."""
        return named(self.model, variant_of(self.fit, None))


@dataclass(frozen=True)
class Question:
    """A comparison of two models that is specified before the run: the mean over tasks of one minus that of the other.

    Attributes:
        name: name of the question, the stratum of its answers.
        model: a model; each way of fitting it, and each number of training rows, gives an answer.
        minus: the other model, fitted in the same way if there are several; or `recipes.STRONGEST_BASELINE`.
        rows_factor: ratio of the training rows of the other model.
        tasks: tasks of the mean; empty for all tasks to which the model was fitted.
        fit: how the model was fitted; empty for all ways.
        minus_fit: how the other model was fitted; empty for the same way.
    """

    name: str
    model: str
    minus: str
    rows_factor: int = 1
    tasks: tuple[str, ...] = ()
    fit: str = ""
    minus_fit: str = ""


def _parts(variant: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in variant.split(", ") if part)


def read_run(path: str | Path) -> Run:
    """A table of predictions; raises `InputError` if it contains several runs or labels that are not classes."""
    table = read_table(path, TASK_PREDICTIONS)
    metadata = read_metadata(path)
    classes, held_out, training = (
        json.loads(metadata.get(name, "null")) for name in ("classes", "held_out", "training")
    )
    if not classes or not len(table):
        raise InputError(
            f"{path}: has no classes in its metadata, or no rows; expected predictions of a task's test rows"
        )
    keys = table[["task", "model", "variant", "kind", "seed", "fold"]].drop_duplicates()
    if len(keys) != 1:
        raise InputError(f"{path}: contains {len(keys)} runs; expected one")
    codes = {name: number for number, name in enumerate(classes)}
    for column in ("label", "predicted"):
        strange = sorted(set(table[column]) - set(codes))
        if strange:
            raise InputError(f"{path}: {column} {strange[0]!r} is not one of the classes {', '.join(classes)}")
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    labels, predicted = (table[column].map(codes).to_numpy(dtype=np.int64)[order] for column in ("label", "predicted"))
    key = keys.iloc[0]
    rows = table["row"].to_numpy()[order]
    who = (key["task"], key["model"], key["variant"] or "", key["kind"], int(key["seed"]), int(key["fold"]))
    return Run(*who, rows, labels, predicted, len(classes), held_out, training)


def read_test_rows(path: str | Path) -> pd.DataFrame:
    """The table of test rows of `pipeline.write_rows`: columns row (int64), group and copy."""
    return read_tsv(path, TEST_ROWS).astype({"row": np.int64})


def with_groups(run: Run, test_rows: pd.DataFrame) -> Run:
    """``run`` with the groups of its rows in the column ``group``; without groups if the column is empty.

    Raises `InputError` if a row of the run is not in the table.
    """
    group_of = test_rows.set_index("row")["group"]
    missing = np.setdiff1d(run.rows, group_of.index)
    if len(missing):
        raise InputError(
            f"task {run.task!r}: {run.name!r} was tested on the row {missing[0]}, which is not a test row of the task"
        )
    groups = group_of.loc[run.rows]
    if (groups == "").all():
        return run
    return dataclasses.replace(run, groups=pd.factorize(groups)[0])


def without_copies(run: Run, test_rows: pd.DataFrame | None) -> Run | None:
    """``run`` without the test rows that have a ``copy``; None if copies are unknown or few rows remain.

    There are too few rows if a class of the test rows has fewer than two.
    """
    if test_rows is None:
        return None
    kept = ~np.isin(run.rows, test_rows.loc[test_rows["copy"] != "", "row"])
    counts = np.bincount(run.labels[kept], minlength=run.classes)
    if (counts[np.unique(run.labels)] < 2).any():
        return None
    parts = {name: getattr(run, name)[kept] for name in ("rows", "labels", "predicted")}
    if run.groups is not None:
        parts["groups"] = pd.factorize(run.groups[kept])[0]
    return dataclasses.replace(run, **parts)


def strongest_baseline(runs: list[Run]) -> str:
    """The name of the baseline with the highest mean over tasks of its score on held-out training rows.

    Raises `InputError` if no run has such a score.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.held_out is not None:
            found[run.model][run.task].append(run.held_out)
    if not found:
        raise InputError("no baseline was scored on held-out training rows, so the strongest one is not known")
    means = {name: float(np.mean([np.mean(one) for one in tasks.values()])) for name, tasks in found.items()}
    for name, mean in means.items():
        logger.info("%s: %.3f on held-out training rows, mean over tasks", name, mean)
    return max(means, key=means.__getitem__)


def score_runs(
    runs: list[Run],
    dataset: str,
    metric_of: dict[str, str],
    reference: str | None,
    seed: int,
    questions: Sequence[Question] = (),
) -> pd.DataFrame:
    """The tidy table (``table_schemas.METRICS``) of all runs.

    For every run MCC, F1 and accuracy (stratum ``test``, the run's seed, and its fold if there are several). For every
    task and model the mean over its runs with its 95 % interval (seed and fold null). Differences are paired: test rows
    (or their groups, within the most frequent class of each) are resampled jointly for all models, and trainings, by
    their number, jointly for all tasks and for all models with as many trainings.

    For every model the mean over tasks of each task's own metric (task ``mean of tasks``, metric ``own``), and the same
    minus that of ``reference`` fitted on the same number of training rows; then the answers to ``questions``. If ways
    of fitting have different tasks, there is a mean over those of each (stratum ``fit=…``), for all models with these
    tasks.

    Args:
        runs: tasks are named ``benchmark/task``.
        dataset: name in the table.
        metric_of: metric of each task; MCC for other tasks.
        reference: model with which the others are compared (`Run.name_of_all_rows`), or None.
        seed: seed of the resampling.
        questions: questions about the means over tasks; a question without two such models is left out, with a warning.

    Raises:
        InputError: two models of a task have different test rows, or a model lacks tasks of other models that were
            fitted in the same way.
    """
    tasks = sorted({run.task for run in runs})
    models = {run.name: run for run in sorted(runs, key=lambda run: run.name)}
    by_cell = defaultdict(list)
    for run in runs:
        by_cell[run.task, run.name].append(run)
    tasks_of = {name: [task for task in tasks if by_cell.get((task, name))] for name in models}
    tested = {run.task: _independent_rows(run) for run in runs}
    groups = _groups(models, tasks, tasks_of)
    rows, own = [], {}
    for number, task in enumerate(tasks):
        of_task = [run for run in runs if run.task == task]
        _refuse_unequal_rows(task, of_task)
        if of_task[0].groups is not None and tested[task] < FEW_GROUPS:
            logger.warning(
                "%s: the test rows are of %d groups; with so few, intervals are too narrow", task, tested[task]
            )
        metric_here = metric_of.get(task, "mcc")
        for name, model in models.items():
            if task not in tasks_of[name]:
                continue
            cell = by_cell[task, name]
            drawn = _resample(cell, np.random.default_rng([seed, number]), _drawn_runs(cell, seed))
            several = len({one.fold for one in cell}) > 1
            for metric in TASK_METRICS:
                values = [measure(run.labels, run.predicted, run.classes, metric) for run in cell]
                for run, value in zip(cell, values, strict=True):
                    row = _row(task, model, metric, value, len(run.rows), 1)
                    rows.append(row | {"seed": run.seed, "fold": run.fold if several else None})
                mean, units = float(np.mean(values)), len(cell[0].rows)
                rows.append(
                    _row(task, model, metric, mean, units, _trainings(cell)) | _interval(drawn[metric], tested[task])
                )
                if metric == metric_here:
                    own[task, name] = (mean, drawn[metric])
    for stratum, group in groups.items():
        inside = {name: model for name, model in models.items() if set(group) <= set(tasks_of[name])}
        for name, model in inside.items():
            trainings = max(_trainings(by_cell[task, name]) for task in group)
            mean, means = _over_tasks(own, group, name)
            resampled = sum(tested[task] for task in group)
            row = _row(MEAN, model, "own", mean, len(group), trainings) | _interval(means, resampled)
            rows.append(row | {"stratum": stratum})
            for other in inside.values():
                same_rows = other.fitted_rows == model.fitted_rows
                if other.name_of_all_rows == reference and same_rows and other.name != name:
                    rows.append(_difference(own, tested, group, model, other, trainings) | {"stratum": stratum})
    for question in questions:
        answers = []
        for model, other in _pairs(question, list(models.values())):
            asked = [task for task in tasks_of[model.name] if not question.tasks or task in question.tasks]
            if asked and set(asked) <= set(tasks_of[other.name]):
                trainings = min(_trainings(by_cell[task, name]) for task in asked for name in (model.name, other.name))
                answers.append(_difference(own, tested, asked, model, other, trainings) | {"stratum": question.name})
        if not answers:
            logger.warning(
                "question %s is left out: there are no predictions of both %s and %s",
                question.name,
                question.model,
                question.minus,
            )
        rows += answers
    return metrics_table(rows, dataset=dataset)


def _groups(models: dict[str, Run], tasks: list[str], tasks_of: dict[str, list[str]]) -> dict[str, list[str]]:
    """Tasks of means, by stratum: those of each way of fitting, or one group if all ways have the same tasks.

    Raises `InputError` for a model that lacks tasks of its group.
    """
    fits: dict[str, set[str]] = {}
    for name, model in models.items():
        if model.fit:
            fits.setdefault(model.fit, set()).update(tasks_of[name])
    found: dict[tuple[str, ...], list[str]] = {}
    for fit, some in sorted(fits.items()):
        found.setdefault(tuple(task for task in tasks if task in some), []).append(fit)
    if len(found) < 2:
        found = {tuple(tasks): []}
    for name, model in models.items():
        expected = fits.get(model.fit) if len(found) > 1 else set(tasks)
        expected = expected or min((set(group) for group in found), key=lambda group: len(group - set(tasks_of[name])))
        if missing := sorted(expected - set(tasks_of[name])):
            raise InputError(f"model {name!r} has no predictions for task {missing[0]!r}, but others have")
    return {f"fit={' and '.join(fits)}" if fits else "test": list(group) for group, fits in found.items()}


def _pairs(question: Question, models: list[Run]) -> Iterator[tuple[Run, Run]]:
    for model in models:
        if model.model != question.model or question.fit not in ("", model.fit):
            continue
        rows = model.fitted_rows
        if question.rows_factor > 1:
            if rows is None:
                continue
            rows *= question.rows_factor
        for other in models:
            fits = ("", question.minus_fit or model.fit)
            if other.model == question.minus and other.fitted_rows == rows and other.fit in fits and other is not model:
                yield model, other


def _difference(own: dict, tested: dict[str, int], tasks: list[str], model: Run, other: Run, trainings: int) -> dict:
    (mean, drawn), (other_mean, other_drawn) = (_over_tasks(own, tasks, run.name) for run in (model, other))
    difference = _row(MEAN, model, "own", mean - other_mean, len(tasks), trainings)
    return difference | {"minus": other.name} | _interval(drawn - other_drawn, sum(tested[task] for task in tasks))


def tabulate_answers(scores: pd.DataFrame, questions: Sequence[Question]) -> pd.DataFrame:
    """The answers in the order of ``questions``, one row each.

    Columns question, test_rows (``all``, or ``clean``: those without a copy in training), model, minus, value, low,
    high, n_trainings (the smaller number of the two models), n_tasks, answer (``above``, ``below`` or ``inconclusive``,
    depending on the 95 % interval).
    """
    answers = scores[(scores["stratum"] != "test") & (scores["task"] == MEAN)]
    rows = []
    strata = [(one.name, kind, name) for one in questions for kind, name in (
        ("all", one.name), (CLEAN, f"{CLEAN}, {one.name}"))]  # fmt: skip
    for question, kind, stratum in strata:
        for row in answers[answers["stratum"] == stratum].itertuples():
            side = "above" if row.low > 0 else "below" if row.high < 0 else "inconclusive"
            model = named(row.model, row.variant)
            numbers = (row.value, row.low, row.high, row.n_trainings, row.n_units)
            rows.append((question, kind, model, row.minus, *numbers, side))
    names = ["question", "test_rows", "model", "minus", "value", "low", "high", "n_trainings", "n_tasks", "answer"]
    return pd.DataFrame(rows, columns=names)


def summary_of(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows about all runs of a model, with its ``name``, in order."""
    shown = (scores["stratum"] == "test") | scores["stratum"].str.startswith("fit=")
    summary = scores[scores["seed"].isna() & shown]
    return summary.assign(name=[named(*pair) for pair in zip(summary["model"], summary["variant"], strict=True)])


def tabulate_rows(scores: pd.DataFrame, published: pd.DataFrame, metric_of: dict[str, str]) -> pd.DataFrame:
    """One row per (task, model): measured rows with intervals, then published rows with their published spread.

    Returns columns task, metric, model (with its variant), kind (empty for published rows), origin (``measured`` or
    ``published``), value, low, high, source. Published rows are shown with measured ones of the same task and are never
    averaged with them.
    """
    rows = []
    summary = summary_of(scores)
    for row in summary.itertuples():
        shown = "own" if row.task == MEAN else metric_of.get(row.task, "mcc")
        if row.minus or row.metric != shown:
            continue
        measured = (row.name, row.kind, "measured", row.value, row.low, row.high, "")
        rows.append((row.task if row.stratum == "test" else f"{row.task}, {row.stratum}", row.metric, *measured))
    for row in published.itertuples():
        if row.task in set(scores["task"]):
            half = row.spread / 2 if np.isfinite(row.spread) else np.nan
            ends = (row.value - half, row.value + half)
            rows.append(
                (row.task, row.metric, row.model, "", "published", row.value, *ends, f"{row.protocol}; {row.source}")
            )
    names = ["task", "metric", "model", "kind", "origin", "value", "low", "high", "source"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(
        ["task", "origin", "value"], ascending=[True, True, False], kind="stable", ignore_index=True
    )


def format_scores(scores: pd.DataFrame, metric_of: dict[str, str], reference: str | None) -> list[Table]:
    """The measured rows, one per model, best mean first: mean, interval, mean minus ``reference``, every task.

    One table per group of tasks of the means.
    """
    summary = summary_of(scores)
    tables = []
    for stratum in dict.fromkeys(summary.loc[summary["task"] == MEAN, "stratum"]):
        names = set(summary.loc[(summary["task"] == MEAN) & (summary["stratum"] == stratum), "name"])
        here = (summary["task"] != MEAN) | (summary["stratum"] == stratum)
        title = "" if stratum == "test" else f"tasks of {stratum}"
        tables.append(_table_of(summary[here & summary["name"].isin(names)], metric_of, reference, title))
    return tables


def _table_of(summary: pd.DataFrame, metric_of: dict[str, str], reference: str | None, title: str) -> Table:
    cells = summary.set_index(["task", "name", "metric", "minus"]).sort_index()
    less = summary[(summary["task"] == MEAN) & (summary["minus"] != "")].set_index("name")["minus"]
    of_all = summary.groupby("task")["name"].nunique() == summary["name"].nunique()
    named = [task for task in dict.fromkeys(summary["task"]) if task != MEAN and of_all[task]]
    tasks = {task: metric_of.get(task, "mcc") for task in named}

    def interval(model: str, minus: str = "") -> str:
        if (MEAN, model, "own", minus) not in cells.index:
            return "-"
        row = cells.loc[(MEAN, model, "own", minus)]
        return f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"

    models = sorted(dict.fromkeys(summary["name"]), key=lambda model: -cells.loc[(MEAN, model, "own", ""), "value"])
    rows = [
        [
            model,
            interval(model),
            *([interval(model, less.get(model, "none"))] if len(less) else []),
            *(f"{cells.loc[(task, model, metric, ''), 'value']:.3f}" for task, metric in tasks.items()),
        ]
        for model in models
    ]
    names = [f"{task}, {metric}" for task, metric in tasks.items()]
    return Table(["model", "mean", *([f"less {reference}"] if len(less) else []), *names], rows, title)


def _trainings(cell: list[Run]) -> int:
    return len({run.trained for run in cell})


def _in_order(cell: list[Run]) -> list[Run]:
    return sorted(cell, key=lambda run: (run.seed, run.fold))


def _drawn_runs(cell: list[Run], seed: int) -> np.ndarray:
    """Share of the runs of a model in resamples, float64 [RESAMPLES, runs], in the order of seed and fold.

    Trainings are drawn with replacement, and then the runs of each; the same for all tasks, and for all models with as
    many trainings and runs, whose trainings of the same number have the same seed.
    """
    trained = np.array([run.trained for run in _in_order(cell)])
    runs, training = len(trained), np.unique(trained, return_inverse=True)[1]
    trainings = int(training.max()) + 1
    drawn = draw_weights(np.random.default_rng([seed, trainings, 1]), RESAMPLES, trainings)[:, training] / trainings
    if trainings == runs:
        return drawn
    return drawn * draw_shares(np.random.default_rng([seed, runs, 2]), RESAMPLES, training)


def _resample(cell: list[Run], generator: np.random.Generator, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric for resampled test rows and runs, float64 [RESAMPLES]; ``drawn`` is the result of `_drawn_runs`."""
    cell = _in_order(cell)
    number, groups = _independent_rows(cell[0]), cell[0].groups
    class_of = None if groups is None else _class_of_groups(groups, cell[0].labels)
    parts = defaultdict(list)
    for start in range(0, RESAMPLES, _BLOCK):
        size = min(_BLOCK, RESAMPLES - start)
        weights = draw_weights(generator, size, number, class_of)
        weights = weights if groups is None else weights[:, groups]
        matrices = [confusion(run.labels, run.predicted, run.classes, weights) for run in cell]
        for metric in TASK_METRICS:
            values = np.stack([score(matrix, metric) for matrix in matrices], axis=1)
            parts[metric].append((values * drawn[start : start + size]).sum(axis=1))
    return {metric: np.concatenate(blocks) for metric, blocks in parts.items()}


def _independent_rows(run: Run) -> int:
    """Number of groups of test rows; of rows, if there are no groups."""
    return len(run.rows) if run.groups is None else int(run.groups.max()) + 1


def _class_of_groups(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The most frequent class of each group, int64 [groups]."""
    counts = np.zeros((groups.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    return counts.argmax(axis=1)


def _over_tasks(own: dict, tasks: list[str], model: str) -> tuple[float, np.ndarray]:
    return (
        float(np.mean([own[task, model][0] for task in tasks])),
        np.mean([own[task, model][1] for task in tasks], axis=0),
    )


def _row(task: str, model: Run, metric: str, value: float, units: int, trainings: int) -> dict:
    return {
        "benchmark": "all" if task == MEAN else task.split("/")[0],
        "task": task,
        "stratum": "test",
        "metric": metric,
        "model": model.model,
        "kind": model.kind,
        "variant": model.variant,
        "value": value,
        "n_units": units,
        "n_trainings": trainings,
    }


def _interval(drawn: np.ndarray, clusters: int) -> dict:
    low, high = interval(drawn)
    return {"low": low, "high": high, "n_clusters": clusters}


def _refuse_unequal_rows(task: str, runs: list[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.rows, first.rows) or not np.array_equal(run.labels, first.labels):
            raise InputError(
                f"task {task!r}: {run.name!r} and {first.name!r} were tested on different rows, so they cannot be "
                "in one table"
            )
