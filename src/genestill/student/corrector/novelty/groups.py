"""Groups of contigs that probably belong to one genome, from neighbours, without binning."""

import numpy as np
from scipy import sparse

from genestill.student.corrector.evidence.source import Evidence, marginal
from genestill.student.corrector.neighbours import Neighbourhood
from genestill.student.corrector.targets import same_genome

LEAST = 0.5  # minimum probability of the same genome for a link between two neighbours
ROUNDS = 30


def group_contigs(evidence: Evidence, neighbourhood: Neighbourhood | None, lengths: np.ndarray) -> np.ndarray:
    """The group of each contig, numbered from 0: int64 [contigs].

    Contigs are linked with neighbours that belong to the same genome with probability `LEAST` or more, by composition,
    depth and hits; labels are propagated along the links (`propagate_labels`). Without a neighbourhood, or if the
    probabilities could not be fitted, contigs with the same nearest species are a group.

    Args:
        evidence: evidence of the contigs.
        neighbourhood: nearest contigs, None without depths.
        lengths: int [contigs], base pairs.
    """
    if neighbourhood is None or not neighbourhood.same_genome.any():
        alone = np.diff(evidence.own.indptr) == 0
        nearest = np.where(alone, evidence.nearest.max(initial=0) + 1 + np.arange(len(lengths)), evidence.nearest)
        return np.unique(nearest, return_inverse=True)[1]
    prior = marginal(evidence.own, evidence.wide)
    links = neighbourhood.matrix(same_genome(evidence.own, prior, neighbourhood, evidence.wide))
    return propagate_labels(links.maximum(links.T).tocsr(), np.argsort(-lengths, kind="stable"))


def propagate_labels(links: sparse.csr_matrix, order: np.ndarray) -> np.ndarray:
    """Communities of a weighted graph by label propagation, numbered from 0: int64 [n].

    Each node takes the label with the largest total weight of its links, in ``order``, until no label changes (Raghavan
    et al. 2007, doi 10.1103/PhysRevE.76.036106). If labels have the same weight, the smallest is used.

    Args:
        links: symmetric weights [n, n]; those below `LEAST` are ignored.
        order: int64 [n], order in which nodes are visited.
    """
    strong = links.copy()
    strong.data[strong.data < LEAST] = 0.0
    strong.setdiag(0.0)
    strong.eliminate_zeros()
    label = np.arange(links.shape[0])
    waiting = np.diff(strong.indptr) > 0
    for _ in range(ROUNDS):
        visited = order[waiting[order]]
        if len(visited) == 0:
            break
        waiting[:] = False
        for node in visited:
            part = slice(strong.indptr[node], strong.indptr[node + 1])
            neighbours = strong.indices[part]
            labels, which = np.unique(label[neighbours], return_inverse=True)
            best = labels[np.argmax(np.bincount(which, strong.data[part]))]
            if best != label[node]:
                label[node] = best
                waiting[neighbours] = True
    return np.unique(label, return_inverse=True)[1]
