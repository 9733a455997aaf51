"""The label tree of a run: the taxa that can be assigned to contigs."""

from pathlib import Path

from genestill.core.hit_tables import read_taxids
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, depth, require_two_species
from genestill.core.table_schemas import LABELS, lineages_of
from genestill.core.tables import read_table
from genestill.core.taxonomy_folder import read_lineages


def build_label_tree(
    taxonomy: str | Path, labels: str | Path, hits: str | Path | None, output: str | Path, other_children: bool
) -> LabelTree:
    """Write the tree of all lineages in the labels and in the hits.

    Other taxa have no leaf: with a whole GTDB, nearly all leaves would be species that are not in the sample. Raises
    `InputError` for fewer than two species.
    """
    lineages = set(lineages_of(read_table(labels, LABELS)))
    if hits is not None:
        known = read_lineages(taxonomy)
        lineages |= {known[taxid] for taxid in read_taxids(hits).tolist() if taxid in known}
    named = sum(depth(lineage) == len(RANKS) for lineage in lineages)
    require_two_species(named, str(labels), "labels and hits")
    tree = LabelTree.from_lineages(lineages, other_children)
    tree.save(output)
    return tree
