"""What a student kept of its teacher, with paired bootstrap intervals.

kept = (student - baseline) / (teacher - baseline), each the mean over tasks of the headline metric (Pearson's r
or AUROC). The baseline is the best of the k-mer baselines, which need no model at all. A replicate draws homology
groups of each task with replacement, and split seeds with replacement; all models are scored on the same draw.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.probes.probe import HEADLINE
from genestill.ground.artefacts import PROBE_PREDICTIONS
from genestill.ground.errors import InputError
from genestill.ground.tables import read_metadata, read_table


def weighted_pearson(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's r [replicates] of float64 [rows] under row weights [replicates, rows]; 0 where a side is constant."""
    total = weights.sum(axis=1)
    x = predictions[None] - (weights @ predictions / total)[:, None]
    y = targets[None] - (weights @ targets / total)[:, None]
    spread = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    return np.divide((weights * x * y).sum(axis=1), spread, out=np.zeros_like(total, float), where=spread > 0)


def weighted_auroc(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC [replicates] under row weights [replicates, rows], ties counted half; NaN where a class has no weight."""
    _, place = np.unique(predictions, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    positive = np.add.reduceat((weights * targets)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - targets))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide((positive * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def bootstrap_scores(predictions: pd.DataFrame, replicates: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Headline metric of every (model, task): [1 + replicates], the first on the test rows as they are.

    Args:
        predictions: columns of `artefacts.PROBE_PREDICTIONS`; all models on the same rows of each (task, seed).
        replicates: bootstrap draws.
        seed: of the draws.

    Raises `InputError` if two models were probed on different rows.
    """
    scores: dict[str, dict[str, np.ndarray]] = {model: {} for model in predictions["model"].unique()}
    for number, (task, of_task) in enumerate(predictions.groupby("task", sort=True)):
        generator = np.random.default_rng((seed, number))
        seeds = np.sort(of_task["seed"].unique())
        groups = np.sort(of_task["group"].unique())
        draws = generator.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=replicates)
        draws = np.concatenate([np.ones((1, len(groups))), draws])
        seed_draws = generator.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=replicates)
        seed_draws = np.concatenate([np.ones((1, len(seeds))), seed_draws])
        totals = {model: np.zeros(replicates + 1) for model in scores}
        for column, split_seed in enumerate(seeds):
            of_seed = of_task[of_task["seed"] == split_seed]
            reference = None
            for model in scores:
                rows = of_seed[of_seed["model"] == model]
                if reference is None:
                    reference = rows["id"].tolist()
                    weights = draws[:, np.searchsorted(groups, rows["group"].to_numpy())]
                if rows["id"].tolist() != reference:
                    raise InputError(f"task {task}, seed {split_seed}: {model} was probed on other rows than the first")
                said, right = np.stack(rows["predictions"].tolist()), np.stack(rows["targets"].tolist())
                if HEADLINE[rows["kind"].iloc[0]] == "pearson":
                    values = weighted_pearson(said[:, 0], right[:, 0], weights)
                else:
                    flat = np.repeat(weights, right.shape[1], axis=1)  # micro average: all labels in one pool
                    values = weighted_auroc(said.ravel(), right.ravel(), flat)
                totals[model] += np.nan_to_num(values, nan=0.5) * seed_draws[:, column]
        for model in scores:
            scores[model][task] = totals[model] / seed_draws.sum(axis=1)
    return scores


def summarise(
    scores: dict[str, dict[str, np.ndarray]], teacher: str, baselines: Sequence[str], student: str, level: float = 0.95
) -> pd.DataFrame:
    """One row per model: mean, what is kept, differences to teacher, best baseline and ``student``, with intervals.

    kept_low and kept_high are NaN if in some replicate of the interval the teacher does not beat the best baseline: the
    ratio has no meaning there, which is a result too.
    """
    for name in (teacher, *baselines, student):
        if name not in scores:
            raise InputError(f"no predictions of {name!r}; found {', '.join(sorted(scores))}")
    means = {model: np.mean(list(tasks.values()), axis=0) for model, tasks in scores.items()}
    baseline_name = max(baselines, key=lambda name: means[name][0])
    baseline, best = means[baseline_name], means[teacher]
    tails = (50 * (1 - level), 100 - 50 * (1 - level))
    rows = []
    for model, mean in means.items():
        low, high = np.percentile(mean[1:], tails)
        apart = {}
        for name, other in (("teacher", best), ("baseline", baseline), ("student", means[student])):
            low_apart, high_apart = np.percentile((mean - other)[1:], tails)
            apart[f"minus_{name}"] = (mean - other)[0]
            apart |= {f"minus_{name}_low": low_apart, f"minus_{name}_high": high_apart}
        gap = best - baseline
        kept = (mean - baseline) / np.where(gap == 0, np.nan, gap)
        sound = np.percentile(gap[1:], tails[0]) > 0
        kept_low, kept_high = np.percentile(kept[1:], tails) if sound else (np.nan, np.nan)
        rows.append(
            {
                "model": model,
                "mean": mean[0],
                "mean_low": low,
                "mean_high": high,
                **apart,
                "kept": kept[0],
                "kept_low": kept_low,
                "kept_high": kept_high,
                "ratio_to_teacher": mean[0] / best[0],
                "baseline": baseline_name,
                **{task: values[0] for task, values in scores[model].items()},
            }
        )
    return pd.DataFrame(rows).sort_values("mean", ascending=False, ignore_index=True)


def merge_seeds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Name the runs of one student by its objective alone: ``name.seed3`` of all seeds becomes ``name``.

    Each training seed becomes further split seeds of that name; models without training seeds are repeated as often,
    so that the draws stay paired.
    """
    parts = predictions["model"].str.extract(r"^(.*?)(?:\.seed(\d+))?$")
    training = sorted(parts[1].dropna().astype(int).unique())
    if not training:
        return predictions
    merged = []
    for number in training:
        chosen = predictions[(parts[1].isna() | (parts[1] == str(number))).to_numpy()].copy()
        chosen["model"] = parts.loc[chosen.index, 0]
        chosen["seed"] = chosen["seed"] + number * 1_000_000
        merged.append(chosen)
    return pd.concat(merged, ignore_index=True)


def read_predictions(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The predictions of several models as one table."""
    return pd.concat([read_table(path, PROBE_PREDICTIONS) for path in paths], ignore_index=True)


def read_left_out(path: str | Path) -> dict[str, str]:
    """Task to the sentence that says which rows of its source it does not have; of tasks that lack some."""
    sentences = json.loads(read_metadata(path).get("left_out", "{}"))
    return {task: sentence for task, sentence in sentences.items() if sentence}
