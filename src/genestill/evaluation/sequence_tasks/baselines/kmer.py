"""Logistic regression of k-mer frequencies."""

import numpy as np

from genestill.core.kmers import count_kmers
from genestill.core.sequences import encode_bases
from genestill.core.task_tables import TaskTable
from genestill.evaluation.sequence_tasks.probe import linear_probe
from genestill.evaluation.settings import BaselineSettings

LONGEST = 5


def kmer_frequencies(sequences: list[str], size: int) -> np.ndarray:
    """Frequencies of k-mers of A, C, G, T, float32 [n, 4^size], lexicographic; other letters break a k-mer."""
    result = np.zeros((len(sequences), 4**size), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        counts = count_kmers(encode_bases(sequence), size)
        result[row] = counts / max(1, counts.sum())
    return result


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """`linear_probe` of the frequencies of k-mers of 1 to `LONGEST` bases.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    parts = [kmer_frequencies(table.sequences, k) for k in range(1, LONGEST + 1)]
    return linear_probe(np.concatenate(parts, axis=1), table, seed)
