"""Logistic regression of k-mers of 1 to 6 bases, both strands."""

import numpy as np

from genestill.core.task_tables import TaskTable
from genestill.evaluation.sequence_tasks.linear import fit_linear
from genestill.evaluation.settings import BaselineSettings


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """float64 [test rows, classes], probabilities; the regularisation is chosen by cross-validation."""
    return fit_linear(table, [("kmers",)], settings.metric, seed)
