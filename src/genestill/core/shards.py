"""Reading the outputs of a model for each sequence from many shards, with all checks, one row group at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genestill.core.errors import InputError
from genestill.core.table_schemas import BASE_LOG_PROBABILITIES, embeddings, token_features
from genestill.core.tables import NOT_PARQUET, read_metadata, write_table

# Metadata that must be equal in all shards of one run; outputs of two teachers or layers cannot be mixed.
SHARED = (
    "teacher", "revision", "representation", "layer", "pooling", "window", "strands", "masked_passes", "dtype", "size",
    "tokenizer", "input", "version",
)  # fmt: skip
# Metadata that the record of a command has which reads outputs of a teacher.
TEACHER_RECORD = ("teacher", "revision", "layer", "pooling")
# Representation -> the column that must be finite; log-probabilities need not be finite at unknown bases.
FINITE = {"sequence": "embedding", "token": "features", "base-log-probabilities": None}


class DamagedShard(InputError):
    """The shard ``path`` is truncated or damaged and must be made again. The message gives the reason."""

    def __init__(self, path: Path, message: str):
        super().__init__(f"{path}: {message}")
        self.path = path


class Shards:
    """Shards of one run of one model, in the given order.

    A shard that is found to be damaged, on opening or reading, is renamed to ``<name>.damaged``, so that the workflow
    makes it again in the next run.

    Attributes:
        paths: of the files.
        representation: ``sequence`` (`table_schemas.embeddings`), ``token`` (`table_schemas.token_features`) or
            ``base-log-probabilities`` (`table_schemas.BASE_LOG_PROBABILITIES`).
        metadata: of the first file: teacher, revision, layer, pooling and the other settings.
        size: size of an embedding or of the features of a token; 4 for base log-probabilities.
        counts: sequences in each shard.
    """

    def __init__(self, paths: Sequence[str | Path], representation: str = "sequence"):
        """Raises `InputError` if no shard is given, if a shard is missing, damaged or of another schema, and if two
        shards differ in their settings or sizes."""
        if not paths:
            raise InputError(f"no shard has the representation {representation}")
        self.paths, self.representation = [Path(path) for path in paths], representation
        with _set_aside():
            self.metadata = _metadata(self.paths[0])
            self.size = _width(self.paths[0], representation)
            self.counts = [self._open(path) for path in self.paths]

    def _open(self, path: Path) -> int:
        described, width = _metadata(path), _width(path, self.representation)
        for key in SHARED:
            if described.get(key) != self.metadata.get(key):
                raise InputError(
                    f"{path}: {key} is {described.get(key)!r}, but {self.paths[0]} has {self.metadata.get(key)!r}; the "
                    "shards come from different runs"
                )
        if width != self.size:
            raise InputError(f"{path}: embeddings of {width} numbers, but {self.paths[0]} has {self.size}")
        return pq.read_metadata(path).num_rows

    def groups(self, shard: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The row groups of a shard, in order.

        Raises `InputError`, and renames the shard, if it is damaged or has values that are not finite.
        """
        path = self.paths[shard]
        with _set_aside():
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    for group in range(file.metadata.num_row_groups):
                        table = file.read_row_group(group, columns=columns)
                        self._require_finite(path, group, table)
                        yield table
            except (*NOT_PARQUET, KeyError) as error:
                raise DamagedShard(path, f"not a complete Parquet file ({error})") from None

    def read(self, shard: int) -> pa.Table:
        """All rows of a shard."""
        groups = list(self.groups(shard))
        return pa.concat_tables(groups) if groups else _schema(self.representation, self.size).empty_table()

    def _require_finite(self, path: Path, group: int, table: pa.Table) -> None:
        name = FINITE[self.representation]
        if name is None or name not in table.column_names:
            return
        column = table[name].combine_chunks()
        if column.null_count or not np.isfinite(column.flatten().to_numpy(zero_copy_only=False)).all():
            raise DamagedShard(path, f"row group {group + 1} contains {name} values that are not finite")


