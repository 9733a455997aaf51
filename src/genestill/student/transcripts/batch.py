"""One batch of a distillation as input of the terms of the loss: outputs of the student and of the teacher.

Notation: s = pooled student embedding [B, H], t = whitened teacher embedding [B, D], P = projection from student space
to teacher space (linear, trained with the student, part of the loss and not of the saved model).
"""

from functools import cached_property

import torch
from torch import nn
from torch.nn import functional

CONTRAST_SIZE = 64


def mean_over_spans(hidden: torch.Tensor, row: torch.Tensor, start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Means [S, H] of ``hidden`` float [B, L, H] over spans (row, start, stop), int64 [S] each; start < stop <= L."""
    sums = functional.pad(hidden.cumsum(dim=1), (0, 0, 1, 0))
    return (sums[row, stop] - sums[row, start]) / (stop - start).unsqueeze(-1).to(hidden.dtype)


class Heads(nn.Module):
    """Modules of the loss: projections to the teacher's space, logits of bases, a contrast head."""

    def __init__(
        self,
        hidden_size: int,
        embedding_size: int,
        sequence_size: int | None,
        token_size: int | None,
        bases: bool,
        contrast: bool = False,
    ):
        super().__init__()
        self.projection = nn.Linear(embedding_size, sequence_size) if sequence_size else None
        self.token_projection = nn.Linear(hidden_size, token_size) if token_size else None
        self.bases = nn.Linear(hidden_size, 4) if bases else None
        self.contrast = None
        if contrast:
            self.contrast = nn.Sequential(
                nn.Linear(embedding_size, embedding_size), nn.SiLU(), nn.Linear(embedding_size, CONTRAST_SIZE)
            )


class Batch:
    """One batch; values that several terms need are computed once.

    Attributes:
        read: the tensors of `Corpus.prepare`, on the student's device.
        states: float [B, L, H], the student's states of all bases.
        settings: settings of the training, including those of single terms.
    """

    def __init__(self, read: dict[str, torch.Tensor], states: torch.Tensor, model, heads, settings):
        self.read, self.states, self.settings = read, states, settings
        self._model, self._heads = model, heads

    @cached_property
    def pooled(self) -> torch.Tensor:
        """s: the student's embeddings without lengths, float [B, H]."""
        return self._model.pool(self.states, self.read["mask"], regions=self.read.get("regions"))

    @cached_property
    def projected(self) -> torch.Tensor:
        """P s: the student's embeddings in the teacher's space, float [B, D]."""
        return self._heads.projection(self.pooled)

    @property
    def embeddings(self) -> torch.Tensor:
        """t: the teacher's whitened embeddings, float [B, D]."""
        return self.read["embeddings"]

    @cached_property
    def views(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The transcripts and a relative of each, after the contrast head: float [B, 64] each."""
        read = {name.removeprefix("other_"): values for name, values in self.read.items() if name.startswith("other_")}
        others = self._model(read["inputs"], read["mask"], read.get("tracks")).last_hidden_state
        pooled = self._model.pool(others, read["mask"], regions=read.get("regions"))
        return self._heads.contrast(self.pooled), self._heads.contrast(pooled)

    @property
    def families(self) -> torch.Tensor:
        """The number of each transcript's family (relatives, and relatives of relatives): int64 [B]."""
        return self.read["families"]

    @cached_property
    def tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Student and teacher at every token of the teacher, float [tokens, D] each.

        The student's side is the projected mean of its states over the bases of the token; the teacher's is whitened.
        """
        means = mean_over_spans(self.states, *(self.read[f"token_{part}"] for part in ("row", "start", "stop")))
        return self._heads.token_projection(means), self.read["token_features"]

    def base_logits(self, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        """The student's logits of A, C, G and T at single bases: float [positions, 4]."""
        return self._heads.bases(self.states[row, column])

    @property
    def hidden_bases(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Row and column of the bases hidden from the student, and their codes: int64 [positions] each."""
        return self.read["hidden_row"], self.read["hidden_column"], self.read["hidden_base"]

    @property
    def base_log_probabilities(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Row and column of the hidden bases with outputs of the teacher, and its log-probabilities there.

        int64 [positions] twice, and float32 [positions, 4], of A, C, G and T; all finite.
        """
        return self.read["said_row"], self.read["said_column"], self.read["said"]
