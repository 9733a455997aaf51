"""Cross-entropy of masked bases, which a head reads off the student's own states, as masked language models do.

A control of the decoder (`reconstruction`): windows, masks and all else are the same.
"""

import torch
from torch import nn
from torch.nn import functional

from genestill.student.dna.masking import GROUP_SIZE
from genestill.student.dna.settings import DistillationSettings
from genestill.student.encoders.heads import LanguageHead


class Loss(nn.Module):
    """The head, which learns with the student; the place of a base within its token is told by a learned vector."""

    def __init__(self, hidden_size: int, teacher_size: int, settings: DistillationSettings):
        super().__init__()
        self.place = nn.Embedding(GROUP_SIZE, hidden_size)
        self.head = LanguageHead(hidden_size, 4)

    def forward(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over the masked bases that are known."""
        asked = batch["bases"] != -100
        positions = batch["positions"][..., None]
        covered = (batch["start"][:, None, :] <= positions) & (positions < batch["stop"][:, None, :])
        token = covered.int().argmax(dim=-1)
        place = batch["positions"] - batch["start"].gather(1, token)
        states = hidden.gather(1, token[..., None].expand(-1, -1, hidden.shape[-1]))[asked]
        return functional.cross_entropy(self.head(states + self.place(place[asked])).float(), batch["bases"][asked])
