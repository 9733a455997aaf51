"""The CNN of Genomic Benchmarks (Gresova et al. 2023), trained from scratch."""

import itertools

import numpy as np
import torch
from torch import nn

from genestill.core.task_tables import TaskTable
from genestill.evaluation.sequence_tasks.networks import PADDING, Training, fit_network
from genestill.evaluation.settings import BaselineSettings

LEARNING_RATE = 1e-3


class GenomicBenchmarksCNN(nn.Module):
    """The baseline of Genomic Benchmarks (Gresova et al. 2023), with the published architecture.

    Embedding of the letters, three blocks of convolution (width 8), batch norm, ReLU and max pooling (2) with 16, 8 and
    4 channels, then two dense layers (512). Input int64 [B, L] of codes 0 to 4 and 5 for padding; logits [B, classes].
    """

    def __init__(self, length: int, classes: int):
        super().__init__()
        self.embedding = nn.Embedding(6, 100, padding_idx=PADDING)
        blocks, channels = [], (100, 16, 8, 4)
        for before, after in itertools.pairwise(channels):
            blocks += [nn.Conv1d(before, after, 8, padding="same"), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2)]
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[-1] * (length // 8), 512), nn.ReLU(), nn.Linear(512, classes)
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits of padded codes."""
        return self.dense(self.blocks(self.embedding(codes).mT))


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """Train `GenomicBenchmarksCNN` for ``settings.epochs`` with Adam at a constant rate; the best epoch is kept.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    training = Training(settings.epochs, lambda step, steps: LEARNING_RATE)
    return fit_network(GenomicBenchmarksCNN, table, training, settings.metric, seed)[0]
