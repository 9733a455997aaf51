"""Recognising a relative of each transcript in its batch (InfoNCE, arXiv 1807.03748), as in Orthrus.

Orthrus: Fradkin et al., bioRxiv 2024.10.10.617658. A head of two layers between embedding and loss is used as in SimCLR
(arXiv 2002.05709), and not saved.
"""

import torch
from torch.nn import functional

from genestill.student.transcripts.batch import Batch

TEMPERATURE = 0.1


def loss(batch: Batch) -> torch.Tensor:
    """-log softmax_j(cos(s_i, r_j) / temperature) at j = i, and the same with both exchanged: mean.

    s_i is a transcript and r_i its relative, both after the head. Other relatives of a transcript in the batch are not
    used as negative examples.
    """
    ours, theirs = (functional.normalize(view, dim=-1) for view in batch.views)
    own = torch.arange(len(ours), device=ours.device)
    related = batch.families[:, None] == batch.families[None, :]
    related[own, own] = False
    similarity = (ours @ theirs.T / TEMPERATURE).masked_fill(related, float("-inf"))
    return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2
