"""Tetranucleotide composition: the 103 features that VAMB and Taxometer use, a third faster.

A window of four bases and its reverse complement say the same (136 canonical tetranucleotides); neighbouring windows
overlap, so that frequencies of words ending in a trinucleotide and of words beginning with it agree, and all sum to
one. Projecting the 256 frequencies on the null space of these linear relations leaves 103 numbers without redundancy
(Kislyuk et al. 2009, doi 10.1186/1471-2105-10-316; used by Nissen et al. 2021, doi 10.1038/s41587-020-00777-4).
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE, encode_bases

BLOCK = 1 << 15  # bases that are counted together: few calls, and arrays small enough to be kept, not mapped again
PIECE = 1 << 20  # bases of a longer sequence that are counted at a time
PROJECTED_AT_ONCE = 4096


@cache
def projection_kernel() -> np.ndarray:
    """Orthonormal basis of the null space of the relations between tetranucleotide frequencies: float32 [256, 103].

    The basis is a file because it is not unique: computed again, another machine's linear algebra could turn it, and
    a student that was trained on one basis would read features of another.
    """
    kernel = np.load(Path(__file__).with_name("composition_kernel.npy"), allow_pickle=False)
    kernel.setflags(write=False)
    return kernel


def count_tetranucleotides(sequences: Iterable[str]) -> Iterator[np.ndarray]:
    """Counts of the 256 tetranucleotides on one strand of each sequence, some sequences at a time: float32 [some, 256].

    Windows with an unknown base are skipped; the last counts may be those of no sequence.
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
    """The counts of one sequence, float32 [1, 256]; a chromosome takes several bytes per base if counted at once."""
    counts = np.zeros((1, 256))
    for start in range(0, len(sequence) - 3, PIECE):
        counts += _count_block([sequence[start : start + PIECE + 3]])  # with the windows that reach into the next piece
    return counts.astype(np.float32)


def _count_block(block: list[str]) -> np.ndarray:
    counts = np.zeros((len(block), 256), dtype=np.float32)
    joined = "".join(block)
    if len(joined) < 4:
        return counts
    # Two bits a base: a window of four is exactly one byte. Eight bytes are shifted at a time, hence the padding.
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

    A sequence without a known window of four gets the features of equal frequencies, which are zeros.
    """
    features: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    rows = 0
    # Counts take two and a half times the room of features: only those of some thousand sequences are held.
    for counts in count_tetranucleotides(sequences):
        waiting.append(counts)
        rows += len(counts)
        if rows >= PROJECTED_AT_ONCE:
            features.append(project(np.concatenate(waiting)))
            waiting, rows = [], 0
    features.append(project(np.concatenate([*waiting, np.zeros((0, 256), dtype=np.float32)])))
    return np.concatenate(features)


def project(counts: np.ndarray) -> np.ndarray:
    """Turn tetranucleotide counts [n, 256] into the 103 features: float32 [n, 103]."""
    totals = counts.sum(axis=1, keepdims=True)
    frequencies = np.divide(counts, totals, out=np.full_like(counts, 1 / 256, dtype=np.float32), where=totals > 0)
    return ((frequencies - np.float32(1 / 256)) @ projection_kernel()).astype(np.float32)
