"""Calibration metrics of confidences."""

import numpy as np
import pandas as pd

BINS = 15


def reliability(confidence: np.ndarray, correct: np.ndarray, adaptive: bool = False, bins: int = BINS) -> pd.DataFrame:
    """Mean confidence and share of correct calls per bin; empty bins are left out.

    Args:
        confidence: float [n], between 0 and 1.
        correct: bool [n].
        adaptive: bins with equal numbers of calls instead of equal width (Nixon et al. 2019, CVPR workshops).
        bins: number of bins.

    Returns:
        Columns low, high (of the confidences in the bin), confidence, accuracy, n.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    if adaptive:
        order = np.argsort(confidence, kind="stable")
        number = np.empty(len(confidence), dtype=np.int64)
        number[order] = np.arange(len(confidence)) * bins // max(1, len(confidence))
    else:
        # A confidence equal to an edge belongs to the lower bin, as in Guo et al. 2017 (ICML), eq. 3.
        number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    table = pd.DataFrame({"bin": number, "confidence": confidence, "correct": np.asarray(correct, dtype=np.float64)})
    groups = table.groupby("bin")
    return pd.DataFrame(
        {
            "low": groups["confidence"].min(),
            "high": groups["confidence"].max(),
            "confidence": groups["confidence"].mean(),
            "accuracy": groups["correct"].mean(),
            "n": groups.size(),
        }
    ).reset_index(drop=True)


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, adaptive: bool = False, bins: int = BINS
) -> float | None:
    """Mean difference of confidence and accuracy over bins, weighted by their size; None without calls."""
    table = reliability(confidence, correct, adaptive, bins)
    if table.empty:
        return None
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["n"]))


def sweep(confidence: np.ndarray, correct: np.ndarray, total: int) -> pd.DataFrame:
    """Precision, recall and coverage at every threshold, from the strictest to the loosest.

    ``total`` is the number of contigs with a true lineage, called or not: recall is correct / total, coverage is
    called / total. Calls of equal confidence are accepted together. The threshold is the lowest accepted confidence.
    """
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    score = np.asarray(confidence, dtype=np.float64)[order]
    right = np.cumsum(np.asarray(correct, dtype=np.int64)[order])
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.zeros(0, dtype=np.int64)
    called = last + 1
    return pd.DataFrame(
        {
            "threshold": score[last],
            "precision": right[last] / np.maximum(called, 1),
            "recall": right[last] / max(total, 1),
            "coverage": called / max(total, 1),
        }
    )


def area_under_precision_recall(curve: pd.DataFrame) -> float:
    """Average precision of a `sweep`: sum of precision times the increase of recall, without interpolation.

    Recall that no threshold reaches has precision 0.
    """
    steps = np.diff(curve["recall"].to_numpy(), prepend=0.0)
    return float((steps * curve["precision"].to_numpy()).sum())
