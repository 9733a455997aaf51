"""One batch of a distillation as the terms of the loss read it: what the student computed and what the teacher said.

Notation: s = pooled student embedding [B, H], t = whitened teacher embedding [B, D], P = projection of student space to
the teacher's (linear, trained with the student, part of the loss and never of the saved model).
"""

from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def mean_over_spans(hidden: torch.Tensor, row: torch.Tensor, start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Means [S, H] of ``hidden`` [B, L, H] over the spans (row, start, stop), int64 [S] each; start < stop <= L."""
    sums = functional.pad(hidden.cumsum(dim=1), (0, 0, 1, 0))
    return (sums[row, stop] - sums[row, start]) / (stop - start).unsqueeze(-1).to(hidden.dtype)


class Heads(nn.Module):
    """What a loss needs beside the student: the projection to the teacher's space, and logits over the four bases."""

    def __init__(
        self, hidden_size: int, embedding_size: int, sequence_size: int | None, token_size: int | None, bases: bool
    ):
        super().__init__()
        self.projection = nn.Linear(embedding_size, sequence_size) if sequence_size else None
        self.token_projection = nn.Linear(hidden_size, token_size) if token_size else None
        self.bases = nn.Linear(hidden_size, 4) if bases else None


class Batch:
    """The rows of one step; what several terms read is computed once.

    Attributes:
        rows: int64 [B], numbers of the transcripts in the distillation set.
        ids: int64 [B, L], codes of all bases, hidden or not; padding is above 3.
        hidden_bases: bool [B, L], the bases that the student did not see; None where no term hides any.
        states: float [B, L, H], the student's states of all bases.
        mask: bool [B, L], False at padding.
        settings: of the training, with the settings of single terms.
    """

    def __init__(self, rows, ids, hidden_bases, states, mask, model, heads, corpus, settings):
        self.rows, self.ids, self.hidden_bases = rows, ids, hidden_bases
        self.states, self.mask, self.settings = states, mask, settings
        self._model, self._heads, self._corpus = model, heads, corpus

    @cached_property
    def pooled(self) -> torch.Tensor:
        """s: the student's embeddings, float [B, H]."""
        return self._model.pool(self.states, self.mask)

    @cached_property
    def projected(self) -> torch.Tensor:
        """P s: the student's embeddings in the teacher's space, float [B, D]."""
        return self._heads.projection(self.pooled)

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """t: the teacher's whitened embeddings, float [B, D]."""
        return self._corpus.white[torch.from_numpy(self.rows)].to(self.states.device)

    @cached_property
    def tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Student and teacher at every token of the teacher, float [tokens, D] each.

        The student's side is the projected mean of its states over the bases of the token, the teacher's is whitened.
        """
        places, starts, stops, features = [], [], [], []
        for place, row in enumerate(self.rows):
            start, stop, values = self._corpus.token_features.of(row)
            start, stop = start + self._corpus.read_from[row], stop + self._corpus.read_from[row]
            within = stop <= self.states.shape[1]
            places.append(np.full(int(within.sum()), place, np.int64))
            starts.append(start[within].astype(np.int64))
            stops.append(stop[within].astype(np.int64))
            features.append(values[within])
        device = self.states.device
        spans = (torch.from_numpy(np.concatenate(part)).to(device) for part in (places, starts, stops))
        means = mean_over_spans(self.states, *spans)
        teacher = self._corpus.token_whitening(torch.from_numpy(np.concatenate(features))).to(device)
        return self._heads.token_projection(means), teacher

    def base_logits(self, row: np.ndarray, column: np.ndarray) -> torch.Tensor:
        """The student's logits of A, C, G and T at single bases: float [positions, 4]."""
        return self._heads.bases(self.states[torch.from_numpy(row), torch.from_numpy(column)])

    def base_log_probabilities(self) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Row and column of the hidden bases of which the teacher said something, and its log-probabilities there.

        int64 [positions] twice, and float32 [positions, 4], of A, C, G and T; all finite.
        """
        row, column = np.nonzero(self.hidden_bases)
        teacher = [self._corpus.base_log_probabilities.of(number) for number in self.rows]
        place = column - self._corpus.read_from[self.rows[row]]
        known = np.array([0 <= p < len(teacher[r]) for r, p in zip(row, place, strict=True)], bool)
        row, column, place = row[known], column[known], place[known]
        said = np.stack([teacher[r][p] for r, p in zip(row, place, strict=True)])
        finite = np.isfinite(said).all(axis=1)
        return row[finite], column[finite], torch.from_numpy(said[finite]).to(self.states.device)
