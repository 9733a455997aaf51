"""MCC, F1 and accuracy from confusion matrices, so that thousands of resamples need one matrix product."""

import numpy as np

from genestill.core.errors import InputError
from genestill.core.kinds import TASK_METRICS


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Confusion matrices.

    Args:
        labels, predicted: int [n].
        classes: number of classes C.
        weights: float [r, n], count of each row in each of r resamples; None counts each row once.

    Returns:
        float64 [r, C, C] (r = 1 without weights), labels by predictions.
    """
    cell = labels * classes + predicted
    if weights is None:
        return np.bincount(cell, minlength=classes**2).astype(np.float64).reshape(1, classes, classes)
    onehot = np.zeros((len(cell), classes**2))
    onehot[np.arange(len(cell)), cell] = 1
    return (weights @ onehot).reshape(-1, classes, classes)


def score(matrices: np.ndarray, metric: str) -> np.ndarray:
    """Metric of each confusion matrix.

    ``mcc``: Matthews correlation coefficient, for several classes as in Gorodkin 2004 (as in scikit-learn, 0 if a
    denominator is 0). ``f1``: of the last class if there are two classes, else the mean over classes. ``accuracy``:
    share of correct predictions.

    Args:
        matrices: float [r, C, C], labels by predictions.
        metric: one of `kinds.TASK_METRICS`.

    Returns:
        float64 [r].
    """
    diagonal = np.trace(matrices, axis1=1, axis2=2)
    total = matrices.sum(axis=(1, 2))
    true, guessed = matrices.sum(axis=2), matrices.sum(axis=1)
    if metric == "accuracy":
        return _ratio(diagonal, total)
    if metric == "f1":
        hits = np.diagonal(matrices, axis1=1, axis2=2)
        each = _ratio(2 * hits, true + guessed)
        return each[:, -1] if matrices.shape[1] == 2 else each.mean(axis=1)
    if metric == "mcc":
        covariance = diagonal * total - (true * guessed).sum(axis=1)
        spread = (total**2 - (guessed**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
        return _ratio(covariance, np.sqrt(spread.clip(0)))
    raise InputError(f"metric is {metric!r}; expected one of {', '.join(TASK_METRICS)}")


def measure(labels: np.ndarray, predicted: np.ndarray, classes: int, metric: str) -> float:
    """`score` of predicted classes; ``labels`` and ``predicted`` are int [n]."""
    return float(score(confusion(labels, predicted, classes), metric)[0])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)
