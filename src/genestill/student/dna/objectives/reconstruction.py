"""Cross-entropy of masked bases, predicted by a decoder from visible features (HAD, arXiv 2505.20836)."""

import torch
from torch import nn
from torch.nn import functional

from genestill.core.training.losses import mean_cross_entropy
from genestill.student.dna.settings import DistillationSettings
from genestill.student.encoders.attention import ROTARY_BASE, rotate


class CrossAttentionDecoder(nn.Module):
    """Predicts masked bases only from visible features.

    One cross-attention block: the query for each masked base is one learned vector rotated by the position of the base;
    keys and values are the features of the visible tokens, at the middle of their bases; then an MLP and logits. Rotary
    positions (arXiv 2104.09864) are in bases, so that the task is the same for single-base and byte-pair students.
    """

    def __init__(self, hidden_size: int, heads: int = 4):
        super().__init__()
        self.heads, self.width = heads, hidden_size // heads
        self.query = nn.Parameter(torch.randn(heads, self.width))
        self.key_value = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden_size),
            nn.Linear(hidden_size, 2 * hidden_size),
            nn.GELU(),
            nn.Linear(2 * hidden_size, 4),
        )

    def forward(
        self, hidden: torch.Tensor, middle: torch.Tensor, visible: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """Logits over A, C, G, T.

        Args:
            hidden: float [B, L, H], features of all tokens.
            middle: float [B, L], middle of the bases that each token covers.
            visible: bool [B, L]; only these tokens are used.
            positions: int64 [B, Q], positions of the bases to predict.

        Returns:
            float [B, Q, 4].
        """
        batch, length, size = hidden.shape
        key, value = self.key_value(hidden).view(batch, length, 2, self.heads, self.width).permute(2, 0, 3, 1, 4)
        key = rotate(key, *_angles(middle, self.width))
        asked = positions.shape[1]
        query = self.query[None, :, None, :].expand(batch, -1, asked, -1)
        query = rotate(query, *_angles(positions.float() + 0.5, self.width))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None, :])
        return self.mlp(self.output(attended.transpose(1, 2).reshape(batch, asked, size)))


def _angles(positions: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, float [B, 1, L, width / 2], of positions [B, L]."""
    frequency = ROTARY_BASE ** (-torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width)
    angle = positions.float()[:, None, :, None] * frequency
    return angle.cos(), angle.sin()


class Loss(nn.Module):
    """The decoder, trained with the student."""

    def __init__(self, hidden_size: int, teacher_size: int, settings: DistillationSettings):
        super().__init__()
        self.decoder = CrossAttentionDecoder(hidden_size)

    def forward(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over the known masked bases."""
        start, stop = batch["start"], batch["stop"]
        visible = ~batch["masked"] & (stop > start)
        logits = self.decoder(hidden, (start + stop).float() / 2, visible, batch["positions"])
        return mean_cross_entropy(logits, batch["bases"])
