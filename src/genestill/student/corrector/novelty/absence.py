"""The hits of groups of contigs to their nearest species, with and without some clades of the reference."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import logit

from genestill.core.hit_tables import Hits
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, Lineage
from genestill.core.novelty import LEDGER_RANKS
from genestill.student.corrector.evidence.hits import (
    HitSums,
    are_species,
    clades_of,
    columns_of,
    genes_of_clades,
    leaves_of_hits,
    leaves_of_taxids,
    nearest_columns,
    presence,
    sum_hits,
)
from genestill.student.corrector.rows import changes

LEVELS = tuple(RANKS.index(rank) for rank in LEDGER_RANKS)


@dataclass
class Seen:
    """Summary of the hits of n groups.

    Attributes:
        nearest: int64 [n], leaf of the nearest species; -1 without hits.
        identity: float64 [n], amino-acid identity to it.
        genes: float64 [n], number of genes with hits.
        agreeing: float64 [n, 7], number of genes with their best hit in the group of the nearest species at each rank.
    """

    nearest: np.ndarray
    identity: np.ndarray
    genes: np.ndarray
    agreeing: np.ndarray

    def features(self) -> np.ndarray:
        """Features for the prediction of absence: float64 [n, 4].

        Log odds that the species is absent by the usual boundary (`presence`); log odds of the identity, and of the
        shares of genes that agree on the genus and on the family.
        """
        present = presence(self.identity, self.genes)[:, RANKS.index("species")]
        # One gene of each kind is added, so that few genes have little weight.
        agreement = (self.agreeing[:, [RANKS.index("genus"), RANKS.index("family")]] + 1) / (self.genes[:, None] + 2)
        shares = np.column_stack([1 - present, self.identity, agreement])
        return logit(np.clip(shares, [1e-4, 0.01, 0.01, 0.01], [1 - 1e-4, 0.995, 0.995, 0.995]))

    def absent_by_boundaries(self) -> np.ndarray:
        """Probability that species, genus and family are absent by the boundaries of `presence`: float64 [n, 3]."""
        return 1 - presence(self.identity, self.genes, self.agreeing)[:, LEVELS]


def look(sums: HitSums, members: sparse.csr_matrix, tree: LabelTree) -> Seen:
    """Summarise the hits of groups, from sums with ``best``; ``members`` [groups, contigs] has a 1 for each member."""

    def together(part: sparse.csr_matrix) -> sparse.csr_matrix:
        return (members @ part).tocsr()

    bits, matched, aligned = map(together, (sums.bits, sums.matched, sums.aligned))
    of_groups = HitSums(bits, matched, aligned, members @ sums.genes, sums.leaves, together(sums.best))
    column = nearest_columns(of_groups.bits, of_groups.aligned)
    matched, aligned = columns_of(of_groups.matched, of_groups.aligned)(np.arange(len(column)), column)
    identity = matched / np.maximum(aligned, 1e-9)
    agreeing = genes_of_clades(of_groups.best, column, clades_of(sums.leaves, tree))
    nearest = np.where(of_groups.genes > 0, sums.leaves[column], -1)
    return Seen(nearest, identity, of_groups.genes, agreeing)


@dataclass
class Withheld:
    """Hits of contigs after withholding the clade of each contig at one rank.

    Attributes:
        sums: the remaining hits.
        absent: bool [species leaves of the tree, 3], whether the reference lacks species, genus and family of a species
            after its clade is withheld.
        unknown: float64 [contigs], number of genes without remaining hits because the search kept no more.
    """

    sums: HitSums
    absent: np.ndarray
    unknown: np.ndarray


def withhold(
    hits: Hits, species: np.ndarray, ids: list[str], lineages: dict[int, Lineage], tree: LabelTree
) -> list[Withheld]:
    """The hits of contigs without their own species, their own genus and their own family.

    This approximates a search of a smaller reference, with differences: a gene whose stored hits were all of the clade
    might have had further hits (such genes are counted), and E-values are those of the whole reference. Proteins
    that are assigned to a taxon above the clade may be of the clade, and are withheld with it.

    Args:
        hits: hits of some contigs; hits of others are left out.
        species: int64 [contigs], leaf of the species of each contig; -1 for contigs that are not used.
        ids: all contigs.
        lineages: taxid -> lineage.
        tree: the label tree, whose species represent those of the reference.

    Returns:
        One entry per rank of `LEDGER_RANKS`.
    """
    hits = hits[(hits.contig >= 0) & (species[hits.contig] >= 0)]
    hits = hits[np.lexsort((hits.fragment, hits.contig))]
    leaf = leaves_of_hits(hits, *leaves_of_taxids(lineages, tree))
    clades = clades_of(np.arange(len(tree.leaves)), tree)
    held = np.flatnonzero(are_species(tree))
    lowest_named = tree.rank[tree.leaves] - tree.is_other[tree.leaves] - 1
    first = changes(hits.contig, hits.fragment)
    gene = np.cumsum(first) - 1
    listed = np.bincount(gene) if len(hits) else np.zeros(0, dtype=np.int64)
    of_gene = hits.contig[first]
    found = []
    for level in LEVELS:
        compared = np.minimum(level, lowest_named[leaf])
        gone = (leaf >= 0) & (clades[leaf, compared] == clades[species[hits.contig], compared])
        emptied = np.bincount(gene[gone], minlength=len(listed)) == listed
        unknown = np.bincount(of_gene[emptied & (listed == listed.max(initial=0))], minlength=len(ids))
        sums = sum_hits([hits[~gone]], ids, lineages, tree, with_best=True)
        found.append(Withheld(sums, _absent_without(clades, held, level), unknown.astype(np.float64)))
    return found


def _absent_without(clades: np.ndarray, held: np.ndarray, withheld: int) -> np.ndarray:
    """Whether species, genus and family of each leaf are absent after its clade is withheld: bool [leaves, 3].

    A clade is absent if all its species that are ``held`` are withheld: it has as many as the withheld clade.
    """

    def species_in(level: int) -> dict[int, int]:
        nodes, counts = np.unique(clades[held, level], return_counts=True)
        return dict(zip(nodes.tolist(), counts.tolist(), strict=True))

    inside = species_in(withheld)
    found = np.zeros((len(clades), len(LEVELS)), dtype=bool)
    for column, level in enumerate(LEVELS):
        around = species_in(level)
        for leaf in held:
            smaller = level >= withheld
            found[leaf, column] = smaller or around[clades[leaf, level]] == inside[clades[leaf, withheld]]
    return found


def collect(blocks: Iterable[Hits], contigs: np.ndarray) -> Hits:
    """The hits of the contigs that are marked in ``contigs``, bool [contigs]."""
    return Hits.concatenate([block[(block.contig >= 0) & contigs[block.contig]] for block in blocks])
