"""What the student is asked to say: the posterior of search evidence, neighbours and teacher."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from genestill.core.memory import row_blocks
from genestill.student.corrector.evidence import Evidence, largest_of_rows, leaf_posterior, pooled_posteriors
from genestill.student.corrector.neighbours import Neighbourhood
from genestill.student.corrector.wide_nodes import WideNodes

OWN_VOTE_SCALE, POOLED_VOTE_SCALE = 0.02, 0.01
GARBAGE = 0.01  # share of contigs whose own evidence is worth nothing (contamination, transferred genes)
TEACHER_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
SMALLEST = 1e-6  # soft label of a leaf that the teacher does not name
SURE = 0.9
HELD_OUT = 2000


ENTRIES_KEPT = 128  # of a mean of neighbours' posteriors, the largest


@dataclass
class Targets:
    """What is believed about each contig; sparse matrices [contigs, leaves + wide nodes].

    Rows sum to one or are empty.

    Attributes:
        own: from each contig's own evidence.
        around: from its neighbours' evidence alone.
        posterior: from everything.
        prior: marginal of the leaves [leaves].
        teacher_weight: exponent that the teacher's soft labels earned (0: they were of no use, or not given).
        wide: the nodes whose leaves share evenly.
    """

    own: sparse.csr_matrix
    around: sparse.csr_matrix
    posterior: sparse.csr_matrix
    prior: np.ndarray
    teacher_weight: float
    wide: WideNodes = field(default_factory=WideNodes)


def marginal(posterior: sparse.csr_matrix, wide: WideNodes) -> np.ndarray:
    """Mean of the rows, smoothed so that no leaf is impossible: float64 [leaves], sums to one."""
    total = wide.spread_row(np.asarray(posterior.sum(axis=0)).ravel()) + 0.05
    return total / total.sum()


class Overlap:
    """Σ_c p(c) q(c) / prior(c) over the leaves c, of rows p and q of sparse matrices with wide nodes.

    Two columns overlap if one lies in the other. So each row is summed up to the wide nodes around its entries once,
    and then compared entry by entry: the leaves below a wide node are never listed for a row.
    """

    def __init__(self, prior: np.ndarray, wide: WideNodes):
        leaves = len(prior)
        inverse = np.append(0.0, np.cumsum(1 / prior))
        inside = inverse[wide.stop] - inverse[wide.start]
        self.diagonal = np.append(1 / prior, inside / np.maximum(wide.size, 1) ** 2)
        self.up = None
        if len(wide):
            around = wide.containing(leaves)
            column, place = np.nonzero(around >= 0)
            node = around[column, place]
            pairs = [(column, node, 1 / (prior[column] * wide.size[node]))]
            # A wide node lies in those that its first leaf lies in and that are wider.
            for inner in range(len(wide)):
                outer = around[wide.start[inner]]
                outer = outer[: int(np.flatnonzero(outer == inner)[0])]
                share = inside[inner] / (wide.size[inner] * wide.size[outer])
                pairs.append((np.full(len(outer), leaves + inner), outer, share))
            rows, columns, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
            self.up = sparse.csr_matrix((values, (rows, leaves + columns)), shape=(leaves + len(wide),) * 2)

    def summed_up(self, rows: sparse.csr_matrix) -> sparse.csr_matrix | None:
        """What `between` needs of ``rows`` beside themselves; None without wide nodes."""
        return None if self.up is None else (rows @ self.up).tocsr()

    def between(self, left, left_up, right, right_up) -> np.ndarray:
        """The overlap of the rows of ``left`` and ``right``, with what `summed_up` made of both: float64 [n]."""
        found = left.multiply(right).tocsr() @ self.diagonal
        if self.up is not None:
            for part in (left_up.multiply(right), right_up.multiply(left)):
                found += np.asarray(part.sum(axis=1)).ravel()
        return found


def _ratio(overlap: np.ndarray, left: sparse.csr_matrix, right: sparse.csr_matrix) -> np.ndarray:
    blank = (np.diff(left.indptr) == 0) | (np.diff(right.indptr) == 0)
    return np.where(blank, 1.0, (1 - GARBAGE) ** 2 * overlap + 2 * GARBAGE * (1 - GARBAGE) + GARBAGE**2)


def agreement(
    left: sparse.csr_matrix, right: sparse.csr_matrix, prior: np.ndarray, wide: WideNodes | None = None
) -> np.ndarray:
    """Likelihood ratio "one genome" against "any two" of the rows of two posteriors: float64 [n].

    Σ_c p(c) q(c) / prior(c), after each posterior is mixed with `GARBAGE` of the prior. Rows without evidence are the
    prior itself, whose ratio with anything is one.
    """
    overlap = Overlap(prior, wide or WideNodes())
    found = overlap.between(left, overlap.summed_up(left), right, overlap.summed_up(right))
    return _ratio(found, left, right)


def weigh_neighbours(
    own: sparse.csr_matrix, prior: np.ndarray, neighbourhood: Neighbourhood, content: np.ndarray, wide: WideNodes
) -> np.ndarray:
    """How much each neighbour's evidence counts: float64 [contigs, k].

    The probability of one genome, updated by how well the two contigs' own evidence agrees (Bayes). All neighbours
    together count at most as many times the contig's own ``content`` [contigs] as the odds that they are of its genome.
    """
    contigs, k = neighbourhood.index.shape
    overlap = Overlap(prior, wide)
    up = overlap.summed_up(own)
    updated = np.empty((contigs, k))
    for column in range(k):
        index = neighbourhood.index[:, column]
        theirs = own[index]
        ratio = _ratio(overlap.between(own, up, theirs, None if up is None else up[index]), own, theirs)
        chance = neighbourhood.same_genome[:, column]
        odds = chance / (1 - chance) * ratio
        updated[:, column] = odds / (1 + odds)
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
    """Two hypotheses a contig: it is of its neighbours' genome (``both`` holds) or not (``own`` holds).

    The weight of the first is its prior, ``reliability``, times the agreement of the contig's own evidence with its
    neighbours' alone (``around``). Contigs without evidence of their own take what ``both`` says.
    """
    like = reliability * agreement(own, around, prior, wide)
    weight = np.divide(like, like + 1 - reliability, out=np.zeros_like(like), where=like + 1 - reliability > 0)
    weight[np.diff(both.indptr) == 0] = 0.0
    weight[np.diff(own.indptr) == 0] = 1.0
    return (sparse.diags(weight) @ both + sparse.diags(1 - weight) @ own).tocsr()


def targets_of_evidence(evidence: Evidence, others: np.ndarray, neighbourhood: Neighbourhood | None) -> Targets:
    """Posterior of own and neighbours' evidence; without a neighbourhood, of own evidence alone."""
    own, wide = leaf_posterior(evidence, others, OWN_VOTE_SCALE), WideNodes()
    prior = marginal(own, wide)
    if neighbourhood is None or not neighbourhood.same_genome.any():
        return Targets(own, sparse.csr_matrix(own.shape), own, prior, 0.0)
    content = evidence.aligned.max(axis=1).toarray().ravel().astype(np.float64)
    around = neighbourhood.matrix(weigh_neighbours(own, prior, neighbourhood, content, wide))
    alone, both = pooled_posteriors(evidence, around, others, POOLED_VOTE_SCALE)
    return Targets(own, alone, combine_hypotheses(own, alone, both, neighbourhood.reliability(), prior), prior, 0.0)


