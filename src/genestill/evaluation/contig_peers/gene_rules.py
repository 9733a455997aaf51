"""A rule on the protein hits of genes: that of CAT."""

import numpy as np
import pandas as pd

from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage
from genestill.evaluation.contig_peers.evidence import Evidence, cut

RANGE = 0.10  # CAT's r: hits of a gene are used if their bit score is at least 1 - r times that of its best hit


def by_genes(evidence: Evidence, threshold: float) -> list[Lineage]:
    """CAT's rule (von Meijenfeldt et al. 2019, doi 10.1186/s13059-019-1817-x) for the hits of `diamond`.

    A gene gets the lowest common ancestor of its hits within `RANGE` of its best bit score, with this bit score as its
    weight. A contig gets a taxon if it has more than ``threshold`` (CAT's f) of the weight of the contig's genes. Genes
    without hits are ignored. With an f of at least .5, the result is one lineage.
    """
    row_of = {name: row for row, name in enumerate(evidence.ids)}
    return vote_of_genes(evidence, evidence.genes["id"].map(row_of).to_numpy(), len(evidence.ids), threshold)


def vote_of_genes(evidence: Evidence, group: np.ndarray, groups: int, threshold: float) -> list[Lineage]:
    """A lineage for each group of genes, by the rule of `by_genes`.

    Args:
        evidence: evidence with ``genes`` of m rows.
        group: int [m], the group of each row: a contig or a bin, from 0.
        groups: number of groups; a group without rows gets no lineage.
        threshold: CAT's f, at least .5.
    """
    named = [NO_LINEAGE] * groups
    hits = evidence.genes
    if not len(hits):
        return named
    taxa, path_of = _taxa(evidence.lineage_of_genome)
    gene = hits.groupby(["id", "gene"], sort=False).ngroup().to_numpy()
    bits = hits["bits"].to_numpy(float)
    weight = np.zeros(gene.max() + 1)
    np.maximum.at(weight, gene, bits)
    group_of_gene = np.empty(len(weight), dtype=np.int64)
    group_of_gene[gene] = group
    near = bits >= (1 - RANGE) * weight[gene]
    paths = pd.DataFrame(np.stack(hits["genome"][near].map(path_of).to_numpy())).groupby(gene[near])
    lowest, highest = paths.min().to_numpy(), paths.max().to_numpy()
    ancestor = np.where(lowest == highest, lowest, -1)
    total = np.bincount(group_of_gene, weight, groups)
    for level in range(len(RANKS)):
        known = ancestor[:, level] >= 0
        pair, inverse = np.unique(group_of_gene[known] * len(taxa) + ancestor[known, level], return_inverse=True)
        support = np.bincount(inverse, weight[known], len(pair))
        for which in pair[support > threshold * total[pair // len(taxa)]]:
            named[which // len(taxa)] = taxa[which % len(taxa)]
    return named


def _taxa(lineage_of_genome: dict[str, Lineage]) -> tuple[list[Lineage], dict[str, np.ndarray]]:
    """All taxa of the genomes, and for each genome the numbers of its taxa, int [7]; -1 where it has none."""
    number: dict[Lineage, int] = {}
    paths = {
        genome: np.array(
            [
                -1 if lineage[level] is None else number.setdefault(cut(lineage, level + 1), len(number))
                for level in range(len(RANKS))
            ]
        )
        for genome, lineage in lineage_of_genome.items()
    }
    return list(number), paths
