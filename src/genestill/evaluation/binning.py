"""Taxonomic binning as scored by CAMI: purity and completeness of taxa per rank, in base pairs and in sequences.

The definitions are those of AMBER 2 (Meyer et al. 2018, GigaScience; Meyer et al. 2021, Nature Protocols).
At a rank, only contigs whose true taxon has this rank are used. g, p and t are the size of a taxon among the true, the
predicted and the correctly predicted contigs, in base pairs or in sequences:

- purity = sum t / sum p; completeness = accuracy = sum t / sum g; binned = sum p / sum g;
- average purity = mean of t / p over predicted taxa; average completeness = mean of t / g over true taxa;
- F1 of the sample: of purity and completeness; F1 score: of the two averages;
- Rand indices over pairs of base pairs, or sequences, with both a true and a predicted taxon.

The filtered version removes the smallest predicted taxa that together have at most `TAIL` of the predicted base pairs,
as in CAMI: their purity is unknown, their completeness 0 (also for taxa that are not in the sample), and their contigs
are not binned.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genestill.core.lineage import RANKS

TAIL = 0.01  # AMBER's -p 1
UNITS = ("bp", "seq")
NO_TAXON = -1


@dataclass(frozen=True)
class Bins:
    """The taxa of one rank: true or predicted, or both.

    Attributes:
        true, predicted, correct: float64 [taxa], size in base pairs or sequences.
        kept: bool [taxa], whether the filter keeps the predicted taxon.
        both: sizes of every pair of a predicted and a true taxon: float64 [pairs].
        of_both: predicted taxon and true taxon of these pairs: int64 [pairs, 2].
    """

    true: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray
    kept: np.ndarray
    both: np.ndarray
    of_both: np.ndarray


def measure_binning(truth: np.ndarray, predicted: np.ndarray, length: np.ndarray) -> pd.DataFrame:
    """All metrics of one binning.

    Args:
        truth: int [n, 7], number of the true taxon of each contig at each rank; -1 for none.
        predicted: int [n, 7], the same for the predicted taxon, with the same numbers.
        length: int64 [n], base pairs.

    Returns:
        Columns rank, metric, unit (bp, seq), filtered (bool) and value (NaN if a metric is not defined: the standard
        error for one taxon, the purity without predictions).
    """
    rows = []
    for level, rank in enumerate(RANKS):
        known = truth[:, level] != NO_TAXON
        if not known.any():
            continue
        taxa, code = np.unique(np.concatenate([truth[known, level], predicted[known, level]]), return_inverse=True)
        true, called = np.split(code, 2)
        assigned = taxa[called] != NO_TAXON
        base_pairs = length[known].astype(np.float64)
        kept = _without_tail(np.bincount(called[assigned], base_pairs[assigned], len(taxa)))
        for unit in UNITS:
            weight = base_pairs if unit == "bp" else np.ones(len(base_pairs))
            bins = _bins(true, called, assigned, weight, kept)
            for filtered in (True, False):
                rows += [(rank, metric, unit, filtered, value) for metric, value in _metrics(bins, filtered).items()]
    return pd.DataFrame(rows, columns=["rank", "metric", "unit", "filtered", "value"])


def _without_tail(size: np.ndarray) -> np.ndarray:
    """Which predicted taxa are kept: the smallest are removed if they have at most `TAIL` of all base pairs."""
    order = np.argsort(size, kind="stable")
    share = np.cumsum(size[order]) / max(size.sum(), 1)
    kept = np.ones(len(size), dtype=bool)
    kept[order[share <= TAIL]] = False
    return kept


def _bins(true: np.ndarray, called: np.ndarray, assigned: np.ndarray, weight: np.ndarray, kept: np.ndarray) -> Bins:
    number = len(kept)
    pairs = np.stack([called[assigned], true[assigned]], axis=1)
    pairs, of_pair = np.unique(pairs, axis=0, return_inverse=True)
    right = assigned & (true == called)
    return Bins(
        np.bincount(true, weight, number),
        np.bincount(called[assigned], weight[assigned], number),
        np.bincount(true[right], weight[right], number),
        kept,
        np.bincount(of_pair.reshape(-1), weight[assigned], len(pairs)),
        pairs,
    )


def _metrics(bins: Bins, filtered: bool) -> dict[str, float]:
    kept = bins.kept if filtered else np.ones_like(bins.kept)
    named = bins.predicted > 0
    left_out = named & ~kept
    purity = bins.correct[named & kept] / bins.predicted[named & kept]
    true = bins.true > 0
    completeness = np.where(left_out, 0, bins.correct / np.where(true, bins.true, 1))[true | left_out]
    correct, predicted, total = bins.correct[kept].sum(), bins.predicted[kept].sum(), bins.true.sum()
    share_pure, share_complete = _ratio(correct, predicted), correct / total
    average_purity, average_completeness = _mean(purity), _mean(completeness)
    rand, adjusted = _rand_indices(bins, kept)
    return {
        "accuracy": share_complete,
        "completeness": share_complete,
        "purity": share_pure,
        "misclassification": 1 - share_pure,
        "binned": predicted / total,
        "f1_of_sample": _harmonic(share_pure, share_complete),
        "average_purity": average_purity,
        "average_purity_error": _standard_error(purity),
        "average_completeness": average_completeness,
        "average_completeness_error": _standard_error(completeness),
        "f1_score": _harmonic(average_purity, average_completeness),
        "rand_index": rand,
        "adjusted_rand_index": adjusted,
    }


def _rand_indices(bins: Bins, kept: np.ndarray) -> tuple[float, float]:
    """The Rand index and the adjusted one (Hubert and Arabie 1985) over contigs with both taxa."""
    inside = kept[bins.of_both[:, 0]]
    both, of_both = bins.both[inside], bins.of_both[inside]
    number = len(kept)
    pairs = _pairs(both).sum()
    of_predicted = _pairs(np.bincount(of_both[:, 0], both, number)).sum()
    of_true = _pairs(np.bincount(of_both[:, 1], both, number)).sum()
    of_all = _pairs(both.sum())
    if of_all == 0:
        return np.nan, np.nan
    chance = of_predicted * of_true / of_all
    most = (of_predicted + of_true) / 2
    rand = (of_all - of_predicted - of_true + 2 * pairs) / of_all
    # With one true and one predicted taxon, there are no pairs to distinguish.
    return rand, 1.0 if most == chance else (pairs - chance) / (most - chance)


def _pairs(size):
    return size * (size - 1) / 2


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _harmonic(one: float, other: float) -> float:
    return _ratio(2 * one * other, one + other)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
