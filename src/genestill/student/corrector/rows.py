"""Rows of sparse matrices: changes in sorted columns, the largest entries, scaling to sums of one."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from genestill.core.memory import row_blocks


def changes(*columns: np.ndarray) -> np.ndarray:
    """Where a row of sorted columns differs from the previous row, True for the first row: bool [n]."""
    changed = np.ones(len(columns[0]), dtype=bool)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return changed


def largest_of_rows(row: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """Positions of the ``most`` largest values of each row, in order (``row`` ascends; of equal values the first)."""
    starts = np.flatnonzero(changes(row))
    sizes = np.diff(np.append(starts, len(row)))
    if len(sizes) == 0 or sizes.max() <= most:
        return np.arange(len(row))
    order = np.lexsort((-values, row))
    return np.sort(order[np.arange(len(row)) - np.repeat(starts, sizes) < most])


def product_blocks(weights: sparse.csr_matrix, rows: sparse.csr_matrix) -> Iterator[slice]:
    """Blocks of the rows of ``weights @ rows`` with a limited size in bytes."""
    row_bytes = 48 * (1 + int(np.ceil(weights.nnz * rows.nnz / max(1, weights.shape[0]) ** 2)))
    return row_blocks(weights.shape[0], row_bytes)


def normalised(rows: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """The ``most`` largest entries of each row, scaled to sum to one; empty rows stay empty."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    kept = largest_of_rows(row, rows.data, most)
    total = np.bincount(row[kept], rows.data[kept], rows.shape[0])
    share = rows.data[kept] / np.where(total > 0, total, 1.0)[row[kept]]
    starts = np.searchsorted(row[kept], np.arange(rows.shape[0] + 1))
    found = sparse.csr_matrix((share, rows.indices[kept], starts), shape=rows.shape)
    found.sort_indices()
    return found
