"""Density of exon junctions, a strong predictor of a long half-life (Spies et al. 2013; Agarwal & Kelley 2022)."""

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def describe(parts: list[Parts]) -> np.ndarray:
    """float32 [rows, 6]: junctions per kilobase of the transcript and of its three regions; whether exons are known;
    junctions more than 50 bases after the coding sequence, which trigger nonsense-mediated decay."""
    rows = []
    for one in parts:
        junctions = one.exon_ends[:-1]
        inside = [((junctions >= region.start) & (junctions < region.stop)).sum() for region in one.regions]
        sizes = [region.stop - region.start for region in one.regions]
        density = [1000 * count / max(1, size) for count, size in zip(inside, sizes, strict=True)]
        late = (junctions > one.stop + 50).sum()
        rows.append([1000 * len(junctions) / max(1, len(one.codes)), *density, len(one.exon_ends) > 0, late])
    return np.array(rows, np.float32)


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"exon junctions": describe(parts_of(table))}
