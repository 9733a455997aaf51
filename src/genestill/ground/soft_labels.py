"""Soft labels in files: the most probable leaves of each sequence."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from genestill.ground.artefacts import SOFT_LABELS
from genestill.ground.errors import InputError
from genestill.ground.label_tree import LabelTree
from genestill.ground.tables import read_table, write_table

KEPT = 32  # leaves a sequence


def write_soft_labels(path: str | Path, ids: list[str], probabilities: np.ndarray, tree: LabelTree, metadata: dict):
    """Write the `KEPT` most probable leaves of each row of ``probabilities`` [n, leaves] (`artefacts.SOFT_LABELS`)."""
    kept = min(KEPT, probabilities.shape[1])
    best = np.argpartition(-probabilities, kept - 1, axis=1)[:, :kept]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(probabilities, best, 1), axis=1, kind="stable"), 1)
    table = pd.DataFrame(
        {
            "id": ids,
            "nodes": list(tree.leaves[best]),
            "probabilities": list(np.take_along_axis(probabilities, best, 1).astype(np.float32)),
        }
    )
    write_table(path, table, SOFT_LABELS, metadata)


def read_soft_labels(path: str | Path, ids: list[str], tree: LabelTree) -> sparse.csr_matrix:
    """Read soft labels as probabilities over the leaves of ``tree``: sparse [n, leaves], in the order of ``ids``.

    Raises `InputError` if the table is of other sequences or of another tree.
    """
    table = read_table(path, SOFT_LABELS)
    if table["id"].tolist() != ids:
        raise InputError(f"{path}: its sequences are not those of the index, in its order")
    leaf_of_node = np.full(len(tree), -1)
    leaf_of_node[tree.leaves] = np.arange(len(tree.leaves))
    nodes = np.concatenate(table["nodes"].to_list())
    if nodes.max() >= len(tree) or (leaf_of_node[nodes] < 0).any():
        raise InputError(f"{path}: names nodes that are not leaves of the label tree; is the tree that of another run?")
    counts = table["nodes"].map(len).to_numpy()
    rows = np.repeat(np.arange(len(ids)), counts)
    values = np.concatenate(table["probabilities"].to_list())
    return sparse.csr_matrix((values, (rows, leaf_of_node[nodes])), shape=(len(ids), len(tree.leaves)))
