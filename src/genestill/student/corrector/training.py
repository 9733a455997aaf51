"""Training of the corrector on the posterior of label, search evidence, neighbours and teacher."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.logs import logger
from genestill.core.training.batches import Batch, ShuffledRows
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, RowAdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.student.corrector.features import Contigs, evidence_arrays
from genestill.student.corrector.fragments import Fragments
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.softmax import FullSoftmax, SampledSoftmax, held_out_losses
from genestill.student.corrector.targets import GARBAGE, Targets

MOST_LEAVES = 8192  # above this number, a training step uses a sample of the leaves
MOST_HELD_OUT = 5000  # contigs; sufficient to fit a temperature
WARM_UP, START, END = 0.3, 1 / 25, 1e-4 / 25  # one-cycle schedule with the defaults of torch's OneCycleLR
TEMPERATURES = np.geomspace(0.5, 2.0, 21)


def train_corrector(
    contigs: Contigs,
    targets: Targets,
    tree: LabelTree,
    settings: CorrectorSettings,
    seed: int,
    checkpoint: Checkpoint | None = None,
    fragments: Fragments | None = None,
) -> tuple[Corrector, pd.DataFrame]:
    """Train a corrector so that its softmax over leaves matches ``targets.posterior``.

    Contigs without a target (without evidence for them or their neighbours) are not used. ``fragments`` are added to
    each epoch, without abundances and without evidence; they are neither held out nor used to standardise the inputs.
    Up to `MOST_LEAVES` leaves, every step uses all of them (`FullSoftmax`); with a larger tree, it uses those in the
    targets and evidence of its contigs, and a sample of the others (`SampledSoftmax`).

    Returns:
        The student in evaluation mode, and the history: see `loop.train`; the loss is in nats per contig, and
        ``held_out_loss``, at the end of each epoch, is the loss of held-out contigs.

    Raises:
        InputError: fewer than ten contigs have a target, or the checkpoint belongs to another training.
        CheckFailed: the loss is not finite.
    """
    groups = contigs.groups()
    # A second thread makes such a small network slower, and results depend on the number of threads.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = CorrectorConfig(
        groups={name: values.shape[1] for name, values in groups.items()},
        leaves=len(tree.leaves),
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        dropout=settings.dropout,
        samples=contigs.samples,
    )
    student = Corrector(config, tree)
    joined = torch.from_numpy(np.hstack(list(groups.values())))
    contig_count = len(joined)
    student.mean.copy_(joined.mean(dim=0))
    student.scale.copy_(joined.std(dim=0).clamp(min=1e-6))
    del joined
    student.leaf_prior.copy_(torch.from_numpy(targets.prior))
    known = np.flatnonzero(np.diff(targets.posterior.indptr))
    if len(known) < 10:
        raise InputError(f"only {len(known)} contigs have a label or a hit; expected at least 10 for training")
    known = np.random.default_rng((seed, 0)).permutation(known)
    held_out, training = np.split(known, [min(int(settings.held_out * len(known)), MOST_HELD_OUT)])
    held_out = torch.from_numpy(held_out)
    if fragments is not None:
        groups, targets = _with_fragments(groups, targets, fragments)
        training = np.append(training, np.arange(contig_count, contig_count + len(fragments)))
    # Evidence of each contig alone, and beside it that of the contig and its neighbours; a step shows one of them.
    own, pooled = (evidence_arrays(part, targets.prior, GARBAGE) for part in (targets.own, targets.posterior))
    inputs = Inputs(student, groups, (np.hstack([own[0], pooled[0]]), np.hstack([own[1], pooled[1]])))
    width = own[1].shape[1]
    inputs.gains[held_out, :width] = 0.0
    # The target of a fragment is its true leaf.
    inputs.gains[contig_count:] = 0.0
    inputs.present[contig_count:, [name != "composition" for name in groups]] = 0.0
    shuffled = ShuffledRows(len(training), min(settings.batch_size, len(training)), seed)
    ends = shuffled.ends(settings.epochs)
    schedule = Schedule(ends[-1], settings.learning_rate, WARM_UP, START, END, rise="cosine")
    decay = settings.weight_decay
    if config.leaves <= MOST_LEAVES:
        optimizer = AdamW(parameter_groups(student, schedule.rate, decay))
        softmax: FullSoftmax | SampledSoftmax = FullSoftmax(student, targets)
    else:
        rows = RowAdamW(parameter_groups(student.head, schedule.rate, decay))
        optimizer = AdamW(parameter_groups(student, schedule.rate, decay, but=student.head), rows=rows)
        softmax = SampledSoftmax(student, inputs, targets, rows.take)

    def draw(step: int) -> list[Batch]:
        rows = training[shuffled.rows(step)]
        random = np.random.default_rng((seed, 2, step))
        draws = torch.from_numpy(random.random((2, len(rows), 1), dtype=np.float32))
        present = inputs.present[rows]
        present[:, 1:] *= draws[0] >= settings.drop_abundance
        # Contigs with evidence are shown either kind with equal probability.
        dropped, alone = draws[1] < settings.drop_evidence, draws[1] < (1 + settings.drop_evidence) / 2
        gains = inputs.gains[rows]
        gains[:, :width] *= alone & ~dropped
        gains[:, width:] *= ~alone
        shown = {"rows": rows, "values": inputs.values[rows], "present": present, "leaves": inputs.leaves[rows]}
        return [Batch(shown | {"gains": gains} | softmax.draw(rows, random), len(rows))]

    def compute_loss(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        return softmax.loss(batch), {}

    def held_out_loss(step: int) -> dict[str, float]:
        if step not in ends or not len(held_out):
            return {}
        return {"held_out_loss": float(held_out_losses(student, inputs, targets, held_out, [1.0])[0])}

    history = train(
        student, optimizer, draw, compute_loss, ends[-1], name="corrector", checkpoint=checkpoint,
        after_step=held_out_loss,
    )  # fmt: skip
    # With all information, as for the contigs of the run; there is no other temperature for contigs with less.
    if len(held_out):
        losses = held_out_losses(student, inputs, targets, held_out, TEMPERATURES.tolist())
        config.temperature = float(TEMPERATURES[int(np.argmin(losses))])
    last = history.iloc[-1]
    logger.info(
        "student: %d contigs and fragments, %d leaves, loss %.3f, held-out %s, temperature %.2f, %.1f s",
        len(training),
        config.leaves,
        history["loss"].iloc[ends[-2] if len(ends) > 1 else 0 :].mean(),
        f"{last['held_out_loss']:.3f}" if len(held_out) else "none",
        config.temperature,
        last["seconds"],
    )
    return student, history


def _with_fragments(
    groups: dict[str, np.ndarray], targets: Targets, fragments: Fragments
) -> tuple[dict[str, np.ndarray], Targets]:
    """Inputs and targets of the contigs, followed by those of fragments: no abundances, no evidence, one leaf."""
    more = {name: np.zeros((len(fragments), values.shape[1]), values.dtype) for name, values in groups.items()}
    more["composition"] = fragments.composition
    nothing = sparse.csr_matrix((len(fragments), targets.posterior.shape[1]))
    ends = np.arange(len(fragments) + 1)
    certain = sparse.csr_matrix((np.ones(len(fragments)), fragments.leaves, ends), shape=nothing.shape)
    joined = {name: np.vstack([values, more[name]]) for name, values in groups.items()}
    own, posterior = ([targets.own, nothing], [targets.posterior, certain])
    own, posterior = (sparse.vstack(parts, format="csr") for parts in (own, posterior))
    return joined, replace(targets, own=own, posterior=posterior)
