"""Embeddings stored by another program: checked before the first job, and written as shards of this program.

A stored file is Parquet with the columns id, start, end and embedding (a list of numbers). The metadata of the file, or
columns with one value, give the model, its layer and revision, and the representation (``sequence`` or ``token``). One
row is one sequence or one token. Rows are in the order of the FASTA file; ``start`` and ``end`` are offsets in bases
from 0, the end excluded.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import genestill
from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import sha256_of, write_text
from genestill.core.logs import logger
from genestill.core.tables import NOT_PARQUET, read_table
from genestill.teacher.sharding import bounds_of_shard, write_stream

DESCRIBED = ("model", "layer", "revision", "representation")
REPRESENTATIONS = ("sequence", "token")
BATCH_ROWS = 16_384
GROUP_BYTES = 64_000_000  # size of the embeddings in one row group of a shard


def stored_files(place: str | Path) -> list[Path]:
    """The Parquet files at ``place``: the file, or those of a folder in name order."""
    place = Path(place)
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    if not files:
        raise InputError(f"{place}: no .parquet file in this folder")
    return files


def describe(path: str | Path) -> dict[str, str]:
    """Model, layer, revision and representation of a stored file.

    Raises `InputError` if the file cannot be read, lacks a column, or does not give one of these four.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, stored = file.schema_arrow, file.metadata.metadata or {}
            for name in ("id", "start", "end", "embedding"):
                if name not in schema.names:
                    raise InputError(f"{path}: no column {name!r}; found {', '.join(schema.names)}")
            found = {key: stored[key.encode()].decode() for key in DESCRIBED if key.encode() in stored}
            for key in DESCRIBED:
                if key not in found and key in schema.names:
                    found[key] = _only_value(path, file, key)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None
    missing = [key for key in DESCRIBED if key not in found]
    if missing:
        raise InputError(
            f"{path}: does not give the {missing[0]} of the embeddings; expected it in the metadata of the file or "
            f"in a column {missing[0]!r}"
        )
    if found["representation"] not in REPRESENTATIONS:
        raise InputError(
            f"{path}: representation is {found['representation']!r}; expected one of {', '.join(REPRESENTATIONS)}"
        )
    return found


def _only_value(path, file: pq.ParquetFile, column: str) -> str:
    values = set()
    for batch in file.iter_batches(BATCH_ROWS * 16, columns=[column]):
        values.update(pc.unique(batch.column(0)).to_pylist())
        if len(values) > 1:
            raise InputError(f"{path}: column {column!r} has several values ({sorted(map(str, values))[:3]})")
    return str(values.pop()) if values else ""


def find_stored(sequences: str, place: str | Path, representation: str) -> list[Path]:
    """Files with ``representation`` at ``place``, the path in ``teacher.embeddings`` for a set of sequences.

    Raises `InputError` if ``place`` does not exist, and as `choose_files` does.
    """
    key = f"configuration: teacher.embeddings.{sequences}"
    if not Path(place).exists():
        raise InputError(
            f"{key}: {place}: no such file or folder; a relative path starts in {Path.cwd()}. The target "
            "sequences_to_embed writes the sequences to embed"
        )
    return choose_files(key, place, representation)


def choose_files(key: str, place: str | Path, representation: str) -> list[Path]:
    """Files with ``representation`` at ``place``; ``key`` is the setting of the path, for messages.

    Raises `InputError` if there is none, or if one of them is not a stored file.
    """
    described = {file: describe(file) for file in stored_files(place)}
    chosen = [file for file, found in described.items() if found["representation"] == representation]
    if not chosen:
        held = ", ".join(sorted({found["representation"] for found in described.values()}))
        raise InputError(
            f"{key}: {place} contains embeddings of the representation {held}, but the students need the "
            "representation "
            f"{representation} of these sequences"
        )
    return chosen


