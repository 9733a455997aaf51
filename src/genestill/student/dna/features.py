"""The teacher's token features of windows as batches: read from its shards, or computed in every step."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases, has_many_unknown, reverse_complement
from genestill.core.shards import Shards
from genestill.core.tokenization import Tokenizer, Tokens
from genestill.core.training.batches import ShuffledRows, cut_rows
from genestill.core.windows import pad
from genestill.student.dna.held_out import held_out_rows
from genestill.student.dna.masking import check_groups, cut_groups, mask_groups
from genestill.student.encoders.adapters import collate

ROWS_FOR_SCALE = 256
_TRIES = 20
_ROWS_AT_ONCE = 32


class Teacher(Protocol):
    """What is needed of a teacher that is in memory: see `genestill.teacher.loading.Teacher`."""

    name: str
    revision: str
    layer: int
    layers: int
    hidden_size: int
    context: int
    dtype: str
    device: torch.device
    tokenizer: Tokenizer

    def hidden(self, ids, mask) -> torch.Tensor:
        """Hidden states, float [b, t, hidden_size], for ids, int64 [b, t], and an attention mask or None."""

    def must_see(self, mask: np.ndarray) -> bool:
        """Whether the model needs the attention mask [b, t]."""


@dataclass(frozen=True)
class Window:
    """One window and the teacher's tokens in it.

    start, stop: int32 [t], bases of each token; given: the features of the tokens, float16 [t, D], or the teacher's
    input (`Tokens` with the ids of special tokens), from which they are computed.
    """

    name: str
    sequence: str
    start: np.ndarray
    stop: np.ndarray
    given: Any


class WindowFeatures(ABC):
    """Windows with the teacher's features.

    Attributes:
        size: size D of a feature.
        teacher: the teacher and its settings, for the record.
        rows: number of sequences for training; ``held`` are the others.
        workers: number of processes that may prepare batches ahead on a GPU; None for the default.
    """

    size: int
    teacher: dict[str, str]
    rows: int
    held: list
    workers: int | None

    @abstractmethod
    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of every dimension, float32 [D], from rows spread evenly over all sequences.

        Windows are sorted by genome, so that the first rows would represent only one genome.
        """

    @abstractmethod
    def complete(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors of a batch on the device, with ``teacher_features``, float [B, T, D]."""

    @abstractmethod
    def _drawn(self, step: int, size: int, seed: int) -> list[Window]:
        """The windows of a step, which depend only on step and seed."""

    @abstractmethod
    def _held(self, place) -> Window:
        """A held-out window."""

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
        generator = np.random.default_rng([seed, 2, step])
        return self._batches(self._drawn(step, size, seed), generator, adapter, share, longest, parts)

    def held_out(self, size: int, seed: int, adapter, share: float, longest: int) -> Iterator[dict[str, torch.Tensor]]:
        """The held-out sequences, in batches such as those of `batch`."""
        generator = np.random.default_rng(seed)
        for first in range(0, len(self.held), size):
            windows = [self._held(place) for place in self.held[first : first + size]]
            yield from self._batches(windows, generator, adapter, share, longest)

    def _batches(
        self, windows: list[Window], generator, adapter, share: float, longest: int, parts: int = 1
    ) -> list[dict[str, torch.Tensor]]:
        rows, asked = [], []
        for window in windows:
            codes = encode_bases(window.sequence)
            boundaries = cut_groups(codes)
            check_groups(boundaries, window.start, window.stop, window.name)
            masked = mask_groups(boundaries, share, generator)
            row = adapter.encode_masked(window.sequence, boundaries, masked)
            rows.append(row)
            # Bases after the student's longest input cannot be predicted.
            read = row.stop[:longest].max(initial=0)
            positions = np.flatnonzero(np.repeat(masked, np.diff(boundaries))[:read])
            asked.append((window, masked, positions, codes[positions]))
        return [
            collate([rows[row] for row in part], adapter.pad, longest)
            | _pad_places([asked[row] for row in part])
            | self._pad_given([asked[row][0].given for row in part])
            for part in cut_rows(np.arange(len(rows)), parts)
        ]

    @abstractmethod
    def _pad_given(self, given: list) -> dict[str, torch.Tensor]:
        """What windows are given by the teacher, padded to one length."""


class StoredFeatures(WindowFeatures):
    """Features from shards of ``table_schemas.token_features``, with one shard in memory at a time."""

    workers = 1  # each worker has a shard in memory

    def __init__(self, shards: Sequence[str | Path], sequences: dict[str, str]):
        self.shards, self.sequences = Shards(shards, "token"), sequences
        self.teacher, self.size, self.counts = self.shards.metadata, self.shards.size, self.shards.counts
        if not sum(self.counts):
            raise InputError(f"{shards[0]}: has no sequences")
        self.held = self._places(held_out_rows(sum(self.counts)))
        self.rows = sum(self.counts) - len(self.held)
        self._loaded: int | None = None
        self._table: Any = None
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WindowFeatures.scale`."""
        return _scale_of([self._read(*place)[3] for place in self._places(_spread_rows(sum(self.counts)))])

    def complete(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `WindowFeatures.complete`; they are in the batch."""
        return tensors

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """(shard, row) of every sequence that is not held out, int64 [rows, 2], in the order of an epoch.

        Shards are shuffled, and rows within each shard. The orders of the last two epochs are kept.
        """
        if (epoch, seed) not in self._orders:
            generator, parts = np.random.default_rng([seed, 1, epoch]), []
            for shard in generator.permutation(len(self.counts)):
                rows = generator.permutation(self.counts[shard])
                rows = rows[~np.isin(rows, [row for held, row in self.held if held == shard])]
                parts.append(np.stack([np.full_like(rows, shard), rows], axis=1))
            self._orders = dict([*self._orders.items()][-1:]) | {(epoch, seed): np.concatenate(parts)}
        return self._orders[epoch, seed]

    def _places(self, numbers: np.ndarray) -> list[tuple[int, int]]:
        """(shard, row) of sequences by their number over all shards."""
        first = np.cumsum([0, *self.counts])
        shards = np.repeat(np.arange(len(self.counts)), self.counts)[numbers]
        return list(zip(shards.tolist(), (numbers - first[shards]).tolist(), strict=True))

    def _drawn(self, step: int, size: int, seed: int) -> list[Window]:
        places = [divmod(number, self.rows) for number in range(step * size, (step + 1) * size)]
        return [self._held(tuple(self.order(epoch, seed)[place].tolist())) for epoch, place in places]

    def _held(self, place: tuple[int, int]) -> Window:
        name, start, stop, features = self._read(*place)
        return Window(name, self.sequences[name], start, stop, features)

    def _read(self, shard: int, row: int) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
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

    def _pad_given(self, given: list[np.ndarray]) -> dict[str, torch.Tensor]:
        features = np.zeros((len(given), max(map(len, given)), self.size), dtype=np.float16)
        for number, values in enumerate(given):
            features[number, : len(values)] = values
        return {"teacher_features": torch.from_numpy(features)}


class ComputedFeatures(WindowFeatures):
    """Features that the teacher computes in every step, of a new window of either strand of each region.

    Args:
        teacher: the teacher, on the device of the training.
        regions: id -> stretch of a genome, usually several windows long.
        length: bases of a window; a shorter region is read whole.
        shortest: if given, lengths are drawn from ``shortest`` to ``length``.

    Raises `InputError` if the tokens of a window do not fit into the context of the teacher, or ``shortest`` is above
    ``length``.
    """

    workers = None

    def __init__(self, teacher: Teacher, regions: dict[str, str], length: int, shortest: int | None = None):
        self._model, self._regions = teacher, list(regions.items())
        self._length, self._shortest = length, shortest or length
        self.size = teacher.hidden_size
        self.teacher = {
            "teacher": teacher.name, "revision": teacher.revision, "layer": str(teacher.layer),
            "layers": str(teacher.layers), "dtype": teacher.dtype,
        }  # fmt: skip
        if not self._regions:
            raise InputError("no sequences to cut windows from")
        if self._shortest > length:
            raise InputError(f"the shortest window has {self._shortest} bases, but windows have {length}")
        held = held_out_rows(len(self._regions))
        self.held = held.tolist()
        self._learnt = np.delete(np.arange(len(self._regions)), held)
        self.rows = len(self._learnt)

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WindowFeatures.scale`."""
        windows = [self._held(place) for place in _spread_rows(len(self._regions))]
        found: list[np.ndarray] = []
        for first in range(0, len(windows), _ROWS_AT_ONCE):
            part = windows[first : first + _ROWS_AT_ONCE]
            tensors = self._pad_given([window.given for window in part])
            tokens = [len(window.start) for window in part]
            read = {name: values.to(self._model.device) for name, values in tensors.items()}
            hidden = self._features(read, max(tokens)).float().cpu().numpy()
            found += [values[:count] for values, count in zip(hidden, tokens, strict=True)]
        return _scale_of(found)

    def complete(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `WindowFeatures.complete`; the teacher has no gradient."""
        rest = {name: values for name, values in tensors.items() if name not in ("teacher_ids", "teacher_mask")}
        return rest | {"teacher_features": self._features(tensors, tensors["teacher_start"].shape[1])}

    def _features(self, tensors: dict[str, torch.Tensor], tokens: int) -> torch.Tensor:
        before = len(self._model.tokenizer.prefix)
        # The teacher has its own precision. In inference mode, its states could not be used in a loss.
        with torch.no_grad(), torch.autocast(self._model.device.type, enabled=False):
            hidden = self._model.hidden(tensors["teacher_ids"], tensors.get("teacher_mask"))
        return hidden[:, before : before + tokens]

    def _drawn(self, step: int, size: int, seed: int) -> list[Window]:
        generator = np.random.default_rng([seed, 3, step])
        rows = self._learnt[ShuffledRows(self.rows, size, seed).rows(step)]
        windows = []
        for row in rows.tolist():
            name, region = self._regions[row]
            kept = int(generator.integers(self._shortest, self._length + 1))
            for _ in range(_TRIES):
                start = int(generator.integers(max(1, len(region) - kept + 1)))
                sequence = region[start : start + kept].upper()
                if not has_many_unknown(sequence):
                    break
            turned = generator.random() < 0.5
            windows.append(self._window(name, reverse_complement(sequence) if turned else sequence))
        return windows

    def _held(self, place: int) -> Window:
        name, region = self._regions[place]
        return self._window(name, region[: self._length].upper())

    def _window(self, name: str, sequence: str) -> Window:
        tokenizer = self._model.tokenizer
        (tokens,) = tokenizer.encode([sequence])
        whole = Tokens(tokenizer.wrap(tokens.ids), tokens.start, tokens.stop)
        if len(whole) > self._model.context:
            raise InputError(
                f"{name}: a window of {len(sequence)} bases has {len(whole)} tokens of {self._model.name}, whose "
                f"context is {self._model.context}; take shorter windows, or stored features"
            )
        return Window(name, sequence, tokens.start, tokens.stop, whole)

    def _pad_given(self, given: list[Tokens]) -> dict[str, torch.Tensor]:
        ids, mask = pad(given, self._model.tokenizer.pad)
        padded = {"teacher_mask": torch.from_numpy(mask)} if self._model.must_see(mask) else {}
        return {"teacher_ids": torch.from_numpy(ids)} | padded


def _spread_rows(total: int) -> np.ndarray:
    """Numbers of at most `ROWS_FOR_SCALE` rows, spread evenly over ``total``: int64 [n]."""
    return np.linspace(0, total - 1, min(ROWS_FOR_SCALE, total)).astype(int)


def _scale_of(features: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    values = np.concatenate(features).astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    floor = max(1e-6, 1e-3 * float(deviation.mean()))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation.clip(floor)).float()


def _pad_places(rows: list[tuple[Window, np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Places of the teacher's tokens, which are masked, and the masked bases with their positions."""
    tokens, asked = max(len(row[0].start) for row in rows), max(1, *(len(row[2]) for row in rows))
    start, stop = np.zeros((2, len(rows), tokens), dtype=np.int64)
    masked = np.zeros((len(rows), tokens), dtype=bool)
    positions = np.zeros((len(rows), asked), dtype=np.int64)
    bases = np.full((len(rows), asked), -100, dtype=np.int64)
    for number, (window, hidden, places, codes) in enumerate(rows):
        count = len(window.start)
        start[number, :count], stop[number, :count], masked[number, :count] = window.start, window.stop, hidden
        positions[number, : len(places)] = places
        bases[number, : len(places)] = np.where(codes < 4, codes.astype(np.int64), -100)
    arrays = {"teacher_start": start, "teacher_stop": stop, "teacher_masked": masked}
    arrays |= {"positions": positions, "bases": bases}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
