"""The true bases at hidden positions, without a teacher (BERT, arXiv 1810.04805)."""

import numpy as np
import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Cross-entropy of the true bases, mean over the hidden positions."""
    row, column = np.nonzero(batch.hidden_bases)
    bases = torch.from_numpy(batch.ids[row, column]).to(batch.states.device)
    return functional.cross_entropy(batch.base_logits(row, column), bases)
