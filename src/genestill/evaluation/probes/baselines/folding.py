"""Minimum free energies of the 5' end and of the region around the start codon (ViennaRNA, Lorenz et al. 2011)."""

import numpy as np
import pandas as pd
import RNA

from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings

SPAN = 60  # bases that are folded


def describe(parts: list[Parts]) -> np.ndarray:
    """float32 [rows, 4]: kcal/mol of the first 60 bases and of the 60 around the start codon, and the GC of both."""
    rows = []
    for one in parts:
        first = max(0, one.start - SPAN // 2)
        pieces = [one.sequence[:SPAN], one.sequence[first : first + SPAN]]
        energies = [RNA.fold(piece)[1] if piece else 0.0 for piece in pieces]
        rows.append([*energies, *((piece.count("G") + piece.count("C")) / max(1, len(piece)) for piece in pieces)])
    return np.array(rows, np.float32)


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"folding": describe(parts_of(table))}
