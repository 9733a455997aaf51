"""The angle between student and teacher at every token of the teacher."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Mean over all tokens of 1 - cos(P h, t): h is the mean of the student's states over the bases of a token."""
    return (1 - functional.cosine_similarity(*batch.tokens, dim=-1)).mean()
