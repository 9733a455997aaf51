"""Embeddings from many shards in the order of an index, a row group at a time or as one matrix."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.ground.artefacts import embeddings
from genestill.ground.errors import InputError
from genestill.ground.tables import NOT_PARQUET, read_metadata, write_table

# What must be the same in all shards of one run; a mixture of two teachers or layers is no matrix.
SHARED = (
    "teacher", "revision", "layer", "pooling", "window", "strands", "dtype", "tokenizer", "input", "version",
)  # fmt: skip


class DamagedShard(InputError):
    """The shard ``path`` is cut or damaged: it has to be made again. The message says what was found."""

    def __init__(self, path: Path, message: str):
        super().__init__(f"{path}: {message}")
        self.path = path


def iterate_embeddings(paths: list[str | Path]) -> Iterator[tuple[Path, list[str], np.ndarray]]:
    """Yield (shard, ids, float32 [n, size]) for each row group of each shard, in the order of ``paths``.

    Only one row group is held at a time. Raises `DamagedShard` for a file that is cut or damaged and for values that
    are not finite; `InputError`, naming the shard, for one that is missing or of another schema, and for shards that
    were made with different settings or sizes.
    """
    paths = [Path(path) for path in paths]
    first: dict[str, str] | None = None
    size = None
    for path in paths:
        width = _width(path)
        described = read_metadata(path)
        shared = {key: described.get(key) for key in SHARED}
        first, size = first or shared, size or width
        for key, value in shared.items():
            if value != first[key]:
                raise InputError(
                    f"{path}: {key} is {value!r}, but {paths[0]} has {first[key]!r}; the shards are of different runs"
                )
        if width != size:
            raise InputError(f"{path}: embeddings of {width} numbers, but {paths[0]} has {size}")
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for group in range(file.metadata.num_row_groups):
                    table = file.read_row_group(group, columns=["id", "embedding"])
                    column = table["embedding"].combine_chunks()
                    values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).astype(np.float32)
                    if column.null_count or not np.isfinite(values).all():
                        raise DamagedShard(path, f"row group {group + 1} holds embeddings that are not finite")
                    yield path, table["id"].to_pylist(), values
        except (*NOT_PARQUET, KeyError) as error:
            raise DamagedShard(path, f"not a whole Parquet file ({error})") from None


class Embeddings:
    """The embeddings of ``ids`` from shards that together hold exactly these, in order: read as often as is asked.

    Iterating gives float32 [rows, size], a row group at a time, so that no more than one is held, however many
    sequences there are. While reading, a damaged shard is renamed to ``<name>.damaged``, so that the workflow, started
    again, makes that one anew.

    Attributes:
        size: width of an embedding.
    """

    def __init__(self, paths: list[str | Path], ids: list[str]):
        """Raises `InputError` if there is no shard, or if the first is missing or not one."""
        if not paths:
            raise InputError("no shard of embeddings was given")
        self._paths, self._ids = paths, ids
        with _set_aside():
            self.size = _width(Path(paths[0]))

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Raises `InputError` as `iterate_embeddings` does, and for other sequences than ``ids``, or too few."""
        row = 0
        with _set_aside():
            for path, found, values in iterate_embeddings(self._paths):
                self._require(path, found, row)
                row += len(found)
                yield values
        if row < len(self._ids):
            raise InputError(
                f"{self._paths[-1]}: the shards end before {self._ids[row]!r}, row {row + 1} of {len(self._ids)} of "
                "the index"
            )

    def load(self) -> np.ndarray:
        """All at once: float32 [n, size]."""
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
        raise InputError(f"{damage}; it was renamed to {aside.name}: the same command again makes it anew") from None


def chosen_rows(blocks: Iterable[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Some rows, in rising order, of a matrix that comes in blocks [some, size]: [len(rows), size]."""
    found, first = [], 0
    for block in blocks:
        start, stop = np.searchsorted(rows, [first, first + len(block)])
        found.append(block[rows[start:stop] - first])
        first += len(block)
    return np.concatenate(found)


def load_embeddings(paths: list[str | Path], ids: list[str]) -> np.ndarray:
    """All of `Embeddings` at once: float32 [len(ids), size]."""
    return Embeddings(paths, ids).load()


def write_embeddings(path: str | Path, ids: list[str], values: np.ndarray) -> None:
    """Write the embeddings ``values`` (float16 [n, size]) of the n sequences ``ids`` as one shard."""
    size = values.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float16()), size)
    empty = [pa.nulls(len(ids), pa.int32()), pa.array([False] * len(ids))]
    write_table(path, pa.table([pa.array(ids, pa.string()), column, *empty], embeddings(size).names), embeddings(size))


def _width(path: Path) -> int:
    try:
        found = pq.read_schema(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise DamagedShard(path, f"not a whole Parquet file ({error})") from None
    position = found.get_field_index("embedding")
    kind = found.field(position).type if position >= 0 else None
    if kind is None or not pa.types.is_fixed_size_list(kind) or not kind.equals(embeddings(kind.list_size)[1].type):
        raise InputError(f"{path}: column 'embedding' is {kind}; expected a fixed-size list of float16")
    return kind.list_size
