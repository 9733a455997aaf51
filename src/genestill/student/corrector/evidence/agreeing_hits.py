"""Hits, and whether the genes of a contig agree on a group.

Genes of a genome whose family the reference lacks are nearest to proteins of several families; genes of a family that
it holds are nearest to that family. So a group in which few genes have their best hit is less probable than the
identity of the nearest species says.
"""

from pathlib import Path

from genestill.core.hit_tables import read_hits
from genestill.core.label_tree import LabelTree
from genestill.core.taxonomy_folder import read_lineages
from genestill.student.corrector.evidence.hits import HitEvidence, sum_hits
from genestill.student.corrector.features import Contigs


def read(table: str | Path, contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> HitEvidence:
    """What the hits in ``table`` (`table_schemas.HITS`, those of a contig as neighbours) say.

    Raises:
        InputError: a contig comes again after hits of others.
    """
    hits = read_hits(table, contigs.ids)
    return HitEvidence(sum_hits(hits, contigs.ids, read_lineages(taxonomy), tree, with_best=True), tree)
