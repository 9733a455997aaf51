"""From one vector per token to one vector per sequence, for teachers and students.

Windows of a longer sequence are combined afterwards (`windows.CombinedWindows`). The names are the usual ones;
``concatenated`` is cls, max and mean side by side, in this order, as in seqLens. Students of transcripts also pool by
region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genestill.core.errors import InputError

if TYPE_CHECKING:
    import torch

POOLINGS = ("mean", "max", "cls", "last", "concatenated")
PARTS = ("cls", "max", "mean")  # of concatenated
REGIONS = ("5'UTR", "CDS", "3'UTR")  # of a transcript, in the order of their codes
TRANSCRIPT_POOLINGS = (*POOLINGS, "regions")


def pool(
    hidden: torch.Tensor,
    mask: torch.Tensor,
    how: str,
    counted: torch.Tensor | None = None,
    regions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pool the vectors of tokens.

    Args:
        hidden: float [B, L, H], vectors of tokens, padded on the right.
        mask: [B, L], 1 or True for tokens, 0 or False for padding, which is always ignored.
        how: ``mean``; ``max`` (negative maxima stay negative); ``cls`` (the first token, special or not); ``last`` (the
            last token); ``concatenated``; ``regions`` (the means over 5'UTR, coding sequence and 3'UTR side by side).
        counted: bool [B, L], the tokens that are included in means and maxima; all of ``mask`` by default.
        regions: integer [B, L], the region of every token as an index into `REGIONS`; other numbers for no region.

    Returns:
        float [B, H], or [B, 3 H] for ``concatenated`` and ``regions``; zeros for a row or a region without tokens.

    Raises:
        InputError: an unknown ``how``, or ``regions`` without the regions of the tokens.
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
    if how == "regions":
        if regions is None:
            raise InputError("pooling is 'regions', but the region of every base is not given; expected integers")
        codes = torch.arange(len(REGIONS), device=hidden.device)[:, None]
        parts = (taken.mT & (regions[:, None] == codes)).to(hidden.dtype)  # [B, 3, L]
        with torch.autocast(hidden.device.type, enabled=False):  # the sum keeps the precision of the vectors
            sums = parts @ hidden.masked_fill(~taken, 0)
        return (sums / parts.sum(2, keepdim=True).clamp(min=1)).flatten(1)
    raise InputError(f"pooling is {how!r}; expected one of {', '.join(POOLINGS)}")


def pooled_size(hidden_size: int, how: str) -> int:
    """Size of a pooled vector of tokens with ``hidden_size`` numbers each."""
    return hidden_size * {"concatenated": len(PARTS), "regions": len(REGIONS)}.get(how, 1)


def region_lengths(mask: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """log(1 + number of tokens) of each region: float32 [B, 3], from ``mask`` and integer ``regions`` [B, L]."""
    import torch

    real = mask.bool()
    counts = torch.stack([(real & (regions == code)).sum(1) for code in range(len(REGIONS))], dim=1)
    return torch.log1p(counts.float())
