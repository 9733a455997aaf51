"""Reading the table of hits (`table_schemas.HITS`) as columns, in blocks of contigs.

The search of a real assembly gives a hundred million hits, so there is no Python object per row, and no column is
loaded completely.
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
_KINDS = (np.int32, np.int32, np.int64, np.float32, np.float32, np.int32)  # of the arrays of `Hits`


@dataclass
class Hits:
    """The hits of some contigs: arrays with one entry per hit, in the order of the file.

    Attributes:
        contig: int32, row of the contig in the index; -1 for contigs that are not in the index.
        fragment: int32, number of the open reading frame within its contig.
        taxid: int64, taxid of the protein.
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
        """Concatenate ``parts``; without any, there are no hits."""
        none = cls(*(np.empty(0, dtype=kind) for kind in _KINDS))
        return cls(*(np.concatenate([getattr(part, field.name) for part in [none, *parts]]) for field in fields(cls)))


def read_hits(path: str | Path, ids: list[str], rows_at_once: int = ROWS_AT_ONCE) -> Iterator[Hits]:
    """Yield the hits of a table in blocks of about ``rows_at_once``; all hits of a contig are in the same block.

    The rows of a contig must be contiguous, as the search writes them. ``ids`` are the contigs of the index. Raises
    `InputError` as `tables.read_batches` does.
    """
    # Hashed once; the lookup of Arrow would hash all contigs again for every block.
    known = pd.Index(ids, dtype=object)
    left: Hits | None = None
    for batch in read_batches(path, HITS, _COLUMNS, rows_at_once, dictionaries=["id"]):
        found = _columns(batch, known)
        if left is not None:
            found = Hits.concatenate([left, found])
        # The last contig of a block may continue in the next block.
        last = len(found) - int(np.argmax(found.contig[::-1] != found.contig[-1]))  # len(found) if there is no other
        if last == len(found):
            left = found
            continue
        left = found[last:]
        yield found[:last]
    if left is not None:
        yield left


def read_taxids(path: str | Path) -> np.ndarray:
    """The distinct taxids of all proteins in the table of hits, in ascending order: int64 [taxids]."""
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
