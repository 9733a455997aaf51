"""The results of the search for each contig, as probabilities over the leaves of the label tree.

MMseqs2 reduces its hits to one lineage. The hits contain more information: the species with the best hits, and their
similarity. The average amino acid identity (AAI) to the nearest species measures the distance between the contig's
genome and the reference: strains of one species share more than about 95 % AAI, genera about 65 % (Konstantinidis and
Tiedje 2005, doi 10.1073/pnas.0409727102; Luo et al. 2014, doi 10.1093/nar/gku169; Rodriguez-R and Konstantinidis 2014).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.special import betaln, expit

from genestill.core.errors import InputError
from genestill.core.hit_tables import Hits, read_hits
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, Lineage
from genestill.core.logs import logger
from genestill.core.memory import row_blocks
from genestill.core.taxonomy_folder import read_lineages
from genestill.student.corrector.evidence.source import Evidence, other_leaves
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.neighbours import CONFIDENT_GENES, CONFIDENT_IDENTITY
from genestill.student.corrector.rows import changes, largest_of_rows, product_blocks

# AAI at which a genome shares each rank with its nearest reference genome with probability .5, and its spread.
# Those of genus and family were chosen on the fitting half of virtual references of six communities.
BOUNDARY = {
    "domain": 0.30,
    "phylum": 0.36,
    "class": 0.40,
    "order": 0.43,
    "family": 0.53,
    "genus": 0.60,
    "species": 0.955,
}
SHARPNESS = dict.fromkeys(RANKS, 0.032) | {"genus": 0.05, "species": 0.006}
# Identity varies between the genes of a genome, so few genes give less information: added in quadrature, / sqrt(genes).
GENE_SPREAD = dict.fromkeys(RANKS, 0.047) | {"species": 0.016}
# Share of genes whose best hit is in the group of the nearest species, if the reference has another member of the
# genome's group and if it has not: beta distributions, fitted with virtual references of the fixed community that lack
# one clade from class to genus.
AGREEMENT_OF_PRESENT, AGREEMENT_OF_ABSENT = (4.0, 0.9), (3.4, 4.2)
AGREEING = slice(RANKS.index("class"), RANKS.index("species"))
SPECIES_KEPT = 64  # species with the highest bit scores that are kept per contig
CANDIDATES = 8  # species kept per contig; further ones have negligible shares
# Far from all references, scores are less specific for the nearest species: added per unit of 1 - AAI.
VOTE_SCALE_OF_DISTANCE = 0.2
OWN_VOTE_SCALE, POOLED_VOTE_SCALE = 0.02, 0.01
POSTERIOR_BYTES = 64 * CANDIDATES * (1 + len(RANKS))  # bytes per contig for the computation of its posterior
COMPARABLE = 0.8  # hits with a smaller share of the best score of a gene are considered paralogues


@dataclass
class HitSums:
    """Best hit of every gene of every contig in every species, summed over genes; sparse [contigs, species].

    Proteins that are assigned to a rank above species count as those of a species that the tree does not have.

    Attributes:
        bits: summed bit scores; float64.
        matched, aligned: identical and aligned amino acids, of the genes in which the species is comparable with the
            best; float32, with the sparsity of ``bits``.
        genes: number of genes with a hit: float64 [contigs].
        leaves: leaf of the label tree for each species column: int64 [species].
        best: number of genes whose best hit is of the species, float32, with the sparsity of ``bits``; None if not
            needed. Hits above species count only if no species is comparable with the best.
    """

    bits: sparse.csr_matrix
    matched: sparse.csr_matrix
    aligned: sparse.csr_matrix
    genes: np.ndarray
    leaves: np.ndarray
    best: sparse.csr_matrix | None = None


class HitEvidence(Evidence):
    """Evidence from hits; those of neighbours are summed before the probabilities are computed."""

    def __init__(self, sums: HitSums, tree: LabelTree):
        self.sums, self.others = sums, other_leaves(tree)
        self.clades = None if sums.best is None else clades_of(sums.leaves, tree)
        content = sums.aligned.max(axis=1).toarray().ravel().astype(np.float64)
        own = leaf_posterior(sums, self.others, OWN_VOTE_SCALE, self.clades)
        super().__init__(own, *nearest_species(sums, tree), content)

    def pooled(self, weights: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """`pooled_posteriors` of the sums."""
        return pooled_posteriors(self.sums, weights, self.others, POOLED_VOTE_SCALE, self.clades)


def read(table: str | Path, contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> HitEvidence:
    """Evidence from the hits in ``table`` (`table_schemas.HITS`, rows of a contig are contiguous).

    Raises:
        InputError: the rows of a contig are not contiguous.
    """
    return HitEvidence(sum_hits(read_hits(table, contigs.ids), contigs.ids, read_lineages(taxonomy), tree), tree)


def sum_hits(
    blocks: Iterable[Hits], ids: list[str], lineages: dict[int, Lineage], tree: LabelTree, with_best: bool = False
) -> HitSums:
    """Sum hits by contig and species.

    The best hit of a gene may have no leaf in the tree. Such a gene is left out and counted if no other hit is
    comparable with the best, because its next hits are not the nearest.

    Args:
        blocks: all hits, from `hit_tables.read_hits`: all hits of a contig are in the same block.
        ids: the contigs.
        lineages: taxid -> lineage, see `leaves_of_taxids`.
        tree: the label tree.
        with_best: whether to count, for each species, the genes with their best hit in it.

    Raises:
        InputError: the hits of a contig are not contiguous.
    """
    taxids, leaf_of_taxid = leaves_of_taxids(lineages, tree)
    named, left_out = are_species(tree), 0
    genes, finished = np.zeros(len(ids)), np.zeros(len(ids), dtype=bool)
    parts = []
    for hits in blocks:
        contigs = np.unique(hits.contig[hits.contig >= 0])
        if finished[contigs].any():
            name = ids[int(contigs[finished[contigs]][0])]
            raise InputError(f"hits of the contig {name!r} are not contiguous; sort the table by contig")
        finished[contigs] = True
        hits = hits[hits.contig >= 0]
        found, without_leaf = _sum_by_species(
            hits, leaves_of_hits(hits, taxids, leaf_of_taxid), named, genes, with_best
        )
        parts.append(found)
        left_out += without_leaf
    if left_out:
        logger.warning("%d genes are left out: the taxa of their best hits are not in the label tree", left_out)
    sums = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else None
    del parts
    return _hit_sums(sums, genes, with_best)


def leaves_of_taxids(lineages: dict[int, Lineage], tree: LabelTree) -> tuple[np.ndarray, np.ndarray]:
    """Taxids with a leaf in the tree, ascending, and the leaf of each: int64 [t], int32 [t].

    For lineages that end above species, or whose species is not in the tree, it is the leaf "other" below their deepest
    node in the tree. Lineages without any taxon of the tree have no leaf.
    """
    leaf_of_node = np.full(len(tree), -1, dtype=np.int32)
    other = tree.is_other[tree.leaves]
    leaf_of_node[tree.parent[tree.leaves[other]]] = np.flatnonzero(other)
    leaf_of_node[tree.leaves] = np.arange(len(tree.leaves))
    leaf_of_node[0] = -1
    found = {taxid: leaf_of_node[tree.deepest_node_of(lineage)] for taxid, lineage in lineages.items()}
    taxids = np.array(sorted(found), dtype=np.int64)
    leaves = np.array([found[taxid] for taxid in taxids.tolist()], dtype=np.int32)
    return taxids[leaves >= 0], leaves[leaves >= 0]


def are_species(tree: LabelTree) -> np.ndarray:
    """Whether each leaf of the tree is a species, and not "other" or a taxon above species: bool [leaves]."""
    return (tree.rank[tree.leaves] == len(RANKS)) & ~tree.is_other[tree.leaves]


def leaves_of_hits(hits: Hits, taxids: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """The leaf of each hit, from the result of `leaves_of_taxids`; -1 for none: int32 [hits]."""
    if not len(taxids):
        return np.full(len(hits), -1, dtype=np.int32)
    place = np.minimum(np.searchsorted(taxids, hits.taxid), len(taxids) - 1)
    return np.where(taxids[place] == hits.taxid, leaves[place], -1)


def _sum_by_species(
    hits: Hits, leaf: np.ndarray, named: np.ndarray, genes: np.ndarray, with_best: bool
) -> tuple[dict[str, np.ndarray], int]:
    """Sum hits by contig and ``leaf`` (-1 for none), sorted by these, and add the genes of contigs to ``genes``.

    ``named`` is from `are_species`. The second value is the number of genes without a comparable hit that has a leaf.
    """
    bits = hits.bits.astype(np.float64)
    # Only the best hit of a gene in a species is used.
    order = np.lexsort((-bits, leaf, hits.fragment, hits.contig))
    row, fragment, leaf, bits = hits.contig[order], hits.fragment[order], leaf[order], bits[order]
    new_gene = changes(row, fragment)
    best_copy = new_gene | changes(leaf)
    order, row, leaf, bits, new_gene = (values[best_copy] for values in (order, row, leaf, bits, new_gene))
    gene = np.cumsum(new_gene) - 1
    number = int(new_gene.sum())
    comparable = bits >= COMPARABLE * _highest(bits, new_gene)
    usable = np.bincount(gene[comparable & (leaf >= 0)], minlength=number) > 0
    if not (leaf >= 0).all():
        kept = (leaf >= 0) & usable[gene]
        order, row, leaf, bits, gene, comparable = (
            values[kept] for values in (order, row, leaf, bits, gene, comparable)
        )
        new_gene = changes(gene)
    np.add.at(genes, row[new_gene], 1.0)
    aligned = np.where(comparable, hits.aligned[order], 0).astype(np.float64)
    values = {"bits": bits, "matched": aligned * hits.identity[order], "aligned": aligned}
    if with_best:
        # A comparable species is preferred to a better hit above species, which agrees with no group below its rank.
        of_species = comparable & named[leaf]
        scores = np.where(of_species | (comparable & ~_highest(of_species, new_gene)), bits, -1.0)
        leading = np.flatnonzero(scores == _highest(scores, new_gene))
        values["best"] = np.zeros(len(bits))
        # The first of several species with the same best score.
        values["best"][leading[changes(gene[leading])]] = 1.0
    order = np.lexsort((leaf, row))
    row, leaf = row[order], leaf[order]
    starts = np.flatnonzero(changes(row, leaf))
    if len(starts):
        values = {name: np.add.reduceat(value[order], starts) for name, value in values.items()}
    kept = largest_of_rows(row[starts], values["bits"], SPECIES_KEPT)
    sums = {"row": row[starts][kept], "leaf": leaf[starts][kept], "bits": values["bits"][kept]} | {
        name: value[kept].astype(np.float32) for name, value in values.items() if name != "bits"
    }
    return sums, int(number - usable.sum())


def _highest(values: np.ndarray, new_gene: np.ndarray) -> np.ndarray:
    """The highest of the values of its gene, for each hit; ``new_gene``, bool [hits], marks the first hit of a gene."""
    if not len(values):
        return values
    return np.maximum.reduceat(values, np.flatnonzero(new_gene))[np.cumsum(new_gene) - 1]


def _hit_sums(sums: dict[str, np.ndarray] | None, genes: np.ndarray, with_best: bool) -> HitSums:
    contigs = len(genes)
    if sums is None or len(sums["row"]) == 0:
        empty = sparse.csr_matrix((contigs, 1))
        return HitSums(empty, empty, empty, genes, np.zeros(1, dtype=np.int64), empty if with_best else None)
    if (np.diff(sums["row"]) < 0).any():
        order = np.argsort(sums["row"], kind="stable")
        sums = {name: values[order] for name, values in sums.items()}
    leaves = np.unique(sums["leaf"])
    column = np.searchsorted(leaves, sums["leaf"]).astype(np.int32)
    starts = np.searchsorted(sums["row"], np.arange(contigs + 1)).astype(np.int32)
    shape = (contigs, len(leaves))
    # The matrices share their index arrays.
    matrices = {
        name: sparse.csr_matrix((sums[name], column, starts), shape=shape)
        for name in ("bits", "matched", "aligned", "best")
        if name in sums
    }
    return HitSums(**matrices, genes=genes, leaves=leaves.astype(np.int64))


def clades_of(leaves: np.ndarray, tree: LabelTree) -> np.ndarray:
    """The nodes from domain to species for species given as ``leaves``, int [n], of the tree: int64 [n, 7]."""
    found, node = np.empty((len(leaves), len(RANKS)), dtype=np.int64), tree.leaves[leaves].astype(np.int64)
    for level in reversed(range(len(RANKS))):
        found[:, level] = node
        node = np.where(tree.rank[node] > level, tree.parent[node], node)
    return found


def nearest_species(sums: HitSums, tree: LabelTree) -> tuple[np.ndarray, np.ndarray]:
    """Column of the best species of each contig, int64 [n], and whether it is certain, bool [n].

    Proteins that are assigned to the same taxon above species may be of different species: contigs whose best hits are
    such proteins have different numbers, which are those of no column.
    """
    best = nearest_columns(sums.bits, sums.aligned)
    matched, aligned = columns_of(sums.matched, sums.aligned)(np.arange(len(best)), best)
    identity = matched / np.maximum(aligned, 1e-9)
    named = are_species(tree)[sums.leaves[best]]
    certain = named & (identity > CONFIDENT_IDENTITY) & (sums.genes >= CONFIDENT_GENES)
    return np.where(named, best, len(sums.leaves) + np.arange(len(best))), certain


def nearest_columns(bits: sparse.csr_matrix, aligned: sparse.csr_matrix) -> np.ndarray:
    """Column of the species with the highest score of each row: int64 [n].

    A species may have the highest score although another species has a much better hit in each of its genes. Therefore,
    only species that are comparable with the best in a gene are considered, if there are any.
    """
    comparable = bits.multiply(aligned.sign()).tocsr()
    some = comparable.max(axis=1).toarray().ravel() > 0
    return np.where(some, *(np.asarray(part.argmax(axis=1)).ravel() for part in (comparable, bits)))


def columns_of(matched: sparse.csr_matrix, aligned: sparse.csr_matrix) -> Callable:
    """A function from rows and columns to matched and aligned amino acids."""

    def compared(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, ...]:
        if not len(rows):  # SciPy would return a sparse matrix
            return np.zeros(0), np.zeros(0)
        return tuple(np.asarray(part[rows, columns]).ravel() for part in (matched, aligned))

    return compared


def presence(identity: np.ndarray, genes: np.ndarray, agreed: np.ndarray | None = None) -> np.ndarray:
    """Probability that the reference has the genome's group at each rank: float64 [n, 7], decreasing along the ranks.

    ``identity``, float [n], is the AAI to the nearest species, ``genes``, float [n], the number of genes used for it,
    and ``agreed``, float [n, 7], the number of genes with their best hit in the group of the nearest species at each
    rank, if known.
    """
    boundary = np.array([BOUNDARY[rank] for rank in RANKS])
    spread = np.array([GENE_SPREAD[rank] for rank in RANKS]) ** 2 / np.maximum(genes, 1.0)[:, None]
    scale = np.sqrt(np.array([SHARPNESS[rank] for rank in RANKS]) ** 2 + spread)
    odds = (identity[:, None] - boundary) / scale
    if agreed is not None:
        odds[:, AGREEING] += _weight_of_agreement(agreed[:, AGREEING], np.maximum(genes[:, None], agreed[:, AGREEING]))
    return np.minimum.accumulate(expit(odds), axis=1)


def _weight_of_agreement(agreed: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Log likelihood ratio, present against absent, for ``agreed`` of ``genes``; at most 0: float64 [n, ranks].

    Both are beta-binomial, because the genes of a genome are not independent. Agreement is no evidence for presence: if
    the reference has only one species of an order, all genes agree on it.
    """
    present, absent = (
        betaln(agreed + shape[0], genes - agreed + shape[1]) - betaln(*shape)
        for shape in (AGREEMENT_OF_PRESENT, AGREEMENT_OF_ABSENT)
    )
    return np.minimum(present - absent, 0.0)


