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
        patience: epochs in a row without a better score after which the training ends; None for all epochs.
    """

    def __init__(self, model: nn.Module, ends: Sequence[int], score: Callable[[], float], patience: int | None = None):
        self.model, self.ends, self.score, self.patience = model, list(ends), score, patience
        self.best, self.epoch, self._weights = float("-inf"), 0, None

    def __call__(self, step: int) -> bool:
        """Score the model if an epoch ends with ``step`` steps taken; whether patience is at its end."""
        if step not in self.ends:
            return False
        self.model.eval()
        found = self.score()
        epoch = self.ends.index(step) + 1
        if found > self.best:
            self.best, self.epoch = found, epoch
            self._weights = copy.deepcopy(self.model.state_dict())
        return self.patience is not None and epoch - self.epoch >= self.patience

    def restore(self) -> None:
        """Give the model the weights that were kept."""
        self.model.load_state_dict(self._weights)
