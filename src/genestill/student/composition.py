"""Tetranucleotide composition: the 103 features that VAMB and Taxometer use, several times as fast.

A window of four bases and its reverse complement say the same (136 canonical tetranucleotides); neighbouring windows
overlap, so that frequencies of words ending in a trinucleotide and of words beginning with it agree, and all sum to
one. Projecting the 256 frequencies on the null space of these linear relations leaves 103 numbers without redundancy
(Kislyuk et al. 2009, doi 10.1186/1471-2105-10-316; used by Nissen et al. 2021, doi 10.1038/s41587-020-00777-4).
"""

from functools import cache
from itertools import product

import numpy as np

from genestill.ground.sequences import BASES, UNKNOWN_BASE, encode_bases, reverse_complement

TETRANUCLEOTIDES = ["".join(word) for word in product(BASES, repeat=4)]
FEATURES = 103


@cache
def projection_kernel() -> np.ndarray:
    """Orthonormal basis of the null space of the relations between tetranucleotide frequencies: float64 [256, 103]."""
    from scipy.linalg import null_space

    number = {word: index for index, word in enumerate(TETRANUCLEOTIDES)}
    relations = [np.ones(256)]
    for word in TETRANUCLEOTIDES:
        relation = np.zeros(256)
        relation[number[word]] += 1
        relation[number[reverse_complement(word)]] -= 1
        relations.append(relation)
    for trinucleotide in map("".join, product(BASES, repeat=3)):
        relation = np.zeros(256)
        for base in BASES:
            relation[number[trinucleotide + base]] += 1
            relation[number[base + trinucleotide]] -= 1
        relations.append(relation)
    kernel = null_space(np.array(relations))
    kernel.setflags(write=False)
    return kernel


def count_tetranucleotides(sequence: str) -> np.ndarray:
    """Counts of the 256 tetranucleotides on one strand of ``sequence``: int64 [256].

    Windows with an unknown base are skipped.
    """
    bases = encode_bases(sequence)
    if len(bases) < 4:
        return np.zeros(256, dtype=np.int64)
    # Two bits a base: a window of four is exactly one byte, and the shifts never leave it.
    words = (bases[:-3] << 6) | (bases[1:-2] << 4) | (bases[2:-1] << 2) | bases[3:]
    unknown = bases == UNKNOWN_BASE
    if unknown.any():
        words = words[~(unknown[:-3] | unknown[1:-2] | unknown[2:-1] | unknown[3:])]
    return np.bincount(words, minlength=256)


def composition_of(sequences) -> np.ndarray:
    """The 103 composition features of each of ``sequences`` (an iterable of str): float32 [n, 103].

    A sequence without a known window of four gets the features of equal frequencies, which are zeros.
    """
    counts = [count_tetranucleotides(sequence) for sequence in sequences]
    return project(np.array(counts, dtype=np.float32).reshape(-1, 256))


def project(counts: np.ndarray) -> np.ndarray:
    """Turn tetranucleotide counts [n, 256] into the 103 features: float32 [n, 103]."""
    totals = counts.sum(axis=1, keepdims=True)
    frequencies = np.divide(counts, totals, out=np.full_like(counts, 1 / 256, dtype=np.float32), where=totals > 0)
    return ((frequencies - np.float32(1 / 256)) @ projection_kernel().astype(np.float32)).astype(np.float32)
