"""Open reading frames of transcripts, the regions that they part, and what they translate to."""

import re

import numpy as np

from genestill.core.sequences import encode_bases

STOPS = ("TAA", "TAG", "TGA")
_START = re.compile("(?=ATG)")
# The standard genetic code (NCBI table 1), codons in alphabetical order.
_AMINO_ACIDS = np.frombuffer(b"KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLFX", np.uint8)
_UNKNOWN = 64
SHORTEST_FRAME = 300  # bases of an open reading frame that is taken for a coding sequence


def longest_frame(sequence: str) -> tuple[int, int]:
    """The longest open reading frame [start, stop): from an ATG up to and with its stop codon; (0, 0) without one.

    A frame that runs to the end of the sequence ends with its last whole codon.
    """
    best = (0, 0)
    ends: dict[int, int] = {}  # frame to the end of the open reading frame that was found last in it
    for match in _START.finditer(sequence):
        start = match.start()
        if start < ends.get(start % 3, 0):
            continue
        stop = next(
            (place + 3 for place in range(start, len(sequence) - 2, 3) if sequence[place : place + 3] in STOPS),
            start + (len(sequence) - start) // 3 * 3,
        )
        ends[start % 3] = stop
        if stop - start > best[1] - best[0]:
            best = (start, stop)
    return best


def coding_bounds(sequence: str, cds: np.ndarray | None = None) -> tuple[int, int]:
    """The coding sequence [start, stop) of a transcript: before it lies the 5'UTR, behind it the 3'UTR.

    Args:
        sequence: upper-case letters A, C, G, T, N.
        cds: track of 0 and 1, 1 at the first base of each codon; None or all 0 where the coding sequence is not known.

    Where it is not known, the longest open reading frame of at least 300 bases stands in: shorter ones occur by chance.
    Without one the bounds are (0, 0), and all is 3'UTR, as a reporter of 160 bases of a 3'UTR is.
    """
    codons = np.flatnonzero(cds) if cds is not None else np.empty(0, np.int64)
    if len(codons):  # a transcript that was cut may end within its last codon
        return int(codons[0]), min(int(codons[-1]) + 3, len(sequence))
    start, stop = longest_frame(sequence)
    return (start, stop) if stop - start >= SHORTEST_FRAME else (0, 0)


def region_codes(length: int, start: int, stop: int) -> np.ndarray:
    """The region of every base, int64 [length], a place in `pooling.REGIONS`; the coding sequence is [start, stop)."""
    return np.repeat(np.arange(3), [start, stop - start, length - stop])


def translate(sequence: str) -> str:
    """Amino acids of the whole codons of a sequence, in frame; ``*`` for stops, X for codons with another letter."""
    codes = encode_bases(sequence).astype(np.int64)
    codons = codes[: len(codes) // 3 * 3].reshape(-1, 3)
    numbers = np.where((codons < 4).all(axis=1), codons @ (16, 4, 1), _UNKNOWN)
    return _AMINO_ACIDS[numbers].tobytes().decode("ascii")
