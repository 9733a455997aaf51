"""The corrector at work: from the arrays of contigs to calibrated probabilities and lineages."""

import numpy as np
import pandas as pd
import torch

from genestill.core.predictions import predictions_of
from genestill.student.corrector.network import Corrector
from genestill.student.corrector.training import Inputs

ROWS_AT_ONCE = 4096


def leaf_probabilities(student: Corrector, inputs: Inputs, rows: slice = slice(None)) -> np.ndarray:
    """Calibrated probabilities over the leaves of the contigs in ``rows``: float32 [n, leaves]."""
    with torch.no_grad():
        logits = student(inputs.values[rows], inputs.present[rows], inputs.leaves[rows], inputs.gains[rows])
        return torch.softmax(logits / student.config.temperature, dim=1).numpy()


def representations(student: Corrector, inputs: Inputs) -> np.ndarray:
    """The corrector's last hidden layer for every contig, some thousands at a time: float16 [n, hidden size]."""
    blocks = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(inputs), ROWS_AT_ONCE)]
    with torch.no_grad():
        found = [student.represent(inputs.values[block], inputs.present[block]).numpy() for block in blocks]
    return np.concatenate(found).astype(np.float16)


def predict_lineages(student: Corrector, inputs: Inputs, ids: list[str]) -> pd.DataFrame:
    """Lineage, confidence and reason of each contig (`table_schemas.PREDICTIONS`), some thousands at a time.

    Probabilities over all leaves are never held for more than `ROWS_AT_ONCE` contigs.
    """
    blocks = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(ids), ROWS_AT_ONCE)]
    return pd.concat(
        [
            predictions_of(
                ids[block], leaf_probabilities(student, inputs, block), student.tree, student.config.threshold
            )
            for block in blocks
        ],
        ignore_index=True,
    )
