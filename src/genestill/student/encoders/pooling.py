"""From one vector a token to one vector a sequence; padding never takes part."""

import torch

from genestill.core.errors import InputError


def pool(hidden: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """Pool token representations over the real positions.

    Args:
        hidden: [B, L, H] token representations.
        mask: [B, L], 1 or True for real tokens, 0 or False for padding.
        how: ``mean``; ``max`` (over real tokens only, so that negative maxima stay negative); ``cls`` (the first
            position); ``concatenated`` (cls, max and mean in this order, as seqLens concatenates them).

    Returns:
        [B, H], or [B, 3 H] for ``concatenated``; zeros for a row without real tokens.

    Raises:
        InputError: an unknown ``how``.
    """
    real = mask.bool().unsqueeze(-1)
    if how == "mean":
        weights = real.to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    if how == "max":
        highest = hidden.masked_fill(~real, torch.finfo(hidden.dtype).min).amax(1)
        return highest * real.any(1).to(hidden.dtype)
    if how == "cls":
        return hidden[:, 0] * real[:, 0].to(hidden.dtype)
    if how == "concatenated":
        return torch.cat([pool(hidden, mask, part) for part in ("cls", "max", "mean")], dim=-1)
    raise InputError(f"pooling is {how!r}; expected mean, max, cls or concatenated")
