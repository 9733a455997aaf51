"""Sparse features of sequences for linear baselines: k-mers, pairs of 3-mers at a distance, bases by position."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from genestill.core.sequences import UNKNOWN_BASE, encode_bases

LONGEST_KMER = 6
DISTANCES = range(1, 9)  # bases between the two 3-mers of a pair


def kmers(sequences: Sequence[str]) -> sp.csr_matrix:
    """Counts of k-mers of 1 to `LONGEST_KMER` bases; a k-mer and its reverse complement are the same feature."""
    return count_words(sequences, [tuple(range(size)) for size in range(1, LONGEST_KMER + 1)])


def gapped_kmers(sequences: Sequence[str]) -> sp.csr_matrix:
    """Counts of pairs of 3-mers with 1 to 8 bases between them, both strands combined.

    Spaced dyads, as searched by van Helden et al. 2000 (doi 10.1093/nar/28.8.1808) in promoters.
    """
    return count_words(sequences, [(0, 1, 2, 3 + gap, 4 + gap, 5 + gap) for gap in DISTANCES])


def positions(sequences: Sequence[str]) -> sp.csr_matrix:
    """The base and the pair of bases at each position, from the left, as 0 and 1."""
    codes, rows, places = _joined(sequences, 1)
    longest = max(map(len, sequences))
    pairs = 4 * codes[:-1] + codes[1:]
    known = codes < UNKNOWN_BASE
    together = known[:-1] & known[1:]
    row = np.concatenate([rows[known], rows[:-1][together]])
    column = np.concatenate(
        [4 * places[known] + codes[known], 4 * longest + 16 * places[:-1][together] + pairs[together]]
    )
    return _counted(row, column, (len(sequences), 20 * longest))


# The kinds of features from which linear baselines choose.
FEATURES: dict[str, Callable[[Sequence[str]], sp.csr_matrix]] = {
    "kmers": kmers,
    "gapped_kmers": gapped_kmers,
    "positions": positions,
}


def count_words(sequences: Sequence[str], masks: Sequence[tuple[int, ...]]) -> sp.csr_matrix:
    """Counts of words defined by masks, float32 [n, sum of 4^letters].

    Args:
        sequences: n sequences; words with other letters than A, C, G and T are not counted.
        masks: positions of the letters of a word, from 0; must be symmetric. A word and its reverse complement are
            counted in the column of the one that is first in alphabetical order.
    """
    span = max(mask[-1] for mask in masks) + 1
    codes, rows, _ = _joined(sequences, span)
    blocks = []
    for mask in masks:
        # The word at each position of the joined sequences; words across the gap between two sequences are not counted.
        word, whole = np.zeros(len(codes) - span, dtype=np.int64), np.ones(len(codes) - span, dtype=bool)
        for place in mask:
            letter = codes[place : place + len(word)]
            word = 4 * word + letter
            whole &= letter < UNKNOWN_BASE
        found = word[whole]
        blocks.append(
            _counted(
                rows[: len(word)][whole],
                np.minimum(found, _reverse_complements(len(mask))[found]),
                (len(sequences), 4 ** len(mask)),
            )
        )
    return sp.hstack(blocks, format="csr")


def _joined(sequences: Sequence[str], gap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All sequences joined, with ``gap`` unknown bases after each: codes, row and position of each base."""
    lengths = np.array([len(sequence) for sequence in sequences])
    unknown = "N" * gap
    codes = encode_bases("".join(sequence + unknown for sequence in sequences)).astype(np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths + gap)
    first = np.cumsum(np.append(0, lengths[:-1] + gap))
    return codes, rows, np.arange(len(codes)) - first[rows]


def _reverse_complements(letters: int) -> np.ndarray:
    """The number of the reverse complement of each word, int64 [4^letters]."""
    words = np.arange(4**letters)
    digits = words[:, None] // 4 ** np.arange(letters) % 4
    return (3 - digits) @ 4 ** np.arange(letters - 1, -1, -1)


def _counted(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape).tocsr()
