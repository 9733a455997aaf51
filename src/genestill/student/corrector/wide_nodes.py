"""Probability that is spread evenly over all leaves below a node, stored as one column.

A label that ends at phylum gives the same probability to each of ten thousand leaves. In the matrices of this package,
the columns after those of the leaves are such wide nodes: an entry there is the node's probability, in equal shares for
its leaves. The leaves of a node are contiguous, and two nodes are either nested or disjoint.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from genestill.core.label_tree import LabelTree


def _none() -> np.ndarray:
    return np.empty(0, dtype=np.int64)


@dataclass
class WideNodes:
    """Wide nodes of a label tree with m leaves; the w nodes are the columns m, m + 1, ….

    Attributes (int64 [w]):
        nodes: the nodes of the tree, ascending.
        start, stop: the leaves of each node are ``start`` to ``stop`` - 1.
    """

    nodes: np.ndarray = field(default_factory=_none)
    start: np.ndarray = field(default_factory=_none)
    stop: np.ndarray = field(default_factory=_none)

    @classmethod
    def of(cls, tree: LabelTree, nodes: np.ndarray) -> "WideNodes":
        """The wide nodes ``nodes`` (ascending) of ``tree``."""
        return cls(nodes, tree.leaf_start[nodes].astype(np.int64), tree.leaf_stop[nodes].astype(np.int64))

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def size(self) -> np.ndarray:
        """Number of leaves of each node: int64 [w]."""
        return self.stop - self.start

    def widened(self, rows: sparse.csr_matrix, all_nodes: "WideNodes") -> sparse.csr_matrix:
        """Rows [n, m + w] with columns for ``all_nodes``, of which these are a subset: [n, m + len(all_nodes)]."""
        leaves = rows.shape[1] - len(self)
        column = np.append(np.arange(leaves), leaves + np.searchsorted(all_nodes.nodes, self.nodes))
        shape = (rows.shape[0], leaves + len(all_nodes))
        found = sparse.csr_matrix((rows.data, column[rows.indices], rows.indptr), shape=shape)
        found.sort_indices()
        return found

    def spread_row(self, columns: np.ndarray) -> np.ndarray:
        """Values of all columns, float [m + w], converted to values of the leaves: float64 [m]."""
        leaves = len(columns) - len(self)
        steps = np.zeros(leaves + 1)
        np.add.at(steps, self.start, columns[leaves:] / self.size)
        np.add.at(steps, self.stop, -columns[leaves:] / self.size)
        return columns[:leaves] + (np.cumsum(steps[:-1]) if len(self) else 0.0)

    def spread(self, rows: sparse.csr_matrix) -> np.ndarray:
        """Rows [n, m + w] converted to dense values of the leaves: float64 [n, m]. For few rows at a time."""
        leaves = rows.shape[1] - len(self)
        dense = rows[:, :leaves].toarray()
        entries = rows[:, leaves:].tocoo()
        if entries.nnz:
            steps = np.zeros((rows.shape[0], leaves + 1))
            share = entries.data / self.size[entries.col]
            np.add.at(steps, (entries.row, self.start[entries.col]), share)
            np.add.at(steps, (entries.row, self.stop[entries.col]), -share)
            dense += np.maximum(np.cumsum(steps, axis=1)[:, :-1], 0.0)
        return dense

    def containing(self, leaves: int) -> np.ndarray:
        """The wide nodes that contain each leaf, widest first, -1 after the last: int64 [leaves, depth]."""
        lists = np.full((leaves, 0), -1, dtype=np.int64)
        for node in np.argsort(-self.size, kind="stable"):
            inside = slice(self.start[node], self.stop[node])
            depth = int((lists[self.start[node]] >= 0).sum())
            if depth == lists.shape[1]:
                lists = np.hstack([lists, np.full((leaves, 1), -1, dtype=np.int64)])
            lists[inside, depth] = node
        return lists
