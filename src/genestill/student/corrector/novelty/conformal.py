"""Distribution-free thresholds and intervals from cases with known truth."""

from itertools import pairwise

import numpy as np


def threshold(scores: np.ndarray, absent: np.ndarray, rate: float) -> float:
    """The score above which cases are called absent, so that at most a share of ``rate`` of the calls is false.

    The share of false calls among all calls is averaged over n samples, each with k cases. The result is the lowest
    threshold above which (n average + 1) / (n + 1) is always within ``rate``. Then the expected share in a further
    exchangeable sample is also within ``rate`` (conformal risk control, Angelopoulos et al. 2024, ICLR).

    Args:
        scores: float64 [n, k]; NaN for a case that is not in a sample.
        absent: bool [n, k], whether the case is absent.
        rate: between 0 and 1.

    Returns:
        The threshold; infinite if no call is safe or there is no case, minus infinity if all calls are safe.
    """
    samples = len(scores)
    sample, case = np.nonzero(~np.isnan(scores))
    if not len(case):
        return float("inf")
    order = np.argsort(-scores[sample, case], kind="stable")
    sample, case = sample[order], case[order]
    falling = scores[sample, case]
    called, false = np.zeros(samples), np.zeros(samples)
    starts = np.flatnonzero(np.diff(falling, prepend=np.inf, append=-np.inf))
    for start, stop in pairwise(starts):
        some = slice(start, stop)
        np.add.at(called, sample[some], 1.0)
        np.add.at(false, sample[some], ~absent[sample[some], case[some]])
        if ((false / np.maximum(called, 1)).sum() + 1) / (samples + 1) > rate:
            return float(falling[start]) if start else float("inf")
    return float("-inf") if 1 / (samples + 1) <= rate else float("inf")


def half_width(errors: np.ndarray, level: float) -> float:
    """The half width of an interval for a further error with probability ``level``, from absolute ``errors`` [n].

    The ⌈(n + 1) level⌉-th smallest: split conformal prediction (Lei et al. 2018, doi 10.1080/01621459.2017.1307116).
    Infinite if n is too small for the level.
    """
    rank = int(np.ceil((len(errors) + 1) * level - 1e-9))
    return float(np.sort(errors)[rank - 1]) if 0 < rank <= len(errors) else float("inf")
