"""From probabilities over the leaves of a label tree to lineages, with a confidence at every rank and a reason."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from genestill.core.label_tree import LabelTree, running_totals
from genestill.core.lineage import RANKS
from genestill.core.memory import row_blocks
from genestill.core.table_schemas import rank_columns

_NOT_HELD = re.compile(r"probably an? (\w+) that the reference does not hold \([\d.]+\); nearest: (.*)")
_REFERENCE_ENDS = "the reference knows nothing below "


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
    """Turn leaf probabilities, float [n, leaves], into the table `table_schemas.PREDICTIONS`.

    The path goes from the root to the most probable known child, rank by rank, so that it is always one lineage of
    the tree; the confidence of a rank is the probability of its node. ``accepted`` counts the ranks whose confidence
    exceeds ``threshold``. In addition to its arguments, the function needs memory for one block of cumulative sums
    (`memory.BLOCK_BYTES`).
    """
    parts = [
        _predict_block(ids[block], probabilities[block], tree, threshold)
        for block in row_blocks(len(ids), 8 * (len(tree.leaves) + 1))
    ]
    return pd.concat(parts, ignore_index=True)


def _predict_block(ids: list[str], probabilities: np.ndarray, tree: LabelTree, threshold: float) -> pd.DataFrame:
    totals = running_totals(probabilities)
    rows = np.arange(len(ids))
    path, confidence = greedy_path(totals, tree)
    accepted = (confidence > threshold).cumprod(axis=1).sum(axis=1)
    deepest = np.maximum.accumulate(path, axis=1)[:, -1]
    lineages = [tree.lineage_of(int(node)) for node in deepest]
    stop = np.where(accepted > 0, path[rows, np.maximum(accepted, 1) - 1], 0)
    reasons = [
        None if count == len(RANKS) else _reason(totals[row], tree, int(node), threshold)
        for row, (count, node) in enumerate(zip(accepted, stop, strict=True))
    ]
    columns = {"id": ids, **rank_columns(lineages)}
    for rank, name in enumerate(RANKS):
        columns[f"confidence_{name}"] = confidence[:, rank].astype(np.float32)
    return pd.DataFrame({**columns, "accepted": accepted.astype(np.int8), "reason": reasons})


def greedy_path(totals: np.ndarray, tree: LabelTree) -> tuple[np.ndarray, np.ndarray]:
    """The most probable known child, rank by rank, from cumulative sums over the leaves (`running_totals`) [n, m + 1].

    Returns:
        The nodes int64 [n, 7] (0 below the end of the tree) and their probabilities float64 [n, 7].
    """
    path = np.zeros((len(totals), len(RANKS)), dtype=np.int64)
    confidence = np.zeros((len(totals), len(RANKS)))
    known = tree.children[~tree.is_other[tree.children]]
    start = np.searchsorted(tree.parent[known], np.arange(len(tree) + 1))
    rows, chosen = np.arange(len(totals)), np.zeros(len(totals), dtype=np.int64)
    for rank in range(len(RANKS)):
        # A path ends at a node without known children; other paths compare all children.
        count = start[chosen + 1] - start[chosen]
        rows, chosen, count = rows[count > 0], chosen[count > 0], count[count > 0]
        if len(rows) == 0:
            break
        first = np.cumsum(count) - count
        owner = np.repeat(np.arange(len(rows)), count)
        child = known[np.arange(len(owner)) - np.repeat(first - start[chosen], count)]
        belief = totals[rows[owner], tree.leaf_stop[child]] - totals[rows[owner], tree.leaf_start[child]]
        best = np.fmax.reduceat(belief, first)
        winners = np.flatnonzero(belief == np.repeat(best, count))
        # The first of equal children; none if all probabilities are NaN.
        decided, winner = np.unique(owner[winners], return_index=True)
        rows, chosen = rows[decided], child[winners[winner]].astype(np.int64)
        path[rows, rank], confidence[rows, rank] = chosen, best[decided]
    return path, np.clip(confidence, 0.0, 1.0)


def _reason(totals: np.ndarray, tree: LabelTree, node: int, threshold: float) -> str:
    """Why a lineage stops at ``node``, from the cumulative sums of one row: a sentence."""
    children = tree.children_of(node)
    if len(children) == 0:
        return f"{_REFERENCE_ENDS}{tree.name[node]}"
    rank = RANKS[tree.rank[children[0]] - 1]
    belief = totals[tree.leaf_stop[children]] - totals[tree.leaf_start[children]]
    is_other = tree.is_other[children]
    order = np.argsort(-belief, kind="stable")
    known = order[~is_other[order]]
    unknown = float(belief[is_other].sum())
    nearest, share = tree.name[children[known[0]]], belief[known[0]]
    if unknown >= share:
        return f"probably a {rank} that the reference does not hold ({unknown:.2f}); nearest: {nearest}"
    if len(known) > 1 and belief[known[1]] >= 0.5 * share:
        second = tree.name[children[known[1]]]
        return f"{rank} undecided: {nearest} ({share:.2f}) or {second} ({belief[known[1]]:.2f})"
    return f"not sure of the {rank} {nearest} ({share:.2f}, accepted above {threshold:.2f})"
