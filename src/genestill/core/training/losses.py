"""Losses that several trainings share."""

import torch
from torch.nn import functional

from genestill.core.masking import IGNORED


def mean_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats, in single precision; 0 if no target counts, as in a batch of unknown letters.

    Args:
        logits: float [..., classes].
        targets: int64 [...]; `masking.IGNORED` does not count.
    """
    summed = functional.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), reduction="sum", ignore_index=IGNORED
    )
    return summed / (targets != IGNORED).sum().clamp(min=1)
