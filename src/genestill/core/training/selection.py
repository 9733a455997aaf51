"""Which weights of a training are kept: those of the epoch that is best on validation rows."""

import copy
from collections.abc import Callable, Sequence

from torch import nn


class BestWeights:
    """Scores a model at the end of every epoch and keeps the weights of the best; the first of equals.

    Hand it to `loop.train` as ``after_step``.

    Attributes:
        best: the best score so far.
        epoch: its epoch, from 1; 0 before the first.

    Args:
        model: what is trained.
        ends: steps taken at the end of each epoch.
        score: of the model in evaluation mode; more is better.
    """

    def __init__(self, model: nn.Module, ends: Sequence[int], score: Callable[[], float]):
        self.model, self.ends, self.score = model, list(ends), score
        self.best, self.epoch, self._weights = float("-inf"), 0, None

    def __call__(self, step: int) -> None:
        """Score the model if an epoch ends with ``step`` steps taken."""
        if step not in self.ends:
            return
        self.model.eval()
        found = self.score()
        if found > self.best:
            self.best, self.epoch = found, self.ends.index(step) + 1
            self._weights = copy.deepcopy(self.model.state_dict())

    def restore(self) -> None:
        """Give the model the weights that were kept."""
        self.model.load_state_dict(self._weights)
