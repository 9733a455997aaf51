"""The parts of a transcript that baselines describe: 5'UTR, coding sequence, 3'UTR.

Where a table does not say what a transcript codes for, its longest open reading frame of at least 300 bases stands in:
shorter ones occur by chance, and a reporter of 160 bases of a 3'UTR is all 3'UTR.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genestill.core.reading_frames import longest_frame
from genestill.core.sequences import encode_bases

SHORTEST_FRAME = 300  # bases of an open reading frame that is taken for a coding sequence


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


def parts_of(table: pd.DataFrame) -> list[Parts]:
    """The rows of a probe task (`table_schemas.PROBE_TASK`) in their parts."""
    parts = []
    for sequence, cds, splice in zip(table["sequence"], table["cds"], table["splice"], strict=True):
        codons = np.flatnonzero(cds)
        if len(codons):  # a transcript that was cut may end within its last codon
            bounds = int(codons[0]), min(int(codons[-1]) + 3, len(sequence))
        else:
            start, stop = longest_frame(sequence)
            bounds = (start, stop) if stop - start >= SHORTEST_FRAME else (0, 0)
        parts.append(Parts(sequence, encode_bases(sequence), *bounds, np.flatnonzero(splice)))
    return parts
