"""Selecting the weights of the first epoch with the best scores on validation rows."""

import copy
from collections.abc import Callable, Sequence

from torch import nn


class BestWeights:
    """Scores a model at the end of every epoch and keeps the weights of the first epoch with the best scores.

    Pass it to `loop.train` as ``best``.

    Attributes:
        best: the best scores so far.
        epoch: its epoch, from 1; 0 before the first.
        ended: whether the training should end because of ``patience``.

    Args:
        model: the model that is trained.
        ends: number of steps at the end of each epoch.
        score: function that returns the scores of the model in evaluation mode; higher is better, and a later score is
            compared if all scores before it are equal.
        patience: epochs in a row without a better score after which the training ends; None for all epochs.
    """

    def __init__(
        self, model: nn.Module, ends: Sequence[int], score: Callable[[], tuple[float, ...]], patience: int | None = None
    ):
        self.model, self.ends, self.score, self.patience = model, list(ends), score, patience
        self.best: tuple[float, ...] = (float("-inf"),)
        self.epoch, self.ended, self._weights = 0, False, None

    def __call__(self, step: int) -> dict[str, float]:
        """Score the model if an epoch ends at ``step`` (number of steps so far); returns values for the history."""
        if step not in self.ends:
            return {}
        self.model.eval()
        found = self.score()
        epoch = self.ends.index(step) + 1
        if found > self.best:
            self.best, self.epoch = found, epoch
            self._weights = copy.deepcopy(self.model.state_dict())
        self.ended = self.patience is not None and epoch - self.epoch >= self.patience
        return {"validation": found[0]}

    def state(self) -> dict:
        """The state for a checkpoint."""
        return {"best": self.best, "epoch": self.epoch, "weights": self._weights, "ended": self.ended}

    def load_state(self, state: dict) -> None:
        """Restore the state that `state` returned."""
        self.best, self.epoch, self._weights = tuple(state["best"]), state["epoch"], state["weights"]
        self.ended = state["ended"]

    def restore(self) -> None:
        """Load the best weights into the model."""
        self.model.load_state_dict(self._weights)
