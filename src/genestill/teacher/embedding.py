"""Embeddings of whole sequences, embeddings of tokens, and log-probabilities of bases.

Sequences are processed in chunks, so memory does not grow with their number. While the model processes one chunk, the
next one is tokenized and the previous one is written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genestill.core import table_schemas
from genestill.core.devices import Halving, copy_back, to_device
from genestill.core.errors import CheckFailed, InputError
from genestill.core.overlap import ahead
from genestill.core.pooling import REGIONS, pool, pooled_size
from genestill.core.reading_frames import coding_bounds, region_codes
from genestill.core.sequences import reverse_complement
from genestill.core.windows import CombinedWindows, pad
from genestill.teacher.base_probabilities import base_log_probabilities
from genestill.teacher.loading import Teacher
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.windows import Window, batches, chunks, cut_windows, first_tokens

CHUNK_BASES = 8_000_000
CHUNK_BYTES = 128_000_000  # size of the features or probabilities of a chunk; another chunk is written at the same time
FIRST_TOKENS = 512  # as in TaxDistill


def output_schema(teacher: Teacher, settings: EmbeddingSettings) -> pa.Schema:
    """The schema of the outputs for ``settings``."""
    if settings.representation == "token":
        return table_schemas.token_features(teacher.hidden_size)
    if settings.representation == "base-log-probabilities":
        return table_schemas.BASE_LOG_PROBABILITIES
    return table_schemas.embeddings(pooled_size(teacher.hidden_size, settings.pooling))


def window_bases(teacher: Teacher, settings: EmbeddingSettings) -> int:
    """Bases of a window: as set, or the expected number of bases in the context."""
    tokenizer = teacher.tokenizer
    if isinstance(settings.window, int):
        return settings.window
    return max(1, (teacher.context - tokenizer.specials) * tokenizer.bases_per_token)


@dataclass(frozen=True)
class _Batch:
    """Windows that are processed together.

    positions: their numbers among the windows; ids: int64 [b, t]; mask: int64 [b, t], 1 for tokens, 0 for padding;
    counted: bool [b, t], True for tokens that cover a known base; regions: int64 [b, t], the region of the middle base
    of every token and -1 for other tokens (`pooling.REGIONS`), if they are pooled by region.
    """

    positions: np.ndarray
    ids: np.ndarray
    mask: np.ndarray
    counted: np.ndarray
    regions: np.ndarray | None = None


@dataclass(frozen=True)
class _Prepared:
    """A tokenized chunk of sequences: its windows, their batches, and whether bases were left out."""

    sequences: list[str]
    windows: list[Window]
    batches: list[_Batch]
    truncated: list[bool]


def compute(
    teacher: Teacher,
    records: Iterable[tuple[str, str]],
    settings: EmbeddingSettings,
    coding: Mapping[str, tuple[int, int]] | None = None,
) -> Iterator[pa.Table]:
    """Yield tables with the rows of ``records`` (id, sequence), in order; ``coding``: see `unfinished_tables`."""
    return (finish() for finish in unfinished_tables(teacher, records, settings, coding))


def unfinished_tables(
    teacher: Teacher,
    records: Iterable[tuple[str, str]],
    settings: EmbeddingSettings,
    coding: Mapping[str, tuple[int, int]] | None = None,
) -> Iterator[Callable[[], pa.Table]]:
    """Yield, for each table of `compute`, a function that waits for the computation on the device and makes the table.

    Meanwhile, the next chunk of sequences is tokenized by another thread. If tokens are pooled by region, ``coding``
    gives the coding sequence [start, stop) of an id; for other ids it is the longest open reading frame.
    """
    schema = output_schema(teacher, settings)
    per_base = {
        "sequence": 1,
        "token": 2 * teacher.hidden_size / teacher.tokenizer.bases_per_token,
        "base-log-probabilities": 8,
    }
    limit = min(CHUNK_BASES, max(1, int(CHUNK_BYTES / per_base[settings.representation])))
    start = {
        "sequence": _start_embeddings,
        "token": _start_token_features,
        "base-log-probabilities": _start_log_probabilities,
    }[settings.representation]
    halving = Halving("teacher embed", teacher.device)

    def prepare() -> Iterator[tuple[list[str], list[_Prepared]]]:
        for chunk in chunks(records, limit):
            sequences = [sequence for _, sequence in chunk]
            strands = [sequences]
            if settings.strands == "both":
                strands.append([reverse_complement(sequence) for sequence in sequences])
            regions = None
            if settings.pooling == "regions":
                regions = [_regions(sequence, (coding or {}).get(name)) for name, sequence in chunk]
            yield [name for name, _ in chunk], [_prepare(teacher, strand, settings, regions) for strand in strands]

    def finished(ids: list[str], columns: Callable[[], dict]) -> Callable[[], pa.Table]:
        return lambda: pa.table({"id": pa.array(ids, pa.string()), **columns()}, schema=schema)

    for ids, prepared in ahead(prepare()):
        yield finished(ids, start(teacher, prepared, settings, halving))


def _batch_tokens(teacher: Teacher, settings: EmbeddingSettings) -> int:
    return settings.batch_tokens or (65_536 if teacher.device.type == "cuda" else 2_048)


def _regions(sequence: str, coding: tuple[int, int] | None = None) -> np.ndarray:
    """The region of every base: int64 [bases]."""
    return region_codes(len(sequence), *(coding or coding_bounds(sequence.upper().replace("U", "T"))))


def _prepare(
    teacher: Teacher, sequences: list[str], settings: EmbeddingSettings, regions: list[np.ndarray] | None = None
) -> _Prepared:
    """Cut sequences into windows, and group these in padded batches of similar length."""
    truncated = [False] * len(sequences)
    if settings.window == "first":
        limit = min(FIRST_TOKENS, teacher.context)
        windows, truncated = first_tokens(sequences, teacher.tokenizer, limit)
    else:
        windows = cut_windows(sequences, teacher.tokenizer, window_bases(teacher, settings), teacher.context)
    pooled = settings.representation == "sequence"
    windows = [window for window in windows if (window.bases if pooled else len(window.ids))]
    if settings.representation == "base-log-probabilities":
        return _Prepared(sequences, windows, [], truncated)
    found = []
    for positions in batches(windows, _batch_tokens(teacher, settings)):
        batch = [windows[position] for position in positions]
        ids, mask = pad(batch, teacher.tokenizer.pad)
        of_tokens = None
        if regions is not None:
            of_tokens = np.full(mask.shape, -1)
            for row, window in enumerate(batch):
                of_tokens[row, : len(window)] = _regions_of_tokens(window, regions[window.row], teacher)
        found.append(_Batch(positions, ids, mask, _counted(batch, mask.shape), of_tokens))
    return _Prepared(sequences, windows, found, truncated)


def _regions_of_tokens(window: Window, regions: np.ndarray, teacher: Teacher) -> np.ndarray:
    """The region of the middle base of each token: int64 [t]; -1 for special tokens."""
    found = np.full(len(window), -1)
    before = len(teacher.tokenizer.prefix)
    middles = (window.tokens.start + window.tokens.stop) // 2
    found[before : before + len(middles)] = regions[middles]
    return found


def _forward(teacher: Teacher, prepared: _Prepared, halving: Halving, read: Callable) -> Iterator[tuple]:
    """Yield (positions, result of ``read``) for every batch. ``read`` gets the hidden states float32 [b, t, h], and the
    attention mask, the counted tokens and the regions of tokens or None, all [b, t], and returns a tensor.

    The device may still be computing the yielded result: see `copy_back`.
    """
    import torch

    for batch in prepared.batches:

        def run(part: slice, batch: _Batch = batch):
            ids, mask, counted = (to_device(x[part], teacher.device) for x in (batch.ids, batch.mask, batch.counted))
            with torch.inference_mode():
                seen = mask if teacher.must_see(batch.mask) else None
                regions = None if batch.regions is None else to_device(batch.regions[part], teacher.device)
                return read(teacher.hidden(ids, seen).float(), mask, counted, regions)

        for part, found in halving.results(len(batch.positions), run):
            yield batch.positions[part], copy_back(found)


def _counted(windows: list[Window], shape) -> np.ndarray:
    """Which tokens of a batch of windows cover a known base: bool [b, t]."""
    counted = np.zeros(shape, dtype=bool)
    for row, window in enumerate(windows):
        counted[row, : len(window)] = window.counts
    return counted


def sequence_embeddings(
    teacher: Teacher, sequences: list[str], settings: EmbeddingSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of sequences in memory.

    Returns:
        float32 [n, hidden_size] (for ``concatenated`` and ``regions`` [n, 3 hidden_size]; zeros for a sequence without
        a known base),
        int32 [n] number of counted tokens, bool [n] whether bases were left out.

    Raises:
        CheckFailed: an output of the model is not finite.
        InputError: not even one window fits into the memory of the device.
    """
    halving = Halving("teacher", teacher.device)
    regions = [_regions(sequence) for sequence in sequences] if settings.pooling == "regions" else None
    return _start_pooling(teacher, _prepare(teacher, sequences, settings, regions), settings, halving)()


