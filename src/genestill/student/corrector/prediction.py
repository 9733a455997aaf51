"""Inference with the corrector: from the arrays of contigs to probabilities and lineages.

Probabilities are calibrated for contigs with the same inputs as those of the run: abundances, and the evidence of
themselves and their neighbours. The one temperature of a student is fitted with these (`training.train_corrector`).
With less information, the same temperature is used.
"""

import numpy as np
import pandas as pd
import torch

from genestill.core.memory import row_blocks
from genestill.core.predictions import lineage_probabilities
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.network import Corrector


def leaf_probabilities(student: Corrector, inputs: Inputs, rows: slice = slice(None)) -> np.ndarray:
    """Probabilities over the leaves of the contigs in ``rows``: float32 [n, leaves]."""
    with torch.no_grad():
        logits = student(inputs.values[rows], inputs.present[rows], inputs.leaves[rows], inputs.gains[rows])
        torch.softmax(logits.div_(student.config.temperature), dim=1, out=logits)
        return logits.numpy()


def representations(student: Corrector, inputs: Inputs) -> np.ndarray:
    """The last hidden layer for every contig, computed in blocks of rows: float16 [n, hidden size]."""
    with torch.no_grad():
        found = [
            student.represent(inputs.values[block], inputs.present[block]).numpy().astype(np.float16)
            for block in row_blocks(len(inputs), 4 * student.config.hidden_size)
        ]
    return np.concatenate(found)


def predict_lineages(student: Corrector, inputs: Inputs, ids: list[str]) -> pd.DataFrame:
    """The most probable lineage of each contig, with its probabilities (`table_schemas.LINEAGE_PROBABILITIES`).

    Probabilities over all leaves are in memory for one block of rows at a time (`memory.row_blocks`); larger trees have
    smaller blocks.
    """
    return pd.concat(
        [
            lineage_probabilities(ids[block], leaf_probabilities(student, inputs, block), student.tree)
            for block in row_blocks(len(ids), 8 * (len(student.tree.leaves) + 1))
        ],
        ignore_index=True,
    )
