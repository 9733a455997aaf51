"""Intervals by resampling whole genomes: contigs of one genome share their fate and are no independent units."""

import numpy as np

from genestill.evaluation.settings import IntervalSettings

RESAMPLES = IntervalSettings.resamples
LEVEL = 0.95
_BLOCK = 200  # resamples held at a time


def f1_score(correct, wrong, none):
    """2 P R / (P + R) with P = correct / (correct + wrong), R = correct / all; 0 where nothing is correct."""
    correct, wrong, none = (np.asarray(value, dtype=np.float64) for value in (correct, wrong, none))
    both = 2 * correct + 2 * wrong + none  # (correct + wrong) + (correct + wrong + none)
    return np.divide(2 * correct, both, out=np.zeros_like(both), where=both > 0)


def resample_f1(
    correct: np.ndarray, wrong: np.ndarray, none: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """F1 of several scores on the same resampled clusters, so that their differences are paired.

    Args:
        correct, wrong, none: bool or counts [n, k], n contigs, k scores (models x ranks).
        cluster: int64 [n], number of each contig's cluster, 0 to g - 1.
        resamples: how many times g clusters are drawn with replacement.
        seed: of the draws.

    Returns:
        float64 [resamples, k].
    """
    groups = int(cluster.max()) + 1
    sums = np.zeros((3, groups, correct.shape[1]))
    for counts, values in zip(sums, (correct, wrong, none), strict=True):
        np.add.at(counts, cluster, values)
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, correct.shape[1]))
    for start in range(0, resamples, _BLOCK):
        stop = min(start + _BLOCK, resamples)
        weights = generator.multinomial(groups, np.full(groups, 1 / groups), size=stop - start).astype(np.float64)
        drawn[start:stop] = f1_score(*(weights @ counts for counts in sums))
    return drawn


def interval(drawn: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled values."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