def _start_pooling(
    teacher: Teacher, prepared: _Prepared, settings: EmbeddingSettings, halving: Halving
) -> Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Start the computation of the results of `sequence_embeddings`."""

    def read(hidden, mask, counted, regions):
        return pool(hidden, mask, settings.pooling, counted, regions)

    pooled = list(_forward(teacher, prepared, halving, read))
    weights = _weights(prepared)

    def finish():
        count, size = len(prepared.sequences), pooled_size(teacher.hidden_size, settings.pooling)
        combined, tokens = CombinedWindows(count, size, settings.pooling), np.zeros(count, dtype=np.int32)
        for positions, vectors in pooled:
            batch = [prepared.windows[position] for position in positions]
            rows = np.array([window.row for window in batch])
            combined.add(rows, vectors(), weights[positions])
            np.add.at(tokens, rows, [int(window.counts.sum()) for window in batch])
        return combined.vectors(), tokens, np.array(prepared.truncated, dtype=bool)

    return finish


def _weights(prepared: _Prepared) -> np.ndarray:
    """Weights of windows: their known bases, int64 [n]; by region the counted tokens in each region, int64 [n, 3]."""
    if not prepared.batches or prepared.batches[0].regions is None:
        return np.array([window.bases for window in prepared.windows], dtype=np.int64)
    weights = np.zeros((len(prepared.windows), len(REGIONS)), dtype=np.int64)
    for batch in prepared.batches:
        for code in range(len(REGIONS)):
            weights[batch.positions, code] = (batch.counted & (batch.regions == code)).sum(axis=1)
    return weights


def _start_embeddings(teacher: Teacher, strands: list[_Prepared], settings: EmbeddingSettings, halving: Halving):
    started = [_start_pooling(teacher, prepared, settings, halving) for prepared in strands]

    def finish() -> dict:
        (vectors, tokens, truncated), *others = (start() for start in started)
        for other, _, _ in others:
            vectors = (vectors + other) / 2
        values = _as_float16(teacher, vectors)
        return {
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1]),
            "tokens": pa.array(tokens, pa.int32()),
            "truncated": pa.array(truncated, pa.bool_()),
        }

    return finish


def _start_token_features(teacher: Teacher, strands: list[_Prepared], settings: EmbeddingSettings, halving: Halving):
    (prepared,) = strands
    found = list(token_features(teacher, prepared, halving))

    def finish() -> dict:
        windows = prepared.windows
        features = [np.empty((0, 0), np.float16)] * len(windows)
        for positions, states in found:
            for position, values in zip(positions, states(), strict=True):
                features[position] = _as_float16(teacher, values[: len(windows[position].tokens)])
        numbers: list[list[int]] = [[] for _ in prepared.sequences]
        for number, window in enumerate(windows):
            numbers[window.row].append(number)
        columns: dict[str, list] = {"start": [], "stop": [], "features": []}
        for mine in numbers:
            empty = np.empty(0, np.int32)
            columns["start"].append(np.concatenate([empty, *(windows[number].tokens.start for number in mine)]))
            columns["stop"].append(np.concatenate([empty, *(windows[number].tokens.stop for number in mine)]))
            columns["features"].append(
                np.concatenate([np.empty(0, np.float16), *(features[number].ravel() for number in mine)])
            )
        types = {"start": pa.int32(), "stop": pa.int32(), "features": pa.float16()}
        return {name: _lists(columns[name], kind) for name, kind in types.items()}

    return finish


def token_features(teacher: Teacher, prepared: _Prepared, halving: Halving):
    """Yield (positions, function that returns float16 [b, t, hidden_size]), without special tokens at the start."""
    before = len(teacher.tokenizer.prefix)
    yield from _forward(teacher, prepared, halving, lambda hidden, *_: hidden[:, before:].half())


def _start_log_probabilities(teacher: Teacher, strands: list[_Prepared], settings: EmbeddingSettings, halving: Halving):
    (prepared,) = strands
    found = base_log_probabilities(
        teacher, prepared.sequences, prepared.windows, _batch_tokens(teacher, settings), settings.masked_passes
    )
    return lambda: {"log_probabilities": _lists([_as_float16(teacher, array).ravel() for array in found], pa.float16())}


def _lists(arrays: list[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    offsets = np.append(0, np.cumsum([len(array) for array in arrays], dtype=np.int64))
    if offsets[-1] > np.iinfo(np.int32).max:
        raise InputError(
            f"{offsets[-1]} values in one row group; cut sequences of this length before the teacher stage"
        )
    offsets = offsets.astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(arrays), kind))


def _as_float16(teacher: Teacher, values: np.ndarray) -> np.ndarray:
    largest = np.abs(values).max(initial=0)
    if not largest <= np.finfo(np.float16).max:
        raise CheckFailed(
            f"{teacher.name}, layer {teacher.layer}, {teacher.dtype}: a value of {largest:g} is not finite or too "
            "large for float16; choose another layer, or --dtype float32"
        )
    return values.astype(np.float16)
