"""The teacher's probabilities of hidden bases (Hinton et al., arXiv 1503.02531)."""

import torch

from genestill.core.hierarchical_loss import distillation_loss
from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(logits / T)), mean over the hidden bases; T is ``temperature``."""
    row, column, teacher = batch.base_log_probabilities
    return distillation_loss(batch.base_logits(row, column), teacher.float(), batch.settings.temperature).mean()
