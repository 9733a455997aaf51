"""The recipe ``taxdistill-published``: TaxDistill as described and run by its authors (arXiv 2605.28868).

The input of a perceptron of four layers are 103 tetranucleotide features, the abundances and their total. The input of
a linear head without bias is the teacher's embedding (last token of the first 512). Both are trained together on the
noisy labels with the flat-softmax loss over the taxonomy, and the perceptron also on the head:

    alpha · CE(student) + (1 - alpha) · T² KL(head ‖ student) + CE(head)

AdamW with 1e-3 for the student and 1e-4 for the head, weight decay 1e-4, cosine to 1e-6, gradients accumulated over
eight batches and clipped at one. Each control changes one thing: no teacher, or an earlier training of the student as
the teacher.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from genestill.core.errors import InputError
from genestill.core.hierarchical_loss import FlatSoftmax, distillation_loss
from genestill.core.label_tree import LabelTree
from genestill.core.predictions import lineage_probabilities
from genestill.core.shards import Embeddings
from genestill.core.table_schemas import LABELS, LINEAGE_PROBABILITIES, lineages_of
from genestill.core.tables import read_table, write_table
from genestill.core.training.batches import Batch
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, Group
from genestill.core.training.schedule import Schedule
from genestill.student.corrector.features import Contigs, read_contigs
from genestill.student.corrector.settings import PublishedSettings

HIDDEN_SIZE, LAYERS, DROPOUT = 512, 4, 0.2
SMALLEST_LEARNING_RATE, WEIGHT_DECAY = 1e-6, 1e-4


def standardised(values: np.ndarray) -> np.ndarray:
    """Columns of zero mean and unit variance: float32."""
    return ((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)).astype(np.float32)


def taxometer_inputs(contigs: Contigs) -> torch.Tensor:
    """Composition, abundance shares over the samples, and log total abundance, as in Taxometer: float32 [n, w]."""
    parts = [standardised(contigs.composition)]
    if contigs.abundance is not None:
        total = contigs.abundance.sum(axis=1, keepdims=True)
        shares = np.divide(
            contigs.abundance,
            total,
            out=np.full_like(contigs.abundance, 1 / contigs.abundance.shape[1]),
            where=total > 0,
        )
        parts += [shares, standardised(np.log1p(total))]
    return torch.from_numpy(np.hstack(parts).astype(np.float32))


def build_student(width: int, leaves: int) -> nn.Sequential:
    """The network of Taxometer: four times linear, LeakyReLU, dropout, batch norm; then the leaves."""
    layers: list[nn.Module] = []
    for _ in range(LAYERS):
        layers += [nn.Linear(width, HIDDEN_SIZE), nn.LeakyReLU(), nn.Dropout(DROPOUT), nn.BatchNorm1d(HIDDEN_SIZE)]
        width = HIDDEN_SIZE
    return nn.Sequential(*layers, nn.Linear(width, leaves))


def train_published(
    contigs: Contigs,
    nodes: np.ndarray,
    tree: LabelTree,
    embeddings: np.ndarray | None,
    settings: PublishedSettings,
    seed: int,
    checkpoint: Callable[[int], Checkpoint | None] = lambda seed: None,
) -> np.ndarray:
    """Train student and head together on ``nodes``, int [n] (0, the root: no label; not used for training).

    ``checkpoint`` returns the checkpoint for a seed; if an earlier training of the student is the teacher, there are
    two.

    Returns:
        Leaf probabilities of the student: float32 [n, leaves].

    Raises:
        InputError: a teacher is requested and there are no embeddings.
        CheckFailed: the loss is not finite.
    """
    if settings.teacher == "embeddings" and embeddings is None:
        raise InputError("recipe taxdistill-published needs the teacher's embeddings, but none are given")
    inputs = taxometer_inputs(contigs)
    if settings.teacher == "self":
        first = _train(inputs, nodes, tree, None, None, settings, seed, checkpoint)
        earlier = torch.log(torch.from_numpy(first).clamp(min=1e-12))
        return _train(inputs, nodes, tree, None, earlier, settings, seed + 1, checkpoint)
    taught = torch.from_numpy(np.asarray(embeddings, np.float32)) if settings.teacher == "embeddings" else None
    return _train(inputs, nodes, tree, taught, None, settings, seed, checkpoint)


def _train(inputs, nodes, tree: LabelTree, embeddings, earlier, settings: PublishedSettings, seed: int, checkpoint):
    torch.manual_seed(seed)
    student = build_student(inputs.shape[1], len(tree.leaves))
    learned = nn.ModuleDict({"student": student})
    head = None
    if embeddings is not None:
        head = learned["head"] = nn.Linear(embeddings.shape[1], len(tree.leaves), bias=False)
    rates = {"student": settings.learning_rate, "head": settings.head_learning_rate}
    softmax, targets = FlatSoftmax(tree), torch.from_numpy(nodes.astype(np.int64))
    # A batch of one contig has no variance for normalisation.
    batches = len(inputs) // settings.batch_size + (len(inputs) % settings.batch_size > 1)
    steps = -(-batches // settings.accumulation)

    def rate_of(name: str):
        schedule = Schedule(settings.epochs + 1, rates[name], warm_up=0.0, end=SMALLEST_LEARNING_RATE / rates[name])
        return lambda step: schedule.rate(step // steps)

    def draw(step: int) -> list[Batch]:
        epoch, place = divmod(step, steps)
        order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(inputs)))
        parts = order.split(settings.batch_size)[:batches]
        parts = parts[place * settings.accumulation : (place + 1) * settings.accumulation]
        # The last step of an epoch may have fewer batches, and a correspondingly smaller gradient.
        share = torch.tensor(len(parts) / settings.accumulation)
        return [Batch({"rows": rows, "share": share}, len(rows)) for rows in parts]

    def compute_loss(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        rows = batch["rows"]
        logits = student(inputs[rows])
        loss = softmax.negative_log_likelihood(logits, targets[rows]).mean()
        teacher = earlier[rows] if earlier is not None else None
        if head is not None:
            teacher = head(embeddings[rows])
        if teacher is not None:
            distilled = distillation_loss(logits, teacher, settings.temperature).mean()
            loss = settings.alpha * loss + (1 - settings.alpha) * distilled
        if head is not None:
            loss = loss + softmax.negative_log_likelihood(teacher, targets[rows]).mean()
        return loss * batch["share"], {}

    # In the authors' code, all parameters have weight decay.
    groups = [Group(list(part.parameters()), rate_of(name), WEIGHT_DECAY) for name, part in learned.items()]
    train(
        learned, AdamW(groups), draw, compute_loss, settings.epochs * steps, name="TaxDistill as published",
        checkpoint=checkpoint(seed),
    )  # fmt: skip
    with torch.no_grad():
        return torch.softmax(student(inputs), dim=1).numpy()


def learn_published(options, embeddings: Embeddings | None, settings: PublishedSettings) -> None:
    """Read the files in ``options`` of the command, train, and write the lineages of the student.

    The state is stored in ``<probabilities>.<seed>.checkpoint`` (see `core.training.checkpoints`) and removed
    at the end.
    """
    tree = LabelTree.load(options.tree)
    contigs = read_contigs(options.contigs, options.index, options.abundance)
    labels = read_table(options.labels, LABELS)
    if labels["id"].tolist() != contigs.ids:
        raise InputError(
            f"{options.labels}: its contigs differ from those of the index {options.index}, or are in another order"
        )
    nodes = np.array([tree.deepest_node_of(lineage) for lineage in lineages_of(labels)])
    matrix = embeddings.load() if embeddings is not None else None
    given = {role: getattr(options, role) for role in ("contigs", "index", "abundance", "labels", "tree")}
    files = {role: path for role, path in given.items() if path is not None}
    files |= {f"embeddings {number}": path for number, path in enumerate(embeddings.paths if embeddings else ())}
    checkpoints: dict[int, Checkpoint] = {}

    def checkpoint(seed: int) -> Checkpoint:
        checkpoints[seed] = Checkpoint(f"{options.output_probabilities}.{seed}.checkpoint", vars(settings), files)
        return checkpoints[seed]

    probabilities = train_published(contigs, nodes, tree, matrix, settings, options.seed, checkpoint)
    metadata = {"seed": options.seed, "recipe": "taxdistill-published", **vars(settings)}
    table = lineage_probabilities(contigs.ids, probabilities, tree)
    write_table(options.output_probabilities, table, LINEAGE_PROBABILITIES, metadata)
    for kept in checkpoints.values():
        kept.remove()
