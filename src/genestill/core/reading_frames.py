"""Open reading frames of transcripts, the regions of a transcript, and translation."""

import re

import numpy as np

from genestill.core.sequences import encode_bases

STOPS = ("TAA", "TAG", "TGA")
_START = re.compile("(?=ATG)")
# The standard genetic code (NCBI table 1), codons in alphabetical order.
_AMINO_ACIDS = np.frombuffer(b"KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLFX", np.uint8)
_UNKNOWN = 64
SHORTEST_FRAME = 300  # bases; minimum length of an open reading frame that is used as coding sequence


def longest_frame(sequence: str) -> tuple[int, int]:
    """The longest open reading frame [start, stop): from an ATG to its stop codon (included); (0, 0) without one.

    A frame that reaches the end of the sequence ends with the last complete codon.
    """
    best = (0, 0)
    ends: dict[int, int] = {}  # frame -> end of its last open reading frame
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
    """The coding sequence [start, stop) of a transcript; the 5'UTR is before it, the 3'UTR after it.

    Args:
        sequence: upper-case letters A, C, G, T, N.
        cds: int [length], track of 0 and 1, 1 at the first base of each codon; None or all 0 if the coding sequence is
            not known.

    Returns:
        (start, stop). If the coding sequence is not known, the longest open reading frame of at least 300 bases is
        used; shorter ones occur by chance. Without one, (0, 0) is returned, and the whole transcript is 3'UTR, as in
        reporters with 160 bases of a 3'UTR.
    """
    codons = np.flatnonzero(cds) if cds is not None else np.empty(0, np.int64)
    if len(codons):  # a truncated transcript may end within its last codon
        return int(codons[0]), min(int(codons[-1]) + 3, len(sequence))
    start, stop = longest_frame(sequence)
    return (start, stop) if stop - start >= SHORTEST_FRAME else (0, 0)


def region_codes(length: int, start: int, stop: int) -> np.ndarray:
    """The region of every base, int64 [length], an index into `pooling.REGIONS`; [start, stop) is coding."""
    return np.repeat(np.arange(3), [start, stop - start, length - stop])


def translate(sequence: str) -> str:
    """Amino acids of the complete codons of a sequence, in frame; ``*`` for stops, X for codons with other letters."""
    codes = encode_bases(sequence).astype(np.int64)
    codons = codes[: len(codes) // 3 * 3].reshape(-1, 3)
    numbers = np.where((codons < 4).all(axis=1), codons @ (16, 4, 1), _UNKNOWN)
    return _AMINO_ACIDS[numbers].tobytes().decode("ascii")
