"""Importing embeddings of the benchmark's transcripts from other programs, as a shard for probes."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.core.errors import InputError
from genestill.core.logs import log_counts
from genestill.core.shards import write_embeddings
from genestill.core.table_schemas import INDEX
from genestill.core.tables import NOT_PARQUET, number_columns, read_table, read_tsv

_IDS = pa.schema([INDEX.field("id")])
_FORMS = "an .npz file with the arrays id and embedding, a Parquet table with these columns, or a TSV"


def import_embeddings(embeddings: str | Path, transcripts: str | Path, output: str | Path) -> None:
    """Check embeddings and write those of ``transcripts``, in their order, as one shard (`table_schemas.embeddings`).

    Args:
        embeddings: Parquet with the columns ``id`` and ``embedding`` (a list of numbers); TSV with the column ``id``
            and one column of numbers per dimension; or .npz with the arrays ``id`` [n] and ``embedding`` [n, size].
        transcripts: a table whose column ``id`` has the required transcripts: the index of the benchmark.
        output: the shard, float16, like those of teachers and students.

    Embeddings of other transcripts are left out and counted.

    Raises:
        InputError: a transcript without embedding, or with two; embeddings of different sizes; a value that is not
            finite or too large for float16; a file in another format.
    """
    wanted = read_table(transcripts, _IDS)["id"].tolist()
    names, where, values = _read(embeddings)
    index = pd.Index(names, dtype=object)
    if index.has_duplicates:
        again = int(np.flatnonzero(index.duplicated())[0])
        raise InputError(f"{embeddings}: {where[again]} repeats the id {names[again]!r}; expected each id once")
    rows = index.get_indexer(pd.Index(wanted, dtype=object))
    if (rows < 0).any():
        first = wanted[int(np.flatnonzero(rows < 0)[0])]
        raise InputError(
            f"{embeddings}: no embedding for {(rows < 0).sum()} of {len(wanted)} transcripts (the first: {first!r}); "
            f"its first id is {next(iter(names), None)!r}. Embed the FASTA file reference/benchmark/sequences.fna.gz"
        )
    log_counts("embeddings", {"of_other_transcripts": len(names) - len(wanted)})
    chosen = values[rows]
    if not np.isfinite(chosen).all():
        row = rows[int(np.flatnonzero(~np.isfinite(chosen).all(axis=1))[0])]
        raise InputError(f"{embeddings}: {where[row]}, id {names[row]!r}: a value is not finite")
    with np.errstate(over="ignore"):
        half = chosen.astype(np.float16)
    if not np.isfinite(half).all():
        row = rows[int(np.flatnonzero(~np.isfinite(half).all(axis=1))[0])]
        raise InputError(
            f"{embeddings}: {where[row]}, id {names[row]!r}: a value is above 65504, the maximum of float16; divide "
            "all embeddings by a constant"
        )
    write_embeddings(output, wanted, half)


def _read(path: str | Path) -> tuple[list[str], Sequence[str], np.ndarray]:
    """Ids, the place of each in the file (as text), and the embeddings, float64 or float32 [ids, size]."""
    try:
        with open(path, "rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if start == b"PAR1":
        names, values = _read_parquet(path)
    elif start[:2] == b"PK":
        names, values = _read_npz(path)
    else:
        return _read_tsv(path)
    return names, [f"row {row}" for row in range(1, len(names) + 1)], values


def _read_parquet(path: str | Path) -> tuple[list[str], np.ndarray]:
    try:
        table = pq.read_table(path)
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None
    for name in ("id", "embedding"):
        if name not in table.column_names:
            raise InputError(f"{path}: no column {name!r}; found {', '.join(table.column_names)[:200]}")
    kind = table.schema.field("embedding").type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise InputError(f"{path}: column 'embedding' is {kind}; expected lists of numbers")
    names = [str(name) for name in table["id"].to_pylist()]
    vectors = table["embedding"].to_pylist()
    size = len(vectors[0] or []) if vectors else 0
    for row, vector in enumerate(vectors, 1):
        if not vector or len(vector) != size:
            raise InputError(
                f"{path}: row {row}, id {names[row - 1]!r} has {len(vector or [])} numbers; expected as many as the "
                f"first row has, {size}, and at least one"
            )
    # A null becomes NaN, for which an error with the row is raised.
    return names, np.array(vectors, dtype=np.float64).reshape(len(names), size)


def _read_npz(path: str | Path) -> tuple[list[str], np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("id", "embedding") if name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as .npz ({error}); expected {_FORMS}") from None
    for name in ("id", "embedding"):
        if name not in found:
            raise InputError(f"{path}: no array {name!r}; expected {_FORMS}")
    names, values = found["id"], found["embedding"]
    if names.ndim != 1 or values.ndim != 2 or len(names) != len(values) or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: id has the shape {list(names.shape)}, embedding {list(values.shape)} of {values.dtype}; expected "
            "[n] and numbers [n, size]"
        )
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()], values


def _read_tsv(path: str | Path) -> tuple[list[str], list[str], np.ndarray]:
    table = read_tsv(path, ("id",))
    columns = [name for name in table.columns if name != "id"]
    if not columns:
        raise InputError(f"{path}: no column beside id; expected one per dimension of the embeddings")
    values = number_columns(table, columns, path)
    return table["id"].tolist(), [f"line {line}" for line in table.index], values
