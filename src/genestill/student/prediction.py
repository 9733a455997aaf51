"""The corrector at work: from the arrays of contigs to calibrated probabilities."""

import numpy as np
import torch

from genestill.student.corrector import Corrector
from genestill.student.training import Inputs

ROWS_AT_ONCE = 4096


def leaf_probabilities(student: Corrector, inputs: Inputs) -> np.ndarray:
    """Calibrated probabilities over the leaves: float32 [n, leaves]."""
    found = []
    with torch.no_grad():
        for start in range(0, len(inputs), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            logits = student(inputs.values[rows], inputs.present[rows], inputs.leaves[rows], inputs.gains[rows])
            found.append(torch.softmax(logits / student.config.temperature, dim=1).numpy())
    return np.concatenate(found)
