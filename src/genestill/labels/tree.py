"""The label tree of a run: what a contig may be called."""

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
    """Write the tree of all lineages that labels name and hits met.

    What neither names has no leaf: of a whole GTDB, nearly all leaves would be species that the sample does not hold.
    Raises `InputError` if fewer than two species remain: at least two are needed.
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
