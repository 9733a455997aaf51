"""Squared distance of the embeddings (FitNets, arXiv 1412.6550)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Mean over batch and dimensions of (P s - t)^2; t is whitened, so the loss without information is 1."""
    return functional.mse_loss(batch.projected, batch.embeddings)
