"""The true bases at hidden positions, without a teacher (BERT, arXiv 1810.04805)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Cross-entropy of the true bases, mean over the hidden positions."""
    row, column, bases = batch.hidden_bases
    return functional.cross_entropy(batch.base_logits(row, column), bases)
