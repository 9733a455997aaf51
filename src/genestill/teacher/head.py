"""A light head on frozen embeddings: soft labels over the label tree."""

from pathlib import Path

import numpy as np
import torch

from genestill.ground.artefacts import LABELS, PREDICTIONS, lineages_of
from genestill.ground.devices import choose_device
from genestill.ground.errors import CheckFailed
from genestill.ground.hierarchical_loss import FlatSoftmax
from genestill.ground.label_tree import LabelTree
from genestill.ground.predictions import predictions_of
from genestill.ground.shards import load_embeddings
from genestill.ground.soft_labels import write_soft_labels
from genestill.ground.tables import read_table, write_table

STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 600, 512, 3e-3, 1e-2


def soft_labels(
    embeddings: np.ndarray, nodes: np.ndarray, tree: LabelTree, folds: int, seed: int, device="cpu"
) -> np.ndarray:
    """Soft labels of all sequences from linear heads that never saw their labels (cross-fitting).

    A head that is asked about its own training examples repeats their noise. So the sequences are dealt into
    ``folds`` parts; the soft labels of a part come from a head trained on the others.

    Args:
        embeddings: float32 [n, size].
        nodes: int64 [n], node of the label tree that each sequence is labelled with; 0 (the root): no label.
        tree: the label tree.
        folds: number of parts; 1 trains one head on everything and asks it about everything.
        seed: of the deal and the heads.
        device: where the heads are trained.

    Returns:
        float32 [n, leaves], rows sum to one.

    Raises:
        CheckFailed: a head's loss is not a number.
    """
    random = np.random.default_rng(seed)
    fold = random.permutation(len(embeddings)) % folds
    scale = np.maximum(embeddings.std(axis=0), 1e-6)
    inputs = torch.from_numpy(((embeddings - embeddings.mean(axis=0)) / scale).astype(np.float32)).to(device)
    targets = torch.from_numpy(nodes.astype(np.int64)).to(device)
    softmax = FlatSoftmax(tree, device)
    answers = np.zeros((len(embeddings), len(tree.leaves)), dtype=np.float32)
    for part in range(folds):
        asked = torch.from_numpy(np.flatnonzero(fold == part)).to(device)
        taught = (fold != part) if folds > 1 else np.ones(len(fold), dtype=bool)
        shown = torch.from_numpy(np.flatnonzero(taught & (nodes > 0))).to(device)
        head = _train_head(inputs, targets, shown, softmax, len(tree.leaves), seed + part)
        with torch.no_grad():
            answers[asked.cpu().numpy()] = torch.softmax(head(inputs[asked]), dim=1).cpu().numpy()
    return answers


def _train_head(inputs, targets, shown, softmax: FlatSoftmax, leaves: int, seed: int) -> torch.nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(inputs.shape[1], leaves).to(inputs.device)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if len(shown) == 0:
        return head
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = shown[torch.randint(len(shown), (min(BATCH, len(shown)),), generator=generator).to(shown.device)]
        loss = softmax.negative_log_likelihood(head(inputs[rows]), targets[rows]).mean()
        if not torch.isfinite(loss):
            raise CheckFailed(f"the loss of the teacher's head is {loss.item()}; are the embeddings finite?")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head


def soften(
    embeddings: list[str],
    labels: str | Path,
    tree: str | Path,
    folds: int,
    seed: int,
    device: str,
    output: str | Path,
    output_predictions: str | Path | None,
) -> None:
    """Read shards of embeddings and labels, and write soft labels and, if asked for, the heads' own predictions."""
    label_tree = LabelTree.load(tree)
    table = read_table(labels, LABELS)
    ids = table["id"].tolist()
    nodes = np.array([label_tree.deepest_node_of(lineage) for lineage in lineages_of(table)])
    matrix = load_embeddings(embeddings, ids)
    probabilities = soft_labels(matrix, nodes, label_tree, folds, seed, choose_device(device))
    write_soft_labels(output, ids, probabilities, label_tree, {"folds": folds, "seed": seed})
    if output_predictions is not None:
        write_table(
            output_predictions, predictions_of(ids, probabilities, label_tree, 0.5), PREDICTIONS, {"seed": seed}
        )
