"""The angle between the embeddings, a term of DistilBERT's loss (Sanh et al., arXiv 1910.01108)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Mean over the batch of 1 - cos(P s, t)."""
    return (1 - functional.cosine_similarity(batch.projected, batch.embeddings, dim=-1)).mean()
