"""The fraction of the teacher's performance that a student retains, with paired bootstrap intervals.

retained fraction = (student - baseline) / (teacher - baseline), each the mean over tasks of the headline metric
(Pearson's r or AUROC), all fitted with blocks at equal variance. The baseline is the one with the highest score on
validation rows. A replicate draws homology groups, split seeds and trainings with replacement, jointly for all tasks,
because tasks share transcripts; all models are scored on the same draw.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.kinds import named
from genestill.core.table_schemas import PROBE_PREDICTIONS, metrics_table
from genestill.core.tables import read_metadata, read_table
from genestill.evaluation.bootstrap import LEVEL, draw_weights, interval_of_known, mean_of_known, ratio
from genestill.evaluation.probes.probe import BESIDE, HEADLINE

BENCHMARK = "mrnabench-protocol"
MEAN = "mean of tasks"


def weighted_pearson(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's r [replicates] of float64 [rows] with row weights [replicates, rows].

    0 if one side is constant, NaN if no row has a weight.
    """
    total = weights.sum(axis=1).astype(np.float64)
    some = np.where(total > 0, total, np.nan)
    x = predictions[None] - (weights @ predictions / some)[:, None]
    y = targets[None] - (weights @ targets / some)[:, None]
    spread = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    start = np.where(total > 0, 0.0, np.nan)
    return np.divide((weights * x * y).sum(axis=1), spread, out=start, where=spread > 0)


