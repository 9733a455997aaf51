"""From probabilities over the leaves of a label tree to lineages, with a confidence at every rank and a reason."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from genestill.core.label_tree import LabelTree, running_totals
from genestill.core.lineage import RANKS
from genestill.core.memory import row_blocks

_NOT_HELD = re.compile(r"probably an? (\w+) that the reference does not hold \([\d.]+\); nearest: (.*)")
_REFERENCE_ENDS = "the reference has no names below "


@dataclass(frozen=True)
class Stop:
    """Why a lineage stops above species.

    Attributes:
        kind: ``absent`` (the reference probably lacks its ``rank``), ``ends`` (the reference has no names below),
            ``undecided``, or ``""`` without a reason.
        rank: the rank that is absent.
        nearest: the most similar name of that rank in the reference.
    """

    kind: str = ""
    rank: str = ""
    nearest: str = ""


def read_reason(reason: str | None) -> Stop:
    """Parse a cell of the column ``reason`` of a table of predictions."""
    if not isinstance(reason, str) or not reason:
        return Stop()
    if found := _NOT_HELD.fullmatch(reason):
        return Stop("absent", *found.groups())
    return Stop("ends" if reason.startswith(_REFERENCE_ENDS) else "undecided")


def predictions_of(ids: list[str], probabilities: np.ndarray, tree: LabelTree, threshold: float) -> pd.DataFrame:
    """Turn leaf probabilities, float [n, leaves], into the table `table_schemas.PREDICTIONS`."""
    return accept(lineage_probabilities(ids, probabilities, tree), threshold)


def lineage_probabilities(ids: list[str], probabilities: np.ndarray, tree: LabelTree) -> pd.DataFrame:
    """Turn leaf probabilities, float [n, leaves], into the table `table_schemas.LINEAGE_PROBABILITIES`.

    The lineage goes from the root to the most probable known child, rank by rank; the confidence of a rank is the
    probability of its node. In addition to its arguments, the function needs memory for one block of cumulative sums
    (`memory.BLOCK_BYTES`).
    """
    parts = [
        _block_of_probabilities(ids[block], probabilities[block], tree)
        for block in row_blocks(len(ids), 8 * (len(tree.leaves) + 1))
    ]
    return pd.concat(parts, ignore_index=True)


def _block_of_probabilities(ids: list[str], probabilities: np.ndarray, tree: LabelTree) -> pd.DataFrame:
    path = greedy_path(running_totals(probabilities), tree)
    names = np.array([None, *tree.name[1:]], dtype=object)
    columns: dict[str, list | np.ndarray] = {"id": ids}
    for what, nodes in (("", path.node), ("second_", path.second)):
        columns |= {f"{what}{rank}": names[nodes[:, place]] for place, rank in enumerate(RANKS)}
    for what, shares in (
        ("confidence", path.confidence),
        ("second_confidence", path.second_confidence),
        ("absent", path.absent),
    ):
        columns |= {f"{what}_{rank}": shares[:, place].astype(np.float32) for place, rank in enumerate(RANKS)}
    return pd.DataFrame(columns)


def accept(probabilities: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Decide which names of the table `table_schemas.LINEAGE_PROBABILITIES` are accepted.

    Returns:
        The table `table_schemas.PREDICTIONS`: ``accepted`` counts the ranks, from domain downwards, whose confidence
        exceeds ``threshold``.
    """
    rows = np.arange(len(probabilities))

    def at_ranks(what: str) -> np.ndarray:
        return probabilities[[f"{what}{rank}" for rank in RANKS]].to_numpy()

    names, confidence = at_ranks(""), at_ranks("confidence_")
    accepted = (confidence.astype(np.float64) > threshold).cumprod(axis=1).sum(axis=1)
    # The rank at which a lineage stops; of complete lineages, any.
    stop = np.minimum(accepted, len(RANKS) - 1)
    above = np.where(accepted > 0, names[rows, np.maximum(accepted, 1) - 1], "root")
    of_above = np.where(accepted > 0, confidence[rows, np.maximum(accepted, 1) - 1], 1.0)
    absent = at_ranks("absent_")[rows, stop]
    shares = zip(
        *(part[rows, stop] for part in (names, confidence)),
        absent,
        of_above - absent,
        *(at_ranks(what)[rows, stop] for what in ("second_", "second_confidence_")),
        strict=True,
    )
    reasons = [
        None if count == len(RANKS) else _reason(RANKS[count], name, share, threshold)
        for count, name, share in zip(accepted, above, shares, strict=True)
    ]
    kept = probabilities[["id", *RANKS, *(f"confidence_{rank}" for rank in RANKS)]]
    return kept.assign(accepted=accepted.astype(np.int8), reason=reasons)


