"""Training targets of the student: the posterior of search evidence, neighbours and teacher."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from genestill.core.memory import row_blocks
from genestill.student.corrector.evidence.source import ENTRIES_KEPT, GARBAGE, Evidence, marginal
from genestill.student.corrector.neighbours import Neighbourhood
from genestill.student.corrector.overlap import Overlap
from genestill.student.corrector.wide_nodes import WideNodes

TEACHER_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
SMALLEST = 1e-6  # soft label of a leaf that is not in the teacher's soft labels
SURE = 0.75  # less than the share of a label without hits (`evidence.labels.LABEL_TRUST`)
HELD_OUT = 2000


@dataclass
class Targets:
    """Posteriors of each contig; sparse matrices float64 [contigs, leaves + wide nodes].

    Rows sum to one or are empty.

    Attributes:
        own: from each contig's own evidence.
        around: from the evidence of its neighbours only.
        posterior: from all evidence.
        prior: marginal of the leaves, float64 [leaves].
        teacher_weight: fitted exponent of the teacher's soft labels (0: no improvement, or not given).
        wide: the nodes whose leaves have equal shares.
    """

    own: sparse.csr_matrix
    around: sparse.csr_matrix
    posterior: sparse.csr_matrix
    prior: np.ndarray
    teacher_weight: float
    wide: WideNodes = field(default_factory=WideNodes)


def _ratio(overlap: np.ndarray, left: sparse.csr_matrix, right: sparse.csr_matrix) -> np.ndarray:
    blank = (np.diff(left.indptr) == 0) | (np.diff(right.indptr) == 0)
    return np.where(blank, 1.0, (1 - GARBAGE) ** 2 * overlap + 2 * GARBAGE * (1 - GARBAGE) + GARBAGE**2)


def agreement(
    left: sparse.csr_matrix, right: sparse.csr_matrix, prior: np.ndarray, wide: WideNodes | None = None
) -> np.ndarray:
    """Likelihood ratio "one genome" against "any two" for the rows of two posteriors: float64 [n].

    Σ_c p(c) q(c) / prior(c), after mixing each posterior with `GARBAGE` of the prior. A row without evidence is the
    prior, for which the ratio is always one.
    """
    overlap = Overlap(prior, wide or WideNodes())
    found = overlap.between(left, overlap.summed_up(left), right, overlap.summed_up(right))
    return _ratio(found, left, right)


def same_genome(own: sparse.csr_matrix, prior: np.ndarray, neighbourhood: Neighbourhood, wide: WideNodes) -> np.ndarray:
    """Probability that each neighbour belongs to the contig's genome: float64 [contigs, k].

    The probability from their distance, updated with the agreement of the evidence of the two contigs (Bayes).
    """
    overlap = Overlap(prior, wide)
    up = overlap.summed_up(own)
    updated = np.empty(neighbourhood.index.shape)
    for column, index in enumerate(neighbourhood.index.T):
        theirs = own[index]
        ratio = _ratio(overlap.between(own, up, theirs, None if up is None else up[index]), own, theirs)
        chance = neighbourhood.same_genome[:, column]
        odds = chance / (1 - chance) * ratio
        updated[:, column] = odds / (1 + odds)
    return updated


def weigh_neighbours(
    own: sparse.csr_matrix, prior: np.ndarray, neighbourhood: Neighbourhood, content: np.ndarray, wide: WideNodes
) -> np.ndarray:
    """Weight of the evidence of each neighbour: float64 [contigs, k].

    `same_genome`, scaled so that the total weight of all neighbours relative to the contig's own ``content`` [contigs]
    is at most the odds that they are of its genome.
    """
    updated = same_genome(own, prior, neighbourhood, wide)
    reliability = neighbourhood.reliability()
    most = reliability / (1 - reliability)
    content = np.maximum(content, 30.0)
    gathered = (updated * content[neighbourhood.index]).sum(axis=1) / content
    return updated * np.minimum(1.0, most / np.maximum(gathered, 1e-9))[:, None]


def combine_hypotheses(
    own: sparse.csr_matrix,
    around: sparse.csr_matrix,
    both: sparse.csr_matrix,
    reliability: np.ndarray,
    prior: np.ndarray,
    wide: WideNodes | None = None,
) -> sparse.csr_matrix:
    """Two hypotheses per contig: it belongs to the genome of its neighbours (``both`` is used) or not (``own``).

    The weight of the first is its prior, ``reliability``, times the agreement of the contig's own evidence with that of
    its neighbours (``around``). For contigs without own evidence, ``both`` is used.
    """
    like = reliability * agreement(own, around, prior, wide)
    weight = np.divide(like, like + 1 - reliability, out=np.zeros_like(like), where=like + 1 - reliability > 0)
    weight[np.diff(both.indptr) == 0] = 0.0
    weight[np.diff(own.indptr) == 0] = 1.0
    return (sparse.diags(weight) @ both + sparse.diags(1 - weight) @ own).tocsr()


def targets_of_evidence(evidence: Evidence, neighbourhood: Neighbourhood | None) -> Targets:
    """Posterior of own and neighbours' evidence; without a neighbourhood, only of own evidence."""
    own, wide = evidence.own, evidence.wide
    prior = marginal(own, wide)
    if neighbourhood is None or not neighbourhood.same_genome.any():
        return Targets(own, sparse.csr_matrix(own.shape), own, prior, 0.0, wide)
    around = neighbourhood.matrix(weigh_neighbours(own, prior, neighbourhood, evidence.content, wide))
    alone, both = evidence.pooled(around)
    posterior = combine_hypotheses(own, alone, both, neighbourhood.reliability(), prior, wide)
    return Targets(own, alone, posterior, prior, 0.0, wide)


