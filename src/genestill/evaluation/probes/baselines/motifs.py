"""Counts of motifs of 3'UTRs that affect stability and translation."""

import re

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings

# AU-rich elements (Barreau et al. 2005), Pumilio (Wang et al. 2018), GU-rich element (Vlasova et al. 2008), CPE (Piqué
# et al. 2008), poly(A) signals (Beaudoing et al. 2000), and runs of one base.
MOTIFS = {
    "ATTTA": "ATTTA",
    "ARE of 9": "TTATTTA[AT][AT]",
    "overlapping ARE": "ATTTATTTA",
    "Pumilio": "TGTA[ACGT]ATA",
    "GU-rich": "TGTTTGTTTGT",
    "CPE": "TTTTA[AT]",
    "poly(A) signal": "A[AT]TAAA",
    "run of T": "TTTTTTT",
    "run of A": "AAAAAAA",
    "run of C": "CCCCC",
}
_PATTERNS = [re.compile(f"(?={motif})") for motif in MOTIFS.values()]


def describe(parts: list[Parts]) -> np.ndarray:
    """float32 [rows, 20]: logarithms of 1 + the count of each motif in the 3'UTR, and in the whole transcript."""
    rows = [
        [sum(1 for _ in pattern.finditer(one.sequence, first)) for first in (one.stop, 0) for pattern in _PATTERNS]
        for one in parts
    ]
    return np.log1p(np.array(rows, np.float32))


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"motifs": describe(parts_of(table))}