def import_shard(
    files: Sequence[str | Path],
    index: str | Path,
    representation: str,
    output: str | Path,
    shard: int = 0,
    shards: int = 1,
) -> None:
    """Check stored embeddings and write one shard of them as `embeddings` or `token_features` of `table_schemas`.

    Args:
        files: stored files; together they contain exactly the sequences of the index, in its order.
        index: Parquet table of `table_schemas.INDEX`.
        representation: ``sequence`` or ``token``.
        output: the shard.
        shard, shards: number of the shard (from 0), and number of shards, balanced by bases.

    Raises:
        InputError: files of two models, layers or revisions; a sequence that is missing, unknown, repeated or in the
            wrong order; an offset outside its sequence; embeddings of different sizes, or values that are not finite or
            too large for float16.
    """
    described = [describe(file) for file in files]
    for file, found in zip(files, described, strict=True):
        for key in DESCRIBED:
            if found[key] != described[0][key]:
                raise InputError(
                    f"{file}: {key} is {found[key]!r}, but {files[0]} has {described[0][key]!r}; expected embeddings "
                    "of one model"
                )
    if described[0]["representation"] != representation:
        raise InputError(
            f"{files[0]}: contains the representation {described[0]['representation']}; expected {representation}"
        )
    table = read_table(index, table_schemas.INDEX)
    lengths = table["length"].to_numpy()
    first, stop = bounds_of_shard(lengths, shard, shards)
    size = _width(files[0])
    schema = table_schemas.token_features(size) if representation == "token" else table_schemas.embeddings(size)
    metadata = {
        "representation": representation,
        "teacher": described[0]["model"],
        "revision": described[0]["revision"],
        "layer": described[0]["layer"],
        "size": size,
        "input": sha256_of(index),
        "stored": "embeddings of another program",
        "shard": shard,
        "shards": shards,
        "version": genestill.__version__,
    }
    rows = _sequences(files, table["id"].tolist(), lengths, size)
    mine = (row for row in rows if first <= row[0] < stop)
    write_stream(output, schema, metadata, _tables(mine, table["id"].tolist(), representation, schema, size))
    logger.info("%s: %s, layer %s: rows %d to %d", files[0], metadata["teacher"], metadata["layer"], first, stop)


def _width(path: str | Path) -> int:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1, columns=["embedding"]):
            return len(batch.column(0)[0].as_py() or [])
    raise InputError(f"{path}: has no rows")


def _sequences(files, ids: list[str], lengths: np.ndarray, size: int) -> Iterator[tuple]:
    """Yield (row of the index, start, end, float16 [n, size]) of every sequence, in the order of the index."""
    place = {name: row for row, name in enumerate(ids)}
    row = -1
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for path in files:
        for names, start, end, values in _batches(path, size):
            # Where the next sequence begins.
            edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
            for begin, stop in itertools.pairwise(edges):
                name = names[begin]
                if row < 0 or name != ids[row]:
                    if row >= 0:
                        yield _sequence(path, row, ids, lengths, parts)
                    row, parts = row + 1, []
                    _require_next(path, name, row, ids, place)
                parts.append((start[begin:stop], end[begin:stop], values[begin:stop]))
    if row >= 0:
        yield _sequence(files[-1], row, ids, lengths, parts)
    if row + 1 < len(ids):
        raise InputError(f"{files[-1]}: no embedding for {ids[row + 1]!r}, sequence {row + 2} of {len(ids)}")


def _require_next(path, name: str, row: int, ids: list[str], place: dict[str, int]) -> None:
    if row < len(ids) and name == ids[row]:
        return
    if name not in place:
        raise InputError(f"{path}: {name!r} is not one of the {len(ids)} sequences; embed the FASTA file of this run")
    expected = repr(ids[row]) if row < len(ids) else "nothing more"
    raise InputError(
        f"{path}: has {name!r} where sequence {row + 1} of the FASTA file is {expected}; sort the rows in the order of "
        "the FASTA file, each sequence once"
    )