def apply_teacher_prior(
    targets: Targets, soft: sparse.csr_matrix, known: np.ndarray, random: np.random.Generator
) -> Targets:
    """Multiply the posterior of known leaves by (soft label / prior)^power; held-out contigs determine the power.

    The teacher is trained on labels, which contain no absent species: it can distinguish known species from each other,
    but not from absent ones. The probability of "other child" leaves is not changed.

    Args:
        targets: the posterior so far.
        soft: the teacher's cross-fitted soft labels, sparse [contigs, leaves]; missing entries count as 1e-6.
        known: bool [leaves], False for "other child" leaves.
        random: random number generator for held-out contigs, among those with certain own evidence of a known leaf.

    Returns:
        The targets with the power in `TEACHER_WEIGHTS` for which the leaves of these contigs are most probable, given
        their neighbours and the teacher but not their own evidence.
    """
    power = _teacher_weight(targets, soft, known, random)
    if power == 0.0:
        return targets
    blocks = [
        _reweighted(targets.posterior[block], soft[block], power, known, targets.prior, targets.wide)
        for block in row_blocks(targets.posterior.shape[0], 16 * (len(targets.wide) + ENTRIES_KEPT))
    ]
    return replace(targets, posterior=sparse.vstack(blocks, format="csr"), teacher_weight=power)


def _teacher_weight(targets: Targets, soft: sparse.csr_matrix, known: np.ndarray, random: np.random.Generator) -> float:
    own = targets.own[:, : len(known)]
    best, answers = own.max(axis=1).toarray().ravel(), np.asarray(own.argmax(axis=1)).ravel()
    sure = np.flatnonzero((best > SURE) & known[answers])
    if len(sure) == 0:
        return 0.0
    sure = np.sort(random.choice(sure, min(len(sure), HELD_OUT), replace=False))
    answer = np.cumsum(known)[answers[sure]] - 1
    log_prior = np.log(targets.prior)
    likelihoods = []
    for block in row_blocks(len(sure), 16 * len(known)):
        rows = sure[block]
        around = targets.wide.spread(targets.around[rows])
        around[around.sum(axis=1) == 0] = targets.prior
        base = np.log((1 - GARBAGE) * around + GARBAGE * targets.prior)[:, known]
        ratio = (np.log(np.maximum(soft[rows].toarray(), SMALLEST)) - log_prior)[:, known]
        scores = (base + power * ratio for power in TEACHER_WEIGHTS)
        likelihoods.append([score[np.arange(len(rows)), answer[block]] - logsumexp(score, axis=1) for score in scores])
    return TEACHER_WEIGHTS[int(np.argmax(np.concatenate(likelihoods, axis=1).mean(axis=1)))]


def _reweighted(
    posterior: sparse.csr_matrix, soft: sparse.csr_matrix, power: float, known: np.ndarray, prior: np.ndarray, wide
) -> sparse.csr_matrix:
    """Some rows of the posterior times the teacher's factors, with the total of the known leaves unchanged.

    Leaves of a wide node that are in the soft labels get separate entries; the others keep equal shares.
    """
    leaves = len(known)

    def factor(said: np.ndarray, leaf: np.ndarray) -> np.ndarray:
        ratio = np.log(np.maximum(said, SMALLEST)) - np.log(prior[leaf])
        return np.where(known[leaf], np.exp(np.clip(power * ratio, -20, 20)), 1.0)

    entries = posterior.tocoo()
    row, column, value = entries.row, entries.col, entries.data
    at_leaf = column < leaves
    said = np.asarray(soft[row[at_leaf], column[at_leaf]]).ravel()
    after = value.copy()
    after[at_leaf] *= factor(said, column[at_leaf])
    movable = np.zeros(len(column), dtype=bool)
    movable[at_leaf] = known[column[at_leaf]]
    before = np.bincount(row[movable], value[movable], posterior.shape[0])
    if len(wide):
        silent = factor(np.zeros(leaves), np.arange(leaves))
        total = np.append(0.0, np.cumsum(silent))
        node = column[~at_leaf] - leaves
        after[~at_leaf] *= (total[wide.stop] - total[wide.start])[node] / wide.size[node]
        movable |= ~at_leaf
        before += np.bincount(row[~at_leaf], value[~at_leaf], posterior.shape[0])
        density = np.zeros((posterior.shape[0], len(wide) + 1))
        density[row[~at_leaf], node] = value[~at_leaf] / wide.size[node]
        named = soft.tocoo()
        # The last column of the densities, which is zero, is used where there is no further wide node.
        share = density[named.row[:, None], wide.containing(leaves)[named.col]].sum(axis=1)
        gained = share * (factor(named.data, named.col) - silent[named.col])
        more = np.flatnonzero(gained > 0)
        row = np.append(row, named.row[more])
        column, after = np.append(column, named.col[more]), np.append(after, gained[more])
        movable = np.append(movable, np.ones(len(more), dtype=bool))
    gathered = np.bincount(row[movable], after[movable], posterior.shape[0])
    restore = np.divide(before, gathered, out=np.ones_like(before), where=gathered > 0)
    after = np.where(movable, after * restore[row], after)
    return sparse.csr_matrix((after, (row, column)), shape=posterior.shape)
