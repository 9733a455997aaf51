"""A gated, dilated CNN over both strands: a modern network trained from scratch."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.logs import logger
from genestill.core.task_tables import TaskTable
from genestill.core.training.schedule import Schedule
from genestill.evaluation.sequence_tasks.networks import PADDING, Training, fit_network
from genestill.evaluation.settings import BaselineSettings

CHANNELS, WIDTH, BINS = 32, 9, 8
DILATIONS = (1, 2, 4, 8)
LEARNING_RATE, WEIGHT_DECAY, PATIENCE = 4e-3, 0.01, 6


class GatedBlock(nn.Module):
    """Two branches of dilated convolutions, one of which gates the other; both have residual connections."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()

        def convolution():
            return nn.Conv1d(channels, channels, WIDTH, dilation=dilation, padding="same")

        self.content_norm, self.gate_norm = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.content, self.gate = convolution(), convolution()

    def forward(self, content: torch.Tensor, gate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both branches, float [B, C, L] each."""
        opened = self.gate(self.gate_norm(gate))
        return content + self.content(self.content_norm(content)) * opened.sigmoid(), gate + functional.gelu(opened)


class GatedCNN(nn.Module):
    """A small version of ConvNova (Bo et al. 2025, arXiv 2502.18538): dilated, gated, two branches.

    Widths, normalisation, input and output layers differ from the paper: pairs of positions are merged after the first
    convolution, and the mean in `BINS` parts of the sequence, to distinguish positions, is concatenated with the
    maximum over the whole sequence. Input int64 [B, L] of codes 0 to 4 and 5 for padding; logits [B, classes].
    """

    def __init__(self, length: int, classes: int, both_strands: bool):
        super().__init__()
        self.both_strands = both_strands
        self.stem = nn.ModuleList(nn.Conv1d(4, CHANNELS, WIDTH, padding="same") for _ in range(2))
        self.blocks = nn.ModuleList(GatedBlock(CHANNELS, dilation) for dilation in DILATIONS)
        self.norm = nn.BatchNorm1d(CHANNELS)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear((BINS + 1) * CHANNELS, classes))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits of padded codes; with both strands the mean of the two."""
        bases = functional.one_hot(codes, PADDING + 1)[..., :4].mT.float()
        if not self.both_strands:
            return self._read(bases)
        # The complement of a base is the channel at the mirrored position: A and T, C and G.
        return (self._read(bases) + self._read(bases.flip(1, 2))) / 2

    def _read(self, bases: torch.Tensor) -> torch.Tensor:
        content, gate = (functional.max_pool1d(functional.gelu(convolution(bases)), 2) for convolution in self.stem)
        for block in self.blocks:
            content, gate = block(content, gate)
        content = functional.gelu(self.norm(content))
        parts = functional.adaptive_avg_pool1d(content, BINS).flatten(1)
        return self.head(torch.cat([parts, content.amax(dim=2)], dim=1))


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """Train with one strand and with both, each until the validation score stops rising; the better one predicts.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    return fit_strands(table, settings, seed, (True, False))[0]


def fit_strands(
    table: TaskTable, settings: BaselineSettings, seed: int, candidates: tuple[bool, ...]
) -> tuple[np.ndarray, bool]:
    """Probabilities as in `fit`, and whether both strands were used; ``candidates`` are tried in order."""

    def rate(step: int, steps: int) -> float:
        return Schedule(steps, LEARNING_RATE).rate(step)

    training = Training(settings.most_epochs, rate, WEIGHT_DECAY, clip=1.0, patience=PATIENCE)
    found = {
        both: fit_network(functools.partial(GatedCNN, both_strands=both), table, training, settings.metric, seed)
        for both in candidates
    }
    both = max(found, key=lambda one: found[one][1])
    logger.info("gated CNN, %s: validation %.3f", "both strands" if both else "one strand", found[both][1])
    return found[both][0], both
