"""Training of the corrector on the posterior of label, search evidence, neighbours and teacher."""

import time

import numpy as np
import torch

from genestill.core.errors import CheckFailed, InputError
from genestill.core.label_tree import LabelTree
from genestill.core.logs import logger
from genestill.core.training.schedule import Schedule
from genestill.student.corrector.features import Contigs, evidence_arrays
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.softmax import FullSoftmax, SampledSoftmax, held_out_losses
from genestill.student.corrector.targets import GARBAGE, Targets

MOST_LEAVES = 8192  # beyond them, a step of training looks at a sample
MOST_HELD_OUT = 5000  # contigs: more would tell a temperature no better
WARM_UP, START, END = 0.3, 1 / 25, 1e-4 / 25  # of one cycle, as torch's OneCycleLR has it
TEMPERATURES = np.geomspace(0.5, 2.0, 21)


def train_corrector(
    contigs: Contigs, targets: Targets, tree: LabelTree, settings: CorrectorSettings, seed: int
) -> tuple[Corrector, list[dict]]:
    """Train a corrector whose softmax over leaves matches ``targets.posterior``.

    Contigs without a target (nothing is known about them or their neighbours) do not take part. Up to `MOST_LEAVES`
    leaves, every step sees all of them (`FullSoftmax`); of a larger tree it sees those that its contigs name, and a
    sample of the others (`SampledSoftmax`).

    Returns:
        The student in evaluation mode, and the history: epoch, loss (nats), held-out loss, seconds.

    Raises:
        InputError: fewer than ten contigs have a target.
        CheckFailed: the loss is not a number.
    """
    groups = contigs.groups()
    # A second thread makes so small a network slower, and its sums depend on how many there are.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    config = CorrectorConfig(
        groups={name: values.shape[1] for name, values in groups.items()},
        leaves=len(tree.leaves),
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        dropout=settings.dropout,
        samples=contigs.samples,
        threshold=settings.threshold,
    )
    student = Corrector(config, tree)
    joined = torch.from_numpy(np.hstack(list(groups.values())))
    student.mean.copy_(joined.mean(dim=0))
    student.scale.copy_(joined.std(dim=0).clamp(min=1e-6))
    del joined
    student.leaf_prior.copy_(torch.from_numpy(targets.prior))
    inputs = Inputs(student, groups, evidence_arrays(targets.own, targets.prior, GARBAGE))
    known = torch.from_numpy(np.flatnonzero(np.diff(targets.posterior.indptr)))
    if len(known) < 10:
        raise InputError(f"only {len(known)} contigs have a label or a hit; expected at least 10 to learn from")
    known = known[torch.randperm(len(known), generator=random)]
    held_out = known[: min(int(settings.held_out * len(known)), MOST_HELD_OUT)]
    training = known[len(held_out) :]
    batches = max(1, len(training) // settings.batch_size)
    schedule = Schedule(settings.epochs * batches, settings.learning_rate, WARM_UP, START, END, rise="cosine")
    softmax = (FullSoftmax if config.leaves <= MOST_LEAVES else SampledSoftmax)(
        student, inputs, targets, schedule, settings.weight_decay, random
    )
    step = 0
    history = []
    start = time.monotonic()
    for epoch in range(settings.epochs):
        student.train()
        total = 0.0
        for rows in training[torch.randperm(len(training), generator=random)].chunk(batches):
            draws = torch.rand((2, len(rows), 1), generator=random)
            present = inputs.present[rows]
            present[:, 1:] *= (draws[0] >= settings.drop_abundance).float()
            gains = inputs.gains[rows] * (draws[1] >= settings.drop_evidence).float()
            total += softmax.step(rows, present, gains, step) * len(rows)
            step += 1
        if not np.isfinite(total):
            raise CheckFailed(
                f"the student's loss is {total} in epoch {epoch + 1}; try a smaller student.learning_rate"
            )
        outside = float(held_out_losses(student, inputs, targets, held_out, [1.0])[0]) if len(held_out) else None
        history.append(
            {
                "epoch": epoch + 1,
                "loss": total / len(training),
                "held_out_loss": outside,
                "seconds": round(time.monotonic() - start, 3),
            }
        )
    if len(held_out):
        losses = held_out_losses(student, inputs, targets, held_out, TEMPERATURES)
        config.temperature = float(TEMPERATURES[int(np.argmin(losses))])
    logger.info(
        "student: %d contigs, %d leaves, loss %.3f, held-out %s, temperature %.2f, %.1f s",
        len(training),
        config.leaves,
        history[-1]["loss"],
        "none" if history[-1]["held_out_loss"] is None else f"{history[-1]['held_out_loss']:.3f}",
        config.temperature,
        time.monotonic() - start,
    )
    return student, history
