"""Tetranucleotide composition: the 103 features of VAMB and Taxometer, computed in two thirds of the time.

A window of four bases and its reverse complement are equivalent (136 canonical tetranucleotides); consecutive windows
overlap, so that the frequencies of words ending in a trinucleotide and of words beginning with it are equal, and all
frequencies sum to one. Projecting the 256 frequencies on the null space of these linear relations leaves 103 numbers
without redundancy (Kislyuk et al. 2009, doi 10.1186/1471-2105-10-316; used by Nissen et al. 2021, doi
10.1038/s41587-020-00777-4).
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE, encode_bases

BLOCK = 1 << 15  # bases that are counted together: few calls, and arrays small enough to be reused by the allocator
PIECE = 1 << 20  # bases of a longer sequence that are counted at once
PROJECTED_AT_ONCE = 4096


@cache
def projection_kernel() -> np.ndarray:
    """Orthonormal basis of the null space of the relations between tetranucleotide frequencies: float32 [256, 103].

    The basis is stored in a file because it is not unique: another machine's linear algebra could give another basis,
    and a student trained with one basis cannot use features of another.
    """
    kernel = np.load(Path(__file__).with_name("composition_kernel.npy"), allow_pickle=False)
    kernel.setflags(write=False)
    return kernel


def count_tetranucleotides(sequences: Iterable[str]) -> Iterator[np.ndarray]:
    """Yield counts of the 256 tetranucleotides on one strand of each sequence, in blocks: float32 [some, 256].

    Windows with an unknown base are skipped; the last block may be empty.
    """
    block: list[str] = []
    size = 0
    for sequence in sequences:
        if len(sequence) > PIECE:
            yield _count_block(block)
            block, size = [], 0
            yield _count_long(sequence)
            continue
        block.append(sequence)
        size += len(sequence)
        if size >= BLOCK:
            yield _count_block(block)
            block, size = [], 0
    yield _count_block(block)


def _count_long(sequence: str) -> np.ndarray:
    """The counts of one sequence, float32 [1, 256]; counting a chromosome at once needs several bytes per base."""
    counts = np.zeros((1, 256))
    for start in range(0, len(sequence) - 3, PIECE):
        counts += _count_block([sequence[start : start + PIECE + 3]])  # with windows into the next piece
    return counts.astype(np.float32)


def _count_block(block: list[str]) -> np.ndarray:
    counts = np.zeros((len(block), 256), dtype=np.float32)
    joined = "".join(block)
    if len(joined) < 4:
        return counts
    # Two bits per base: a window of four is exactly one byte. Padded because eight bytes are shifted at a time.
    bases = encode_bases(joined + "A" * (-len(joined) % 8))
    unknown = bases == UNKNOWN_BASE
    some_unknown = bool(unknown.any())
    if some_unknown:
        bases = bases & 3
    two = (bases.view(np.uint64) << 2).view(np.uint8)
    two[:-1] |= bases[1:]
    words = (two.view(np.uint64) << 4).view(np.uint8)[:-3]
    words |= two[2:-1]
    if some_unknown:
        known = ~(unknown[:-3] | unknown[1:-2] | unknown[2:-1] | unknown[3:])
    start = 0
    for row, sequence in enumerate(block):
        stop = start + len(sequence) - 3
        if stop > start:
            own = words[start:stop]
            counts[row] = np.bincount(own[known[start:stop]] if some_unknown else own, minlength=256)
        start += len(sequence)
    return counts


def composition_of(sequences: Iterable[str]) -> np.ndarray:
    """The 103 composition features of each of ``sequences``: float32 [n, 103].

    A sequence without a window of four known bases gets the features of equal frequencies, which are zeros.
    """
    features: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    rows = 0
    # Counts need 2.5 times the memory of features, so only those of a few thousand sequences are in memory.
    for counts in count_tetranucleotides(sequences):
        waiting.append(counts)
        rows += len(counts)
        if rows >= PROJECTED_AT_ONCE:
            features.append(project(np.concatenate(waiting)))
            waiting, rows = [], 0
    features.append(project(np.concatenate([*waiting, np.zeros((0, 256), dtype=np.float32)])))
    return np.concatenate(features)


def project(counts: np.ndarray) -> np.ndarray:
    """Convert tetranucleotide counts, float32 [n, 256], to the 103 features: float32 [n, 103]."""
    totals = counts.sum(axis=1, keepdims=True)
    frequencies = np.divide(counts, totals, out=np.full_like(counts, 1 / 256, dtype=np.float32), where=totals > 0)
    return ((frequencies - np.float32(1 / 256)) @ projection_kernel()).astype(np.float32)
