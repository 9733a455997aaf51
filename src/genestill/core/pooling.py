"""From one vector per token to one vector per sequence, of teachers and students alike.

Windows of a longer sequence are combined afterwards (`windows.CombinedWindows`). The poolings have the names that the
field uses; ``concatenated`` is cls, max and mean side by side, in this order, as seqLens concatenates them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genestill.core.errors import InputError

if TYPE_CHECKING:
    import torch

POOLINGS = ("mean", "max", "cls", "last", "concatenated")
PARTS = ("cls", "max", "mean")  # of concatenated


def pool(hidden: torch.Tensor, mask: torch.Tensor, how: str, counted: torch.Tensor | None = None) -> torch.Tensor:
    """Pool the vectors of tokens.

    Args:
        hidden: float [B, L, H], vectors of tokens, padded on the right.
        mask: [B, L], 1 or True for tokens, 0 or False for padding, which never takes part.
        how: ``mean``; ``max`` (negative maxima stay negative); ``cls`` (the first token, whether or not it is a
            special one); ``last`` (the last token); ``concatenated``.
        counted: [B, L], the tokens that take part in ``mean`` and ``max``; all of ``mask`` by default.

    Returns:
        [B, H], or [B, 3 H] for ``concatenated``; zeros for a row without tokens.

    Raises:
        InputError: an unknown ``how``.
    """
    import torch

    if how == "concatenated":
        return torch.cat([pool(hidden, mask, part, counted) for part in PARTS], dim=-1)
    real = mask.bool()
    if how in ("cls", "last"):
        place = torch.zeros_like(mask[:, 0], dtype=torch.int64) if how == "cls" else (real.sum(1) - 1).clamp(min=0)
        rows = torch.arange(len(hidden), device=hidden.device)
        return hidden[rows, place] * real[rows, place, None].to(hidden.dtype)
    taken = (real if counted is None else counted.bool())[..., None]
    if how == "mean":
        return hidden.masked_fill(~taken, 0).sum(1) / taken.sum(1).clamp(min=1).to(hidden.dtype)
    if how == "max":
        highest = hidden.masked_fill(~taken, torch.finfo(hidden.dtype).min).amax(1)
        return highest * taken.any(1).to(hidden.dtype)
    raise InputError(f"pooling is {how!r}; expected one of {', '.join(POOLINGS)}")


def pooled_size(hidden_size: int, how: str) -> int:
    """Numbers of a pooled vector of tokens with ``hidden_size`` numbers each."""
    return hidden_size * (len(PARTS) if how == "concatenated" else 1)
