"""Whole contigs as windows for a model, and windows as batches with little padding.

Windows are cut in bases before tokenization, because byte-pair encoding becomes slower with the length of its input
(3.8 Mb/s at 5 kb, 1.8 Mb/s at 400 kb, one core, tokenizers 0.23), and cut again in tokens if a window has more tokens
than the model allows. In both cases each base is in exactly one window.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE, encode_bases
from genestill.core.tokenization import Tokenizer, Tokens
from genestill.core.windows import batch_by_length, window_bounds


@dataclass(frozen=True)
class Window:
    """One input of the model.

    row: number of its sequence within the chunk; ids: int64 [t], including special tokens; tokens: the tokens without
    special ones, with offsets from the start of the sequence; counts: bool [t], True for tokens that cover a known
    base; bases: number of known bases, the weight of the window.
    """

    row: int
    ids: np.ndarray
    tokens: Tokens
    counts: np.ndarray
    bases: int

    def __len__(self) -> int:
        return len(self.ids)


def cut_windows(sequences: list[str], tokenizer: Tokenizer, size: int, limit: int) -> list[Window]:
    """Windows of ``size`` bases over each sequence, with at most ``limit`` tokens (including special ones)."""
    places = [
        (row, start, stop)
        for row, sequence in enumerate(sequences)
        for start, stop in window_bounds(len(sequence), size, tokenizer.unit)
    ]
    encoded = tokenizer.encode([sequences[row][start:stop] for row, start, stop in places])
    room = max(1, limit - tokenizer.specials)
    windows = []
    for (row, offset, stop), tokens in zip(places, encoded, strict=True):
        known = encode_bases(sequences[row][offset:stop]) != UNKNOWN_BASE
        parts = max(1, -(-len(tokens) // room))
        for part in np.array_split(np.arange(len(tokens)), parts):
            windows.append(
                _window(row, offset, Tokens(tokens.ids[part], tokens.start[part], tokens.stop[part]), known, tokenizer)
            )
    return windows


def first_tokens(sequences: list[str], tokenizer: Tokenizer, limit: int) -> tuple[list[Window], list[bool]]:
    """One window per sequence: its first ``limit`` tokens, special ones included; and whether bases are left out."""
    longest = max(len(token) for token in tokenizer.vocabulary)
    prefixes = [sequence[: limit * longest] for sequence in sequences]
    windows, truncated = [], []
    for row, tokens in enumerate(tokenizer.encode(prefixes)):
        kept = slice(0, max(1, limit - tokenizer.specials))
        part = Tokens(tokens.ids[kept], tokens.start[kept], tokens.stop[kept])
        windows.append(_window(row, 0, part, encode_bases(prefixes[row]) != UNKNOWN_BASE, tokenizer))
        truncated.append(len(part) < len(tokens) or len(prefixes[row]) < len(sequences[row]))
    return windows, truncated


def _window(row: int, offset: int, tokens: Tokens, known: np.ndarray, tokenizer: Tokenizer) -> Window:
    so_far = np.append(0, np.cumsum(known))
    bases = so_far[tokens.stop] - so_far[tokens.start]
    counts = np.zeros(len(tokens) + tokenizer.specials, dtype=bool)
    counts[len(tokenizer.prefix) : len(tokenizer.prefix) + len(tokens)] = bases > 0
    moved = Tokens(tokens.ids, tokens.start + np.int32(offset), tokens.stop + np.int32(offset))
    return Window(row, tokenizer.wrap(tokens.ids), moved, counts, int(bases.sum()))


def batches(windows: list[Window], batch_tokens: int) -> Iterator[np.ndarray]:
    """Indices into ``windows`` for each batch of `batch_by_length`."""
    return batch_by_length(np.array([len(window) for window in windows], dtype=np.int64), batch_tokens)


def chunks(records: Iterable[tuple[str, str]], bases: int) -> Iterator[list[tuple[str, str]]]:
    """Groups of records with about ``bases`` bases in total, at least one record per group, to limit the memory."""
    group: list[tuple[str, str]] = []
    total = 0
    for record in records:
        if group and total + len(record[1]) > bases:
            yield group
            group, total = [], 0
        group.append(record)
        total += len(record[1])
    if group:
        yield group
