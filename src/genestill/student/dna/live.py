"""Distillation with the teacher in the loop: every step reads windows that no step before has read.

Stored features show a student the same windows on one strand again and again. Here each step draws windows at random
places of the sequences, half of them reverse-complemented, and asks the teacher about them: dearer on a CPU, where
features are stored, and cheaper on a GPU than to read them back.
"""

from typing import Protocol

import numpy as np
import torch

from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases, reverse_complement
from genestill.core.training.batches import Batch, cut_rows
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import ROWS_FOR_SCALE, pad_teacher
from genestill.student.dna.masking import check_groups, cut_groups, mask_groups
from genestill.student.dna.settings import DistillationSettings
from genestill.student.encoders.adapters import collate, without_full_mask


class Teacher(Protocol):
    """What is asked of a teacher: see `genestill.teacher.live.LiveTeacher`, which the command line brings."""

    size: int
    metadata: dict[str, str]

    def read(self, sequences: list[str]) -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """Arrays for `features`, and start and stop of the tokens of each sequence."""

    def features(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features of tokens, [b, tokens, size]."""


class FreshWindows:
    """Windows at random places and on both strands; those of a step depend on (seed, step) alone.

    Args:
        sequences: of any length; longer ones are drawn from more often.
        length: bases of a window; a shorter sequence is a window itself.
    """

    def __init__(self, sequences: list[str], length: int):
        self.sequences, self.length = sequences, length
        self._ends = np.cumsum([max(1, len(sequence) - length + 1) for sequence in sequences], dtype=np.float64)
        if not len(self._ends):
            raise InputError("no sequence to draw windows from")

    def draw(self, generator: np.random.Generator, count: int) -> list[str]:
        """``count`` windows."""
        windows = []
        for place, strand in generator.random((count, 2)):
            at = place * self._ends[-1]
            number = int(np.searchsorted(self._ends, at, side="right"))
            start = int(at - (self._ends[number - 1] if number else 0))
            window = self.sequences[number][start : start + self.length]
            windows.append(reverse_complement(window) if strand < 0.5 else window)
        return windows


class LiveDistillation(torch.nn.Module):
    """The loss of `Distillation`, for batches of `batch`, whose features the teacher computes where it is taken."""

    def __init__(self, student, settings: DistillationSettings, teacher: Teacher, windows: FreshWindows, where):
        super().__init__()
        # Not a submodule: the teacher does not learn, and belongs to no checkpoint.
        self._ask, self._windows = teacher, windows
        self.whole = Distillation(student, settings, *self._scale(where)).to(where)

    @property
    def student(self):
        """The student alone."""
        return self.whole.student

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted loss and its terms, unweighted."""
        return self.whole(batch | {"teacher_features": self._ask.features(batch)})

    def batches(self, step: int, size: int, seed: int, adapter, share: float, longest: int, parts: int) -> list[Batch]:
        """The batch of a step in ``parts`` parts; the arguments are those of `TeacherFeatures.batches`."""
        generator = np.random.default_rng([seed, 2, step])
        return self.read(self._windows.draw(generator, size), generator, adapter, share, longest, parts)

    def read(
        self, windows: list[str], generator: np.random.Generator, adapter, share: float, longest: int, parts: int = 1
    ) -> list[Batch]:
        """Batches of windows that were drawn, with masks that are drawn here."""
        groups = [cut_groups(encode_bases(window)) for window in windows]
        masked = [mask_groups(boundaries, share, generator) for boundaries in groups]
        found = []
        for part in cut_rows(np.arange(len(windows)), parts):
            asked, tokens = self._ask.read([windows[row] for row in part])
            rows, taught = [], []
            for row, (start, stop) in zip(part, tokens, strict=True):
                check_groups(groups[row], start, stop, "a window")
                rows.append(adapter.encode_masked(windows[row], groups[row], masked[row]))
                read = rows[-1].stop[:longest].max(initial=0)
                positions = np.flatnonzero(np.repeat(masked[row], np.diff(groups[row]))[:read])
                nothing = np.empty((len(start), 0), np.float16)
                taught.append((start, stop, nothing, masked[row], positions, encode_bases(windows[row])[positions]))
            told = pad_teacher(taught, 0)
            del told["teacher_features"]
            batch = collate(rows, adapter.pad, longest)
            tokens_read = int(batch["attention_mask"].sum())
            found.append(Batch(without_full_mask(batch) | told | asked, tokens_read))
        return found

    def _scale(self, where) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of every dimension of the features, over some windows."""
        generator, values = np.random.default_rng([0, 3]), []
        for _ in range(ROWS_FOR_SCALE // 16):
            asked, tokens = self._ask.read(self._windows.draw(generator, 16))
            features = self._ask.features({name: torch.from_numpy(array).to(where) for name, array in asked.items()})
            values += [row[: len(start)].cpu().double() for row, (start, _) in zip(features, tokens, strict=True)]
        whole = torch.cat(values)
        mean, deviation = whole.mean(dim=0), whole.std(dim=0, unbiased=False)
        return mean.float(), deviation.clamp(min=max(1e-6, 1e-3 * float(deviation.mean()))).float()