class GreedyPath(NamedTuple):
    """The most probable known child, rank by rank, and the shares of its siblings; arrays [n, 7].

    Attributes:
        node: int64, the nodes; 0 below the end of the tree.
        confidence: float64, their probabilities.
        second: int64, the second most probable known sibling; 0 for none.
        second_confidence: float64, its probability.
        absent: float64, the probability of the "other" siblings.
    """

    node: np.ndarray
    confidence: np.ndarray
    second: np.ndarray
    second_confidence: np.ndarray
    absent: np.ndarray


def greedy_path(totals: np.ndarray, tree: LabelTree) -> GreedyPath:
    """The most probable known child, rank by rank, from cumulative sums over leaves (`running_totals`) [n, m + 1]."""
    shape = (len(totals), len(RANKS))
    path = GreedyPath(*(np.zeros(shape, dtype) for dtype in (np.int64, np.float64, np.int64, np.float64, np.float64)))
    known, others = (tree.children[tree.is_other[tree.children] == other] for other in (False, True))
    start, start_of_others = (np.searchsorted(tree.parent[some], np.arange(len(tree) + 1)) for some in (known, others))
    rows, chosen = np.arange(len(totals)), np.zeros(len(totals), dtype=np.int64)

    def share(rows: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        return totals[rows, tree.leaf_stop[nodes]] - totals[rows, tree.leaf_start[nodes]]

    for rank in range(len(RANKS)):
        # A path ends at a node without known children; other paths compare all children.
        count = start[chosen + 1] - start[chosen]
        rows, chosen, count = rows[count > 0], chosen[count > 0], count[count > 0]
        if len(rows) == 0:
            break
        first = np.cumsum(count) - count
        owner = np.repeat(np.arange(len(rows)), count)
        child = known[np.arange(len(owner)) - np.repeat(first - start[chosen], count)]
        belief = share(rows[owner], child)
        decided, winner = _first_largest(belief, first, count, owner)
        with_other = start_of_others[chosen + 1] > start_of_others[chosen]
        other = others[start_of_others[chosen[with_other]]]
        path.absent[rows[with_other], rank] = share(rows[with_other], other)
        path.confidence[rows[decided], rank] = belief[winner]
        belief[winner] = -1.0
        several, second = _first_largest(belief, first, count, owner)
        several, second = several[count[several] > 1], second[count[several] > 1]
        path.second[rows[several], rank] = child[second]
        path.second_confidence[rows[several], rank] = belief[second]
        rows, chosen = rows[decided], child[winner].astype(np.int64)
        path.node[rows, rank] = chosen
    return path._replace(confidence=np.clip(path.confidence, 0.0, 1.0))


def _first_largest(
    values: np.ndarray, first: np.ndarray, count: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each owner with a largest value, and the index of the first of these; none if all its values are NaN."""
    best = np.fmax.reduceat(values, first)
    winners = np.flatnonzero(values == np.repeat(best, count))
    decided, index = np.unique(owner[winners], return_index=True)
    return decided, winners[index]


def _reason(rank: str, above: str, shares: tuple, threshold: float) -> str:
    """Why a lineage stops below ``above``: a sentence.

    ``shares`` are, at ``rank``, the best name and its probability, the probabilities that the taxon is absent and that
    it is any known one, and the second best name and its probability.
    """
    name, share, absent, present, second, second_share = shares
    if not isinstance(name, str):  # pandas has NaN for missing text
        return f"{_REFERENCE_ENDS}{above}"
    if absent >= present:
        article = "an" if rank[0] in "aeiou" else "a"
        return f"probably {article} {rank} that the reference does not hold ({absent:.2f}); nearest: {name}"
    if isinstance(second, str) and second_share >= 0.5 * share:
        return f"{rank} undecided: {name} ({share:.2f}) or {second} ({second_share:.2f})"
    return f"low confidence in the {rank} {name} ({share:.2f}, accepted above {threshold:.2f})"
