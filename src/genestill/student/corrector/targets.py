"""What the student is asked to say: the posterior of search evidence, neighbours and teacher."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from genestill.student.corrector.evidence import Evidence, leaf_posterior
from genestill.student.corrector.neighbours import Neighbourhood

OWN_VOTE_SCALE, POOLED_VOTE_SCALE = 0.02, 0.01
GARBAGE = 0.01  # share of contigs whose own evidence is worth nothing (contamination, transferred genes)
TEACHER_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
SURE = 0.9
HELD_OUT = 2000


@dataclass
class Targets:
    """What is believed about each contig; sparse matrices [contigs, leaves] whose rows sum to one or are empty.

    Attributes:
        own: from each contig's own evidence.
        around: from its neighbours' evidence alone.
        posterior: from everything.
        prior: marginal of the leaves [leaves].
        teacher_weight: exponent that the teacher's soft labels earned (0: they were of no use, or not given).
    """

    own: sparse.csr_matrix
    around: sparse.csr_matrix
    posterior: sparse.csr_matrix
    prior: np.ndarray
    teacher_weight: float


def marginal(posterior: sparse.csr_matrix) -> np.ndarray:
    """Mean of the rows, smoothed so that no leaf is impossible: float64 [leaves], sums to one."""
    total = np.asarray(posterior.sum(axis=0)).ravel() + 0.05
    return total / total.sum()


def agreement(left: sparse.csr_matrix, right: sparse.csr_matrix, prior: np.ndarray) -> np.ndarray:
    """Likelihood ratio "one genome" against "any two" of the rows of two posteriors: float64 [n].

    Σ_c p(c) q(c) / prior(c), after each posterior is mixed with `GARBAGE` of the prior. Rows without evidence are the
    prior itself, whose ratio with anything is one.
    """
    product = left.multiply(right).multiply(1 / prior)
    ratio = np.asarray(product.sum(axis=1)).ravel()
    blank = (np.diff(left.indptr) == 0) | (np.diff(right.indptr) == 0)
    return np.where(blank, 1.0, (1 - GARBAGE) ** 2 * ratio + 2 * GARBAGE * (1 - GARBAGE) + GARBAGE**2)


def weigh_neighbours(
    own: sparse.csr_matrix, prior: np.ndarray, neighbourhood: Neighbourhood, content: np.ndarray
) -> np.ndarray:
    """How much each neighbour's evidence counts: float64 [contigs, k].

    The probability of one genome, updated by how well the two contigs' own evidence agrees (Bayes). All neighbours
    together count at most as many times the contig's own ``content`` [contigs] as the odds that they are of its genome.
    """
    contigs, k = neighbourhood.index.shape
    updated = np.empty((contigs, k))
    for column in range(k):
        ratio = agreement(own, own[neighbourhood.index[:, column]], prior)
        chance = neighbourhood.same_genome[:, column]
        odds = chance / (1 - chance) * ratio
        updated[:, column] = odds / (1 + odds)
    reliability = neighbourhood.reliability()
    most = reliability / (1 - reliability)
    content = np.maximum(content, 30.0)
    gathered = (updated * content[neighbourhood.index]).sum(axis=1) / content
    return updated * np.minimum(1.0, most / np.maximum(gathered, 1e-9))[:, None]


def mix(own: sparse.csr_matrix, around: sparse.csr_matrix, both: sparse.csr_matrix, reliability: np.ndarray, prior):
    """Two hypotheses a contig: it is of its neighbours' genome (``both`` holds) or not (``own`` holds).

    The weight of the first is its prior, ``reliability``, times the agreement of the contig's own evidence with its
    neighbours' alone (``around``). Contigs without evidence of their own take what ``both`` says.
    """
    like = reliability * agreement(own, around, prior)
    weight = np.divide(like, like + 1 - reliability, out=np.zeros_like(like), where=like + 1 - reliability > 0)
    weight[np.diff(both.indptr) == 0] = 0.0
    weight[np.diff(own.indptr) == 0] = 1.0
    return (sparse.diags(weight) @ both + sparse.diags(1 - weight) @ own).tocsr()


def targets_of_evidence(evidence: Evidence, others: np.ndarray, neighbourhood: Neighbourhood | None) -> Targets:
    """Posterior of own and neighbours' evidence; without a neighbourhood, of own evidence alone."""
    own = leaf_posterior(evidence, others, OWN_VOTE_SCALE)
    prior = marginal(own)
    if neighbourhood is None or not neighbourhood.same_genome.any():
        return Targets(own, sparse.csr_matrix(own.shape), own, prior, 0.0)
    content = np.asarray(evidence.aligned.max(axis=1).todense()).ravel()
    around = neighbourhood.matrix(weigh_neighbours(own, prior, neighbourhood, content))
    alone = leaf_posterior(evidence.pooled(around), others, POOLED_VOTE_SCALE)
    both = leaf_posterior(evidence.pooled(around + sparse.identity(len(content))), others, POOLED_VOTE_SCALE)
    return Targets(own, alone, mix(own, alone, both, neighbourhood.reliability(), prior), prior, 0.0)


