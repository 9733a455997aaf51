"""Self-attention with rotary positions, full or within a window."""

import torch
from torch import nn
from torch.nn import functional

ROTARY_BASE = 10_000.0


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

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map [B, L, H] to [B, L, H]; ``mask`` is bool [B, L], True at real tokens, or None without padding.

        Values at padding are undefined.
        """
        batch, length, size = hidden.shape
        mixed = self.query_key_value(hidden).view(batch, length, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        query, key, value = mixed.unbind(0)
        cosine, sine = rotary_angles(length, self.width, hidden.device, hidden.dtype)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        # Up to three windows, all pairs at once are cheaper than blocks; an exported graph needs one method.
        if self.window and (torch.compiler.is_exporting() or length > 3 * self.window):
            attended = attend_within(query, key, value, mask, self.window)
        else:
            seen = None if mask is None else mask[:, None, None, :]
            if self.window and length > self.window + 1:
                place = torch.arange(length, device=query.device)
                away = (place[:, None] - place).abs()
                # Padding attends to itself, because a softmax over no positions is NaN.
                near = away <= self.window
                seen = near if seen is None else (seen & near) | (away == 0)
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
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


def attend_within(query, key, value, mask: torch.Tensor | None, window: int) -> torch.Tensor:
    """Attention of queries [B, N, L, D] to keys at most ``window`` positions away; ``mask`` bool [B, L] or None."""
    batch, heads, length, width = query.shape
    if mask is None:
        mask = torch.ones((batch, length), dtype=torch.bool, device=query.device)
    padding = -length % window
    blocks = (length + padding) // window
    query = functional.pad(query, (0, 0, 0, padding)).reshape(batch, heads, blocks, window, width)
    key, value = (functional.pad(x, (0, 0, window, window + padding)) for x in (key, value))
    real = functional.pad(mask, (window, window + padding))

    def neighbourhoods(x, dimension):  # every block with the block before and the block after it
        parts = [x.narrow(dimension, shift * window, blocks * window) for shift in range(3)]
        shape = x.shape[:dimension] + (blocks, window) + x.shape[dimension + 1 :]
        return torch.cat([part.reshape(shape) for part in parts], dim=dimension + 1)

    key, value, real = neighbourhoods(key, 2), neighbourhoods(value, 2), neighbourhoods(real, 1)
    here = torch.arange(window, device=query.device)[:, None] + window
    away = (here - torch.arange(3 * window, device=query.device)).abs()
    # [B, blocks, window, 3 window]; padding attends to itself, because a softmax over no positions is NaN.
    allowed = (away <= window) & real[:, :, None, :] | (away == 0)

    def fold(x):  # blocks become rows of the batch: [B, N, blocks, l, D] -> [B blocks, N, l, D]
        return x.transpose(1, 2).reshape(batch * blocks, heads, -1, width)

    attended = functional.scaled_dot_product_attention(
        fold(query), fold(key), fold(value), attn_mask=allowed.reshape(batch * blocks, 1, window, 3 * window)
    )
    attended = attended.reshape(batch, blocks, heads, window, width).transpose(1, 2)
    return attended.reshape(batch, heads, blocks * window, width)[:, :, :length]
