"""Hybrid architecture distillation (HAD, arXiv 2505.20836): align visible tokens, reconstruct masked ones."""

from importlib import import_module

import torch
from torch import nn

from genestill.core.objectives import DNA_OBJECTIVES, parse_objective
from genestill.student.dna import objectives
from genestill.student.dna.settings import DistillationSettings


class Distillation(nn.Module):
    """A student with the modules of its loss, which are only used in training."""

    def __init__(self, student: nn.Module, settings: DistillationSettings, mean: torch.Tensor, scale: torch.Tensor):
        """Standardise the teacher's features with ``mean`` and ``scale``, float [D].

        All dimensions then have the same weight in the mean squared error, and 1.0 is the loss of a student without
        information.
        """
        super().__init__()
        self.student = student
        self.weights = parse_objective(settings.objective, DNA_OBJECTIVES)
        # The heads of all terms are made, in the order of the registry, so that with the same seed, a control without
        # a term starts with the same decoder.
        heads = {
            name: import_module(f"{objectives.__name__}.{name}").Loss(student.config.hidden_size, len(mean), settings)
            for name in DNA_OBJECTIVES
        }
        self.terms = nn.ModuleDict({name: head for name, head in heads.items() if name in self.weights})
        self.register_buffer("teacher_mean", mean.float(), persistent=False)
        self.register_buffer("teacher_scale", scale.float(), persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted loss and its terms, unweighted.

        ``batch``: the result of `adapters.collate`, and ``teacher_features`` float [B, T, D], ``teacher_start`` and
        ``teacher_stop`` int64 [B, T] (0, 0 at padding), ``teacher_masked`` bool [B, T], ``positions`` int64 [B, Q] of
        the masked bases and ``bases`` int64 [B, Q] with their codes, -100 at padding and unknown bases.
        """
        hidden = self.student(batch["input_ids"], attention_mask=batch.get("attention_mask")).last_hidden_state
        teacher = (batch["teacher_features"].float() - self.teacher_mean) / self.teacher_scale
        batch = batch | {"teacher_features": teacher}
        parts = {name: term(hidden, batch) for name, term in self.terms.items()}
        return sum(self.weights[name] * loss for name, loss in parts.items()), parts