def leaf_posterior(
    sums: HitSums, others: np.ndarray, vote_scale: float, clades: np.ndarray | None = None
) -> sparse.csr_matrix:
    """Turn evidence into probabilities over the leaves of the tree: float64 [contigs, leaves], sparse.

    Probability is divided over species in proportion to exp((score / best score - 1) / scale), where the scale is
    ``vote_scale`` for identical genomes and grows with the distance to the nearest species. A species keeps the part of
    its share for which the reference has the genome's species (`presence`); the rest goes to the "other child" leaves
    on its path. Rows without evidence are empty.
    """
    found: list[sparse.csr_matrix] = []
    for block in row_blocks(sums.bits.shape[0], POSTERIOR_BYTES):
        compared = columns_of(sums.matched[block], sums.aligned[block])
        agreement = None
        if clades is not None and sums.best is not None:
            agreement = _agreement(sums.best[block], clades)
        found.append(
            _posterior(sums.bits[block], compared, sums.genes[block], sums.leaves, others, vote_scale, agreement)
        )
    return sparse.vstack(found, format="csr")


def _agreement(best: sparse.csr_matrix, clades: np.ndarray) -> Callable:
    return lambda rows, columns: genes_of_clades(best[rows], columns, clades)


def genes_of_clades(best: sparse.csr_matrix, columns: np.ndarray, clades: np.ndarray) -> np.ndarray:
    """Genes of each row of ``best`` [n, species] whose best hit shares each rank with the species ``columns`` [n].

    ``clades``, int [species, 7], are numbers of the groups of each species. Returns float64 [n, 7].
    """
    row = np.repeat(np.arange(len(columns)), np.diff(best.indptr))
    same = clades[best.indices] == clades[columns[row]]
    return np.column_stack([np.bincount(row, best.data * shared, len(columns)) for shared in same.T])


