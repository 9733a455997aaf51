"""The label tree of a run: what a contig may be called."""

from pathlib import Path

import pandas as pd

from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, depth, require_two_species
from genestill.core.table_schemas import HITS, LABELS, lineages_of
from genestill.core.tables import read_table
from genestill.core.taxonomy_folder import read_lineages

# A reference with more species than this contributes only those that the search met: a softmax over a whole GTDB
# would spend nearly all of its weights on species that the sample does not hold.
WHOLE_REFERENCE = 5000


def build_label_tree(
    taxonomy: str | Path, labels: str | Path, hits: str | Path | None, output: str | Path, other_children: bool
) -> LabelTree:
    """Write the tree of all lineages that labels and hits name, and of the whole reference if it is small.

    Raises `InputError` if fewer than two species remain: there would be nothing to tell apart.
    """
    known = read_lineages(taxonomy)
    lineages = set(lineages_of(read_table(labels, LABELS)))
    species = {lineage for lineage in known.values() if depth(lineage) == len(RANKS)}
    if len(species) <= WHOLE_REFERENCE:
        lineages |= species
    elif hits is not None:
        met = pd.unique(read_table(hits, HITS, ["target_taxid"])["target_taxid"])
        lineages |= {known[taxid] for taxid in met if taxid in known}
    named = sum(depth(lineage) == len(RANKS) for lineage in lineages)
    require_two_species(named, str(labels), "labels and hits")
    tree = LabelTree.from_lineages(lineages, other_children)
    tree.save(output)
    return tree
