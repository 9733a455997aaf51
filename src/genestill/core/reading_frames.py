"""Open reading frames of transcripts, and what they translate to."""

import re

import numpy as np

from genestill.core.sequences import encode_bases

STOPS = ("TAA", "TAG", "TGA")
_START = re.compile("(?=ATG)")
# The standard genetic code (NCBI table 1), codons in alphabetical order.
_AMINO_ACIDS = np.frombuffer(b"KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLFX", np.uint8)
_UNKNOWN = 64


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


def translate(sequence: str) -> str:
    """Amino acids of the whole codons of a sequence, in frame; ``*`` for stops, X for codons with another letter."""
    codes = encode_bases(sequence).astype(np.int64)
    codons = codes[: len(codes) // 3 * 3].reshape(-1, 3)
    numbers = np.where((codons < 4).all(axis=1), codons @ (16, 4, 1), _UNKNOWN)
    return _AMINO_ACIDS[numbers].tobytes().decode("ascii")
