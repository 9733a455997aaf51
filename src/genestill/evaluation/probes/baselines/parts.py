"""The regions of a transcript for baselines: 5'UTR, coding sequence, 3'UTR (`reading_frames.coding_bounds`)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genestill.core.reading_frames import coding_bounds
from genestill.core.sequences import encode_bases


@dataclass(frozen=True)
class Parts:
    """One transcript: its codes (uint8 [bases], see `encode_bases`), and the bounds of its coding sequence."""

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
    """The rows of a probe task (`table_schemas.PROBE_TASK`) as `Parts`."""
    parts = []
    for sequence, cds, splice in zip(table["sequence"], table["cds"], table["splice"], strict=True):
        bounds = coding_bounds(sequence, cds)
        parts.append(Parts(sequence, encode_bases(sequence), *bounds, np.flatnonzero(splice)))
    return parts
