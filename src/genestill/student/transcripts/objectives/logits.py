"""The teacher's probabilities of hidden bases (Hinton et al., arXiv 1503.02531)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(logits / T)), mean over the hidden bases; T is ``temperature``."""
    row, column, teacher = batch.base_log_probabilities()
    temperature = batch.settings.temperature
    softened = functional.log_softmax(teacher.float() / temperature, dim=-1)
    ours = functional.log_softmax(batch.base_logits(row, column) / temperature, dim=-1)
    return temperature**2 * functional.kl_div(ours, softened, log_target=True, reduction="batchmean")
