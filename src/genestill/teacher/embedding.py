"""Embeddings of whole sequences, embeddings of tokens, and log-probabilities of bases.

Memory is bounded by a chunk of sequences, not by their number: sequences stream in, rows stream out.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from genestill.core import table_schemas
from genestill.core.errors import CheckFailed, InputError
from genestill.core.pooling import pool, pooled_size
from genestill.core.sequences import reverse_complement
from genestill.core.windows import CombinedWindows
from genestill.teacher.base_probabilities import base_log_probabilities
from genestill.teacher.loading import Teacher
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.windows import Window, batches, chunks, cut_windows, first_tokens, pad

CHUNK_BASES = 8_000_000
CHUNK_BYTES = 256_000_000  # of features or probabilities held before they are written
FIRST_TOKENS = 512  # what TaxDistill looks at


def output_schema(teacher: Teacher, settings: EmbeddingSettings) -> pa.Schema:
    """The schema of what ``settings`` ask for."""
    if settings.representation == "token":
        return table_schemas.token_features(teacher.hidden_size)
    if settings.representation == "base-log-probabilities":
        return table_schemas.BASE_LOG_PROBABILITIES
    return table_schemas.embeddings(pooled_size(teacher.hidden_size, settings.pooling))


def window_bases(teacher: Teacher, settings: EmbeddingSettings) -> int:
    """Bases of a window: as set, or as many as the context is expected to hold."""
    tokenizer = teacher.tokenizer
    return settings.window or max(1, (teacher.context - tokenizer.specials) * tokenizer.bases_per_token)


def compute(teacher: Teacher, records: Iterable[tuple[str, str]], settings: EmbeddingSettings) -> Iterator[pa.Table]:
    """Yield tables with the rows of ``records`` (id, sequence), in their order."""
    schema = output_schema(teacher, settings)
    per_base = {
        "sequence": 1,
        "token": 2 * teacher.hidden_size / teacher.tokenizer.bases_per_token,
        "base-log-probabilities": 8,
    }
    limit = min(CHUNK_BASES, max(1, int(CHUNK_BYTES / per_base[settings.representation])))
    work = {
        "sequence": _embeddings_of_chunk,
        "token": _token_features_of_chunk,
        "base-log-probabilities": _log_probabilities_of_chunk,
    }[settings.representation]
    for chunk in chunks(records, limit):
        ids = [name for name, _ in chunk]
        columns = work(teacher, [sequence for _, sequence in chunk], settings)
        yield pa.table({"id": pa.array(ids, pa.string()), **columns}, schema=schema)


def _batch_tokens(teacher: Teacher, settings: EmbeddingSettings) -> int:
    return settings.batch_tokens or (65_536 if teacher.device.type == "cuda" else 2_048)


def _windows(teacher: Teacher, sequences: list[str], settings: EmbeddingSettings) -> list[Window]:
    found = cut_windows(sequences, teacher.tokenizer, window_bases(teacher, settings), teacher.context)
    return [window for window in found if len(window.ids)]


def _forward(teacher: Teacher, windows: list[Window], batch_tokens: int):
    """Yield (positions, hidden states float32 [b, t, h], attention mask [b, t]) for length-sorted batches."""
    import torch

    for positions in batches(windows, batch_tokens):
        ids, mask = pad([windows[position] for position in positions], teacher.tokenizer.pad)
        ids, mask = (torch.from_numpy(array).to(teacher.device) for array in (ids, mask))
        with torch.inference_mode():
            hidden = teacher.hidden(ids, mask).float()
        yield positions, hidden, mask


def _counted(windows: list[Window], shape) -> np.ndarray:
    """Which tokens of a batch of windows cover a known base, bool [b, t]."""
    counted = np.zeros(shape, dtype=bool)
    for row, window in enumerate(windows):
        counted[row, : len(window)] = window.counts
    return counted


def sequence_embeddings(
    teacher: Teacher, sequences: list[str], settings: EmbeddingSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of sequences held in memory.

    Returns:
        float32 [n, hidden_size] (``concatenated``: three times as wide; zeros for a sequence without a known base),
        int32 [n] tokens that count, bool [n] whether bases were left out.

    Raises:
        CheckFailed: the model gave something that is not a number.
    """
    import torch

    if settings.window == "first":
        limit = min(FIRST_TOKENS, teacher.context)
        windows, truncated = first_tokens(sequences, teacher.tokenizer, limit)
    else:
        windows, truncated = _windows(teacher, sequences, settings), [False] * len(sequences)
    windows = [window for window in windows if window.bases]
    combined = CombinedWindows(len(sequences), pooled_size(teacher.hidden_size, settings.pooling), settings.pooling)
    tokens = np.zeros(len(sequences), dtype=np.int32)
    for positions, hidden, mask in _forward(teacher, windows, _batch_tokens(teacher, settings)):
        batch = [windows[position] for position in positions]
        counted = torch.from_numpy(_counted(batch, mask.shape)).to(hidden.device)
        vectors = pool(hidden, mask, settings.pooling, counted).cpu().numpy()
        rows = np.array([window.row for window in batch])
        combined.add(rows, vectors, np.array([window.bases for window in batch]))
        np.add.at(tokens, rows, [int(window.counts.sum()) for window in batch])
    return combined.vectors(), tokens, np.array(truncated, dtype=bool)


def _embeddings_of_chunk(teacher: Teacher, sequences: list[str], settings: EmbeddingSettings) -> dict:
    vectors, tokens, truncated = sequence_embeddings(teacher, sequences, settings)
    if settings.strands == "both":
        other, _, _ = sequence_embeddings(teacher, [reverse_complement(text) for text in sequences], settings)
        vectors = (vectors + other) / 2
    values = _as_float16(teacher, vectors)
    return {
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1]),
        "tokens": pa.array(tokens, pa.int32()),
        "truncated": pa.array(truncated, pa.bool_()),
    }


def _token_features_of_chunk(teacher: Teacher, sequences: list[str], settings: EmbeddingSettings) -> dict:
    windows = _windows(teacher, sequences, settings)
    features: list[np.ndarray | None] = [None] * len(windows)
    before = len(teacher.tokenizer.prefix)
    for positions, hidden, _ in _forward(teacher, windows, _batch_tokens(teacher, settings)):
        for position, states in zip(positions, hidden.cpu().numpy(), strict=True):
            features[position] = _as_float16(teacher, states[before : before + len(windows[position].tokens)])
    columns = {"start": [], "stop": [], "features": []}
    for row in range(len(sequences)):
        mine = [number for number, window in enumerate(windows) if window.row == row]
        empty = np.empty(0, np.int32)
        columns["start"].append(np.concatenate([empty, *(windows[number].tokens.start for number in mine)]))
        columns["stop"].append(np.concatenate([empty, *(windows[number].tokens.stop for number in mine)]))
        columns["features"].append(
            np.concatenate([np.empty(0, np.float16), *(features[number].ravel() for number in mine)])
        )
    types = {"start": pa.int32(), "stop": pa.int32(), "features": pa.float16()}
    return {name: _lists(columns[name], kind) for name, kind in types.items()}


def _log_probabilities_of_chunk(teacher: Teacher, sequences: list[str], settings: EmbeddingSettings) -> dict:
    windows = _windows(teacher, sequences, settings)
    found = base_log_probabilities(
        teacher, sequences, windows, _batch_tokens(teacher, settings), settings.masked_passes
    )
    return {"log_probabilities": _lists([_as_float16(teacher, array).ravel() for array in found], pa.float16())}


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
