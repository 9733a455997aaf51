"""Two rules on nucleotide alignments: for single contigs, and for groups of contigs with the same species and depth."""

import numpy as np
import pandas as pd

from genestill.core.lineage import Lineage
from genestill.evaluation.contig_peers.evidence import Evidence, to_genus

LEAST_ALIGNED = 0.4  # minimum aligned share of a contig, for single contigs
LEAST_ALIGNED_OF_GROUP = 0.2  # minimum aligned share of a contig, for groups
LEAST_IDENTITY_OF_GROUP = 0.90  # minimum identity of each contig of a group
KERNEL_WIDTH = 0.35  # of the natural logarithm of the read depth
_PSEUDO_DEPTH = 0.05
_BLOCK = 1000  # contigs of a group whose kernel is in memory at a time


def best_alignments(evidence: Evidence) -> pd.DataFrame:
    """The genome with most matching bases for each contig with alignments: columns row, genome, identity, aligned."""
    best = evidence.alignments.drop_duplicates("id")
    row_of = {name: row for row, name in enumerate(evidence.ids)}
    return best.assign(row=best["id"].map(row_of)).reset_index(drop=True)


def by_alignment(evidence: Evidence, threshold: float) -> list[Lineage]:
    """The species of the best genome if identity reaches ``threshold`` over `LEAST_ALIGNED`; else MMseqs2's genus.

    Identity is gap-compressed (`labels.alignments`).
    """
    best = best_alignments(evidence)
    near = (best["identity"] >= threshold) & (best["aligned"] >= LEAST_ALIGNED)
    return _species_or_genus(evidence, best[near])


def by_group(evidence: Evidence, threshold: float) -> list[Lineage]:
    """The group rule: a species is called if its contigs of similar depth are together similar enough.

    Contigs are grouped by the species of their best genome. For each contig, the identities of the group are weighted
    by length and by a Gaussian kernel of width `KERNEL_WIDTH` on the difference of the logarithms of depth over all
    samples; the weighted median must reach ``threshold``, and the contig must reach `LEAST_IDENTITY_OF_GROUP` over
    `LEAST_ALIGNED_OF_GROUP`. Otherwise, MMseqs2's genus is used.
    """
    best = best_alignments(evidence)
    best = best[(best["identity"] >= LEAST_IDENTITY_OF_GROUP) & (best["aligned"] >= LEAST_ALIGNED_OF_GROUP)]
    depth = np.log(evidence.depth + _PSEUDO_DEPTH)
    accepted = []
    for _, group in best.groupby(best["genome"].map(evidence.lineage_of_genome), sort=False):
        rows = group["row"].to_numpy()
        median = _kernel_medians(group["identity"].to_numpy(float), evidence.length[rows].astype(float), depth[rows])
        accepted.append(group[median >= threshold])
    return _species_or_genus(evidence, pd.concat(accepted) if accepted else best)


def _kernel_medians(identity: np.ndarray, length: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Median of ``identity`` [m] per contig, weighted by ``length`` [m] and similarity of ``depth`` [m, s]: [m]."""
    order = np.argsort(identity, kind="stable")
    medians = np.empty(len(identity))
    for start in range(0, len(identity), _BLOCK):
        block = slice(start, start + _BLOCK)
        # Summed sample by sample, because the differences of all samples do not fit into memory.
        distance = np.zeros((len(depth[block]), len(depth)))
        for of_sample in depth.T:
            distance += (of_sample[block, None] - of_sample[None, order]) ** 2
        weight = np.cumsum(length[order] * np.exp(-0.5 * distance / KERNEL_WIDTH**2), axis=1)
        half = (weight >= weight[:, -1:] / 2).argmax(axis=1)
        medians[block] = identity[order][half]
    return medians


def _species_or_genus(evidence: Evidence, accepted: pd.DataFrame) -> list[Lineage]:
    named = [to_genus(lineage) for lineage in evidence.labels]
    for row, genome in zip(accepted["row"], accepted["genome"], strict=True):
        named[row] = evidence.lineage_of_genome[genome]
    return named
