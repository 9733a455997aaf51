"""Bootstrap intervals: clusters of rows (genomes, homology groups) are resampled, since their rows are not independent.

Genomes are drawn within their status, so that every resample has the same share of absent species, genera and families.
"""

import numpy as np

from genestill.evaluation.settings import IntervalSettings

RESAMPLES = IntervalSettings.resamples
LEVEL = 0.95
_BLOCK = 200  # resamples in memory at a time


def f1_score(correct, wrong, none):
    """2 P R / (P + R) with P = correct / (correct + wrong), R = correct / all; NaN without any contig."""
    correct, wrong, none = (np.asarray(value, dtype=np.float64) for value in (correct, wrong, none))
    both = 2 * correct + 2 * wrong + none  # (correct + wrong) + (correct + wrong + none)
    return np.divide(2 * correct, both, out=np.full_like(both, np.nan), where=both > 0)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole`` with broadcasting; NaN where ``whole`` is 0."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    return np.divide(part, whole, out=np.full(shape, np.nan), where=whole > 0)


def shares_by_presence(
    known_correct: np.ndarray, known: np.ndarray, absent_named: np.ndarray, absent: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics ``recall_known`` and ``absent_named`` of counts, or weights, of contigs; NaN without contigs.

    Args:
        known_correct, known: contigs whose taxon the reference has and that are named correctly, and all such contigs.
        absent_named, absent: contigs whose taxon is absent and that have a name, wrong or correct (of a model with
            another reference), and all such contigs.
    """
    return {"recall_known": ratio(known_correct, known), "absent_named": ratio(absent_named, absent)}


def resample_sums(
    values: np.ndarray, cluster: np.ndarray, resamples: int, seed: int, group: np.ndarray | None = None
) -> np.ndarray:
    """Sums of several values over the same resampled clusters, so that comparisons are paired.

    Args:
        values: float64 [n, k], k values of n contigs.
        cluster: int64 [n], number of each contig's cluster, 0 to g - 1.
        resamples: number of resamples; each draws as many clusters as there are, with replacement.
        seed: seed of the draws; the same seed and clusters give the same draws.
        group: int64 [g], clusters are drawn within these groups, as many as each group has; None: one group.

    Returns:
        float64 [resamples, k].
    """
    sums = sum_by_cluster(values, cluster, len(group) if group is not None else int(cluster.max()) + 1)
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, _BLOCK):
        stop = min(start + _BLOCK, resamples)
        drawn[start:stop] = draw_weights(generator, stop - start, len(sums), group) @ sums
    return drawn


def sum_by_cluster(values: np.ndarray, cluster: np.ndarray, clusters: int) -> np.ndarray:
    """Sums of ``values``, float [n, k], over the contigs of each cluster: float64 [clusters, k]."""
    sums = np.zeros((clusters, values.shape[1]))
    np.add.at(sums, cluster, values)
    return sums


def draw_weights(
    generator: np.random.Generator, resamples: int, clusters: int, group: np.ndarray | None = None
) -> np.ndarray:
    """Count of each cluster in each resample, drawn within its group: float64 [resamples, clusters]."""
    weights = np.empty((resamples, clusters))
    group = np.zeros(clusters, dtype=np.int64) if group is None else group
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        weights[:, members] = generator.multinomial(
            len(members), np.full(len(members), 1 / len(members)), size=resamples
        )
    return weights


def draw_shares(generator: np.random.Generator, resamples: int, owner: np.ndarray) -> np.ndarray:
    """Share of each training in the mean of its model, for trainings drawn with replacement within their model.

    ``owner`` int [trainings] are the numbers of the models, from 0. Returns float64 [resamples, trainings].
    """
    return draw_weights(generator, resamples, len(owner), owner) * equal_shares(owner)


def equal_shares(owner: np.ndarray) -> np.ndarray:
    """Share of each training in the mean of its model: float64 [1, trainings]; see `draw_shares`."""
    return 1 / np.bincount(owner)[owner][None]


def interval(drawn: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled values: (low, high)."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval_of_known(drawn: np.ndarray, level: float = LEVEL) -> tuple[float | None, float | None]:
    """`interval` of the values that are not NaN; (None, None) if there are none."""
    drawn = drawn[~np.isnan(drawn)]
    return interval(drawn, level) if len(drawn) else (None, None)


def mean_of_known(drawn: np.ndarray, axis: int) -> np.ndarray:
    """Mean over ``axis`` of the values that are not NaN; NaN if there are none."""
    known = ~np.isnan(drawn)
    return ratio(np.where(known, drawn, 0.0).sum(axis=axis), known.sum(axis=axis))
