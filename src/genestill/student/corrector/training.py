"""Training of the corrector on the posterior of label, search evidence, neighbours and teacher."""

import time

import numpy as np
import torch
from scipy import sparse

from genestill.core.errors import CheckFailed, InputError
from genestill.core.label_tree import LabelTree
from genestill.core.logs import logger
from genestill.student.corrector.features import Contigs, evidence_arrays
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.corrector.optimization import AdamW, one_cycle
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.targets import GARBAGE, Targets

TEMPERATURES = np.geomspace(0.5, 2.0, 21)


class Inputs:
    """The corrector's inputs of a set of contigs, as tensors: values, present, evidence leaves and gains."""

    def __init__(
        self, student: Corrector, groups: dict[str, np.ndarray], evidence: tuple[np.ndarray, np.ndarray] | None
    ):
        contigs = len(next(iter(groups.values())))
        values, present = [], []
        for name, width in student.config.groups.items():
            known = name in groups
            if known and groups[name].shape[1] != width:
                raise InputError(
                    f"{name}: {groups[name].shape[1]} values a contig; the student was trained with {width}"
                )
            values.append(groups[name] if known else np.zeros((contigs, width), dtype=np.float32))
            present.append(np.full(contigs, known, dtype=np.float32))
        self.values = torch.from_numpy(np.hstack(values)).sub_(student.mean).div_(student.scale)
        self.present = torch.from_numpy(np.column_stack(present))
        leaves, gains = evidence or (np.zeros((contigs, 1), np.int64), np.zeros((contigs, 1), np.float32))
        self.leaves, self.gains = torch.from_numpy(leaves), torch.from_numpy(gains)

    def __len__(self) -> int:
        return len(self.values)


def _padded(rows: sparse.csr_matrix) -> tuple[torch.Tensor, torch.Tensor]:
    """A sparse matrix as column indices and values, both [n, widest row], padded with zeros."""
    width = max(1, int(np.diff(rows.indptr).max(initial=1)))
    columns = np.zeros((rows.shape[0], width), dtype=np.int64)
    values = np.zeros((rows.shape[0], width), dtype=np.float32)
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    place = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], np.diff(rows.indptr))
    columns[row, place], values[row, place] = rows.indices, rows.data
    return torch.from_numpy(columns), torch.from_numpy(values)


def train_corrector(
    contigs: Contigs, targets: Targets, tree: LabelTree, settings: CorrectorSettings, seed: int
) -> tuple[Corrector, list[dict]]:
    """Train a corrector whose softmax over leaves matches ``targets.posterior``.

    Contigs without a target (nothing is known about them or their neighbours) do not take part.

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
    target_leaves, target_shares = _padded(targets.posterior)
    known = torch.from_numpy(np.flatnonzero(np.diff(targets.posterior.indptr)))
    if len(known) < 10:
        raise InputError(f"only {len(known)} contigs have a label or a hit; expected at least 10 to learn from")
    known = known[torch.randperm(len(known), generator=random)]
    held_out = known[: int(settings.held_out * len(known))]
    training = known[len(held_out) :]

    def loss_of(rows: torch.Tensor, present: torch.Tensor, gains: torch.Tensor, temperature: float = 1.0):
        logits = student(inputs.values[rows], present, inputs.leaves[rows], gains) / temperature
        chosen = torch.log_softmax(logits, dim=1).gather(1, target_leaves[rows])
        return -(chosen * target_shares[rows]).sum(dim=1).mean()

    batches = max(1, len(training) // settings.batch_size)
    optimizer = AdamW(student.parameters(), settings.weight_decay)
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
            loss = loss_of(rows, present, gains)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step(one_cycle(step, settings.epochs * batches, settings.learning_rate))
            step += 1
            total += loss.item() * len(rows)
        if not np.isfinite(total):
            raise CheckFailed(
                f"the student's loss is {total} in epoch {epoch + 1}; try a smaller student.learning_rate"
            )
        student.eval()
        with torch.no_grad():
            outside = (
                loss_of(held_out, inputs.present[held_out], inputs.gains[held_out]).item() if len(held_out) else None
            )
        history.append(
            {
                "epoch": epoch + 1,
                "loss": total / len(training),
                "held_out_loss": outside,
                "seconds": round(time.monotonic() - start, 3),
            }
        )
    if len(held_out):
        with torch.no_grad():
            rows = held_out
            losses = [loss_of(rows, inputs.present[rows], inputs.gains[rows], float(t)).item() for t in TEMPERATURES]
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
