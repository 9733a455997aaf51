"""Long sequences as windows that a model can read, batches with little padding, and pooling over windows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from genestill.core.pooling import REGIONS


def window_bounds(length: int, size: int, unit: int = 1) -> list[tuple[int, int]]:
    """(start, stop) of the smallest number of windows of at most ``size`` bases that cover ``length`` bases.

    Windows have nearly equal lengths, so that batches need no padding and no window is very short. They start at
    multiples of ``unit``. Every base is in exactly one window.
    """
    size = max(unit, size // unit * unit)
    count = -(-length // size)
    step = -(-length // (count * unit)) * unit if count else unit
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def batch_by_length(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Yield batches of indices into ``lengths`` (int [n]), longest first, of at most ``tokens`` tokens with padding.

    An input longer than ``tokens`` is a batch by itself.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start:stop]
        start = stop


def pad(windows: Sequence[Any], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (int64 [b, t], padded on the right) and attention mask (int64 [b, t]) of windows or of `Tokens`."""
    longest = max(len(window) for window in windows)
    ids = np.full((len(windows), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window.ids
        mask[row, : len(window)] = 1
    return ids, mask


def maximal_part(size: int, pooling: str) -> slice:
    """The part of a pooled vector of ``size`` numbers that contains maxima over tokens; an empty slice for none."""
    places = {"max": slice(0, size), "concatenated": slice(size // 3, 2 * size // 3)}
    return places.get(pooling, slice(0, 0))


class CombinedWindows:
    """One vector per sequence from the vectors of its windows, which may be added in any order.

    The result is the weighted mean over windows; for numbers that are maxima over tokens, the maximum over windows. For
    regions, each region has separate weights.

    Args:
        count: number of sequences.
        size: size of a vector.
        pooling: pooling of the tokens of a window.
    """

    def __init__(self, count: int, size: int, pooling: str):
        parts = len(REGIONS) if pooling == "regions" else 1
        self._sums, self._weights = np.zeros((count, size)), np.zeros((count, parts))
        self._maximal = maximal_part(size, pooling)
        self._highest = np.full_like(self._sums[:, self._maximal], -np.inf)

    def add(self, rows: np.ndarray, vectors: np.ndarray, weights: np.ndarray) -> None:
        """Add windows.

        Args:
            rows: int64 [n], the sequence of each window.
            vectors: float [n, size].
            weights: number [n]; for windows pooled by region [n, 3], the bases of each region.
        """
        weights = np.asarray(weights, dtype=np.float64).reshape(len(rows), self._weights.shape[1])
        np.add.at(self._sums, rows, vectors * self._of_numbers(weights))
        np.maximum.at(self._highest, rows, vectors[:, self._maximal])
        np.add.at(self._weights, rows, weights)

    def vectors(self) -> np.ndarray:
        """float32 [count, size]; zeros for a sequence without a window, or a region without a base."""
        weights = self._of_numbers(self._weights)
        found = self._sums / np.where(weights > 0, weights, 1)
        found[:, self._maximal] = np.where(self._weights[:, :1] > 0, self._highest, 0)
        return found.astype(np.float32)

    def _of_numbers(self, weights: np.ndarray) -> np.ndarray:
        """The weight of each number of a vector: [n, size]."""
        return np.repeat(weights, self._sums.shape[1] // weights.shape[1], axis=1)
