"""Nucleotide alignments to reference genomes: contigs with the same species and depth are judged together.

One conserved region of an absent sister species may be more than 95 % identical to the reference; a whole genome is
not. Therefore the contigs of a species are modelled as a mixture of genomes, each with a depth and an average
nucleotide identity (ANI), and the presence of the species in the reference is decided per genome, not per contig.
Genomes of the same species share 95 % ANI (Jain et al. 2018, doi 10.1038/s41467-018-07641-9).
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import logsumexp, ndtr

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS
from genestill.core.table_schemas import ALIGNMENTS
from genestill.core.tables import read_table
from genestill.core.taxonomy_folder import read_lineages, read_taxids_of_genomes
from genestill.student.corrector.evidence.source import Evidence, other_leaves
from genestill.student.corrector.features import Contigs

SEGMENT = 1000  # base pairs of one observation
LEAST_ALIGNED = 0.4  # share of a contig; shorter alignments are often of mobile or conserved regions
BOUNDARY, BOUNDARY_SPREAD = 0.96, 0.01  # gap-compressed identity of genomes of one species
# Ranges of initial identities for the genomes of a mixture (lower limits).
BANDS = ((0.0,), (0.0, 0.96), (0.0, 0.93, 0.975))
CONSERVED = 0.1  # share of a genome with a higher identity than the rest
OVERDISPERSION = 0.3  # share of the variance of segments that is common to the segments of a contig
PSEUDO_DEPTH = 0.1
DEPTH_SPREAD = 0.2  # minimum standard deviation of the natural logarithm of the depths of a genome's contigs
STRANGE, LOWEST = 0.01, 0.75  # share of contigs of no genome of the mixture; their lowest identity
STEPS = 30
FEWEST_OTHERS = 0.3  # observations of a genome without one of its contigs; with fewer, this contig is judged alone
# Division of the probability of an absent species over the "other child" leaves of its path, domain to species.
ABSENT = np.array([0.001, 0.002, 0.002, 0.005, 0.04, 0.15, 0.8])


def read(table: str | Path, contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> Evidence:
    """Evidence from the alignments in ``table`` (`table_schemas.ALIGNMENTS`).

    Raises:
        InputError: a genome that is not in the taxonomy.
    """
    rows = read_table(table, ALIGNMENTS, ["id", "genome", "identity", "aligned"])
    leaf_of_genome = _leaves_of_genomes(taxonomy, tree)
    unknown = set(rows["genome"]) - set(leaf_of_genome)
    if unknown:
        raise InputError(f"{table}: the genome {min(unknown)!r} is not in {taxonomy}/genomes.tsv")
    row_of = pd.Index(contigs.ids)
    rows = rows.drop_duplicates("id")
    rows = rows.assign(row=row_of.get_indexer(rows["id"]), leaf=rows["genome"].map(leaf_of_genome))
    rows = rows[(rows["row"] >= 0) & (rows["leaf"] >= 0) & (rows["aligned"] >= LEAST_ALIGNED)]
    # Contigs of the same species are contiguous.
    rows = rows.sort_values(["leaf", "row"], kind="stable")
    row, leaf, identity = rows["row"].to_numpy(), rows["leaf"].to_numpy(), rows["identity"].to_numpy(np.float64)
    segments = observations(contigs.lengths[row] * rows["aligned"].to_numpy(np.float64))
    depth = np.zeros((len(row), 0)) if contigs.abundance is None else np.log(contigs.abundance[row] + PSEUDO_DEPTH)
    present, ends = np.zeros(len(row)), np.append(np.flatnonzero(np.diff(leaf)) + 1, len(row))
    for start, stop in pairwise([0, *ends.tolist()]):
        some = slice(start, stop)
        present[some] = presence(identity[some], segments[some], depth[some].astype(np.float64))
    return _evidence(row, leaf, present, len(contigs.ids), tree)


def _leaves_of_genomes(taxonomy: str | Path, tree: LabelTree) -> dict[str, int]:
    lineages, leaf_of_node = read_lineages(taxonomy), {int(node): leaf for leaf, node in enumerate(tree.leaves)}
    found = {}
    for genome, taxid in read_taxids_of_genomes(taxonomy).items():
        try:
            found[genome] = leaf_of_node.get(tree.node_of(lineages[int(taxid)]), -1)
        except KeyError:
            found[genome] = -1
    return found


def observations(aligned: np.ndarray) -> np.ndarray:
    """The number of independent observations in the aligned base pairs of contigs, float [n]: float64 [n]."""
    segments = np.maximum(1.0, aligned / SEGMENT)
    return segments / (1 + OVERDISPERSION * (segments - 1))


def presence(identity: np.ndarray, segments: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Probability that the reference has the species of each of n contigs with the same best species: float64 [n].

    Args:
        identity: float [n], identity of each contig.
        segments: float [n], number of independent observations.
        depth: float [n, samples], natural logarithms of the depths.
    """
    found = [_fit(identity, segments, depth, bands) for bands in BANDS if len(identity) >= 5 * len(bands)]
    # A few contigs do not form a genome: each is judged separately.
    _, share = min(found, key=lambda fit: fit[0]) if found else (0.0, np.zeros((len(identity), 0)))
    weight = share * segments[:, None]
    # A contig is judged by the ANI of the other contigs of its genome, without the contig itself.
    others = weight.sum(axis=0) - weight
    ani = np.array([_medians_of_others(identity, column) for column in weight.T]).reshape(weight.T.shape).T
    alone = _above_boundary(identity, segments)
    together = np.where(others < FEWEST_OTHERS, alone[:, None], _above_boundary(ani, np.maximum(others, FEWEST_OTHERS)))
    return np.clip((share * together).sum(axis=1) + (1 - share.sum(axis=1)) * alone, 1e-4, 1 - 1e-4)


