"""The features of all other baselines, in blocks."""

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines import (
    composition,
    exons,
    folding,
    initiation,
    motifs,
    regional_kmers,
)
from genestill.evaluation.probes.baselines.parts import parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """Ten blocks."""
    parts = parts_of(table)
    return {
        **composition.describe(parts),
        "exon junctions": exons.describe(parts),
        "initiation": initiation.describe(parts),
        "folding": folding.describe(parts),
        "motifs": motifs.describe(parts),
        **regional_kmers.describe(parts),
    }