def iterate_embeddings(paths: Sequence[str | Path]) -> Iterator[tuple[Path, list[str], np.ndarray]]:
    """Yield (shard, ids, float16 [n, size]) for each row group of each shard, in the order of ``paths``.

    Only one row group is in memory at a time. Raises `InputError` as `Shards` does.
    """
    shards = Shards(paths)
    for number, path in enumerate(shards.paths):
        for table in shards.groups(number, ["id", "embedding"]):
            values = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            yield path, table["id"].to_pylist(), values.reshape(-1, shards.size)


def find_embeddings(paths: Sequence[str | Path], ids: Sequence[str]) -> np.ndarray:
    """Embeddings of ``ids``, float16 [ids, size], from shards that may also have other sequences, in any order.

    Raises `InputError` as `Shards` does, and for an id that is in no shard or is repeated.
    """
    wanted, inverse = np.unique(np.asarray(ids, dtype=object), return_inverse=True)
    found, seen = np.empty((len(wanted), 0), dtype=np.float16), np.zeros(len(wanted), dtype=bool)
    lookup = pd.Index(wanted, dtype=object)  # hashed once, not once per row group
    for path, names, values in iterate_embeddings(paths):
        if not found.shape[1]:
            found = np.empty((len(wanted), values.shape[1]), dtype=np.float16)
        rows = lookup.get_indexer(names)
        mine = np.flatnonzero(rows >= 0)
        rows = rows[mine]
        _refuse_repeated(path, wanted, seen, rows)
        found[rows] = values[mine]
    if not seen.all():
        missing = next(name for name in ids if not seen[np.searchsorted(wanted, name)])
        raise InputError(
            f"{paths[0]} …: no embedding for {(~seen).sum()} of {len(wanted)} sequences (the first: {missing!r})"
        )
    return found[inverse]


def _refuse_repeated(path: Path, names: np.ndarray, seen: np.ndarray, rows: np.ndarray) -> None:
    counts = np.bincount(rows, minlength=len(names)) + seen
    if (counts > 1).any():
        raise InputError(f"{path}: {names[counts > 1][0]!r} is repeated; each sequence must occur once")
    seen[rows] = True


class Rows:
    """The rows of ``ids`` in the shards, all in memory, indexed by position in ``ids``.

    Attributes:
        shards: the files.
    """

    def __init__(self, paths: Sequence[str | Path], representation: str, ids: Sequence[str]):
        """Raises `InputError` as `Shards` does, and for an id that is in no shard or is repeated."""
        self.shards = Shards(paths, representation)
        self._table = pa.concat_tables(self.shards.read(number) for number in range(len(paths)))
        names = self._table.column("id").combine_chunks()
        if len(pc.unique(names)) < len(names):
            counts = pc.value_counts(names)
            twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
            raise InputError(f"{self.shards.paths[0]} …: {twice!r} is repeated; each sequence must occur once")
        rows = pc.index_in(pa.array(ids, pa.string()), names)
        if rows.null_count:
            missing = next(name for name, row in zip(ids, rows.to_pylist(), strict=True) if row is None)
            raise InputError(
                f"{self.shards.paths[0]} …: no embedding for {rows.null_count} of {len(ids)} sequences "
                f"(the first: {missing!r})"
            )
        self._rows = rows.to_numpy(zero_copy_only=False)

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, number: int, *columns: str) -> list[np.ndarray]:
        """The values of list columns for sequence ``number`` of ``ids``, one flat array per column."""
        row = int(self._rows[number])
        return [self._table.column(name)[row].values.to_numpy(zero_copy_only=False) for name in columns]