def _above_boundary(ani: np.ndarray, segments: np.ndarray) -> np.ndarray:
    return ndtr((ani - BOUNDARY) / np.hypot(_spread(ani) / np.sqrt(segments), BOUNDARY_SPREAD))


def _spread(ani: np.ndarray) -> np.ndarray:
    """Standard deviation of the identity of segments around the ANI of their genome: float64 [genomes]."""
    return 0.35 * (1 - ani) + 0.004


def _fit(identity: np.ndarray, segments: np.ndarray, depth: np.ndarray, bands: tuple[float, ...]):
    """Fit a mixture of genomes by expectation maximisation, starting with the identities between ``bands``.

    Returns:
        BIC; shares float64 [n, genomes], whose rows sum to less than one (the rest belongs to no genome of the
        mixture).
    """
    genomes, samples = len(bands), depth.shape[1]
    share = (np.searchsorted(bands, identity, side="right") - 1)[:, None] == np.arange(genomes)
    share = share.astype(float)
    wide = np.maximum(depth.var(axis=0), DEPTH_SPREAD**2)
    strange = -np.log(1 - LOWEST) - 0.5 * ((depth - depth.mean(axis=0)) ** 2 / wide + np.log(wide)).sum(axis=1)
    for _ in range(STEPS):
        weight = share * segments[:, None]
        total = np.maximum(weight.sum(axis=0), 1e-9)
        ani = np.array([_weighted_median(identity, column) for column in weight.T])
        mean = weight.T @ depth / total[:, None]
        square = (depth[:, None, :] - mean) ** 2
        variance = np.maximum((weight[:, :, None] * square).sum(axis=0) / total[:, None], DEPTH_SPREAD**2)
        likelihood = np.log(np.maximum(share.mean(axis=0), 1e-9)) + _likelihood(identity, segments, ani)
        likelihood -= 0.5 * (square / variance + np.log(variance)).sum(axis=2)
        likelihood = np.column_stack([likelihood + np.log(1 - STRANGE), strange + np.log(STRANGE)])
        evidence = logsumexp(likelihood, axis=1)
        before, share = share, np.exp(likelihood - evidence[:, None])[:, :-1]
        if np.abs(share - before).max() < 1e-3:
            break
    parameters = genomes * (2 + 2 * samples) - 1
    return -2 * evidence.sum() + parameters * np.log(len(identity)), share


def _likelihood(identity: np.ndarray, segments: np.ndarray, ani: np.ndarray) -> np.ndarray:
    """Natural log density of the identity of each contig in a genome of each ANI: float64 [n, genomes]."""
    spread = _spread(ani) / np.sqrt(segments[:, None])
    usual = -0.5 * ((identity[:, None] - ani) / spread) ** 2 - np.log(spread * np.sqrt(2 * np.pi))
    above = np.where(identity[:, None] >= ani, -np.log(1.001 - ani), -np.inf)
    return np.logaddexp(np.log(1 - CONSERVED) + usual, np.log(CONSERVED) + above)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _medians_of_others(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each of n values, the weighted median of the others: float64 [n]."""
    order = np.argsort(values, kind="stable")
    weight, total = weights[order], np.cumsum(weights[order])
    half = (total[-1] - weight) / 2
    place = np.searchsorted(total, half)
    # From a value onwards, the sum without its weight reaches a half where the whole sum reaches its weight more.
    later = place >= np.arange(len(values))
    place[later] = np.minimum(np.searchsorted(total, half[later] + weight[later]), len(values) - 1)
    medians = np.empty(len(values))
    medians[order] = values[order][place]
    return medians


class AlignmentEvidence(Evidence):
    """Alignments are already combined for contigs of the same species and depth, so neighbours add no information."""

    def pooled(self, weights: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Empty evidence of neighbours, and the contigs' own evidence."""
        return sparse.csr_matrix(self.own.shape), self.own


def _evidence(row: np.ndarray, leaf: np.ndarray, present: np.ndarray, contigs: int, tree: LabelTree) -> Evidence:
    others = other_leaves(tree)[leaf]
    absent = (1 - present)[:, None] * ABSENT
    own = sparse.csr_matrix(
        (
            np.concatenate([present, absent.ravel()]),
            (np.concatenate([row, np.repeat(row, len(RANKS))]), np.concatenate([leaf, others.ravel()])),
        ),
        shape=(contigs, len(tree.leaves)),
    )
    nearest, sure, content = np.zeros(contigs, np.int64), np.zeros(contigs, bool), np.zeros(contigs)
    nearest[row], sure[row], content[row] = leaf, present > 0.9, 1.0
    return AlignmentEvidence(own, nearest, sure, content)
