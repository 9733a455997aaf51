"""The teacher's token features as batches, with one shard in memory at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases
from genestill.core.shards import Shards
from genestill.core.training.batches import cut_rows
from genestill.student.dna.held_out import held_out_rows
from genestill.student.dna.masking import check_groups, cut_groups, mask_groups
from genestill.student.encoders.adapters import collate

ROWS_FOR_SCALE = 256


class TeacherFeatures:
    """Shards of ``table_schemas.token_features`` and their sequences.

    Attributes:
        size: size D of a feature.
        teacher: the teacher, from the metadata of the first shard.
        rows: number of sequences for training; ``held`` are the positions of the others.
    """

    def __init__(self, shards: Sequence[str | Path], sequences: dict[str, str]):
        self.shards, self.sequences = Shards(shards, "token"), sequences
        self.teacher, self.size, self.counts = self.shards.metadata, self.shards.size, self.shards.counts
        if not sum(self.counts):
            raise InputError(f"{shards[0]}: has no sequences")
        # (shard, row) of held-out sequences, and the number of others.
        shard_of = np.repeat(np.arange(len(self.counts)), self.counts)
        first = np.cumsum([0, *self.counts])
        held = held_out_rows(sum(self.counts))
        self.held = [(int(shard_of[number]), int(number - first[shard_of[number]])) for number in held]
        self.rows = sum(self.counts) - len(self.held)
        self._loaded: int | None = None
        self._table: Any = None

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of every dimension, float32 [D], from rows spread evenly over all shards.

        Windows are sorted by genome, so that the first rows would represent only one genome.
        """
        shard_of = np.repeat(np.arange(len(self.counts)), self.counts)
        first = np.cumsum([0, *self.counts])
        total = sum(self.counts)
        spread = np.linspace(0, total - 1, min(ROWS_FOR_SCALE, total)).astype(int)
        places = [(shard_of[number], number - first[shard_of[number]]) for number in spread]
        values = np.concatenate([self._row(int(shard), int(row))[3] for shard, row in places]).astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        floor = max(1e-6, 1e-3 * float(deviation.mean()))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation.clip(floor)).float()

    def order(self, epoch: int, seed: int) -> list[tuple[int, int]]:
        """(shard, row) of every sequence in the order of an epoch: shards are shuffled, and rows within each shard."""
        generator, held = np.random.default_rng([seed, 1, epoch]), set(self.held)
        return [
            (int(shard), int(row))
            for shard in generator.permutation(len(self.counts))
            for row in generator.permutation(self.counts[shard])
            if (shard, row) not in held
        ]

    def batch(self, step: int, size: int, seed: int, adapter, share: float, longest: int) -> dict[str, torch.Tensor]:
        """The batch of a step for `distillation.Distillation`, with its ``attention_mask``."""
        return self.batches(step, size, seed, adapter, share, longest)[0]

    def batches(
        self, step: int, size: int, seed: int, adapter, share: float, longest: int, parts: int = 1
    ) -> list[dict[str, torch.Tensor]]:
        """The batch of a step in ``parts`` parts; rows and masks depend only on step and seed.

        Args:
            step: number of the optimizer step.
            size: sequences per batch.
            seed: seed of the order and of the masks.
            adapter: an adapter of `encoders.adapters`.
            share: share of the groups that are masked.
            longest: maximum number of student tokens per row.
            parts: number of parts into which the rows are cut.
        """
        places = [divmod(number, self.rows) for number in range(step * size, (step + 1) * size)]
        orders = {epoch: self.order(epoch, seed) for epoch in {epoch for epoch, _ in places}}
        chosen = [orders[epoch][place] for epoch, place in places]
        return self._batches(chosen, np.random.default_rng([seed, 2, step]), adapter, share, longest, parts)

    def held_out(self, size: int, seed: int, adapter, share: float, longest: int) -> Iterator[dict[str, torch.Tensor]]:
        """The held-out sequences, in batches such as those of `batch`."""
        generator = np.random.default_rng(seed)
        for first in range(0, len(self.held), size):
            yield from self._batches(self.held[first : first + size], generator, adapter, share, longest)

    def _batches(
        self, places, generator, adapter, share: float, longest: int, parts: int = 1
    ) -> list[dict[str, torch.Tensor]]:
        rows, teacher = [], []
        for place in places:
            name, start, stop, features = self._row(*place)
            sequence = self.sequences[name]
            codes = encode_bases(sequence)
            boundaries = cut_groups(codes)
            check_groups(boundaries, start, stop, name)
            masked = mask_groups(boundaries, share, generator)
            row = adapter.encode_masked(sequence, boundaries, masked)
            rows.append(row)
            # Bases after the student's longest input cannot be predicted.
            read = row.stop[:longest].max(initial=0)
            positions = np.flatnonzero(np.repeat(masked, np.diff(boundaries))[:read])
            teacher.append((start, stop, features, masked, positions, codes[positions]))
        return [
            collate([rows[row] for row in part], adapter.pad, longest)
            | _pad_teacher([teacher[row] for row in part], self.size)
            for part in cut_rows(np.arange(len(rows)), parts)
        ]

    def _row(self, shard: int, row: int) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
        if self._loaded != shard:
            self._table, self._loaded = None, None  # at most one shard in memory
            self._table, self._loaded = self.shards.read(shard), shard
        name = self._table["id"][row].as_py()
        if name not in self.sequences:
            raise InputError(
                f"{self.shards.paths[shard]}: contains features of {name!r}, which is not among the sequences"
            )
        start, stop, features = (
            self._table[column][row].values.to_numpy(zero_copy_only=False) for column in ("start", "stop", "features")
        )
        if len(features) != len(start) * self.size:
            path, numbers, tokens = self.shards.paths[shard], len(features), len(start)
            raise InputError(f"{path}: {name!r} has {numbers} numbers for {tokens} tokens of {self.size}")
        return name, start, stop, features.reshape(-1, self.size)


def _pad_teacher(rows: list[tuple], size: int) -> dict[str, torch.Tensor]:
    tokens, asked = max(len(row[0]) for row in rows), max(1, *(len(row[4]) for row in rows))
    start, stop = np.zeros((2, len(rows), tokens), dtype=np.int64)
    features = np.zeros((len(rows), tokens, size), dtype=np.float16)
    masked = np.zeros((len(rows), tokens), dtype=bool)
    positions = np.zeros((len(rows), asked), dtype=np.int64)
    bases = np.full((len(rows), asked), -100, dtype=np.int64)
    for number, (first, last, values, hidden, places, codes) in enumerate(rows):
        start[number, : len(first)], stop[number, : len(first)] = first, last
        features[number, : len(first)], masked[number, : len(first)] = values, hidden
        positions[number, : len(places)] = places
        bases[number, : len(places)] = np.where(codes < 4, codes.astype(np.int64), -100)
    arrays = {"teacher_start": start, "teacher_stop": stop, "teacher_features": features}
    arrays |= {"teacher_masked": masked, "positions": positions, "bases": bases}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
