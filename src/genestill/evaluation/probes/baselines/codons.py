"""Frequencies of codons in frame."""

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings


def describe(parts: list[Parts]) -> np.ndarray:
    """Frequencies of the 64 codons in alphabetical order: float32 [rows, 64]; codons with N are not counted."""
    rows = np.zeros((len(parts), 64), np.float32)
    for row, one in enumerate(parts):
        codons = one.codes[one.start : one.stop].astype(np.int64)
        codons = codons[: len(codons) // 3 * 3].reshape(-1, 3)
        codons = codons[(codons < 4).all(axis=1)]
        rows[row] = np.bincount(codons @ (16, 4, 1), minlength=64) / max(1, len(codons))
    return rows


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"codons": describe(parts_of(table))}
