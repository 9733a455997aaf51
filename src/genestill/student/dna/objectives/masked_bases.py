"""Cross-entropy of masked bases, predicted by a head from the student's states, as in masked language models.

This is a control for the decoder (`reconstruction`): windows, masks and everything else are the same.
"""

import torch
from torch import nn

from genestill.core.training.losses import mean_cross_entropy
from genestill.student.dna.masking import GROUP_SIZE
from genestill.student.dna.settings import DistillationSettings
from genestill.student.encoders.heads import LanguageHead


class Loss(nn.Module):
    """The head, trained with the student; a learned vector encodes the position of a base within its token."""

    def __init__(self, hidden_size: int, teacher_size: int, settings: DistillationSettings):
        super().__init__()
        self.place = nn.Embedding(GROUP_SIZE, hidden_size)
        self.head = LanguageHead(hidden_size, 4)

    def forward(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over the known masked bases."""
        positions = batch["positions"][..., None]
        covered = (batch["start"][:, None, :] <= positions) & (positions < batch["stop"][:, None, :])
        token = covered.int().argmax(dim=-1)
        place = (batch["positions"] - batch["start"].gather(1, token)).clamp(0, GROUP_SIZE - 1)
        states = hidden.gather(1, token[..., None].expand(-1, -1, hidden.shape[-1]))
        return mean_cross_entropy(self.head(states + self.place(place)), batch["bases"])
