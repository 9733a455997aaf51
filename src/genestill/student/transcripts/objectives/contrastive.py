"""Recognising the teacher's embedding of each transcript in its batch (InfoNCE, arXiv 1807.03748)."""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch

TEMPERATURE = 0.07


def loss(batch: Batch) -> torch.Tensor:
    """-log softmax_j(cos(P s_i, t_j) / temperature) at j = i, and the same with student and teacher exchanged: mean."""
    student, teacher = functional.normalize(batch.projected, dim=-1), functional.normalize(batch.embeddings, dim=-1)
    similarity = student @ teacher.T / TEMPERATURE
    own = torch.arange(len(student), device=student.device)
    return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2