def weighted_auroc(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC [replicates] with row weights [replicates, rows], ties count half; NaN if a class has no weight."""
    _, place = np.unique(predictions, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    positive = np.add.reduceat((weights * targets)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - targets))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide((positive * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def weighted_average_precision(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision (AUPRC) [replicates] with row weights [replicates, rows]; NaN if class 1 has no weight.

    Equal predictions are one threshold, as in scikit-learn.
    """
    _, place = np.unique(-predictions, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    positive = np.add.reduceat((weights * targets)[:, order], starts, axis=1)
    taken = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
    found = np.cumsum(positive, axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    total = found[:, -1]
    return np.divide((positive * precision).sum(axis=1), total, out=np.full(len(weights), np.nan), where=total > 0)


_SCORES = {"pearson": weighted_pearson, "auroc": weighted_auroc, "auprc": weighted_average_precision}


def bootstrap_scores(
    predictions: pd.DataFrame, replicates: int, seed: int, metrics: dict[str, str] = HEADLINE
) -> dict[str, dict[str, np.ndarray]]:
    """One metric of every (model, task): float64 [1 + replicates], the first for the test rows without resampling.

    Args:
        predictions: columns of `table_schemas.PROBE_PREDICTIONS`; all models have the same rows of each (task, seed).
            The score of a model that was trained several times (column ``training``) is the mean over its trainings.
        replicates: number of bootstrap replicates.
        seed: seed of the draws.
        metrics: metric for each kind of task; by default the headline metrics. Tasks of other kinds are left out.

    A replicate without rows of a task, or without rows of a class, is NaN.

    Raises `InputError` if two models were probed on different rows, or two were trained with different seeds, and if a
    model lacks a task or split seed of another one.
    """
    scores: dict[str, dict[str, np.ndarray]] = {model: {} for model in predictions["model"].unique()}
    trainings = np.sort(predictions["training"].dropna().astype(int).unique())
    _require_same_trainings(predictions, trainings)
    _require_same_probes(predictions)
    of_training = _joint_draws(trainings, replicates, np.random.default_rng((seed, -1 % 2**32)))
    generator = np.random.default_rng((seed, 0))
    of_group = _joint_draws(np.sort(predictions["group"].unique()), replicates, generator)
    of_split = _joint_draws(np.sort(predictions["seed"].unique()), replicates, generator)
    for task, of_task in predictions.groupby("task", sort=True):
        metric = metrics.get(of_task["task_kind"].iloc[0])
        if metric is None:
            continue
        seeds = np.sort(of_task["seed"].unique())
        groups = np.sort(of_task["group"].unique())
        draws = np.column_stack([of_group[group] for group in groups])
        totals = {model: np.zeros((2, replicates + 1)) for model in of_task["model"].unique()}
        for split_seed in seeds:
            reference = None
            of_seed = of_task[of_task["seed"] == split_seed].groupby(["model", "training"], sort=False, dropna=False)
            for (model, training), rows in of_seed:
                if reference is None:
                    reference = rows["id"].tolist()
                    weights = draws[:, np.searchsorted(groups, rows["group"].to_numpy())]
                if rows["id"].tolist() != reference:
                    raise InputError(
                        f"task {task}, seed {split_seed}: {model} was probed on other rows than the first model"
                    )
                said, right = np.stack(rows["predictions"].tolist()), np.stack(rows["targets"].tolist())
                flat = np.repeat(weights, right.shape[1], axis=1)  # micro average: all labels in one pool
                values = _SCORES[metric](said.ravel(), right.ravel(), flat)
                share = 1.0 if pd.isna(training) else of_training[int(training)] / len(trainings)
                weight = np.where(np.isnan(values), 0.0, of_split[split_seed] * share)
                totals[model] += [np.nan_to_num(values) * weight, weight]
        for model, (total, weight) in totals.items():
            scores[model][task] = ratio(total, weight)
    return scores


def _joint_draws(units: np.ndarray, replicates: int, generator: np.random.Generator) -> dict[int, np.ndarray]:
    """Bootstrap weights of each unit, float64 [1 + replicates]; the first is 1, for the value without resampling."""
    draws = draw_weights(generator, replicates, len(units))
    whole = np.concatenate([np.ones((1, len(units))), draws])
    return dict(zip(units.tolist(), whole.T, strict=True))


def _require_same_probes(predictions: pd.DataFrame) -> None:
    probes = predictions[["model", "training", "task", "seed"]].drop_duplicates()
    wanted = set(map(tuple, probes[["task", "seed"]].to_numpy().tolist()))
    for (model, _), found in probes.groupby(["model", "training"], dropna=False):
        missing = sorted(wanted - set(map(tuple, found[["task", "seed"]].to_numpy().tolist())))
        if missing:
            raise InputError(f"{model} was not probed on the task {missing[0][0]} with the split seed {missing[0][1]}")


def _require_same_trainings(predictions: pd.DataFrame, trainings: np.ndarray) -> None:
    known = predictions[predictions["training"].notna()]
    for model, seeds in known.groupby("model")["training"]:
        if missing := sorted(set(trainings.tolist()) - set(seeds.astype(int))):
            raise InputError(f"{model} was not trained with seed {missing[0]}, but other models were")


def best_baseline(metrics: pd.DataFrame, baselines: Sequence[str]) -> str:
    """The baseline with the highest mean over tasks of its headline metric on validation rows.

    Args:
        metrics: tables of `table_schemas.METRICS` of the probes.
        baselines: models with their variant.

    Raises `InputError` if one was not probed, or lacks a task of another one.
    """
    chosen = metrics[(metrics["stratum"] == "validation") & metrics["metric"].isin(set(HEADLINE.values()))]
    chosen = chosen.assign(named=list(map(named, chosen["model"], chosen["variant"])))
    # Constant predictions have no correlation.
    scores = chosen.assign(value=chosen["value"].fillna(0.0)).groupby(["named", "task"])["value"].mean().unstack("task")
    for name in baselines:
        if name not in scores.index:
            raise InputError(f"no metrics of {name!r}; found {', '.join(sorted(scores.index))}")
        if (missing := scores.columns[scores.loc[name].isna()]).size:
            raise InputError(f"{name} was not probed on the task {missing[0]}")
    return max(baselines, key=scores.mean(axis=1).__getitem__)


def summarise(
    scores: dict[str, dict[str, np.ndarray]],
    teacher: str,
    baseline: str,
    student: str,
    level: float = LEVEL,
    pairs: Sequence[tuple[str, str]] = (),
) -> pd.DataFrame:
    """Means over tasks, best first: columns task, metric, model, minus, value, low, high as in `table_schemas.METRICS`.

    For each model the mean of each task's own metric (metric ``own``), the same minus that of teacher, baseline and
    student, ``retained_fraction``, and ``ratio_to_teacher`` (without interval); and for each of ``pairs`` the first
    minus the second. ``retained_fraction`` is null unless the teacher is better than the baseline, and its interval
    unless this holds in all replicates, because the ratio is not meaningful otherwise.
    """
    for name in (teacher, baseline, student):
        if name not in scores:
            raise InputError(f"no predictions of {name!r}; found {', '.join(sorted(scores))}")
    means = {model: mean_of_known(np.stack(list(tasks.values())), axis=0) for model, tasks in scores.items()}
    gap = means[teacher] - means[baseline]
    lowest, _ = interval_of_known(gap[1:], level)
    sound = lowest is not None and lowest > 0
    rows = []
    for model in sorted(means, key=lambda model: -means[model][0]):
        mean = means[model]
        rows.append(_row(model, "own", mean, level))
        others = [teacher, baseline, student, *(second for first, second in pairs if first == model)]
        for other in dict.fromkeys(others):
            if other != model:
                rows.append(_row(model, "own", mean - means[other], level) | {"minus": other})
        fraction = (mean - means[baseline]) / np.where(gap == 0 if sound else gap <= 0, np.nan, gap)
        rows.append(_row(model, "retained_fraction", fraction, level if sound else None))
        rows.append(_row(model, "ratio_to_teacher", mean / means[teacher], None))
    return pd.DataFrame(rows)


def _row(model: str, metric: str, drawn: np.ndarray, level: float | None, task: str = MEAN) -> dict:
    """A row from ``drawn``: the value, then its replicates; without a level there is no interval."""
    low, high = interval_of_known(drawn[1:], level) if level else (None, None)
    row = {"task": task, "metric": metric, "model": model, "minus": ""}
    return row | {"value": drawn[0], "low": low, "high": high}


def tabulate(
    predictions: pd.DataFrame,
    scores: dict[str, dict[str, np.ndarray]],
    summary: pd.DataFrame,
    dataset: str,
    beside: dict[str, dict[str, np.ndarray]] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """The table of `table_schemas.METRICS`: ``summary`` and the headline metric of each task, for every model.

    Args:
        predictions: the predictions from which ``scores`` were computed.
        scores: from `bootstrap_scores`.
        summary: from `summarise`.
        dataset: name of the data set.
        beside: from `bootstrap_scores` with the metrics `BESIDE`.
        level: level of the intervals of single tasks.
    """
    of_task = predictions.groupby("task", sort=True)
    kinds, units, groups = of_task["task_kind"].first(), of_task["id"].nunique(), of_task["group"].nunique()
    rows = [
        _row(model, names[kinds[task]], drawn, level, task) | {"n_units": units[task], "n_clusters": groups[task]}
        for names, found in ((HEADLINE, scores), (BESIDE, beside or {}))
        for model in found
        for task, drawn in found[model].items()
    ]
    means = summary.assign(n_units=len(kinds), n_clusters=predictions["group"].nunique())
    table = pd.concat([means, pd.DataFrame(rows)], ignore_index=True)
    models = predictions.groupby("model").agg(
        kind=("kind", "first"),
        n_trainings=("training", "nunique"),
        name=("name", "first"),
        variant=("variant", "first"),
    )
    table = table.join(models, on="model").assign(model=lambda joined: joined["name"]).drop(columns="name")
    return metrics_table(table, benchmark=BENCHMARK, dataset=dataset, stratum="test")


def read_predictions(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The predictions of several models as one table; ``model`` is the ``name`` with the variant."""
    table = pd.concat([read_table(path, PROBE_PREDICTIONS) for path in paths], ignore_index=True)
    table["name"] = table["model"]
    table["model"] = list(map(named, table["name"], table["variant"]))
    return table


def read_left_out(path: str | Path) -> dict[str, str]:
    """Task -> sentence about the rows of its source that were left out, for tasks with such rows."""
    sentences = json.loads(read_metadata(path).get("left_out", "{}"))
    return {task: sentence for task, sentence in sentences.items() if sentence}
