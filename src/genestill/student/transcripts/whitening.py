"""Centring and whitening of the teacher's embeddings by their statistics over the distillation set.

Embeddings of transformers are in a narrow cone, in which cosines are near 1 for all pairs and distances depend mostly
on one or two directions.
"""

from dataclasses import dataclass

import numpy as np
import torch

from genestill.core.errors import InputError


@dataclass(frozen=True)
class Whitening:
    """An affine map of teacher space: (t - mean) @ matrix has unit variance in each of its K directions."""

    mean: torch.Tensor  # float32 [D]
    matrix: torch.Tensor  # float32 [D, K]

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Map [..., D] to [..., K]."""
        return (embeddings.float() - self.mean) @ self.matrix


def fit_whitening(embeddings: np.ndarray, kept: float = 0.999, ridge: float = 1e-3) -> Whitening:
    """Whitening by principal components (Kessy et al., The American Statistician 72, 2018).

    Args:
        embeddings: float [N, D], teacher embeddings of the distillation set; N > 1.
        kept: share of the variance in the kept components; whitening would amplify the noise in the others.
        ridge: added to every variance, as a share of the largest, for the same reason.

    Returns:
        The whitening map.

    Raises `InputError` if the embeddings are not finite or all equal.
    """
    values = embeddings.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("the teacher's embeddings contain NaN or infinity")
    mean = values.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(values - mean, rowvar=False).reshape(values.shape[1], -1))
    variances, directions = np.clip(variances[::-1], 0, None), directions[:, ::-1]
    if variances[0] <= 0:
        raise InputError(
            f"the teacher's {len(values)} embeddings are identical, so there is nothing to learn from them"
        )
    size = int(np.searchsorted(np.cumsum(variances) / variances.sum(), kept)) + 1
    size = min(size, len(variances))
    matrix = directions[:, :size] / np.sqrt(variances[:size] + ridge * variances[0])
    return Whitening(torch.tensor(mean, dtype=torch.float32), torch.tensor(matrix, dtype=torch.float32))
