"""The table of hits (`table_schemas.HITS`), read as columns, some contigs at a time.

A search of a real assembly has a hundred million hits: no Python object is made for a row, and no column is held whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from genestill.core.table_schemas import HITS
from genestill.core.tables import read_batches

ROWS_AT_ONCE = 1 << 19


@dataclass
class Hits:
    """The hits of some contigs; arrays of one entry per hit, in the order of the file.

    Attributes:
        contig: int32, row of the contig in the index; -1 for one that the index does not list.
        fragment: int32, number of the open reading frame within its contig.
        taxid: int64, taxid of the protein that was hit.
        identity: float32, share of identical positions.
        bits: float32, bit score.
        aligned: int32, length of the alignment in amino acids.
    """

    contig: np.ndarray
    fragment: np.ndarray
    taxid: np.ndarray
    identity: np.ndarray
    bits: np.ndarray
    aligned: np.ndarray

    def __len__(self) -> int:
        return len(self.contig)

    def __getitem__(self, rows: slice | np.ndarray) -> "Hits":
        return Hits(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: list["Hits"]) -> "Hits":
        """The rows of ``parts``, at least one, after each other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def read_hits(path: str | Path, ids: list[str], rows_at_once: int = ROWS_AT_ONCE) -> Iterator[Hits]:
    """Yield the hits of a table, about ``rows_at_once`` at a time; all hits of a contig come in the same block.

    The search writes the hits of a contig as neighbours. ``ids`` are the contigs of the index. Raises `InputError` as
    `tables.read_batches` does.
    """
    # Hashed once: Arrow's own lookup would hash all contigs again for every block.
    known = pd.Index(ids, dtype=object)
    left: Hits | None = None
    for batch in read_batches(path, HITS, _COLUMNS, rows_at_once, dictionaries=["id"]):
        found = _columns(batch, known)
        if left is not None:
            found = Hits.concatenate([left, found])
        # The last contig of a block may go on in the next one.
        last = len(found) - int(np.argmax(found.contig[::-1] != found.contig[-1]))  # len(found) if there is no other
        if last == len(found):
            left = found
            continue
        left = found[last:]
        yield found[:last]
    if left is not None:
        yield left


def read_taxids(path: str | Path) -> np.ndarray:
    """The taxids of all proteins that were hit, each once and in rising order: int64."""
    found = np.empty(0, np.int64)
    for batch in read_batches(path, HITS, ["target_taxid"], ROWS_AT_ONCE):
        found = np.union1d(found, pc.unique(batch["target_taxid"]).to_numpy(zero_copy_only=False))
    return found


_COLUMNS = ["id", "fragment", "target_taxid", "identity", "bits", "alignment_length"]


def _columns(batch: pa.RecordBatch, known: pd.Index) -> Hits:
    names = batch["id"]
    row_of_name = known.get_indexer(names.dictionary.to_pylist()).astype(np.int32)
    contig = row_of_name[names.indices.to_numpy(zero_copy_only=False)]
    return Hits(contig, *(batch[name].to_numpy(zero_copy_only=False) for name in _COLUMNS[1:]))
