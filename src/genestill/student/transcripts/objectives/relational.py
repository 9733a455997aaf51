"""Similarity of pairs of transcripts (Tung and Mori, arXiv 1907.09682)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch


def loss(batch: Batch) -> torch.Tensor:
    """Mean over pairs i != j of (cos(s_i, s_j) - cos(t_i, t_j))^2; s is centred over the batch.

    No projection is needed. The loss of a batch with one transcript is 0.
    """
    student, teacher = batch.pooled, batch.embeddings
    if len(student) < 2:
        return student.sum() * 0
    ours = functional.normalize(student - student.mean(dim=0), dim=-1)
    theirs = functional.normalize(teacher, dim=-1)
    differences = (ours @ ours.T - theirs @ theirs.T) ** 2
    itself = torch.eye(len(student), dtype=torch.bool, device=student.device)
    return differences.masked_fill(itself, 0).sum() / (len(student) * (len(student) - 1))
