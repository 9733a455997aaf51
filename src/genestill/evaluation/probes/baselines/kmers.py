"""A probe without a model: k-mer counts and GC content, and with tracks the CDS length and exon count.

The naive baseline of mRNABench counts all k-mers of 3 to 7 bases (21,824 features). `kmer_features` does the same for
any range of k; a smaller range is a stronger baseline if there are fewer rows than features, so both can be used.
"""

import numpy as np
import pandas as pd

from genestill.core.kmers import count_kmers
from genestill.core.sequences import encode_bases
from genestill.evaluation.settings import TranscriptBaselineSettings


def kmer_features(
    sequences: list[str],
    shortest: int,
    longest: int,
    cds: list[np.ndarray] | None = None,
    splice: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Counts of k-mers, GC content, and with both tracks the CDS length and the number of exons.

    Args:
        sequences: upper-case nucleotides.
        shortest, longest: smallest and largest k; k-mers with letters other than A, C, G, T are not counted.
        cds, splice: tracks as in `table_schemas.TRANSCRIPTS`; the CDS is from its first codon to the end of its last.

    Returns:
        float32 [sequences, sum of 4**k + 1 (+ 2)]: k ascending, k-mers in alphabetical order, then the other features.
    """
    sizes = [4**k for k in range(shortest, longest + 1)]
    tracks = zip(cds, splice, strict=True) if cds is not None and splice is not None else None
    extra = 3 if tracks else 1
    features = np.zeros((len(sequences), sum(sizes) + extra), np.float32)
    for row, sequence in enumerate(sequences):
        codes = encode_bases(sequence)
        start = 0
        for k, size in zip(range(shortest, longest + 1), sizes, strict=True):
            features[row, start : start + size] = count_kmers(codes, k)
            start += size
        known = (codes < 4).sum()
        features[row, start] = ((codes == 1) | (codes == 2)).sum() / known if known else 0.0
        if tracks:
            codons, exons = next(tracks)
            coding = np.flatnonzero(codons)
            features[row, start + 1] = coding[-1] + 3 - coding[0] if len(coding) else 0.0
            features[row, start + 2] = np.sum(exons)
    return features


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `kmer_features` of a probe task (`table_schemas.PROBE_TASK`), float32 [rows, features]."""
    sequences, tracks = table["sequence"].tolist(), (list(table["cds"]), list(table["splice"]))
    return {"k-mers": kmer_features(sequences, settings.shortest, settings.longest, *tracks)}
