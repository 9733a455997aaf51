"""The teacher's outputs for the bases and tokens of a transcript, by its row in the distillation set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genestill.core.shards import Rows


class BaseLogProbabilities:
    """The teacher's log-probabilities of A, C, G, T at every base; `of` returns those of one transcript."""

    def __init__(self, paths: Sequence[str | Path], ids: Sequence[str]):
        self._rows = Rows(paths, "base-log-probabilities", ids)

    def of(self, number: int) -> np.ndarray:
        """float32 [bases, 4] of transcript ``number``; shorter than the transcript if the teacher truncated it."""
        (values,) = self._rows.of(number, "log_probabilities")
        return values.astype(np.float32).reshape(-1, 4)


class TokenFeatures:
    """The teacher's features of every token of a transcript, with the bases that each token covers."""

    def __init__(self, paths: Sequence[str | Path], ids: Sequence[str]):
        self._rows = Rows(paths, "token", ids)
        self.size = self._rows.shards.size

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(start, stop, features) of transcript ``number``: int32 [tokens] twice and float32 [tokens, size]."""
        start, stop, features = self._rows.of(number, "start", "stop", "features")
        return start, stop, features.astype(np.float32).reshape(-1, self.size)

    def sample(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Features of about ``count`` tokens drawn over all transcripts, float32 [tokens, size], to fit a whitening."""
        numbers = generator.choice(len(self._rows), min(len(self._rows), 500), replace=False)
        return np.concatenate([self.of(number)[2] for number in numbers])[:count]
