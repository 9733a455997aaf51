"""Frequencies of codons in frame and of k-mers."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from genestill.core.kmers import count_kmers
from genestill.evaluation.probes.baselines import codons
from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def kmer_frequencies(sequences: Iterable[np.ndarray], shortest: int, longest: int) -> np.ndarray:
    """float32 [rows, sum of 4**k]: for each k, k-mers in alphabetical order, as shares of the k-mers of this length."""
    rows = []
    for codes in sequences:
        counts = [count_kmers(codes, k) for k in range(shortest, longest + 1)]
        rows.append(np.concatenate([count / max(1, count.sum()) for count in counts]).astype(np.float32))
    return np.array(rows)


def describe(parts: list[Parts]) -> dict[str, np.ndarray]:
    """Two blocks: 64 codons, k-mers of 1 to 4 bases (340)."""
    return {"codons": codons.describe(parts), "k-mers": kmer_frequencies((one.codes for one in parts), 1, 4)}


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """Two blocks: `describe`."""
    return describe(parts_of(table))
