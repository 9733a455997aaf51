"""Alignment of teacher and student tokens by the bases that both cover.

The teacher cuts 6-mers, the student single bases or byte pairs. Both know the base offsets of every token, so the
meeting point is a matrix of overlaps, and the two ways to compare are its two normalisations.
"""

import torch


def overlap(
    first_start: torch.Tensor, first_stop: torch.Tensor, second_start: torch.Tensor, second_stop: torch.Tensor
) -> torch.Tensor:
    """Bases that each token of one row shares with each token of the other.

    Args:
        first_start, first_stop: int [batch, n]; a token covers start up to, not including, stop. Padding and special
            tokens have start == stop and so overlap with nothing.
        second_start, second_stop: int [batch, m].

    Returns:
        float32 [batch, n, m], in bases.
    """
    left = torch.maximum(first_start[:, :, None], second_start[:, None, :])
    right = torch.minimum(first_stop[:, :, None], second_stop[:, None, :])
    return (right - left).clamp_min(0).float()


def align(
    student: torch.Tensor,
    teacher: torch.Tensor,
    shared: torch.Tensor,
    student_keep: torch.Tensor,
    teacher_keep: torch.Tensor,
    mode: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of student and teacher features over the same bases.

    ``pooled``: one pair a kept teacher token; the student's side is the mean of its kept tokens, weighted with the
    shared bases. ``repeated``: one pair a kept student token; the teacher's side is the same mean taken the other way
    (for single-base students: the 6-mer's vector, repeated at its six positions).

    Args:
        student: float [batch, m, width], already projected to the teacher's width (or not; widths are not mixed).
        teacher: float [batch, n, width of the teacher].
        shared: float [batch, n, m] of `overlap` (teacher tokens by student tokens).
        student_keep: bool [batch, m], tokens that may take part.
        teacher_keep: bool [batch, n].
        mode: ``pooled`` or ``repeated``.

    Returns:
        (student side [batch, pairs, width], teacher side [batch, pairs, width of the teacher], which of the pairs
        there are: bool [batch, pairs]). Where there is none, a side is zero or the token's own.
    """
    weights = shared * teacher_keep[:, :, None] * student_keep[:, None, :]
    if mode == "repeated":
        weights = weights.transpose(1, 2)
    total = weights.sum(dim=-1)
    met = total > 0
    means = torch.bmm(weights / total.clamp_min(1e-9)[..., None], student if mode == "pooled" else teacher)
    return (means, teacher, met) if mode == "pooled" else (student, means, met)
