"""Frequencies of codons in frame and of k-mers, and lengths: simple properties of a transcript, without a model."""

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines import frequencies, lengths
from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def describe(parts: list[Parts]) -> dict[str, np.ndarray]:
    """Three blocks: 64 codons, k-mers of 1 to 4 bases (340), six lengths."""
    return {**frequencies.describe(parts), "lengths": lengths.describe(parts)}


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """Three blocks: `describe`."""
    return describe(parts_of(table))
