"""The probability that two contigs belong to the same genome, from their composition and abundance.

It is known only for some pairs of contigs: those whose hits are nearly identical to one species, or to two different
ones. They are used to fit what a distance in composition, abundance and teacher space means in this data set. With many
samples, neighbours are very informative; with one sample, less; without abundances, hardly. The fit determines this.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from genestill.core.logs import logger
from genestill.core.memory import row_blocks
from genestill.core.shards import Embeddings
from genestill.student.corrector.evidence.source import Evidence
from genestill.student.corrector.features import Contigs

NEIGHBOURS = 40
CERTAIN = 1 - 1e-5
CONFIDENT_IDENTITY = 0.97
CONFIDENT_GENES = 3
# Half the log-odds, because confident pairs are only of known species, for which the fit is too optimistic.
TEMPER = 0.5
FEWEST_PAIRS = 200
REDUCED_AT_ONCE = 16_384
EXACT = 50_000  # above this number of contigs, neighbours are searched only in some cells
CELL, PROBED = 256, 64


@dataclass
class Neighbourhood:
    """The nearest contigs of every contig.

    Attributes:
        index: int64 [contigs, k], the neighbours.
        same_genome: float64 [contigs, k], probability that a neighbour belongs to the same genome as the contig.
    """

    index: np.ndarray
    same_genome: np.ndarray

    def reliability(self) -> np.ndarray:
        """Mean probability of the ten best neighbours: float64 [contigs]."""
        best = np.sort(self.same_genome, axis=1)[:, -10:]
        return best.mean(axis=1)

    def matrix(self, weights: np.ndarray) -> sparse.csr_matrix:
        """``weights``, float [contigs, k], as a sparse matrix [contigs, contigs]."""
        contigs, k = self.index.shape
        rows = np.repeat(np.arange(contigs), k)
        return sparse.csr_matrix((weights.ravel(), (rows, self.index.ravel())), shape=(contigs, contigs))


def neighbours_in_sample(
    contigs: Contigs, evidence: Evidence, random: np.random.Generator, embeddings: Embeddings | None = None
) -> Neighbourhood | None:
    """Neighbours in composition, abundance and, if given, teacher space; None without abundances.

    Depths are required, because neither composition nor embeddings distinguish a species from an absent sister species.
    """
    if contigs.abundance is None:
        return None
    spaces = [reduce_composition(contigs.composition), profile_abundance(contigs.abundance)]
    if embeddings is not None:
        spaces.append(principal_components(embeddings))
    found = find_neighbours(spaces, contigs.lengths, evidence.nearest, evidence.sure, random)
    logger.info("neighbours: mean probability of the same genome %.2f", float(found.same_genome.mean()))
    return found


def reduce_composition(composition: np.ndarray) -> np.ndarray:
    """Principal components of standardised composition, float [n, features]: float32 [n, 20]."""
    return principal_components(
        [composition[row : row + REDUCED_AT_ONCE] for row in range(0, len(composition), REDUCED_AT_ONCE)]
    )


def principal_components(blocks: Iterable[np.ndarray], size: int = 20) -> np.ndarray:
    """The first ``size`` principal components of standardised columns, the first of unit variance: float32 [n, size].

    ``blocks``, float [some, features], are the parts of the matrix; they are iterated twice, with one in memory at a
    time.
    """
    rows, total, products = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        wide = block.astype(np.float64)
        rows, total, products = rows + len(block), total + wide.sum(axis=0), products + wide.T @ wide
    mean = total / rows
    covariance = products / rows - np.outer(mean, mean)
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-18))
    _, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
    turn = axes[:, ::-1][:, :size] / scale[:, None]
    projected = np.concatenate([((block - mean) @ turn).astype(np.float32) for block in blocks])
    return projected / np.float32(max(float(projected[:, 0].std(dtype=np.float64)), 1e-9))


def profile_abundance(abundance: np.ndarray) -> np.ndarray:
    """Centred log abundances of unit overall variance: float32 [n, samples]; 0.1 is added because of zeros."""
    logs = np.log(abundance.astype(np.float64) + 0.1)
    logs -= logs.mean(axis=0)
    return (logs / max(float(logs.std()), 1e-9)).astype(np.float32)


def nearest(features: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """Indices of the ``k`` nearest other rows of each row: int64 [n, k]; exact up to `EXACT` rows.

    Larger tables are divided into cells of about `CELL` rows by k-means, and the neighbours of a row are searched in
    the `PROBED` cells nearest to the centre of its own cell (an inverted file; Jégou et al. 2011, doi
    10.1109/TPAMI.2010.57), so that time grows linearly with the number of contigs.
    """
    contigs = len(features)
    squares = (features**2).sum(axis=1)
    if contigs <= EXACT:
        every = np.arange(contigs)
        return _nearest_among(features, squares, every, every, min(k, contigs - 1))
    from sklearn.cluster import MiniBatchKMeans

    clusters = MiniBatchKMeans(
        contigs // CELL, random_state=int(random.integers(2**31)), batch_size=4096, n_init=1, max_no_improvement=5
    )
    cell = clusters.fit_predict(features)
    ends = np.cumsum(np.bincount(cell, minlength=clusters.n_clusters))
    members = np.split(np.argsort(cell, kind="stable"), ends[:-1])
    sizes = np.array([len(rows) for rows in members])
    found = np.empty((contigs, k), dtype=np.int64)
    for number, centre in enumerate(clusters.cluster_centers_):
        if sizes[number] == 0:
            continue
        nearby = np.argsort(((clusters.cluster_centers_ - centre) ** 2).sum(axis=1), kind="stable")
        # If these cells have fewer than k neighbours, the next cells are added.
        probed = max(PROBED, int(np.searchsorted(np.cumsum(sizes[nearby]), k, side="right")) + 1)
        among = np.concatenate([members[other] for other in nearby[:probed]])
        found[members[number]] = _nearest_among(features, squares, members[number], among, k)
    return found


def _nearest_among(features: np.ndarray, squares: np.ndarray, rows: np.ndarray, among: np.ndarray, k: int):
    """The ``k`` nearest of the rows ``among`` for each of ``rows``, without the row itself: int64 [len(rows), k]."""
    found = np.empty((len(rows), k), dtype=np.int64)
    place = np.full(len(features), -1)
    place[among] = np.arange(len(among))
    candidates, candidate_squares = features[among], squares[among]
    for block in row_blocks(len(rows), 4 * len(among)):
        some = rows[block]
        distance = candidate_squares - 2 * features[some] @ candidates.T
        distance[np.arange(len(some)), place[some]] = np.inf
        found[block] = among[np.argpartition(distance, k - 1, axis=1)[:, :k]]
    return found


def find_neighbours(
    spaces: list[np.ndarray],
    lengths: np.ndarray,
    species: np.ndarray,
    confident: np.ndarray,
    random: np.random.Generator,
) -> Neighbourhood:
    """Find neighbours in the joint space, and fit the probability that two contigs share a genome to their distance.

    Args:
        spaces: float32 [n, size] each; distances are computed separately in each space.
        lengths: int [n], contig lengths in base pairs.
        species: int [n], nearest species of each contig, used where ``confident``.
        confident: bool [n], contigs whose species is certain.
        random: random number generator, for random pairs in the fit.

    Returns:
        The neighbours with their probabilities. With fewer than `FEWEST_PAIRS` confident pairs of either kind, no fit
        is possible, and all probabilities are zero.
    """
    contigs = len(lengths)
    index = nearest(np.hstack(spaces), min(NEIGHBOURS, contigs - 1), random)
    k = index.shape[1]
    left, right = np.repeat(np.arange(contigs), k), index.ravel()
    sure = np.flatnonzero(confident)
    if len(sure) < 2:
        return Neighbourhood(index, np.zeros(index.shape))
    near = np.flatnonzero(confident[left] & confident[right])
    if len(near) > 500_000:
        near = np.sort(random.choice(near, 500_000, replace=False))
    pairs = random.choice(sure, (2, min(10 * len(sure), 500_000)))
    first, second = np.concatenate([left[near], pairs[0]]), np.concatenate([right[near], pairs[1]])
    first, second = first[first != second], second[first != second]
    same = species[first] == species[second]
    if same.sum() < FEWEST_PAIRS or (~same).sum() < FEWEST_PAIRS:
        return Neighbourhood(index, np.zeros(index.shape))
    seen = _pair_features(spaces, lengths, first, second)
    mean, scale = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-9)
    weights = fit_logistic((seen - mean) / scale, same)
    log_odds = np.empty(len(left))
    for start in range(0, len(left), 1_000_000):
        part = slice(start, start + 1_000_000)
        features = _pair_features(spaces, lengths, left[part], right[part])
        log_odds[part] = (features - mean) / scale @ weights[:-1] + weights[-1]
    probability = 1 / (1 + np.exp(-np.clip(TEMPER * log_odds, -30, 30)))
    return Neighbourhood(index, np.minimum(probability, CERTAIN).reshape(index.shape))


def fit_logistic(features: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, the intercept last: float64 [f + 1].

    Minimises Σ log loss + ½|w|², without the intercept in the penalty: the default of scikit-learn, whose import would
    need a fifth of the corrector's memory.
    """
    signs = np.where(outcomes, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (features @ weights[:-1] + weights[-1])
        pull = -signs * expit(-margins)
        gradient = np.append(pull @ features + weights[:-1], pull.sum())
        return float(np.logaddexp(0, -margins).sum() + 0.5 * weights[:-1] @ weights[:-1]), gradient

    return minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x


def _pair_features(spaces: list[np.ndarray], lengths: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    columns = []
    for space in spaces:
        square = ((space[left] - space[right]) ** 2).sum(axis=1)
        columns += [np.log(square + 1e-3), np.sqrt(square)]
    shorter = np.log(np.minimum(lengths[left], lengths[right]))
    # Features of short contigs are noisier, so the meaning of a distance depends on the shorter length.
    return np.column_stack([*columns, shorter, columns[0] * shorter])