def pooled_posteriors(
    sums: HitSums,
    weights: sparse.csr_matrix,
    others: np.ndarray,
    vote_scale: float,
    clades: np.ndarray | None = None,
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """`leaf_posterior` of the evidence that ``weights`` [contigs, contigs] collect from other contigs, without and with
    the contigs' own evidence.

    Pooled evidence contains nearly all species of all neighbours, so it is computed in blocks of contigs.
    """
    alone, both = [], []
    for block in product_blocks(weights, sums.bits):
        gather = weights[block]
        bits = gather @ sums.bits
        bits.sort_indices()
        own_bits, own_genes = sums.bits[block], sums.genes[block]
        own = columns_of(sums.matched[block], sums.aligned[block])

        def gathered(rows: np.ndarray, columns: np.ndarray, gather=gather) -> tuple[np.ndarray, ...]:
            # Only one column per row is needed: it is looked up at the neighbours, without a matrix product.
            chosen = gather[rows]
            to = np.repeat(np.arange(len(rows)), np.diff(chosen.indptr))
            return tuple(
                np.bincount(
                    to, chosen.data * np.asarray(part[chosen.indices, columns[to]]).ravel(), minlength=len(rows)
                )
                for part in (sums.matched, sums.aligned)
            )

        def with_own(rows: np.ndarray, columns: np.ndarray, gathered=gathered, own=own) -> tuple[np.ndarray, ...]:
            both = zip(gathered(rows, columns), own(rows, columns), strict=True)
            return tuple(theirs + mine for theirs, mine in both)

        agreement: list = [None, None]
        if clades is not None and sums.best is not None:
            best = gather @ sums.best
            agreement = [_agreement(counted, clades) for counted in (best, best + sums.best[block])]
        genes = gather @ sums.genes
        alone.append(_posterior(bits, gathered, genes, sums.leaves, others, vote_scale, agreement[0]))
        both.append(
            _posterior(bits + own_bits, with_own, genes + own_genes, sums.leaves, others, vote_scale, agreement[1])
        )
    return sparse.vstack(alone, format="csr"), sparse.vstack(both, format="csr")


def _comparable(row: np.ndarray, column: np.ndarray, sound: np.ndarray, compared: Callable) -> np.ndarray:
    """Whether candidates are kept: bool [candidates], sorted by row and score; see `nearest_columns`.

    ``sound``, bool [rows with candidates], is True where the first candidate is comparable: the row is not changed.
    """
    group = np.cumsum(changes(row)) - 1
    doubtful = np.flatnonzero(~sound[group])
    comparable = compared(row[doubtful], column[doubtful])[1] > 0
    some = np.bincount(group[doubtful], comparable, len(sound))[group[doubtful]] > 0
    kept = np.ones(len(row), dtype=bool)
    kept[doubtful] = comparable | ~some
    return kept


def _posterior(
    bits: sparse.csr_matrix,
    compared: Callable,
    genes: np.ndarray,
    leaf_of_column: np.ndarray,
    others: np.ndarray,
    vote_scale: float,
    agreement: Callable | None,
) -> sparse.csr_matrix:
    """`leaf_posterior` of ``bits``; ``compared`` returns matched and aligned amino acids of rows and columns.

    ``agreement`` returns the number of genes that agree with the column at each rank; None: agreement is not used.
    """
    contigs, leaves = bits.shape[0], others.shape[0]
    row = np.repeat(np.arange(contigs), np.diff(bits.indptr))
    kept = largest_of_rows(row, bits.data, CANDIDATES)
    kept = kept[bits.data[kept] > 0]
    order = kept[np.lexsort((-bits.data[kept], row[kept]))]
    row, column, score = row[order], bits.indices[order], bits.data[order]
    if len(row) == 0:
        return sparse.csr_matrix((contigs, leaves))
    first = np.flatnonzero(changes(row))
    matched, aligned = compared(row[first], column[first])
    if not (aligned > 0).all():
        kept = _comparable(row, column, aligned > 0, compared)
        row, column, score = row[kept], column[kept], score[kept]
        first = np.flatnonzero(changes(row))
        matched, aligned = compared(row[first], column[first])
    group = np.cumsum(changes(row)) - 1
    identity = matched / np.maximum(aligned, 1e-9)
    scale = vote_scale + VOTE_SCALE_OF_DISTANCE * (1 - identity)
    share = np.exp((score / score[first][group] - 1) / scale[group])
    share /= np.add.reduceat(share, first)[group]
    agreed = None if agreement is None else agreement(row[first], column[first])
    present = presence(identity, genes[row[first]], agreed)[group]
    absent = -np.diff(present, axis=1, prepend=1.0)
    leaf = leaf_of_column[column]
    return sparse.csr_matrix(
        (
            np.concatenate([share * present[:, -1], (share[:, None] * absent).ravel()]),
            (
                np.concatenate([row, np.repeat(row, len(RANKS))]),
                np.concatenate([leaf, others[leaf].ravel()]),
            ),
        ),
        shape=(contigs, leaves),
    )
