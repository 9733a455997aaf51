"""What the search says about each contig, as a probability over the leaves of the label tree.

MMseqs2 condenses its hits to one lineage. The hits say more: which species share the best hits, and how alike they
are. Average amino acid identity (AAI) to the nearest species tells how far the reference is from the contig's genome:
strains of one species share more than about 95 % AAI, genera about 65 % (Konstantinidis and Tiedje 2005, doi
10.1073/pnas.0409727102; Luo et al. 2014, doi 10.1093/nar/gku169; Rodriguez-R and Konstantinidis 2014).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit

from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, Lineage

# AAI at which a genome is as likely as not to share each rank with its nearest reference, and how sharp that is.
BOUNDARY = {
    "domain": 0.30,
    "phylum": 0.36,
    "class": 0.40,
    "order": 0.43,
    "family": 0.50,
    "genus": 0.66,
    "species": 0.955,
}
SHARPNESS = dict.fromkeys(RANKS, 0.032) | {"species": 0.006}
# Identity varies between the genes of a genome, so that few genes tell less: added in quadrature, over sqrt(genes).
GENE_SPREAD = dict.fromkeys(RANKS, 0.047) | {"species": 0.016}
CANDIDATES = 8  # species kept for a contig; beyond the best few none has a noticeable share
# Far from every reference, scores tell the nearest species less sharply: added a unit of 1 - AAI.
VOTE_SCALE_OF_DISTANCE = 0.2
COMPARABLE = 0.8  # hits with a smaller share of a gene's best score are paralogues, not the species' own copy


@dataclass
class Evidence:
    """Best hit of every gene of every contig in every species, summed over genes; sparse [contigs, species].

    Attributes:
        bits: summed bit scores.
        matched, aligned: identical and aligned amino acids, of the genes in which the species compares with the best.
        genes: genes with a hit, a contig: float64 [contigs].
        leaves: leaf of the label tree for each species column: int64 [species].
    """

    bits: sparse.csr_matrix
    matched: sparse.csr_matrix
    aligned: sparse.csr_matrix
    genes: np.ndarray
    leaves: np.ndarray

    def pooled(self, weights: sparse.csr_matrix) -> "Evidence":
        """The evidence of other contigs gathered by ``weights`` [contigs, contigs]."""
        return Evidence(
            (weights @ self.bits).tocsr(),
            (weights @ self.matched).tocsr(),
            (weights @ self.aligned).tocsr(),
            weights @ self.genes,
            self.leaves,
        )


def evidence_of_hits(hits: pd.DataFrame, ids: list[str], lineages: dict[int, Lineage], tree: LabelTree) -> Evidence:
    """Sum a table of hits (`table_schemas.HITS`) by contig and species.

    ``lineages`` maps taxids to lineages; hits to targets without a species, or with a species that is not in ``tree``,
    are left out.
    """
    leaf_of_node = {int(node): leaf for leaf, node in enumerate(tree.leaves)}
    leaf_of_taxid = {}
    for taxid, lineage in lineages.items():
        try:
            leaf_of_taxid[taxid] = leaf_of_node.get(tree.node_of(lineage), -1) if lineage[-1] is not None else -1
        except KeyError:
            leaf_of_taxid[taxid] = -1
    leaf = hits["target_taxid"].map(leaf_of_taxid).fillna(-1).to_numpy(dtype=np.int64)
    row = hits["id"].map({name: number for number, name in enumerate(ids)}).fillna(-1).to_numpy(dtype=np.int64)
    kept = (leaf >= 0) & (row >= 0)
    leaves, column = np.unique(leaf[kept], return_inverse=True)
    genes = pd.DataFrame(
        {
            "row": row[kept],
            "fragment": hits["fragment"].to_numpy()[kept],
            "column": column,
            "bits": hits["bits"].to_numpy(dtype=np.float64)[kept],
            "identity": hits["identity"].to_numpy(dtype=np.float64)[kept],
            "aligned": hits["alignment_length"].to_numpy(dtype=np.float64)[kept],
        }
    )
    genes = genes.sort_values("bits", ascending=False, kind="stable").drop_duplicates(["row", "fragment", "column"])
    best = genes.groupby(["row", "fragment"])["bits"].transform("max")
    comparable = (genes["bits"] >= COMPARABLE * best).to_numpy()
    shape = (len(ids), len(leaves))
    where = (genes["row"].to_numpy(), genes["column"].to_numpy())

    def summed(values: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((values, where), shape=shape)

    aligned = genes["aligned"].to_numpy() * comparable
    counted = genes.drop_duplicates(["row", "fragment"])["row"].value_counts()
    return Evidence(
        summed(genes["bits"].to_numpy()),
        summed(aligned * genes["identity"].to_numpy()),
        summed(aligned),
        counted.reindex(range(len(ids)), fill_value=0).to_numpy(dtype=np.float64),
        leaves,
    )


def other_leaves(tree: LabelTree) -> np.ndarray:
    """For each leaf and each of the seven ranks, the "other child" leaf for "the path ends above this rank".

    int64 [leaves, 7]; entry [leaf, r] is the leaf that stands for an unknown child, at rank r, of the leaf's ancestor
    at rank r - 1. Entries below an "other" leaf repeat that leaf.
    """
    other_of_parent = {int(tree.parent[node]): leaf for leaf, node in enumerate(tree.leaves) if tree.is_other[node]}
    found = np.zeros((len(tree.leaves), len(RANKS)), dtype=np.int64)
    for leaf, node in enumerate(tree.leaves):
        ancestors = []
        above = int(tree.parent[node])
        while above >= 0:
            ancestors.append(above)
            above = int(tree.parent[above])
        path = [other_of_parent.get(ancestor, leaf) for ancestor in reversed(ancestors)]
        found[leaf] = (path + [leaf] * len(RANKS))[: len(RANKS)]
    return found


def presence(identity: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Probability that the reference holds the genome's group at each rank: float64 [n, 7], falling from left to right.

    ``identity`` is the AAI to the nearest species [n], ``genes`` the number of genes behind it [n].
    """
    boundary = np.array([BOUNDARY[rank] for rank in RANKS])
    spread = np.array([GENE_SPREAD[rank] for rank in RANKS]) ** 2 / np.maximum(genes, 1.0)[:, None]
    scale = np.sqrt(np.array([SHARPNESS[rank] for rank in RANKS]) ** 2 + spread)
    return np.minimum.accumulate(expit((identity[:, None] - boundary) / scale), axis=1)


