"""k-mers of 1 to 6 bases, separately for 5'UTR, coding sequence and 3'UTR, weighted by tf-idf."""

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines.frequencies import kmer_frequencies
from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings

REGIONS = ("5'UTR", "CDS", "3'UTR")
LONGEST = 6


def describe(parts: list[Parts]) -> dict[str, np.ndarray]:
    """One block per region, float32 [rows, 5460].

    The share of a k-mer among the k-mers of its length, times log((1 + rows) / (1 + rows with the k-mer)) + 1 (Salton &
    Buckley 1988, smoothed as in scikit-learn); then each row is divided by its Euclidean norm. The weights are computed
    from all rows of a task, including test rows, but from no targets.
    """
    blocks = {}
    for number, name in enumerate(REGIONS):
        shares = kmer_frequencies((one.codes[one.regions[number]] for one in parts), 1, LONGEST)
        held = (shares > 0).sum(axis=0)
        weighted = shares * (np.log((1 + len(shares)) / (1 + held)) + 1).astype(np.float32)
        norms = np.linalg.norm(weighted, axis=1, keepdims=True)
        blocks[f"k-mers of the {name}"] = weighted / np.where(norms > 0, norms, 1)
    return blocks


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """Three blocks: `describe`."""
    return describe(parts_of(table))
