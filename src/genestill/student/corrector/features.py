"""From tables and sequences to the input arrays of the corrector."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta
from genestill.core.table_schemas import INDEX
from genestill.core.tables import read_abundances, read_table, sample_names
from genestill.student.corrector.composition import composition_of
from genestill.student.corrector.rows import largest_of_rows

EVIDENCE_WIDTH = 16  # leaves of evidence per contig: the best species and the "other child" leaves along a path


@dataclass
class Contigs:
    """The contigs of an index: ids, lengths (bp) [n], composition [n, 103], abundances [n, samples] or None."""

    ids: list[str]
    lengths: np.ndarray
    composition: np.ndarray
    abundance: np.ndarray | None
    samples: list[str]

    def groups(self) -> dict[str, np.ndarray]:
        """Input groups of the corrector: composition, and abundances as shares over samples with the log total."""
        found = {"composition": self.composition}
        if self.abundance is not None:
            logs = np.log(self.abundance + 0.1)
            total = np.log(self.abundance.sum(axis=1, keepdims=True) + 0.1)
            found["abundance"] = np.hstack([logs, total]).astype(np.float32)
        return found


def read_contigs(fasta: str | Path, index: str | Path, abundance: str | Path | None) -> Contigs:
    """Read the contigs of an index, in its order; ``abundance`` is the file written by `reference contigs`.

    Raises `InputError` if the files belong to different contigs.
    """
    table = read_table(index, INDEX)
    ids = table["id"].tolist()
    wanted = {name: row for row, name in enumerate(ids)}
    order: list[int] = []

    def chosen():
        for name, sequence in read_fasta(fasta):
            if name in wanted:
                order.append(wanted[name])
                yield sequence

    computed = composition_of(chosen())
    if len(order) != len(ids):
        found = set(order)
        missing = next(name for row, name in enumerate(ids) if row not in found)
        raise InputError(f"{fasta}: no contig {missing!r}, which is in the index {index}")
    composition = np.empty_like(computed)
    composition[order] = computed
    depths, samples = None, []
    if abundance is not None:
        samples = sample_names(abundance)
        if samples:
            depth_table = read_abundances(abundance)
            if depth_table["id"].tolist() != ids:
                raise InputError(
                    f"{abundance}: its contigs differ from those of the index {index}, or are in another order"
                )
            depths = depth_table[samples].to_numpy(dtype=np.float32)
    return Contigs(ids, table["length"].to_numpy(), composition, depths, samples)


def evidence_arrays(own: sparse.csr_matrix, prior: np.ndarray, garbage: float) -> tuple[np.ndarray, np.ndarray]:
    """The evidence of each contig as input of the corrector: leaves int64 [n, e] and gains float32 [n, e].

    A gain is log of (posterior mixed with ``garbage`` of the prior) / prior, minus the gain of a leaf without evidence.
    Wide nodes are left out, because they do not distinguish the leaves below them.
    """
    contigs = own.shape[0]
    leaves = np.zeros((contigs, EVIDENCE_WIDTH), dtype=np.int64)
    gains = np.zeros((contigs, EVIDENCE_WIDTH), dtype=np.float32)
    row = np.repeat(np.arange(contigs), np.diff(own.indptr))
    at_leaf = np.flatnonzero(own.indices < len(prior))
    kept = at_leaf[largest_of_rows(row[at_leaf], own.data[at_leaf], EVIDENCE_WIDTH)]
    # Descending within each row, because the order of the columns matters.
    kept = kept[np.lexsort((-own.data[kept], row[kept]))]
    row, leaf, share = row[kept], own.indices[kept], own.data[kept]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    leaves[row, place] = leaf
    gains[row, place] = np.log1p((1 - garbage) * share / (garbage * prior[leaf]))
    return leaves, gains
