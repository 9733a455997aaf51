"""From taxids and lineage strings to the seven-rank lineages of the run's taxonomy."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from genestill.core.errors import InputError
from genestill.core.label_tables import LabelTable
from genestill.core.lineage import NO_LINEAGE, Lineage, common_lineage, depth, named, spelling_key
from genestill.core.taxonomy_folder import parse_taxid, read_dump_file, read_lineages


@dataclass
class Taxonomy:
    """The lineages of a taxonomy folder, and counts of problems in look-ups (for the summary).

    Attributes:
        lineages: taxid -> lineage.
        merged: old taxid -> taxid.
        deleted: deleted taxids.
        met: counts of merged, deleted and unknown taxids, of gaps, and of lineages that are not in the tree.
    """

    lineages: dict[int, Lineage]
    merged: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    met: Counter = field(default_factory=Counter)

    @cached_property
    def _paths(self) -> set[tuple[str, ...]]:
        return {names[:level] for names in map(named, self.lineages.values()) for level in range(len(names) + 1)}

    @cached_property
    def _taxid_of(self) -> dict[Lineage, int]:
        found: dict[Lineage, int] = {}
        for taxid, lineage in self.lineages.items():
            # The lowest taxid of a species and its strains: in NCBI, species have lower taxids than their strains.
            found[lineage] = min(taxid, found.get(lineage, taxid))
        return found

    @cached_property
    def _spelled(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return {tuple(map(spelling_key, path)): path for path in self._paths}

    @cached_property
    def _of_name(self) -> dict[str, Lineage | None]:
        """Name -> the lineage that ends in this name; None if there are several."""
        found: dict[str, Lineage | None] = {}
        for path in self._paths - {()}:
            key = spelling_key(path[-1])
            found[key] = None if key in found else path + NO_LINEAGE[len(path) :]
        return found

    def lineages_of(self, table: LabelTable) -> list[Lineage]:
        """The lineage of every contig of ``table``: from its taxids, else from the names in the table.

        Taxids have priority because names are ambiguous: homonyms differ only in their taxids and paths. Several taxids
        give their lowest common ancestor. Names that differ from those of this taxonomy only in spaces and underscores
        are replaced by them.
        """
        alone = np.ones(len(table), dtype=bool)
        alone[list(table.several)] = False
        said = np.stack([table.taxid, table.lineage, table.name], axis=1)
        distinct, code, number = np.unique(said[alone], axis=0, return_inverse=True, return_counts=True)
        looked_up = [
            self._look_up((taxid,) if taxid else (), table.lineages[lineage], table.names[name], count)
            for (taxid, lineage, name), count in zip(distinct.tolist(), number.tolist(), strict=True)
        ]
        lineages = [NO_LINEAGE] * len(table)
        for row, place in zip(np.flatnonzero(alone).tolist(), code.tolist(), strict=True):
            lineages[row] = looked_up[place]
        for row, taxids in table.several.items():
            written, name = table.lineages[table.lineage[row]], table.names[table.name[row]]
            lineages[row] = self._look_up(taxids, written, name, 1)
        return lineages

    def _look_up(self, taxids: tuple[int, ...], written: Lineage, name: str, contigs: int) -> Lineage:
        known = [lineage for taxid in taxids if (lineage := self._lineage_of_taxid(taxid, contigs)) is not None]
        if known:
            lineage = common_lineage(known)
        elif name and not depth(written):
            lineage = self._of_name.get(spelling_key(name)) or NO_LINEAGE
            self.met["names_unknown_or_ambiguous"] += contigs * (lineage == NO_LINEAGE)
        else:
            if not depth(written):
                return NO_LINEAGE
            lineage = self.respell(written)
            if self.lineages and named(lineage) not in self._paths:
                self.met["lineages_outside_the_taxonomy"] += contigs
        with_gaps = any(part is not None and part.endswith("incertae sedis") for part in lineage)
        self.met["lineages_with_gaps"] += contigs * with_gaps
        return lineage

    def respell(self, lineage: Lineage) -> Lineage:
        """``lineage`` in the spelling of this taxonomy, for names that it contains; see `spelling_key`."""
        path: tuple[str, ...] = ()
        for name in named(lineage):
            longer = (*path, name)
            path = longer if longer in self._paths else self._spelled.get(tuple(map(spelling_key, longer)), longer)
        return path + NO_LINEAGE[len(path) :]

    def _lineage_of_taxid(self, taxid: int, contigs: int) -> Lineage | None:
        current = self.current(taxid)
        if current is None:
            self.met["taxids_deleted" if taxid in self.deleted else "taxids_unknown"] += contigs
            return None
        self.met["taxids_merged"] += contigs * (current != taxid)
        return self.lineages[current]

    def require_lineages(self, table: LabelTable, source: str) -> None:
        """Raise `InputError` if the labels are taxids or single names and this taxonomy contains none of them."""
        empty = np.array([not depth(lineage) for lineage in table.lineages])[table.lineage]
        numbers = np.flatnonzero((table.taxid > 0) & empty)
        taxids = np.unique(table.taxid[numbers]).tolist()
        if taxids and not any(self.current(taxid) is not None for taxid in taxids):
            first = numbers[0]
            raise InputError(
                f"{source}: labels are taxids (first: {table.taxid[first]} for {table.ids[int(first)].as_py()!r}), of "
                f"which the taxonomy contains none ({len(self.lineages)} taxids); give the dump that the classifier "
                "was "
                "built with as reference.taxdump"
            )
        names = {table.names[number] for number in np.unique(table.name[(table.taxid == 0) & empty]).tolist()} - {""}
        if names and not any(self._of_name.get(spelling_key(name)) for name in names):
            raise InputError(
                f"{source}: labels are names of taxa (first: {min(names)!r}), none of which is in the taxonomy; export "
                "taxids or paths, or give the dump that the classifier was built with as reference.taxdump"
            )

    def current(self, taxid: int) -> int | None:
        """The present taxid, with merged taxids resolved; None if it is deleted or unknown."""
        for _ in range(len(self.merged) + 1):
            if taxid in self.lineages or taxid not in self.merged:
                break
            taxid = self.merged[taxid]
        return taxid if taxid in self.lineages else None

    def taxid_of(self, lineage: Lineage) -> int:
        """The taxid of a lineage; 0 if it is empty or not in the taxonomy."""
        return self._taxid_of.get(lineage, 0) if depth(lineage) else 0


def read_taxonomy(folder: str | Path | None) -> Taxonomy:
    """Read ``lineages.tsv``, ``merged.dmp`` and ``delnodes.dmp`` of a folder written by ``reference taxonomy``.

    Without a folder, the taxonomy is empty, which is sufficient for labels with lineages. Raises `InputError`, with
    file and line, if the folder is not a taxonomy folder or a line is malformed.
    """
    if folder is None:
        return Taxonomy({})
    merged, deleted = Path(folder) / "merged.dmp", Path(folder) / "delnodes.dmp"
    return Taxonomy(
        read_lineages(folder),
        {
            parse_taxid(old, f"{merged}: line {line}"): parse_taxid(new, f"{merged}: line {line}")
            for line, (old, new) in read_dump_file(merged, 2, optional=True)
        },
        {parse_taxid(taxid, f"{deleted}: line {line}") for line, (taxid,) in read_dump_file(deleted, 1, optional=True)},
    )
