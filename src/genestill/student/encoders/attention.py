"""Self-attention with rotary positions, full or within a window."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class Positions:
    """What the attention layers of an encoder need of the positions of a batch; it is the same for all of them.

    Attributes:
        cosine, sine: [L, width / 2], see `rotary_angles`.
        allowed: what is added to the products of queries and keys, 0 or -infinity; None if all pairs are allowed.
            Without blocks it has the shape [B, 1, L, L] or [L, L]; with blocks see `attend_within`.
        in_blocks: whether the sequence is cut into blocks.
    """

    cosine: torch.Tensor
    sine: torch.Tensor
    allowed: torch.Tensor | None
    in_blocks: bool


class SelfAttention(nn.Module):
    """Multi-head self-attention (scaled dot product) with rotary positions (Su et al., arXiv 2104.09864).

    With ``window`` w > 0, a position i attends to j with |i - j| <= w; the sequence is cut into blocks of w, and each
    block attends to itself and its two neighbours, so that cost and memory grow linearly with the length.
    """

    def __init__(self, hidden_size: int, heads: int, window: int):
        super().__init__()
        self.heads, self.width, self.window = heads, hidden_size // heads, window
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)

    def positions(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> Positions:
        """The positions of a batch like ``hidden`` [B, L, H] with the bool ``mask`` [B, L], or None without padding."""
        length, device = hidden.shape[1], hidden.device
        angles = rotary_angles(length, self.width, device, hidden.dtype)
        # Up to three windows, all pairs at once are cheaper than blocks; an exported graph needs one method.
        if self.window and (torch.compiler.is_exporting() or length > 3 * self.window):
            allowed = allowed_within(mask, length, self.window, device)
            if len(allowed) > 1:
                allowed = allowed.repeat_interleave(self.heads, 0)
            return Positions(*angles, _added(allowed, hidden.dtype), True)
        allowed = None if mask is None else mask[:, None, None, :]
        if self.window and length > self.window + 1:
            place = torch.arange(length, device=device)
            away = (place[:, None] - place).abs()
            # Padding attends to itself, because a softmax over no positions is NaN.
            near = away <= self.window
            allowed = near if allowed is None else (allowed & near) | (away == 0)
        return Positions(*angles, None if allowed is None else _added(allowed, hidden.dtype), False)

    def forward(self, hidden: torch.Tensor, positions: Positions) -> torch.Tensor:
        """Map [B, L, H] to [B, L, H] with the `positions` of the batch. Values at padding are undefined."""
        batch, length, size = hidden.shape
        mixed = self.query_key_value(hidden).view(batch, length, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        query, key, value = mixed.unbind(0)
        query, key = (rotate(x, positions.cosine, positions.sine) for x in (query, key))
        if positions.in_blocks:
            attended = attend_within(query, key, value, positions.allowed, self.window)
        else:
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=positions.allowed)
        return self.output(attended.transpose(1, 2).reshape(batch, length, size))


def rotary_angles(length: int, width: int, device, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, [L, width / 2] each, of position x frequency."""
    frequency = ROTARY_BASE ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate the two halves of the last dimension of [..., L, width] (rotary positions)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def allowed_within(mask: torch.Tensor | None, length: int, window: int, device) -> torch.Tensor:
    """Which keys a query attends to, in blocks of ``window``: bool [B or 1, blocks, window, 3 window].

    The keys of a block are those of the block before, of its own, and of the block after it. ``mask`` is bool [B, L],
    True at real tokens, or None without padding.
    """
    padding = -length % window
    if mask is None:
        mask = torch.ones((1, length), dtype=torch.bool, device=device)
    real = functional.pad(mask, (window, window + padding)).unfold(1, 3 * window, window)  # [B, blocks, 3 window]
    here = torch.arange(window, device=device)[:, None] + window
    away = (here - torch.arange(3 * window, device=device)).abs()
    # Padding attends to itself, because a softmax over no positions is NaN.
    return (away <= window) & real[:, :, None, :] | (away == 0)


def attend_within(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, allowed: torch.Tensor, window: int
) -> torch.Tensor:
    """Attention of queries [B, N, L, D] to keys at most ``window`` positions away, as in ``allowed``.

    ``allowed`` is [B N or 1, blocks, window, 3 window]: `allowed_within` for every head, as bool or as numbers that are
    added.
    """
    batch, heads, length, width = query.shape
    padding = -length % window
    query = functional.pad(query, (0, 0, 0, padding)).reshape(batch * heads, -1, window, width)

    def neighbourhoods(x):  # every block with the block before and the block after it
        padded = functional.pad(x, (0, 0, window, window + padding)).reshape(batch * heads, -1, width)
        if not x.requires_grad:
            return padded.unfold(1, 3 * window, window).mT  # without a copy; its gradient is slow
        blocks = padded.unflatten(1, (-1, window))
        return torch.cat([blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]], dim=2)

    attended = functional.scaled_dot_product_attention(
        query, neighbourhoods(key), neighbourhoods(value), attn_mask=allowed
    )
    return attended.reshape(batch, heads, -1, width)[:, :, :length]


def _added(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where ``allowed`` and -infinity elsewhere, so that no layer has to convert it."""
    return torch.zeros((), dtype=dtype, device=allowed.device).where(allowed, -torch.inf)
