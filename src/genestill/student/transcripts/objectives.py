"""What the student of the ``mrna`` recipe is asked to match; all of it but the encoder is thrown away at the end.

Notation: s = pooled student embedding [B, H], t = teacher embedding [B, D], P = projection of student space to the
teacher's (linear, trained with the student, part of the loss and never of the saved model), n(x) = x / |x|.
The teacher is centred and whitened by its own statistics over the distillation set first: transformer embeddings lie
in a narrow cone, where cosines are near 1 for any pair and a distance is ruled by one or two directions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.errors import InputError

MASKED_SHARE = 0.15


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
        embeddings: [N, D] teacher embeddings of the distillation set; N > 1.
        kept: share of the variance that the kept components hold; the rest is noise that whitening would blow up.
        ridge: added to every variance, as a share of the largest, for the same reason.

    Raises `InputError` if the embeddings are not finite or all alike.
    """
    values = embeddings.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("the teacher's embeddings hold NaN or infinity")
    mean = values.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(values - mean, rowvar=False).reshape(values.shape[1], -1))
    variances, directions = np.clip(variances[::-1], 0, None), directions[:, ::-1]
    if variances[0] <= 0:
        raise InputError(f"the teacher's {len(values)} embeddings are all alike; nothing can be matched")
    size = int(np.searchsorted(np.cumsum(variances) / variances.sum(), kept)) + 1
    size = min(size, len(variances))
    matrix = directions[:, :size] / np.sqrt(variances[:size] + ridge * variances[0])
    return Whitening(torch.tensor(mean, dtype=torch.float32), torch.tensor(matrix, dtype=torch.float32))


def cosine_loss(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of 1 - cos(P s, t), the angle term of Sanh et al. (DistilBERT, arXiv 1910.01108)."""
    return (1 - functional.cosine_similarity(projected, teacher, dim=-1)).mean()


def mse_loss(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over batch and directions of (P s - t)^2 (FitNets, arXiv 1412.6550); t is white, so chance is 1."""
    return functional.mse_loss(projected, teacher)


def relational_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over pairs i != j of (cos(s_i, s_j) - cos(t_i, t_j))^2 (Tung and Mori, arXiv 1907.09682).

    It needs no projection. s is centred over the batch. A batch of one gives 0.
    """
    if len(student) < 2:
        return student.sum() * 0
    ours = functional.normalize(student - student.mean(dim=0), dim=-1)
    theirs = functional.normalize(teacher, dim=-1)
    apart = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    return ((ours @ ours.T - theirs @ theirs.T)[apart] ** 2).mean()


def contrastive_loss(projected: torch.Tensor, teacher: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """InfoNCE both ways: -log softmax_j(cos(P s_i, t_j) / temperature) at j = i (arXiv 1807.03748)."""
    similarity = functional.normalize(projected, dim=-1) @ functional.normalize(teacher, dim=-1).T / temperature
    own = torch.arange(len(projected), device=projected.device)
    return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2


def token_loss(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over all teacher tokens of 1 - cos(P h, t): h is the mean of the student's states over a token's bases.

    Args:
        projected: [tokens, K], from `mean_over_spans` and the projection.
        teacher: [tokens, K], whitened.
    """
    return cosine_loss(projected, teacher)


def mean_over_spans(hidden: torch.Tensor, row: torch.Tensor, start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Means [S, H] of ``hidden`` [B, L, H] over the spans (row, start, stop), int64 [S] each; start < stop <= L."""
    sums = functional.pad(hidden.cumsum(dim=1), (0, 0, 1, 0))
    return (sums[row, stop] - sums[row, start]) / (stop - start).unsqueeze(-1).to(hidden.dtype)


def logits_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float = 2.0) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(logits / T)), mean over positions (Hinton et al., arXiv 1503.02531).

    Args:
        logits: [positions, 4] of the student, at bases it does not see.
        teacher: [positions, 4] log-probabilities of A, C, G, T; finite.
    """
    softened = functional.log_softmax(teacher.float() / temperature, dim=-1)
    ours = functional.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * functional.kl_div(ours, softened, log_target=True, reduction="batchmean")


def masked_loss(logits: torch.Tensor, bases: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the true bases (int64 [positions], 0 to 3) at masked positions (BERT, arXiv 1810.04805)."""
    return functional.cross_entropy(logits, bases)


class Heads(nn.Module):
    """What a loss needs beside the student: the projection to the teacher's space, and logits over the four bases."""

    def __init__(
        self, hidden_size: int, embedding_size: int, sequence_size: int | None, token_size: int | None, bases: bool
    ):
        super().__init__()
        self.projection = nn.Linear(embedding_size, sequence_size) if sequence_size else None
        self.token_projection = nn.Linear(hidden_size, token_size) if token_size else None
        self.bases = nn.Linear(hidden_size, 4) if bases else None
