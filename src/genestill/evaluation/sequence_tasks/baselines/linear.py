"""Logistic regression of k-mers, gapped k-mers and positions; the features are chosen by cross-validation."""

import numpy as np

from genestill.core.task_tables import TaskTable
from genestill.evaluation.sequence_tasks.linear import fit_linear
from genestill.evaluation.settings import BaselineSettings

CANDIDATES = (
    ("kmers",),
    ("gapped_kmers",),
    ("positions",),
    ("kmers", "gapped_kmers"),
    ("kmers", "positions"),
    ("kmers", "gapped_kmers", "positions"),
)


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """float64 [test rows, classes], probabilities; features and regularisation are chosen by cross-validation."""
    return fit_linear(table, CANDIDATES, settings.metric, seed)
