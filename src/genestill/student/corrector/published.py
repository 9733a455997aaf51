"""The recipe ``taxdistill-published``: TaxDistill as its authors describe and run it (arXiv 2605.28868).

A perceptron of four layers reads 103 tetranucleotide features, the abundances and their total. A linear head without
bias reads the teacher's embedding (last token of the first 512). Both learn together from the noisy labels with the
flat-softmax loss over the taxonomy, and the perceptron also from the head:

    alpha · CE(student) + (1 - alpha) · T² KL(head ‖ student) + CE(head)

AdamW with 1e-3 for the student and 1e-4 for the head, weight decay 1e-4, cosine to 1e-6, gradients accumulated over
eight batches and clipped at one. The controls change one thing each: no teacher, or the student's own earlier
self in the teacher's place.
"""

import numpy as np
import torch
from torch import nn

from genestill.core.errors import CheckFailed, InputError
from genestill.core.hierarchical_loss import FlatSoftmax, distillation_loss
from genestill.core.label_tree import LabelTree
from genestill.core.predictions import predictions_of
from genestill.core.shards import Embeddings
from genestill.core.table_schemas import LABELS, PREDICTIONS, lineages_of
from genestill.core.tables import read_table, write_table
from genestill.student.corrector.features import Contigs, read_contigs
from genestill.student.corrector.settings import PublishedSettings

HIDDEN_SIZE, LAYERS, DROPOUT = 512, 4, 0.2
SMALLEST_LEARNING_RATE, WEIGHT_DECAY = 1e-6, 1e-4


def standardised(values: np.ndarray) -> np.ndarray:
    """Columns of zero mean and unit variance: float32."""
    return ((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)).astype(np.float32)


def taxometer_inputs(contigs: Contigs) -> torch.Tensor:
    """Composition, abundance shares over the samples, and log total abundance, as Taxometer's: float32 [n, w]."""
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
    """Taxometer's network: four times linear, LeakyReLU, dropout, batch norm; then the leaves."""
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
) -> tuple[np.ndarray, np.ndarray | None]:
    """Train student and head together on ``nodes`` [n] (0, the root: no label; it teaches nothing).

    Returns:
        Leaf probabilities of the student, and of the teacher's head (None without one): float32 [n, leaves].

    Raises:
        InputError: the teacher is asked for and there are no embeddings.
        CheckFailed: the loss is not a number.
    """
    if settings.teacher == "embeddings" and embeddings is None:
        raise InputError("recipe taxdistill-published needs the teacher's embeddings, and there are none")
    inputs = taxometer_inputs(contigs)
    if settings.teacher == "self":
        first, _ = _train(inputs, nodes, tree, None, None, settings, seed)
        earlier = torch.log(torch.from_numpy(first).clamp(min=1e-12))
        return _train(inputs, nodes, tree, None, earlier, settings, seed + 1)
    taught = torch.from_numpy(embeddings.astype(np.float32)) if settings.teacher == "embeddings" else None
    return _train(inputs, nodes, tree, taught, None, settings, seed)


def _train(inputs, nodes, tree: LabelTree, embeddings, earlier, settings: PublishedSettings, seed: int):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    leaves, contigs = len(tree.leaves), len(inputs)
    student = build_student(inputs.shape[1], leaves)
    parameters = [{"params": list(student.parameters()), "lr": settings.learning_rate}]
    head = None
    if embeddings is not None:
        head = nn.Linear(embeddings.shape[1], leaves, bias=False)
        parameters.append({"params": list(head.parameters()), "lr": settings.head_learning_rate})
    optimizer = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs, eta_min=SMALLEST_LEARNING_RATE)
    every = [parameter for group in parameters for parameter in group["params"]]
    softmax, targets = FlatSoftmax(tree), torch.from_numpy(nodes.astype(np.int64))
    for epoch in range(settings.epochs):
        student.train()
        order = torch.randperm(contigs, generator=generator)
        batches = [rows for rows in order.split(settings.batch_size) if len(rows) > 1]
        for number, rows in enumerate(batches, 1):
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
            if not torch.isfinite(loss):
                raise CheckFailed(f"the loss is {loss.item()} in epoch {epoch + 1}")
            (loss / settings.accumulation).backward()
            if number % settings.accumulation == 0 or number == len(batches):
                nn.utils.clip_grad_norm_(every, 1.0)
                optimizer.step()
                optimizer.zero_grad()
        schedule.step()
    student.eval()
    with torch.no_grad():
        said = torch.softmax(student(inputs), dim=1).numpy()
        taught = torch.softmax(head(embeddings), dim=1).numpy() if head is not None else None
    return said, taught


def learn_published(options, embeddings: Embeddings | None, settings: PublishedSettings) -> None:
    """Read the files that the command's ``options`` name, train, and write the predictions of student and head."""
    tree = LabelTree.load(options.tree)
    contigs = read_contigs(options.contigs, options.index, options.abundance)
    labels = read_table(options.labels, LABELS)
    if labels["id"].tolist() != contigs.ids:
        raise InputError(f"{options.labels}: its contigs are not those of the index {options.index}, in its order")
    nodes = np.array([tree.deepest_node_of(lineage) for lineage in lineages_of(labels)])
    matrix = embeddings.load() if embeddings is not None else None
    said, taught = train_published(contigs, nodes, tree, matrix, settings, options.seed)
    metadata = {"seed": options.seed, "recipe": "taxdistill-published", **vars(settings)}
    for path, probabilities in ((options.output_predictions, said), (options.output_head_predictions, taught)):
        if path is not None and probabilities is not None:
            table = predictions_of(contigs.ids, probabilities, tree, settings.threshold)
            write_table(path, table, PREDICTIONS, metadata)
