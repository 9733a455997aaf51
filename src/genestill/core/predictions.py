"""From probabilities over the leaves of a label tree to lineages with a confidence at every rank and a reason."""

import numpy as np
import pandas as pd

from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS
from genestill.core.table_schemas import rank_columns

ROWS_AT_ONCE = 4096


def predictions_of(ids: list[str], probabilities: np.ndarray, tree: LabelTree, threshold: float) -> pd.DataFrame:
    """Turn leaf probabilities [n, leaves] into the table `table_schemas.PREDICTIONS`.

    The path goes from the root to the most probable known child, rank by rank, so that it is always one lineage of
    the tree; the confidence of a rank is the probability of its node. ``accepted`` counts the ranks whose confidence
    exceeds ``threshold``.
    """
    parts = [
        _predict_block(ids[start : start + ROWS_AT_ONCE], probabilities[start : start + ROWS_AT_ONCE], tree, threshold)
        for start in range(0, len(ids), ROWS_AT_ONCE)
    ]
    return pd.concat(parts, ignore_index=True)


def _predict_block(ids: list[str], probabilities: np.ndarray, tree: LabelTree, threshold: float) -> pd.DataFrame:
    belief = tree.node_probabilities(probabilities)
    rows = np.arange(len(ids))
    path, confidence = greedy_path(belief, tree)
    accepted = (confidence > threshold).cumprod(axis=1).sum(axis=1)
    deepest = np.maximum.accumulate(path, axis=1)[:, -1]
    lineages = [tree.lineage_of(int(node)) for node in deepest]
    stop = np.where(accepted > 0, path[rows, np.maximum(accepted, 1) - 1], 0)
    reasons = [
        None if count == len(RANKS) else _reason(belief[row], tree, int(node), threshold)
        for row, (count, node) in enumerate(zip(accepted, stop, strict=True))
    ]
    columns = {"id": ids, **rank_columns(lineages)}
    for rank, name in enumerate(RANKS):
        columns[f"confidence_{name}"] = confidence[:, rank].astype(np.float32)
    return pd.DataFrame({**columns, "accepted": accepted.astype(np.int8), "reason": reasons})


def greedy_path(belief: np.ndarray, tree: LabelTree) -> tuple[np.ndarray, np.ndarray]:
    """The most probable known child, rank by rank: nodes int64 [n, 7] (0 where the tree ends) and beliefs [n, 7]."""
    contigs = len(belief)
    rows = np.arange(contigs)
    chosen = np.zeros(contigs, dtype=np.int64)
    path, confidence = np.zeros((contigs, len(RANKS)), dtype=np.int64), np.zeros((contigs, len(RANKS)))
    for rank in range(len(RANKS)):
        nodes = np.flatnonzero((tree.rank == rank + 1) & ~tree.is_other)
        if len(nodes) == 0:
            break
        child = tree.parent[nodes][None, :] == chosen[:, None]
        candidates = np.where(child, belief[:, nodes], -1.0)
        best = candidates.argmax(axis=1)
        exists = candidates[rows, best] >= 0
        # A path that has ended stays ended: no node has -1 as its parent but the root.
        chosen = np.where(exists, nodes[best], -2)
        path[:, rank] = np.where(exists, nodes[best], 0)
        confidence[:, rank] = np.where(exists, candidates[rows, best], 0.0)
    return path, np.clip(confidence, 0.0, 1.0)


def _reason(belief: np.ndarray, tree: LabelTree, node: int, threshold: float) -> str:
    """Why a lineage stops at ``node``: a sentence."""
    children = np.flatnonzero(tree.parent == node)
    if len(children) == 0:
        return f"the reference knows nothing below {tree.name[node]}"
    rank = RANKS[tree.rank[children[0]] - 1]
    order = children[np.argsort(-belief[children], kind="stable")]
    known = [child for child in order if not tree.is_other[child]]
    unknown = float(belief[children[tree.is_other[children]]].sum())
    if unknown >= belief[known[0]]:
        return f"probably a {rank} that the reference does not hold ({unknown:.2f}); nearest: {tree.name[known[0]]}"
    if len(known) > 1 and belief[known[1]] >= 0.5 * belief[known[0]]:
        first, second = known[:2]
        return (
            f"{rank} undecided: {tree.name[first]} ({belief[first]:.2f}) or {tree.name[second]} ({belief[second]:.2f})"
        )
    return f"not sure of the {rank} {tree.name[known[0]]} ({belief[known[0]]:.2f}, accepted above {threshold:.2f})"