def leaf_posterior(evidence: Evidence, others: np.ndarray, vote_scale: float) -> sparse.csr_matrix:
    """Turn evidence into probabilities over the leaves of the tree: float64 [contigs, leaves], sparse.

    Species share the belief as exp((score / best score - 1) / scale), where the scale is ``vote_scale`` for identical
    genomes and grows with the distance to the nearest species. A species' share is its own as far as the reference
    holds the genome's species (`presence`), and goes to the "other child" leaves along its path as far as not. Rows
    without evidence are empty.
    """
    contigs, leaves = evidence.bits.shape[0], others.shape[0]
    rows, columns, values = [], [], []
    bits = evidence.bits
    for row in range(contigs):
        start, stop = bits.indptr[row], bits.indptr[row + 1]
        score = bits.data[start:stop]
        if stop == start or score.max() <= 0:
            continue
        kept = np.argsort(-score, kind="stable")[:CANDIDATES]
        rows.append(np.full(len(kept), row))
        columns.append(bits.indices[start:stop][kept])
        values.append(score[kept])
    if not rows:
        return sparse.csr_matrix((contigs, leaves))
    row, column, score = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    first = np.flatnonzero(np.diff(row, prepend=-1))
    group = np.cumsum(np.diff(row, prepend=-1) > 0) - 1
    best_row, best_column = row[first], column[first]
    aligned = np.asarray(evidence.aligned[best_row, best_column]).ravel()
    matched = np.asarray(evidence.matched[best_row, best_column]).ravel()
    identity = matched / np.maximum(aligned, 1e-9)
    scale = vote_scale + VOTE_SCALE_OF_DISTANCE * (1 - identity)
    share = np.exp((score / score[first][group] - 1) / scale[group])
    share /= np.add.reduceat(share, first)[group]
    present = presence(identity, evidence.genes[best_row])[group]
    absent = -np.diff(present, axis=1, prepend=1.0)
    path = others[evidence.leaves[column]]
    return sparse.csr_matrix(
        (
            np.concatenate([share * present[:, -1], (share[:, None] * absent).ravel()]),
            (
                np.concatenate([row, np.repeat(row, len(RANKS))]),
                np.concatenate([evidence.leaves[column], path.ravel()]),
            ),
        ),
        shape=(contigs, leaves),
    )


# How far a label is believed when nothing is known about the search behind it.
LABEL_TRUST = 0.8
OTHER_SHARE = 0.5  # of a label that stops early: an unknown child, rather than one of the known ones


def posterior_of_labels(lineages: list[Lineage], tree: LabelTree, others: np.ndarray) -> sparse.csr_matrix:
    """Probabilities over the leaves from labels alone, for labels whose hits are not known: float64 [contigs, leaves].

    A label keeps `LABEL_TRUST`; the rest falls to "other child" leaves above it. A label that stops above species
    shares its part between the "other child" leaf below it and all its known leaves. Rows without a label are empty.
    """
    nodes = [tree.deepest_node_of(lineage) for lineage in lineages]
    believed = {node: _posterior_of_label(node, tree, others) for node in set(nodes)}
    starts = np.append(0, np.cumsum([len(believed[node][0]) for node in nodes]))
    columns, shares = (np.concatenate([believed[node][part] for node in nodes]) for part in range(2))
    posterior = sparse.csr_matrix((shares, columns, starts), shape=(len(lineages), len(others)))
    posterior.sort_indices()
    return posterior


def _posterior_of_label(node: int, tree: LabelTree, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaves and probabilities of a label at ``node`` of the tree: int32 [m], float64 [m]; empty at the root."""
    level = int(tree.rank[node])
    if level == 0:
        return np.empty(0, np.int32), np.empty(0)
    below = np.arange(tree.leaf_start[node], tree.leaf_stop[node], dtype=np.int32)
    above = np.unique(others[below[0]][:level]).astype(np.int32)
    share = np.full(len(below), LABEL_TRUST / len(below))
    if len(below) > 1:
        is_other = others[below[0]][level] == below
        share = np.where(is_other, OTHER_SHARE, (1 - OTHER_SHARE) / (len(below) - 1)) * LABEL_TRUST
    return np.append(below, above), np.append(share, np.full(len(above), (1 - LABEL_TRUST) / len(above)))
