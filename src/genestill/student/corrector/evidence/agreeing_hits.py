"""Hits, with the agreement of the genes of a contig on a group.

If the reference lacks the family of a genome, the nearest proteins of its genes belong to several families; if it has
the family, most belong to this family. Therefore a group with the best hits of few genes is less probable than the
identity of the nearest species suggests.
"""

from pathlib import Path

from genestill.core.hit_tables import read_hits
from genestill.core.label_tree import LabelTree
from genestill.core.taxonomy_folder import read_lineages
from genestill.student.corrector.evidence.hits import HitEvidence, sum_hits
from genestill.student.corrector.features import Contigs


def read(table: str | Path, contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> HitEvidence:
    """Evidence from the hits in ``table`` (`table_schemas.HITS`, rows of a contig are contiguous).

    Raises:
        InputError: the rows of a contig are not contiguous.
    """
    hits = read_hits(table, contigs.ids)
    return HitEvidence(sum_hits(hits, contigs.ids, read_lineages(taxonomy), tree, with_best=True), tree)
