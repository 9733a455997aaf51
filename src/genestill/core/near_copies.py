"""Sequences that share a stretch of bases on either strand: near copies, which must be in the same split."""

from collections.abc import Sequence

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE, encode_bases, reverse_complement


def near_copies(sequences: Sequence[str], size: int) -> np.ndarray:
    """Groups of sequences that are connected by shared words of ``size`` bases: int64 [n], a group per sequence.

    A sequence shorter than a word is grouped with sequences equal to it or to its reverse complement.
    """
    return connected_rows(*shared_words(sequences, size), len(sequences))


def connected_rows(rows: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Groups of the rows 0 to ``count`` - 1 that share a value, directly or through other rows: int64 [count].

    ``rows[i]`` has ``values[i]``; groups are numbered in the order of their first rows.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, columns = np.unique(values, return_inverse=True)
    links = coo_matrix((np.ones(len(rows), np.int8), (rows, count + columns)), shape=(count + len(values),) * 2)
    return connected_components(links, directed=False)[1][:count].astype(np.int64)


def find_copies(asked: Sequence[str], known: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the sequences ``asked`` occur among ``known``: (exact, near), bool [asked] each.

    Exact: the same bases on either strand. Near: a stretch of ``size`` bases, or the whole of a shorter sequence, is
    shared.
    """
    whole = {min(sequence, reverse_complement(sequence)) for sequence in map(str.upper, known)}
    exact = np.array([min(one, reverse_complement(one)) in whole for one in map(str.upper, asked)], dtype=bool)
    rows, words = shared_words(asked, size)
    near = np.zeros(len(asked), dtype=bool)
    near[rows[np.isin(words, shared_words(known, size)[1])]] = True
    return exact, near | exact


def shared_words(sequences: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of each sequence: (row int64 [m], word uint64 [m]), without repetitions within a row.

    A word has the same hash on both strands; words with unknown bases are left out. The probability that two of m
    different words have the same 64-bit hash is about m^2 / 2^65.
    """
    rows, words = [], []
    for row, sequence in enumerate(sequences):
        codes = encode_bases(sequence)
        found = np.unique(_words(codes, min(size, len(codes))))
        rows.append(np.full(len(found), row))
        words.append(found)
    return np.concatenate(rows), np.concatenate(words)


def _words(codes: np.ndarray, size: int) -> np.ndarray:
    known = np.flatnonzero(~np.convolve(codes == UNKNOWN_BASE, np.ones(size, dtype=int), "valid").astype(bool))
    forward, backward = (_rolling(strand, size) for strand in (codes, 3 - codes[::-1]))
    return np.minimum(forward, backward[::-1])[known]


def _rolling(codes: np.ndarray, size: int) -> np.ndarray:
    """Polynomial hash of every word, uint64 [length - size + 1], wrapping at 2^64."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    letters = _SCRAMBLED[np.minimum(codes, UNKNOWN_BASE)]
    total = np.zeros(len(codes) - size + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(size):
            total = total * odd + letters[place : place + len(total)]
    return total


_SCRAMBLED = np.random.default_rng(0).integers(0, 2**63, 5, dtype=np.uint64)
