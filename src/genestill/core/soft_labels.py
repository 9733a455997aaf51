"""Files of soft labels: the most probable leaves of each sequence."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.files import write_aside
from genestill.core.label_tree import LabelTree
from genestill.core.table_schemas import SOFT_LABELS
from genestill.core.tables import read_arrow

KEPT = 32  # leaves per sequence


def write_soft_labels(
    path: str | Path, ids: list[str], blocks: Iterable[np.ndarray], tree: LabelTree, metadata: dict
) -> None:
    """Write the `KEPT` most probable leaves of each sequence (`table_schemas.SOFT_LABELS`).

    ``blocks`` are float32 [some, leaves], probabilities of the sequences ``ids`` in order; one block is in memory at a
    time.
    """
    schema = SOFT_LABELS.with_metadata({key: str(value) for key, value in metadata.items()})
    row = 0
    with (
        write_aside(path) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for block in blocks:
            writer.write_table(_most_probable(ids[row : row + len(block)], block, tree).cast(schema))
            row += len(block)


def _most_probable(ids: list[str], probabilities: np.ndarray, tree: LabelTree) -> pa.Table:
    kept = min(KEPT, probabilities.shape[1])
    best = np.argpartition(-probabilities, kept - 1, axis=1)[:, :kept]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(probabilities, best, 1), axis=1, kind="stable"), 1)
    offsets = pa.array(np.arange(len(ids) + 1) * kept, pa.int32())
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "nodes": pa.ListArray.from_arrays(offsets, pa.array(tree.leaves[best].ravel(), pa.int32())),
            "probabilities": pa.ListArray.from_arrays(
                offsets, pa.array(np.take_along_axis(probabilities, best, 1).ravel(), pa.float32())
            ),
        }
    )


def read_soft_labels(path: str | Path, ids: list[str], tree: LabelTree) -> sparse.csr_matrix:
    """Read soft labels as probabilities over the leaves of ``tree``: sparse [n, leaves], in the order of ``ids``.

    Raises `InputError` if the table belongs to other sequences or to another tree.
    """
    table = read_arrow(path, SOFT_LABELS)
    if table["id"].to_pylist() != ids:
        raise InputError(f"{path}: its sequences differ from those of the index, or are in another order")
    leaf_of_node = np.full(len(tree), -1)
    leaf_of_node[tree.leaves] = np.arange(len(tree.leaves))
    columns = [table[name].combine_chunks() for name in ("nodes", "probabilities")]
    counts, others = (column.value_lengths().fill_null(0).to_numpy() for column in columns)
    nodes, values = (column.flatten().to_numpy(zero_copy_only=False) for column in columns)
    if (counts != others).any() or np.isnan(values).any():
        raise InputError(f"{path}: expected as many probabilities as nodes for every sequence")
    if not np.isin(nodes, tree.leaves).all():
        raise InputError(
            f"{path}: contains nodes that are not leaves of the label tree; does the tree belong to another run?"
        )
    starts = np.append(0, np.cumsum(counts, dtype=np.int64))
    return sparse.csr_matrix((values, leaf_of_node[nodes], starts), shape=(len(ids), len(tree.leaves)))
