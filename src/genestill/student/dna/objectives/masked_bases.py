"""Cross-entropy of masked bases, which a head reads off the student's own states, as masked language models do.

A control of the decoder (`reconstruction`): windows, masks and all else are the same.
"""

import torch
from torch import nn

from genestill.student.dna.masking import GROUP_SIZE
from genestill.student.dna.objectives.reconstruction import mean_cross_entropy
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
        positions = batch["positions"][..., None]
        covered = (batch["start"][:, None, :] <= positions) & (positions < batch["stop"][:, None, :])
        token = covered.int().argmax(dim=-1)
        place = (batch["positions"] - batch["start"].gather(1, token)).clamp(0, GROUP_SIZE - 1)
        states = hidden.gather(1, token[..., None].expand(-1, -1, hidden.shape[-1]))
        return mean_cross_entropy(self.head(states + self.place(place)), batch["bases"])
