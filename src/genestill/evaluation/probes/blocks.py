"""Ridge regression of features in blocks with equal variance, so that results do not depend on the units of features.

Each column is scaled to unit variance and each block to the same total variance. Weights of blocks and the penalty are
chosen by the leave-one-out error of training rows (banded ridge regression, Nunez-Elizalde et al. 2019, doi
10.1016/j.neuroimage.2019.04.012; leave-one-out in closed form, Golub et al. 1979, doi 10.1080/00401706.1979.10489751).
Classes are regressed as 0 and 1: the fit has a unique solution, which is always found, and gives a ranking of the test
rows, which is sufficient for AUROC and AUPRC.
"""

from collections.abc import Sequence

import numpy as np

PENALTIES = 10.0 ** np.arange(-5, 3.5, 0.5)  # for features with a total variance of 1, per training row
WEIGHTS = (0.1, 0.3, 1.0)  # possible weights of the blocks after the first
LEAST_GAIN = 0.002  # minimum relative decrease of the error by another block
ROWS_FOR_WEIGHTS = 400


def predict_with_blocks(
    blocks: Sequence[np.ndarray], targets: np.ndarray, training: np.ndarray, tested: np.ndarray, seed: int
) -> np.ndarray:
    """Predictions of the rows ``tested``, float64 [tested, targets], from a fit on the rows ``training``.

    Args:
        blocks: float [rows, size] each; finite. Columns that are constant in training are left out.
        targets: float64 [rows, targets].
        training, tested: int64, positions of rows.
        seed: seed for drawing at most 400 training rows, on which the weights of blocks are chosen.
    """
    scaled = [_scale(block, training) for block in blocks]
    weights = _choose_weights(scaled, targets, training, seed)
    features = np.concatenate(
        [np.sqrt(weight, dtype=np.float32) * block for weight, block in zip(weights, scaled, strict=True) if weight],
        axis=1,
    )
    return _Ridge(features[training], targets[training]).predict(features[tested])


def _scale(block: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Mean 0, equal variances and a total variance of 1 in training: float32 [rows, non-constant columns].

    In a block with more columns than training rows, the relative variances of columns are kept: with equal variances,
    the many rare k-mers would dominate the frequent ones.
    """
    block = block.astype(np.float32, copy=False)
    mean, deviation = block[training].mean(axis=0), block[training].std(axis=0)
    varies = deviation > 1e-6 * np.abs(mean)
    block, deviation = block[:, varies] - mean[varies], deviation[varies]
    if len(deviation) > len(training):
        return block / np.linalg.norm(deviation)
    return block / (deviation * np.float32(np.sqrt(len(deviation))))


def _choose_weights(blocks: list[np.ndarray], targets: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
    """Weight of each block, float64 [blocks].

    The block with the smallest leave-one-out error by itself has the weight 1. The others follow in the order of their
    errors: each gets the weight of `WEIGHTS` with the smallest error, or 0 if none decreases it by `LEAST_GAIN`.
    """
    if len(blocks) == 1:
        return np.ones(1)
    rows = np.sort(np.random.default_rng(seed).permutation(training)[:ROWS_FOR_WEIGHTS])
    kernels = [(block[rows] @ block[rows].T).astype(np.float64) for block in blocks]
    alone = [_error_of_kernel(kernel, targets[rows]) for kernel in kernels]
    first, *others = np.argsort(alone, kind="stable")
    weights = np.zeros(len(blocks))
    weights[first], least, total = 1.0, alone[first], kernels[first]
    for number in others:
        errors = [_error_of_kernel(total + weight * kernels[number], targets[rows]) for weight in WEIGHTS]
        best = int(np.argmin(errors))
        if errors[best] < (1 - LEAST_GAIN) * least:
            weights[number], least = WEIGHTS[best], errors[best]
            total = total + WEIGHTS[best] * kernels[number]
    return weights


def _error_of_kernel(kernel: np.ndarray, targets: np.ndarray) -> float:
    """Leave-one-out error of kernel ridge regression with the best penalty."""
    centred = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    values, vectors = np.linalg.eigh(centred)
    return min(_leave_one_out(np.maximum(values, 0), vectors, targets - targets.mean(axis=0)))


def _leave_one_out(values: np.ndarray, vectors: np.ndarray, targets: np.ndarray) -> list[float]:
    """Mean squared leave-one-out error for each penalty.

    Args:
        values: float64 [k], eigenvalues of the centred kernel.
        vectors: float64 [rows, k], their eigenvectors.
        targets: float64 [rows, targets]; centred.
    """
    said, squares = vectors.T @ targets, vectors**2
    errors = []
    for penalty in PENALTIES * len(targets):
        shrunk = values / (values + penalty)
        leverage = squares @ shrunk + 1 / len(targets)  # including the intercept
        residuals = (targets - vectors @ (shrunk[:, None] * said)) / np.maximum(1 - leverage, 1e-9)[:, None]
        errors.append(float(np.mean(residuals**2)))
    return errors


class _Ridge:
    """Ridge regression with the penalty that has the smallest leave-one-out error."""

    def __init__(self, features: np.ndarray, targets: np.ndarray):
        self.mean, self.offset = features.mean(axis=0, dtype=np.float64), targets.mean(axis=0)
        centred, targets = features - self.mean.astype(np.float32), targets - self.offset
        wide = features.shape[1] > len(features)
        gram = (centred @ centred.T if wide else centred.T @ centred).astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        kept = values > 1e-7 * values.max(initial=1e-30)  # without any column, the mean is predicted
        values, vectors = values[kept], vectors[:, kept]
        rows = vectors if wide else centred @ vectors / np.sqrt(values)  # left singular vectors
        penalty = PENALTIES[np.argmin(_leave_one_out(values, rows, targets))] * len(targets)
        if wide:
            dual = vectors @ ((vectors.T @ targets) / (values + penalty)[:, None])
            self.coefficients = centred.T @ dual
        else:
            self.coefficients = vectors @ ((vectors.T @ (centred.T @ targets)) / (values + penalty)[:, None])

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predictions: float64 [rows, targets]."""
        return (features - self.mean) @ self.coefficients + self.offset
