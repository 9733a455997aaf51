"""The learning rate during a training."""

import math
from dataclasses import dataclass

from genestill.core.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """The learning rate rises to its peak and then decreases along half a cosine.

    The default is a linear warm-up and a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983). With a warm-up of 0.3
    along a cosine and an end of 4e-6 it is the one-cycle policy (Smith and Topin 2017, arXiv 1708.07120) as in
    ``OneCycleLR`` of torch; without a warm-up it is ``CosineAnnealingLR`` of torch.

    Attributes:
        steps: optimizer steps of the training.
        peak: highest learning rate.
        warm_up: share of the steps in which the learning rate rises.
        start, end: first and last learning rate, as shares of the peak.
        rise: shape of the rise, ``linear`` or ``cosine``.
    """

    steps: int
    peak: float
    warm_up: float = 0.05
    start: float = 0.04
    end: float = 0.0
    rise: str = "linear"

    def __post_init__(self):
        if self.rise not in ("linear", "cosine"):
            raise InputError(f"schedule: rise is {self.rise!r}; expected linear or cosine")

    def rate(self, step: float) -> float:
        """Learning rate of ``step``, from 0 to ``steps`` - 1; fractional for trainings with a time limit."""
        top = max(self.warm_up * self.steps - 1, 0.0)
        if step < top:
            way = step / top
            risen = way if self.rise == "linear" else _half_cosine(way)
            return self.peak * (self.start + (1 - self.start) * risen)
        fallen = _half_cosine(min(1.0, (step - top) / max(self.steps - 1 - top, 1e-9)))
        return self.peak * (1 + (self.end - 1) * fallen)


def _half_cosine(way: float) -> float:
    """From 0 to 1 for ``way`` from 0 to 1."""
    return (1 - math.cos(math.pi * way)) / 2
