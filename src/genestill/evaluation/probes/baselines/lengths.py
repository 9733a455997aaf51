"""Lengths of the transcript, its three regions and its longest open reading frame, and the number of exons."""

import numpy as np
import pandas as pd

from genestill.core.reading_frames import longest_frame
from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def describe(parts: list[Parts]) -> np.ndarray:
    """float32 [rows, 6], logarithms of 1 + each value."""
    rows = []
    for one in parts:
        start, stop = longest_frame(one.sequence)
        rows.append(
            [len(one.codes), *(region.stop - region.start for region in one.regions), stop - start, len(one.exon_ends)]
        )
    return np.log1p(np.array(rows, np.float32))


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"lengths": describe(parts_of(table))}
