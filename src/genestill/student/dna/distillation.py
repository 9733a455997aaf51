"""Hybrid architecture distillation (HAD, arXiv 2505.20836): align what is visible, reconstruct what is not."""

from importlib import import_module

import torch
from torch import nn

from genestill.core.objectives import DNA_OBJECTIVES, parse_objective
from genestill.student.dna import objectives
from genestill.student.dna.settings import DistillationSettings


class Distillation(nn.Module):
    """A student with what its loss needs while it learns, which is left behind afterwards."""

    def __init__(self, student: nn.Module, settings: DistillationSettings, mean: torch.Tensor, scale: torch.Tensor):
        """Standardise the teacher's features with ``mean`` and ``scale``, float [D].

        The mean squared error then counts every dimension alike, and 1.0 is the loss of an uninformative student.
        """
        super().__init__()
        self.student = student
        self.weights = parse_objective(settings.objective, DNA_OBJECTIVES)
        # The heads of all terms are made, in the order of the registry: with the same seed a control that leaves a term
        # out starts from the same decoder.
        heads = {
            name: import_module(f"{objectives.__name__}.{name}").Loss(student.config.hidden_size, len(mean), settings)
            for name in DNA_OBJECTIVES
        }
        self.terms = nn.ModuleDict({name: head for name, head in heads.items() if name in self.weights})
        self.register_buffer("teacher_mean", mean.float(), persistent=False)
        self.register_buffer("teacher_scale", scale.float(), persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted loss and its terms, unweighted.

        ``batch``: what `adapters.collate` gives, and ``teacher_features`` float [B, T, D], ``teacher_start`` and
        ``teacher_stop`` int64 [B, T] (0, 0 at padding), ``teacher_masked`` bool [B, T], ``positions`` int64 [B, Q] with
        the masked bases and ``bases`` int64 [B, Q] with their codes, -100 where a row has fewer or the base is unknown.
        """
        hidden = self.student(batch["input_ids"], attention_mask=batch.get("attention_mask")).last_hidden_state
        teacher = (batch["teacher_features"].float() - self.teacher_mean) / self.teacher_scale
        batch = batch | {"teacher_features": teacher}
        parts = {name: term(hidden, batch) for name, term in self.terms.items()}
        return sum(self.weights[name] * loss for name, loss in parts.items()), parts
