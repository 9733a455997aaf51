"""The CNN of Genomic Benchmarks (Gresova et al. 2023), trained from scratch."""

import itertools
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.sequences import encode_bases
from genestill.core.task_tables import TaskTable
from genestill.core.training.batches import Batch, ShuffledRows
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, Group
from genestill.core.training.selection import BestWeights
from genestill.evaluation.sequence_tasks.probe import VALIDATION_SHARE
from genestill.evaluation.settings import BaselineSettings

BATCH = 64
LEARNING_RATE = 1e-3


class GenomicBenchmarksCNN(nn.Module):
    """The baseline of Genomic Benchmarks (Gresova et al. 2023), by its design.

    Embedding of the letters, three blocks of convolution (width 8), batch norm, ReLU and max pooling (2) with 16, 8 and
    4 channels, then two dense layers (512). Input int64 [B, L] of codes 0 to 4 and 5 for padding; logits [B, classes].
    """

    def __init__(self, length: int, classes: int):
        super().__init__()
        self.embedding = nn.Embedding(6, 100, padding_idx=5)
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
    """Train `GenomicBenchmarksCNN` for ``settings.epochs`` with Adam; the best validation epoch is kept.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    from sklearn.model_selection import train_test_split

    torch.manual_seed(seed)
    length = max(8, max(map(len, table.sequences)))
    codes = np.full((len(table.sequences), length), 5, dtype=np.int64)
    for row, sequence in enumerate(table.sequences):
        codes[row, : len(sequence)] = encode_bases(sequence)
    inputs, labels = torch.from_numpy(codes), torch.from_numpy(table.labels)
    fit, held = train_test_split(
        table.train, test_size=VALIDATION_SHARE, stratify=table.labels[table.train], random_state=seed
    )
    shuffled = ShuffledRows(len(fit), BATCH, seed)

    def draw(step: int) -> list[Batch]:
        rows = fit[shuffled.rows(step)]
        return [Batch({"codes": inputs[rows], "labels": labels[rows]}, len(rows) * length)]

    # An even convolution that keeps the length pads one side more; torch says so once, and it is meant.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        model = GenomicBenchmarksCNN(length, len(table.classes))

        def compute_loss(tensors):
            return functional.cross_entropy(model(tensors["codes"]), tensors["labels"]), {}

        def accuracy() -> float:
            return float((_probabilities(model, inputs, held).argmax(axis=1) == table.labels[held]).mean())

        ends = [-(-len(fit) * epoch // BATCH) for epoch in range(1, settings.epochs + 1)]
        best = BestWeights(model, ends, accuracy)
        # Adam at a constant rate, as the benchmark has it.
        optimizer = AdamW([Group(list(model.parameters()), lambda step: LEARNING_RATE, weight_decay=0.0)])
        train(model, optimizer, draw, compute_loss, ends[-1], name="cnn", clip=0, after_step=best)
        best.restore()
        return _probabilities(model, inputs, table.test)


@torch.no_grad()
def _probabilities(model: nn.Module, inputs: torch.Tensor, rows: np.ndarray, batch: int = 256) -> np.ndarray:
    model.eval()
    parts = [model(inputs[rows[first : first + batch]]).softmax(dim=-1) for first in range(0, len(rows), batch)]
    return torch.cat(parts).double().numpy()