def targets_of_labels(own: sparse.csr_matrix, neighbourhood: Neighbourhood | None) -> Targets:
    """The same from labels whose search is not known: neighbours' posteriors are averaged instead of their evidence."""
    prior = marginal(own)
    if neighbourhood is None or not neighbourhood.same_genome.any():
        return Targets(own, sparse.csr_matrix(own.shape), own, prior, 0.0)
    content = np.full(own.shape[0], 100.0)
    weights = weigh_neighbours(own, prior, neighbourhood, content)
    alone = normalised(neighbourhood.matrix(weights) @ own)
    both = normalised(neighbourhood.matrix(weights) @ own + own)
    return Targets(own, alone, mix(own, alone, both, neighbourhood.reliability(), prior), prior, 0.0)


def normalised(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows scaled to sum to one; empty rows stay empty."""
    total = np.asarray(rows.sum(axis=1)).ravel()
    return (sparse.diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ rows).tocsr()


def heed_teacher(targets: Targets, soft: sparse.csr_matrix, known: np.ndarray, random: np.random.Generator) -> Targets:
    """Multiply the posterior of the known leaves by (soft label / prior) to a power that held-out contigs choose.

    The teacher is taught by labels, and labels know no absent species: it may say which known species a contig is of,
    not whether it is of a known one. What the evidence leaves to "other child" leaves stays theirs.

    Args:
        targets: the posterior so far.
        soft: the teacher's cross-fitted soft labels, sparse [contigs, leaves]; what is missing counts as 1e-6.
        known: bool [leaves], False for "other child" leaves.
        random: draws the held-out contigs among those whose own evidence is sure of a known leaf.

    Returns:
        The targets with the power in `TEACHER_WEIGHTS` under which the sure contigs' leaves are most probable, given
        their neighbours and the teacher but not their own evidence.
    """
    best = np.asarray(targets.own.max(axis=1).todense()).ravel()
    answers = np.asarray(targets.own.argmax(axis=1)).ravel()
    sure = np.flatnonzero((best > SURE) & known[answers])
    if len(sure) == 0:
        return targets
    sure = np.sort(random.choice(sure, min(len(sure), HELD_OUT), replace=False))
    answer = np.cumsum(known)[answers[sure]] - 1
    log_prior = np.log(targets.prior)
    around = targets.around[sure].toarray()
    around[around.sum(axis=1) == 0] = targets.prior
    base = np.log((1 - GARBAGE) * around + GARBAGE * targets.prior)[:, known]
    ratio = (np.log(np.maximum(soft[sure].toarray(), 1e-6)) - log_prior)[:, known]

    def likelihood(power: float) -> float:
        scores = base + power * ratio
        chosen = scores[np.arange(len(sure)), answer]
        return float((chosen - logsumexp(scores, axis=1)).mean())

    power = max(TEACHER_WEIGHTS, key=likelihood)
    if power == 0.0:
        return targets
    heeded = targets.posterior.copy()
    rows = np.repeat(np.arange(heeded.shape[0]), np.diff(heeded.indptr))
    named = known[heeded.indices]
    said = np.maximum(np.asarray(soft[rows, heeded.indices]).ravel(), 1e-6)
    factor = np.exp(np.clip(power * (np.log(said) - log_prior[heeded.indices]), -20, 20))
    before = np.bincount(rows[named], heeded.data[named], heeded.shape[0])
    heeded.data = np.where(named, heeded.data * factor, heeded.data)
    after = np.bincount(rows[named], heeded.data[named], heeded.shape[0])
    restore = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    heeded.data = np.where(named, heeded.data * restore[rows], heeded.data)
    return replace(targets, posterior=heeded, teacher_weight=power)