def targets_of_labels(own: sparse.csr_matrix, wide: WideNodes, neighbourhood: Neighbourhood | None) -> Targets:
    """The same from labels whose search is not known: neighbours' posteriors are averaged instead of their evidence.

    ``own`` and ``wide`` are as `posterior_of_labels` gives them.
    """
    prior = marginal(own, wide)
    if neighbourhood is None or not neighbourhood.same_genome.any():
        return Targets(own, sparse.csr_matrix(own.shape), own, prior, 0.0, wide)
    content = np.full(own.shape[0], 100.0)
    weights = neighbourhood.matrix(weigh_neighbours(own, prior, neighbourhood, content, wide))
    alone, both = [], []
    row_bytes = 48 * (1 + int(np.ceil(weights.nnz * own.nnz / max(1, own.shape[0]) ** 2)))
    for block in row_blocks(own.shape[0], row_bytes):
        gathered = weights[block] @ own
        alone.append(normalised(gathered))
        both.append(normalised(gathered + own[block]))
    alone, both = sparse.vstack(alone, format="csr"), sparse.vstack(both, format="csr")
    posterior = combine_hypotheses(own, alone, both, neighbourhood.reliability(), prior, wide)
    return Targets(own, alone, posterior, prior, 0.0, wide)


def normalised(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """The `ENTRIES_KEPT` largest entries of each row, scaled to sum to one; empty rows stay empty."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    kept = largest_of_rows(row, rows.data, ENTRIES_KEPT)
    total = np.bincount(row[kept], rows.data[kept], rows.shape[0])
    share = rows.data[kept] / np.where(total > 0, total, 1.0)[row[kept]]
    starts = np.searchsorted(row[kept], np.arange(rows.shape[0] + 1))
    found = sparse.csr_matrix((share, rows.indices[kept], starts), shape=rows.shape)
    found.sort_indices()
    return found


def apply_teacher_prior(
    targets: Targets, soft: sparse.csr_matrix, known: np.ndarray, random: np.random.Generator
) -> Targets:
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
    power = _teacher_weight(targets, soft, known, random)
    if power == 0.0:
        return targets
    blocks = [
        _heeded(targets.posterior[block], soft[block], power, known, targets.prior, targets.wide)
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


def _heeded(
    posterior: sparse.csr_matrix, soft: sparse.csr_matrix, power: float, known: np.ndarray, prior: np.ndarray, wide
) -> sparse.csr_matrix:
    """Some rows of the posterior times the teacher's factors, the mass of the known leaves kept.

    Of a wide node, the leaves that the teacher names get entries of their own, and the others go on sharing evenly.
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
        # The last column of the densities, which is zero, stands for no further wide node.
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