def _sequence(path, row: int, ids: list[str], lengths: np.ndarray, parts: list) -> tuple:
    start, end, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    if (start < 0).any() or (end > lengths[row]).any() or (start >= end).any():
        wrong = np.flatnonzero((start < 0) | (end > lengths[row]) | (start >= end))[0]
        raise InputError(
            f"{path}: {ids[row]!r} has the token {start[wrong]} to {end[wrong]}; expected offsets within its "
            f"{lengths[row]} bases, the start below the end"
        )
    return row, start, end, values


def _batches(path, size: int) -> Iterator[tuple]:
    """Yield (ids, start, end, float16 [rows, size]) of a stored file, in blocks of rows."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["id", "start", "end", "embedding"]):
                names = np.asarray(batch.column("id").cast(pa.string()).to_pylist(), dtype=object)
                start, end = (_whole_numbers(path, name, batch.column(name)) for name in ("start", "end"))
                yield names, start, end, _values(path, names, batch.column("embedding"), size)
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None


def _whole_numbers(path, name: str, column: pa.Array) -> np.ndarray:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise InputError(f"{path}: column {name!r} is {column.type}; expected whole numbers in every row")
    return column.to_numpy(zero_copy_only=False).astype(np.int64)


def _values(path, names: np.ndarray, column: pa.Array, size: int) -> np.ndarray:
    kind = column.type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise InputError(f"{path}: column 'embedding' is {kind}; expected a list of float16, float32 or float64")
    widths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    if (widths != size).any():
        at = np.flatnonzero(widths != size)[0]
        found = "none" if widths[at] < 0 else f"{widths[at]} numbers"
        raise InputError(f"{path}: the embedding of {names[at]!r} has {found}; expected {size}")
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(names), size)
    right = np.abs(values) <= np.finfo(np.float16).max
    if not right.all():
        row, at = np.argwhere(~right)[0]
        raise InputError(
            f"{path}: the embedding of {names[row]!r} contains {values[row, at]}; expected finite numbers of at most "
            f"{np.finfo(np.float16).max:.0f}, the range of float16: use another layer, or scale the embeddings"
        )
    return values.astype(np.float16)


def _tables(rows: Iterable[tuple], ids: list[str], representation: str, schema: pa.Schema, size: int):
    held, numbers = [], 0
    for row in rows:
        if representation == "sequence" and len(row[3]) != 1:
            raise InputError(f"{ids[row[0]]!r} has {len(row[3])} rows; expected one per sequence")
        held.append(row)
        numbers += row[3].size
        if 2 * numbers >= GROUP_BYTES:
            yield _table(held, ids, representation, schema, size)
            held, numbers = [], 0
    if held:
        yield _table(held, ids, representation, schema, size)


def _table(held: list[tuple], ids: list[str], representation: str, schema: pa.Schema, size: int) -> pa.Table:
    names = pa.array([ids[row] for row, *_ in held], pa.string())
    values = pa.array(np.concatenate([values.ravel() for *_, values in held]), pa.float16())
    counts = np.array([len(values) for *_, values in held])
    if representation == "sequence":
        embedding = pa.FixedSizeListArray.from_arrays(values, size)
        nothing = pa.array(np.zeros(len(held), np.int32)), pa.array(np.zeros(len(held), bool))
        return pa.table([names, embedding, *nothing], schema=schema)
    offsets = np.append(0, np.cumsum(counts)).astype(np.int32)
    start, end = (
        pa.ListArray.from_arrays(offsets, pa.array(np.concatenate([row[at] for row in held]), pa.int32()))
        for at in (1, 2)
    )
    features = pa.ListArray.from_arrays((offsets * size).astype(np.int32), values)
    return pa.table([names, start, end, features], schema=schema)


def list_sequences(sets: Sequence[tuple[str, str, str, str]], output: str | Path) -> None:
    """Write the list of sequences for another program: one row per (set, FASTA file, representation, expected file)."""
    lines = ["set\tsequences\trepresentation\tembeddings", *("\t".join(row) for row in sets)]
    write_text(output, "\n".join(lines) + "\n")
    for name, fasta, representation, place in sets:
        logger.info("%s: embed %s (representation %s) and store it as %s", name, fasta, representation, place)
