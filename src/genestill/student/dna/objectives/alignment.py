"""Squared distance from the teacher's features of its tokens (HAD, arXiv 2505.20836)."""

import torch
from torch import nn

from genestill.student.dna.alignment import align, overlap
from genestill.student.dna.settings import DistillationSettings


class Loss(nn.Module):
    """The projection from student features [.., hidden] to teacher features [.., teacher], trained with the student."""

    def __init__(self, hidden_size: int, teacher_size: int, settings: DistillationSettings):
        super().__init__()
        self.settings = settings
        self.projection = nn.Linear(hidden_size, teacher_size)

    def forward(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over the pairs of `align`, for tokens in the scope, and over dimensions."""
        shared = overlap(batch["teacher_start"], batch["teacher_stop"], batch["start"], batch["stop"])
        student, teacher = batch["masked"], batch["teacher_masked"]
        student_keep, teacher_keep = {
            "visible": lambda: (~student, ~teacher),
            "masked": lambda: (student, teacher),
            "all": lambda: (torch.ones_like(student), torch.ones_like(teacher)),
        }[self.settings.scope]()
        ours, theirs, met = align(
            hidden, batch["teacher_features"], shared, student_keep, teacher_keep, self.settings.alignment_pooling
        )
        # All pairs with weights, because selecting the valid pairs would require reading their number from the GPU.
        distance = (self.projection(ours).float() - theirs).square().mean(dim=-1)
        return torch.where(met, distance, 0).sum() / met.sum().clamp(min=1)
