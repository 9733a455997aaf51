"""The parts of a transcript that baselines describe: 5'UTR, coding sequence, 3'UTR.

Where a table does not say what a transcript codes for, its longest open reading frame stands in, for all rows alike:
the frame is read off the sequence, so that no class of a task can be told by whether an annotation is there.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from genestill.core.sequences import encode_bases

_STOPS = ("TAA", "TAG", "TGA")
_START = re.compile("(?=ATG)")


@dataclass(frozen=True)
class Parts:
    """One transcript: its codes (uint8 [bases], see `encode_bases`), and where its coding sequence lies."""

    sequence: str
    codes: np.ndarray
    start: int
    stop: int
    exon_ends: np.ndarray  # int64, the last base of each exon; empty if unknown

    @property
    def regions(self) -> tuple[slice, slice, slice]:
        """5'UTR, coding sequence and 3'UTR."""
        return slice(0, self.start), slice(self.start, self.stop), slice(self.stop, len(self.codes))


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
            (place + 3 for place in range(start, len(sequence) - 2, 3) if sequence[place : place + 3] in _STOPS),
            start + (len(sequence) - start) // 3 * 3,
        )
        ends[start % 3] = stop
        if stop - start > best[1] - best[0]:
            best = (start, stop)
    return best


def parts_of(table: pd.DataFrame) -> list[Parts]:
    """The rows of a probe task (`table_schemas.PROBE_TASK`) in their parts."""
    parts = []
    for sequence, cds, splice in zip(table["sequence"], table["cds"], table["splice"], strict=True):
        codons = np.flatnonzero(cds)
        # A transcript that was cut may end within its last codon.
        bounds = (int(codons[0]), min(int(codons[-1]) + 3, len(sequence))) if len(codons) else longest_frame(sequence)
        parts.append(Parts(sequence, encode_bases(sequence), *bounds, np.flatnonzero(splice)))
    return parts
