"""What the teacher said about each transcript, looked up by id from the teacher stage's Parquet files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genestill.ground.artefacts import BASE_LOG_PROBABILITIES, embeddings, token_features
from genestill.ground.errors import InputError
from genestill.ground.tables import read_arrow, read_metadata


def read_embeddings(paths: Sequence[str | Path], ids: Sequence[str]) -> tuple[np.ndarray, dict[str, str]]:
    """Embeddings of ``ids``, float16 [ids, size] in their order, and the first shard's metadata.

    Raises `InputError` for shards of different widths, an id that no shard has, and NaN or infinity.
    """
    sizes = {_embedding_size(path) for path in paths}
    if len(sizes) != 1:
        raise InputError(f"{paths[0]} … {paths[-1]}: embeddings of different widths {sorted(sizes)}")
    size = sizes.pop()
    table = pa.concat_tables(read_arrow(path, embeddings(size), ["id", "embedding"]) for path in paths)
    rows = _rows_of(table, ids, paths)
    values = table.column("embedding").combine_chunks()
    array = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)[rows]
    if not np.isfinite(array).all():
        raise InputError(f"{paths[0]} …: embeddings hold NaN or infinity")
    return array, read_metadata(paths[0])


def _embedding_size(path: str | Path) -> int:
    try:
        kind = pq.read_schema(path).field("embedding").type
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a shard of embeddings ({error})") from None
    return kind.list_size


def _rows_of(table: pa.Table, ids: Sequence[str], paths: Sequence[str | Path]) -> np.ndarray:
    rows = pc.index_in(pa.array(ids, pa.string()), table.column("id").combine_chunks())
    if rows.null_count:
        missing = next(name for name, row in zip(ids, rows.to_pylist(), strict=True) if row is None)
        raise InputError(
            f"{paths[0]} …: the teacher said nothing about {rows.null_count} of {len(ids)} transcripts "
            f"(the first: {missing!r})"
        )
    return rows.to_numpy(zero_copy_only=False)


class BaseLogProbabilities:
    """The teacher's log-probabilities of A, C, G, T at every base; `of` gives those of one transcript."""

    def __init__(self, paths: Sequence[str | Path], ids: Sequence[str]):
        self._table = pa.concat_tables(read_arrow(path, BASE_LOG_PROBABILITIES) for path in paths)
        self._rows = _rows_of(self._table, ids, paths)
        self._column = self._table.column("log_probabilities")

    def of(self, number: int) -> np.ndarray:
        """float32 [bases, 4] of transcript ``number``; shorter than the transcript where the teacher truncated it."""
        values = self._column[int(self._rows[number])].values.to_numpy(zero_copy_only=False)
        return values.astype(np.float32).reshape(-1, 4)


class TokenFeatures:
    """The teacher's features of every token of a transcript, with the bases that each token covers."""

    def __init__(self, paths: Sequence[str | Path], ids: Sequence[str]):
        try:
            self.size = int(read_metadata(paths[0])["size"])
        except (FileNotFoundError, KeyError):
            raise InputError(f"{paths[0]}: not a table of token features (no file, or no 'size' in it)") from None
        schema = token_features(self.size)
        self._table = pa.concat_tables(read_arrow(path, schema) for path in paths)
        self._rows = _rows_of(self._table, ids, paths)

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(start, stop, features) of transcript ``number``: int32 [tokens] twice and float32 [tokens, size]."""
        row = int(self._rows[number])
        start, stop, features = (
            self._table.column(name)[row].values.to_numpy(zero_copy_only=False)
            for name in ("start", "stop", "features")
        )
        return start, stop, features.astype(np.float32).reshape(-1, self.size)

    def sample(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Features of about ``count`` tokens drawn over all transcripts, float32 [tokens, size], to fit a whitening."""
        numbers = generator.choice(len(self._rows), min(len(self._rows), 500), replace=False)
        return np.concatenate([self.of(number)[2] for number in numbers])[:count]