class Embeddings:
    """The embeddings of ``ids`` from shards that contain exactly these sequences, in order.

    Each iteration reads the files and yields float32 [rows, size], one row group at a time, so that memory does not
    grow with the number of sequences.

    Attributes:
        paths: the shards.
        size: size of an embedding.
    """

    def __init__(self, paths: Sequence[str | Path], ids: list[str]):
        """Raises `InputError` as `Shards` does."""
        self.paths, self._ids = paths, ids
        self.size = Shards(paths).size

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Raises `InputError` as `iterate_embeddings` does, and if the sequences differ from ``ids``."""
        row = 0
        for path, found, values in iterate_embeddings(self.paths):
            self._require(path, found, row)
            row += len(found)
            yield values.astype(np.float32)
        if row < len(self._ids):
            raise InputError(
                f"{self.paths[-1]}: the shards end before {self._ids[row]!r}, row {row + 1} of {len(self._ids)} of "
                "the index"
            )

    def teacher(self) -> dict[str, str]:
        """See `teacher_of`."""
        return teacher_of(self.paths[0])

    def load(self) -> np.ndarray:
        """All embeddings: float32 [n, size]."""
        matrix, row = np.empty((len(self), self.size), dtype=np.float32), 0
        for values in self:
            matrix[row : row + len(values)] = values
            row += len(values)
        return matrix

    def _require(self, path: Path, found: list[str], row: int) -> None:
        expected = self._ids[row : row + len(found)]
        if found == expected:
            return
        same = (one == other for one, other in zip(found, expected, strict=False))
        at = next((place for place, equal in enumerate(same) if not equal), len(expected))
        instead = repr(expected[at]) if at < len(expected) else "nothing more"
        raise InputError(
            f"{path}: has {found[at]!r} where row {row + at + 1} of the index has {instead}; "
            "the shards were made from another index, or are out of order"
        )


@contextmanager
def _set_aside() -> Iterator[None]:
    try:
        yield
    except DamagedShard as damage:
        aside = damage.path.with_name(f"{damage.path.name}.damaged")
        try:
            damage.path.rename(aside)
        except OSError:
            raise damage from None
        raise InputError(
            f"{damage}; it was renamed to {aside.name}: run the same command again to compute it"
        ) from None


def teacher_of(shard: str | Path) -> dict[str, str]:
    """Teacher, revision, layer and pooling from the metadata of a shard, for the record of the reading command."""
    stored = read_metadata(shard)
    return {key: stored[key] for key in TEACHER_RECORD if key in stored}


def chosen_rows(blocks: Iterable[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Select rows, in ascending order, from a matrix given in blocks [some, size]: [len(rows), size]."""
    found, first = [], 0
    for block in blocks:
        start, stop = np.searchsorted(rows, [first, first + len(block)])
        found.append(block[rows[start:stop] - first])
        first += len(block)
    return np.concatenate(found)


def load_embeddings(paths: Sequence[str | Path], ids: list[str]) -> np.ndarray:
    """All embeddings of `Embeddings`: float32 [len(ids), size]."""
    return Embeddings(paths, ids).load()


def write_embeddings(path: str | Path, ids: list[str], values: np.ndarray) -> None:
    """Write the embeddings ``values`` (float16 [n, size]) of the n sequences ``ids`` as one shard."""
    size = values.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float16()), size)
    empty = [pa.nulls(len(ids), pa.int32()), pa.array([False] * len(ids))]
    write_table(path, pa.table([pa.array(ids, pa.string()), column, *empty], embeddings(size).names), embeddings(size))


def _schema(representation: str, size: int) -> pa.Schema:
    if representation == "base-log-probabilities":
        return BASE_LOG_PROBABILITIES
    return token_features(size) if representation == "token" else embeddings(size)


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return read_metadata(path)
    except InputError as error:
        raise DamagedShard(path, str(error).removeprefix(f"{path}: ")) from None


def _width(path: Path, representation: str) -> int:
    """Size of the embeddings or features; raises `InputError` if the file has another schema."""
    described = _metadata(path)
    if described.get("representation", representation) != representation:
        raise InputError(
            f"{path}: contains the representation {described['representation']}; expected {representation}"
        )
    found = pq.read_schema(path)
    size = 4
    if representation == "sequence":
        position = found.get_field_index("embedding")
        kind = found.field(position).type if position >= 0 else None
        if kind is None or not pa.types.is_fixed_size_list(kind) or not kind.equals(embeddings(kind.list_size)[1].type):
            raise InputError(f"{path}: column 'embedding' is {kind}; expected a fixed-size list of float16")
        size = kind.list_size
    elif representation == "token":
        if not described.get("size", "").isdigit():
            raise InputError(f"{path}: its metadata have no 'size'; expected a shard of token features")
        size = int(described["size"])
    for field in _schema(representation, size):
        position = found.get_field_index(field.name)
        kind = found.field(position).type if position >= 0 else None
        if kind != field.type:
            raise InputError(f"{path}: column {field.name!r} is {kind}; expected {field.type}")
    return size
