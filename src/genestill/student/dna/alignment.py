"""Alignment of teacher and student tokens by the bases that both cover.

The tokens of the teacher are 6-mers, those of the student single bases or byte pairs. Both have the base offsets of
every token, which give a matrix of overlaps; its two normalisations are the two ways to compare features.
"""

import torch


def overlap(
    first_start: torch.Tensor, first_stop: torch.Tensor, second_start: torch.Tensor, second_stop: torch.Tensor
) -> torch.Tensor:
    """Number of bases that each token of one row shares with each token of the other.

    Args:
        first_start, first_stop: int [batch, n]; a token covers start up to, not including, stop. Padding and special
            tokens have start == stop and therefore no overlap.
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

    ``pooled``: one pair per kept teacher token; the student's side is the mean of its kept tokens, weighted by shared
    bases. ``repeated``: one pair per kept student token; the teacher's side is the corresponding mean of its tokens
    (for single-base students: the vector of the 6-mer, repeated at its six positions).

    Args:
        student: float [batch, m, width], whether or not projected to the width of the teacher.
        teacher: float [batch, n, width of the teacher].
        shared: float [batch, n, m] of `overlap` (teacher tokens by student tokens).
        student_keep: bool [batch, m], tokens that are used.
        teacher_keep: bool [batch, n].
        mode: ``pooled`` or ``repeated``.

    Returns:
        (student side [batch, pairs, width], teacher side [batch, pairs, width of the teacher], valid pairs: bool
        [batch, pairs]). At other pairs, the mean is zero.
    """
    weights = shared * teacher_keep[:, :, None] * student_keep[:, None, :]
    if mode == "repeated":
        weights = weights.transpose(1, 2)
    total = weights.sum(dim=-1)
    met = total > 0
    means = torch.bmm(weights / total.clamp_min(1e-9)[..., None], student if mode == "pooled" else teacher)
    return (means, teacher, met) if mode == "pooled" else (student, means, met)
