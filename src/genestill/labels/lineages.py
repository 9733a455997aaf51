"""From taxids and lineage strings to the seven-rank lineages of the run's taxonomy."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from genestill.ground import artefacts
from genestill.ground.errors import InputError
from genestill.ground.files import write_text
from genestill.ground.label_tables import Label
from genestill.ground.lineage import RANKS, Lineage, common_lineage, depth, format_lineage
from genestill.ground.tables import write_table
from genestill.ground.taxonomy_folder import parse_taxid, read_dump_file, read_lineages


@dataclass
class Taxonomy:
    """The lineages of a taxonomy folder, and what was met while looking up (for the summary).

    Attributes:
        lineages: taxid -> lineage.
        merged: old taxid -> taxid.
        deleted: taxids taken back.
        met: counts of taxids that were merged, deleted or unknown, of gaps and of lineages that were not in the tree.
    """

    lineages: dict[int, Lineage]
    merged: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    met: Counter = field(default_factory=Counter)

    @cached_property
    def _paths(self) -> set[tuple[str | None, ...]]:
        return {lineage[:level] for lineage in self.lineages.values() for level in range(depth(lineage) + 1)}

    @cached_property
    def _taxid_of(self) -> dict[Lineage, int]:
        found: dict[Lineage, int] = {}
        for taxid, lineage in self.lineages.items():
            # Of a species and its strains the lowest number: NCBI's species are older than their strains.
            found[lineage] = min(taxid, found.get(lineage, taxid))
        return found

    def lineage_of(self, label: Label) -> Lineage:
        """The lineage of a label: by its numbers first, else as it is written in the table.

        Numbers come first because names are ambiguous: homonyms differ in their taxid and path only. Several numbers
        give their lowest common ancestor.
        """
        known = [lineage for taxid in label.taxids if (lineage := self._lineage_of_taxid(taxid)) is not None]
        if known:
            lineage = common_lineage(known)
        else:
            lineage = label.lineage
            if self.lineages and lineage[: depth(lineage)] not in self._paths:
                self.met["lineages_outside_the_taxonomy"] += 1
        self.met["lineages_with_gaps"] += any(name is not None and name.endswith("incertae sedis") for name in lineage)
        return lineage

    def _lineage_of_taxid(self, taxid: int) -> Lineage | None:
        current = self.current(taxid)
        if current is None:
            self.met["taxids_deleted" if taxid in self.deleted else "taxids_unknown"] += 1
            return None
        self.met["taxids_merged"] += current != taxid
        return self.lineages[current]

    def require_lineages(self, labels: list[Label], source: str) -> None:
        """Raise `InputError` if the labels are numbers of which this taxonomy knows none."""
        numbers = [label for label in labels if label.taxids and not label.lineage[0]]
        if numbers and not any(self.current(taxid) is not None for label in numbers for taxid in label.taxids):
            raise InputError(
                f"{source}: labels are taxids (first: {numbers[0].taxids[0]} for {numbers[0].id!r}), of which the "
                f"taxonomy knows none ({len(self.lineages)} taxids); give the dump that the classifier was built "
                "with as reference.taxdump"
            )

    def current(self, taxid: int) -> int | None:
        """The taxid in use today, or None if it is deleted or unknown; merged ones are followed."""
        for _ in range(len(self.merged) + 1):
            if taxid in self.lineages or taxid not in self.merged:
                break
            taxid = self.merged[taxid]
        return taxid if taxid in self.lineages else None

    def taxid_of(self, lineage: Lineage) -> int:
        """The taxid of a lineage; 0 if it is empty or not in the taxonomy."""
        return self._taxid_of.get(lineage, 0) if depth(lineage) else 0


def read_taxonomy(folder: str | Path | None) -> Taxonomy:
    """Read ``lineages.tsv``, ``merged.dmp`` and ``delnodes.dmp`` of the folder that ``reference taxonomy`` writes.

    No folder gives an empty taxonomy, which does for labels in words. Raises `InputError`, naming file and line, if
    the folder is not one or a line is not of the form.
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


def count_labels(lineages: list[Lineage]) -> dict[str, int]:
    """How many contigs there are, how many have no label, and how many reach each rank."""
    deepest = Counter(depth(lineage) for lineage in lineages)
    at_least = {f"labelled_{rank}": sum(deepest[level] for level in range(index, len(RANKS) + 1))
                for index, rank in enumerate(RANKS, 1)}  # fmt: skip
    species = {lineage for lineage in lineages if depth(lineage) == len(RANKS)}
    return {"contigs": len(lineages), "unlabelled": deepest[0], **at_least, "distinct_species": len(species)}


def refuse_few_species(lineages: list[Lineage], source: str) -> None:
    """Raise `InputError` if fewer than two species are among the labels: there would be nothing to tell apart."""
    species = {lineage for lineage in lineages if depth(lineage) == len(RANKS)}
    if len(species) < 2:
        raise InputError(
            f"{source}: {len(species)} species among the labels of {len(lineages)} contigs; expected at least 2. "
            "Is it the right reference for these contigs?"
        )


def write_labels(
    ids: list[str], labels: list[Label], taxonomy: Taxonomy, output_labels: str | Path, output_tsv: str | Path
) -> list[Lineage]:
    """Turn labels (one a contig, in order) into lineages; write ``artefacts.LABELS`` and Taxometer's input format."""
    lineages = [taxonomy.lineage_of(label) for label in labels]
    taxids = [
        label.taxids[0] if len(label.taxids) == 1 else taxonomy.taxid_of(lineage)
        for label, lineage in zip(labels, lineages, strict=True)
    ]
    support = pd.array([label.support for label in labels], dtype="Float32")
    table = pd.DataFrame({"id": ids, **artefacts.rank_columns(lineages), "taxid": taxids, "support": support})
    write_table(output_labels, table, artefacts.LABELS)
    rows = "".join(f"{name}\t{format_lineage(lineage)}\n" for name, lineage in zip(ids, lineages, strict=True))
    write_text(output_tsv, f"contigs\tpredictions\n{rows}")
    return lineages
