"""Hybrid architecture distillation (HAD, arXiv 2505.20836): align what is visible, reconstruct what is not."""

import torch
from torch import nn
from torch.nn import functional

from genestill.student.dna.alignment import align, overlap
from genestill.student.dna.settings import Objective
from genestill.student.encoders.attention import ROTARY_BASE, rotate


class CrossAttentionDecoder(nn.Module):
    """Predicts masked bases from visible features only.

    One cross-attention block: a query for each masked base is one learned vector turned by the base's position, keys
    and values are the features of the visible tokens at the middle of the bases they cover; then an MLP and logits.
    Rotary positions (arXiv 2104.09864) in bases make single-base and byte-pair students answer the same question.
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
            visible: bool [B, L]; only these are looked at.
            positions: int64 [B, Q], the bases asked for.

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
    """Cosines and sines [B, 1, L, width / 2] of positions [B, L]."""
    frequency = ROTARY_BASE ** (-torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width)
    angle = positions.float()[:, None, :, None] * frequency
    return angle.cos(), angle.sin()


class Distillation(nn.Module):
    """A student with what it needs while it learns and sheds afterwards: projection and decoder."""

    def __init__(self, student: nn.Module, objective: Objective, mean: torch.Tensor, scale: torch.Tensor):
        """Standardise the teacher's features with ``mean`` and ``scale``, float [D].

        The mean squared error then counts every dimension alike, and 1.0 is the loss of a student that knows nothing.
        """
        super().__init__()
        hidden = student.config.hidden_size
        self.student, self.objective = student, objective
        self.projection = nn.Linear(hidden, len(mean)) if objective.alignment else None
        self.decoder = CrossAttentionDecoder(hidden) if objective.reconstruction else None
        self.register_buffer("teacher_mean", mean.float(), persistent=False)
        self.register_buffer("teacher_scale", scale.float(), persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """The weighted loss and its parts (``alignment``, ``reconstruction``).

        ``batch``: what `tokens.collate` gives, and ``teacher_features`` float [B, T, D], ``teacher_start`` and
        ``teacher_stop`` int64 [B, T] (0, 0 at padding), ``teacher_masked`` bool [B, T], ``positions`` int64 [B, Q] with
        the masked bases and ``bases`` int64 [B, Q] with their codes, -100 where a row has fewer or the base is unknown.
        """
        hidden = self.student(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        parts, total = {}, hidden.new_zeros(())
        if self.projection is not None:
            loss = self._alignment(hidden, batch)
            parts["alignment"], total = loss.item(), total + self.objective.alignment * loss
        if self.decoder is not None:
            loss = self._reconstruction(hidden, batch)
            parts["reconstruction"], total = loss.item(), total + self.objective.reconstruction * loss
        return total, parts

    def _alignment(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        teacher = (batch["teacher_features"].float() - self.teacher_mean) / self.teacher_scale
        shared = overlap(batch["teacher_start"], batch["teacher_stop"], batch["start"], batch["stop"])
        scope = self.objective.scope
        everything = torch.ones_like
        student_keep, teacher_keep = {
            "visible": lambda: (~batch["masked"], ~batch["teacher_masked"]),
            "masked": lambda: (batch["masked"], batch["teacher_masked"]),
            "all": lambda: (everything(batch["masked"]), everything(batch["teacher_masked"])),
        }[scope]()
        ours, theirs = align(hidden, teacher, shared, student_keep, teacher_keep, self.objective.alignment_pooling)
        return functional.mse_loss(self.projection(ours).float(), theirs)

    def _reconstruction(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        start, stop = batch["start"], batch["stop"]
        visible = ~batch["masked"] & (stop > start)
        logits = self.decoder(hidden, (start + stop).float() / 2, visible, batch["positions"])
        asked = batch["bases"] != -100
        return functional.cross_entropy(logits[asked].float(), batch["bases"][asked])
