"""Frequencies of codons in frame and of k-mers, and lengths: what is known of a transcript before any model."""

import numpy as np
import pandas as pd

from genestill.core.kmers import count_kmers
from genestill.evaluation.probes.baselines import codons, lengths
from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def kmer_frequencies(parts: list[Parts], shortest: int, longest: int) -> np.ndarray:
    """float32 [rows, sum of 4**k]: of each k, k-mers in alphabetical order, as shares of the k-mers of that length."""
    rows = []
    for one in parts:
        counts = [count_kmers(one.codes, k) for k in range(shortest, longest + 1)]
        rows.append(np.concatenate([count / max(1, count.sum()) for count in counts]))
    return np.array(rows, np.float32)


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """Three blocks: 64 codons, k-mers of 1 to 4 bases (340), six lengths."""
    parts = parts_of(table)
    return {
        "codons": codons.describe(parts),
        "k-mers": kmer_frequencies(parts, 1, 4),
        "lengths": lengths.describe(parts),
    }
