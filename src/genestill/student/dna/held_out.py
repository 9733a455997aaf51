"""Held-out windows, on which the loss is measured ten times during the training."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from genestill.core.training.batches import Batch

EVERY, FEWEST, MOST, READINGS = 50, 200, 256, 10


def held_out_rows(windows: int) -> np.ndarray:
    """Every fiftieth of the windows, at most 256; none if there are fewer than 200. int64, ascending."""
    if windows < FEWEST:
        return np.empty(0, dtype=np.int64)
    rows = np.arange(EVERY - 1, windows, EVERY)
    return rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]


def read_held_out(
    model: nn.Module, compute_loss: Callable, batches: Callable[[], Iterable[Batch]], steps: int, device: torch.device
) -> Callable[[int], dict[str, float]]:
    """A function for `train` to call after each step: ``held_out_loss``, the mean loss of ``batches()``.

    It is measured at the first step and ten more times. The batches are drawn once; without batches, the function
    returns nothing.
    """
    places = {max(1, round(steps * place / READINGS)) for place in range(READINGS + 1)}
    kept: list[Batch] = []

    def read(step: int) -> dict[str, float]:
        if step not in places:
            return {}
        if not kept:
            kept.extend(batches())
        if not kept:
            return {}
        model.eval()
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            losses = [compute_loss(batch.to(device))[0] for batch in kept]
        return {"held_out_loss": float(torch.stack(losses).float().mean())}

    return read
