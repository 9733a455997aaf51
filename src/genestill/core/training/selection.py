"""Which weights of a training are kept: those of the epoch that is best on validation rows."""

import copy
from collections.abc import Callable, Sequence

from torch import nn


class BestWeights:
    """Scores a model at the end of every epoch and keeps the weights of the best; the first of equals.

    Hand it to `loop.train` as ``best``.

    Attributes:
        best: the best score so far.
        epoch: its epoch, from 1; 0 before the first.
        ended: whether patience is at its end.

    Args:
        model: what is trained.
        ends: steps taken at the end of each epoch.
        score: of the model in evaluation mode; more is better.
        patience: epochs in a row without a better score after which the training ends; None for all epochs.
    """

    def __init__(self, model: nn.Module, ends: Sequence[int], score: Callable[[], float], patience: int | None = None):
        self.model, self.ends, self.score, self.patience = model, list(ends), score, patience
        self.best, self.epoch, self.ended, self._weights = float("-inf"), 0, False, None

    def __call__(self, step: int) -> dict[str, float]:
        """Score the model if an epoch ends with ``step`` steps taken; what the history says of it."""
        if step not in self.ends:
            return {}
        self.model.eval()
        found = self.score()
        epoch = self.ends.index(step) + 1
        if found > self.best:
            self.best, self.epoch = found, epoch
            self._weights = copy.deepcopy(self.model.state_dict())
        self.ended = self.patience is not None and epoch - self.epoch >= self.patience
        return {"validation": found}

    def state(self) -> dict:
        """What a checkpoint keeps."""
        return {"best": self.best, "epoch": self.epoch, "weights": self._weights, "ended": self.ended}

    def load_state(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.best, self.epoch, self._weights = state["best"], state["epoch"], state["weights"]
        self.ended = state["ended"]

    def restore(self) -> None:
        """Give the model the weights that were kept."""
        self.model.load_state_dict(self._weights)
