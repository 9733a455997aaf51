"""Training of convolutional baselines: codes as input, with the best epoch on held-out training rows."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.sequences import encode_bases
from genestill.core.task_metrics import measure
from genestill.core.task_tables import TaskTable, hold_out
from genestill.core.training.batches import Batch, ShuffledRows
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.selection import BestWeights

BATCH = 64
VALIDATION_SHARE = 0.1
PADDING = 5  # the code after the end of a sequence


@dataclass(frozen=True)
class Training:
    """Training of a network.

    Attributes:
        epochs: maximum number of passes over the training rows.
        rate: function from (step, total steps) to the learning rate.
        weight_decay: weight decay of AdamW.
        clip: largest norm of the gradient; 0 for no clipping.
        patience: epochs without a better validation score after which training ends; None for all epochs.
    """

    epochs: int
    rate: Callable[[int, int], float]
    weight_decay: float = 0.0
    clip: float = 0.0
    patience: int | None = None


def encode_padded(sequences: list[str], shortest: int = 8) -> torch.Tensor:
    """Codes 0 to 4 and `PADDING`, int64 [n, longest sequence, at least ``shortest``]."""
    codes = np.full((len(sequences), max(shortest, *map(len, sequences))), PADDING, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        codes[row, : len(sequence)] = encode_bases(sequence)
    return torch.from_numpy(codes)


def fit_network(
    build: Callable[[int, int], nn.Module], table: TaskTable, training: Training, metric: str, seed: int
) -> tuple[np.ndarray, float]:
    """Train ``build(length, classes)`` on 90 % of the training rows; the other 10 % are used to choose the epoch.

    Returns:
        (float64 [test rows, classes], probabilities; the metric of the held-out rows at the kept epoch).
    """
    torch.manual_seed(seed)
    inputs, labels = encode_padded(table.sequences), torch.from_numpy(table.labels)
    classes = len(table.classes)
    fit, held = hold_out(table, VALIDATION_SHARE, seed)
    shuffled = ShuffledRows(len(fit), BATCH, seed)

    def draw(step: int) -> list[Batch]:
        rows = fit[shuffled.rows(step)]
        return [Batch({"codes": inputs[rows], "labels": labels[rows]}, inputs[rows].numel())]

    # A convolution of even width that keeps the length has asymmetric padding, of which torch would warn.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        model = build(inputs.shape[1], classes)

        def compute_loss(tensors):
            return functional.cross_entropy(model(tensors["codes"]), tensors["labels"]), {}

        def validate() -> tuple[float]:
            return (measure(table.labels[held], _probabilities(model, inputs, held).argmax(axis=1), classes, metric),)

        ends = shuffled.ends(training.epochs)
        best = BestWeights(model, ends, validate, training.patience)
        groups = parameter_groups(model, lambda step: training.rate(int(step), ends[-1]), training.weight_decay)
        train(model, AdamW(groups), draw, compute_loss, ends[-1], name="cnn", clip=training.clip, best=best)
        best.restore()
        return _probabilities(model, inputs, table.test), best.best[0]


@torch.no_grad()
def _probabilities(model: nn.Module, inputs: torch.Tensor, rows: np.ndarray, batch: int = 256) -> np.ndarray:
    model.eval()
    parts = [model(inputs[rows[first : first + batch]]).softmax(dim=-1) for first in range(0, len(rows), batch)]
    return torch.cat(parts).double().numpy()
