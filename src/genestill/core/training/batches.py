"""The rows of each step, and preparing batches ahead."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

MOST_WORKERS, PREPARED_AHEAD = 4, 4  # of each worker


@dataclass
class Batch:
    """The input of one pass through the model.

    Attributes:
        tensors: arrays or CPU tensors by name; the loop copies them to the device.
        tokens: number of tokens (bases, rows) without padding, for the history.
    """

    tensors: Mapping[str, Any]
    tokens: int

    def __post_init__(self):
        self.tensors = {name: torch.as_tensor(values) for name, values in self.tensors.items()}

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory, from which copies to a GPU run in parallel with other work."""
        return Batch({name: values.pin_memory() for name, values in self.tensors.items()}, self.tokens)

    def to(self, device: torch.device) -> dict[str, torch.Tensor]:
        """The tensors on ``device``, without waiting for the copy to a GPU."""
        return {name: values.to(device, non_blocking=device.type == "cuda") for name, values in self.tensors.items()}


class ShuffledRows:
    """Batches of a fixed number of rows; an epoch has every row once, in an order that depends only on (seed, epoch).

    A batch may contain the last rows of one epoch and the first rows of the next.
    """

    def __init__(self, rows: int, batch: int, seed: int):
        self.total, self.batch, self.seed = rows, batch, seed
        self._orders: dict[int, np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """Rows of ``step`` (from 0): int64 [batch]."""
        first, last, parts = step * self.batch, (step + 1) * self.batch, []
        while first < last:
            epoch, place = divmod(first, self.total)
            parts.append(self._order(epoch)[place : place + last - first])
            first += len(parts[-1])
        return np.concatenate(parts)

    def ends(self, epochs: int) -> list[int]:
        """Numbers of steps at the end of each of the first ``epochs`` epochs, including the last batch of each."""
        return [-(-self.total * epoch // self.batch) for epoch in range(1, epochs + 1)]

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {kept: order for kept, order in self._orders.items() if kept == epoch - 1}
            self._orders[epoch] = np.random.default_rng((self.seed, 1, epoch)).permutation(self.total)
        return self._orders[epoch]


class LengthBuckets:
    """Batches of rows of similar length, by tokens; an epoch has every row once.

    A batch has at most ``tokens`` tokens including padding, but at least one row. Batches and their order in epoch e
    depend only on (seed, e).
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, tokens: int, seed: int):
        self.lengths, self.tokens, self.seed = np.asarray(lengths), tokens, seed
        self._epoch, self._first = -1, 0
        self._batches: list[np.ndarray] = []

    def rows(self, step: int) -> np.ndarray:
        """Rows of ``step`` (from 0): int64 [some]. Ascending steps are fastest."""
        if step < self._first:
            self._epoch, self._first, self._batches = -1, 0, []
        while step >= self._first + len(self._batches):
            self._first += len(self._batches)
            self._epoch += 1
            self._batches = self._batches_of(self._epoch)
        return self._batches[step - self._first]

    def ends(self, epochs: int) -> list[int]:
        """Numbers of steps at the end of each of the first ``epochs`` epochs."""
        return np.cumsum([len(self._batches_of(epoch)) for epoch in range(epochs)]).tolist()

    def _batches_of(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng((self.seed, epoch))
        # Random changes of the lengths by up to a tenth, so that different rows share a batch in each epoch.
        order = np.argsort(self.lengths * generator.uniform(0.9, 1.1, len(self.lengths)), kind="stable")
        found, first, longest = [], 0, 0
        for place, length in enumerate(self.lengths[order].tolist()):
            longest = max(longest, length)
            if place > first and longest * (place - first + 1) > self.tokens:
                found.append(order[first:place])
                first, longest = place, length
        found.append(order[first:])
        return [found[number] for number in generator.permutation(len(found))]


def cut_rows(rows: np.ndarray, parts: int) -> list[np.ndarray]:
    """``rows`` (int64 [n]) in ``parts`` parts of nearly equal size; fewer parts if there are fewer rows."""
    return np.array_split(rows, min(parts, len(rows)))


def pack_rows(lengths: Sequence[int] | np.ndarray) -> list[list[int]]:
    """Rows that share a block, so that short rows use space that would otherwise be padding.

    First-fit decreasing: each row, from the longest to the shortest, is added to the first block with enough space. A
    block is as long as the longest row, so that attention is not wider than without packing.

    Args:
        lengths: int [n], tokens of each row.

    Returns:
        The numbers of the rows in each block; every row is in one block.
    """
    lengths = np.asarray(lengths)
    width = int(lengths.max(initial=0))
    blocks: list[list[int]] = []
    room: list[int] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        block = next((number for number, free in enumerate(room) if length <= free), len(blocks))
        if block == len(blocks):
            blocks.append([])
            room.append(width)
        blocks[block].append(row)
        room[block] -= length
    return blocks


class _Steps(Dataset):
    def __init__(self, draw: Callable[..., list[Batch]], parts: int):
        self.draw, self.parts = draw, parts

    def __getitem__(self, step: int) -> list[Batch] | Exception:
        try:
            return self.draw(step) if self.parts == 1 else self.draw(step, self.parts)
        except Exception as error:  # raised again unchanged in the loop, because a worker would wrap it
            return error


def prepared(
    draw: Callable[..., list[Batch]],
    steps: range,
    device: torch.device,
    workers: int | None = None,
    parts: Callable[[], int] = lambda: 1,
) -> Iterator[list[Batch]]:
    """Yield the results of ``draw`` for ``steps``, in order, prepared ahead by ``workers`` processes.

    ``draw`` must depend only on its arguments, so that results do not depend on the number of workers. None means: no
    worker on a CPU (the cores are busy); on a GPU as many as this process has other threads, from one to four.

    ``parts`` returns the number of parts into which the rows of a step are cut; if it is more than one, ``draw`` gets
    it as the second argument. When it changes, the steps after the last yielded step are prepared again.
    """
    on_gpu = device.type == "cuda"
    if workers is None:
        workers = max(1, min(MOST_WORKERS, torch.get_num_threads() - 1)) if on_gpu else 0
    while steps:
        number = parts()
        loader = DataLoader(
            _Steps(draw, number),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=PREPARED_AHEAD if workers else None,
            # A forked worker shares the corpus with this process, and does not use the random numbers of torch.
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_cut_tokens_alone,
            collate_fn=_as_it_is,
            pin_memory=on_gpu,
            # The loader seeds workers from a separate generator: the global generator belongs to the model.
            generator=torch.Generator(),
        )
        for found in loader:
            steps = steps[1:]
            if isinstance(found, Exception):
                raise found
            yield found
            if parts() != number:
                break


def _cut_tokens_alone(_: int) -> None:
    # The threads of the tokenizers library do not work after a fork; without this, each worker prints a warning.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _as_it_is(found):
    return found
