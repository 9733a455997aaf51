"""Groups of contigs that are probably of one genome, from neighbours and before any binning."""

import numpy as np
from scipy import sparse

from genestill.student.corrector.evidence.source import Evidence, marginal
from genestill.student.corrector.neighbours import Neighbourhood
from genestill.student.corrector.targets import same_genome

LEAST = 0.5  # probability of one genome from which two neighbours are linked
ROUNDS = 30


def group_contigs(evidence: Evidence, neighbourhood: Neighbourhood | None, lengths: np.ndarray) -> np.ndarray:
    """The group of each contig, numbered from 0: int64 [contigs].

    Contigs are linked with neighbours that are of their genome with the probability `LEAST` or more, by composition,
    depth and what their hits say; labels are propagated along the links (`propagate_labels`). Without a neighbourhood,
    or where nothing could be learnt about neighbours, contigs of the same nearest species are a group.

    Args:
        evidence: of the contigs.
        neighbourhood: nearest contigs, None without depths.
        lengths: of the contigs, base pairs [contigs].
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

    Each node takes the label that most of the weight of its links has, in ``order``, until no label changes (Raghavan
    et al. 2007, doi 10.1103/PhysRevE.76.036106). Of labels with the same weight, the smallest is taken.

    Args:
        links: symmetric weights [n, n]; those below `LEAST` do not count.
        order: in which nodes are visited, int64 [n].
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
