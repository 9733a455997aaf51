"""The overlap of two posteriors, leaf by leaf, with wide nodes among their columns."""

from typing import Any

import numpy as np
from scipy import sparse

from genestill.student.corrector.wide_nodes import WideNodes


class Overlap:
    """p(c) q(c) / prior(c) over the leaves c, for rows p and q of sparse matrices with wide nodes.

    Two columns overlap if one contains the other. Each row is summed once for the wide nodes that contain its entries,
    and then compared entry by entry: the leaves below a wide node are never listed per row.
    """

    def __init__(self, prior: np.ndarray, wide: WideNodes):
        leaves = len(prior)
        inverse = np.append(0.0, np.cumsum(1 / prior))
        inside = inverse[wide.stop] - inverse[wide.start]
        self.diagonal = np.append(1 / prior, inside / np.maximum(wide.size, 1) ** 2)
        self.up: Any = None
        if len(wide):
            around = wide.containing(leaves)
            column, place = np.nonzero(around >= 0)
            node = around[column, place]
            pairs = [(column, node, 1 / (prior[column] * wide.size[node]))]
            # A wide node is contained in all wider ones that contain its first leaf.
            for inner in range(len(wide)):
                outer = around[wide.start[inner]]
                outer = outer[: int(np.flatnonzero(outer == inner)[0])]
                share = inside[inner] / (wide.size[inner] * wide.size[outer])
                pairs.append((np.full(len(outer), leaves + inner), outer, share))
            rows, columns, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
            self.up = sparse.csr_matrix((values, (rows, leaves + columns)), shape=(leaves + len(wide),) * 2)

    def summed_up(self, rows: sparse.csr_matrix) -> sparse.csr_matrix | None:
        """Sums of ``rows`` for wide nodes, needed by `between`; None without wide nodes."""
        return None if self.up is None else (rows @ self.up).tocsr()

    def between(self, left, left_up, right, right_up) -> np.ndarray:
        """The overlap of the rows of ``left`` and ``right``, with the results of `summed_up` for both: float64 [n]."""
        found = left.multiply(right).tocsr() @ self.diagonal
        if self.up is not None:
            for part in (left_up.multiply(right), right_up.multiply(left)):
                found += np.asarray(part.sum(axis=1)).ravel()
        return found

    def product(self, left: sparse.csr_matrix, right: sparse.csr_matrix) -> sparse.csr_matrix:
        """p q / prior of the rows of ``left`` and ``right``: sparse float64 of their shape.

        For two nested wide nodes, the product is assigned to the inner one, in equal shares.
        """
        found = left.multiply(right).tocsr() @ sparse.diags(self.diagonal, format="csr")
        if self.up is not None:
            found = found + self._within(left, right) + self._within(right, left)
        return found.tocsr()

    def _within(self, inner: sparse.csr_matrix, outer: sparse.csr_matrix) -> sparse.csr_matrix:
        """Each entry of ``inner`` times those of ``outer`` at the wide nodes that contain its column."""
        entries, starts = inner.tocoo(), self.up.indptr
        around = np.diff(starts)[entries.col]
        gained = np.zeros(entries.nnz)
        for place in range(int(around.max(initial=0))):
            some = np.flatnonzero(around > place)
            step = starts[entries.col[some]] + place
            theirs = np.asarray(outer[entries.row[some], self.up.indices[step]]).ravel()
            gained[some] += self.up.data[step] * theirs
        return sparse.csr_matrix((entries.data * gained, (entries.row, entries.col)), shape=inner.shape)
