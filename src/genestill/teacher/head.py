"""A linear head on frozen embeddings: soft labels over the label tree."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genestill.core.devices import choose_device
from genestill.core.hierarchical_loss import SMALLEST_PROBABILITY
from genestill.core.label_tree import LabelTree
from genestill.core.memory import give_back_large_arrays, row_blocks
from genestill.core.predictions import predictions_of
from genestill.core.shards import Embeddings, chosen_rows, teacher_of
from genestill.core.soft_labels import write_soft_labels
from genestill.core.table_schemas import LABELS, PREDICTIONS, lineages_of
from genestill.core.tables import read_table, write_table
from genestill.core.training.batches import Batch
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, RowAdamW, parameter_groups
from genestill.core.training.schedule import Schedule

STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 600, 512, 3e-3, 1e-2
MOST_SEGMENTS = 8192  # above this number, a step uses a sample of the segments
SAMPLED, LISTED = 2048, 64  # sampled segments for all examples of a step; sampled segments of a label


def soft_labels(
    embeddings: Iterable[np.ndarray], nodes: np.ndarray, tree: LabelTree, folds: int, seed: int, device="cpu"
) -> Iterator[np.ndarray]:
    """Soft labels of all sequences from linear heads that were not trained on their labels (cross-fitting).

    A head overfits the noise of its training labels. Therefore the sequences are divided into ``folds`` parts, and the
    soft labels of a part come from a head trained on the others. Memory grows with the number of training examples of
    a head (`STEPS` x `BATCH` at most), not with the number of sequences.

    Args:
        embeddings: blocks, float32 [some, size] each, of the embeddings of the n sequences; iterated once per head and
            twice more.
        nodes: int64 [n], node of the label tree of each sequence's label; 0 (the root): no label.
        tree: the label tree.
        folds: number of parts; with 1, one head is trained on all sequences and applied to all.
        seed: seed of the division and of the heads.
        device: torch device for training.

    Yields:
        float32 [some, leaves], rows sum to one; large blocks are divided (`memory.row_blocks`).

    Raises:
        CheckFailed: the loss of a head is not finite.
    """
    fold = np.random.default_rng(seed).permutation(len(nodes)) % folds
    mean, scale = _mean_and_scale(embeddings)
    segments = Segments(nodes, tree, device)
    heads = []
    for part in range(folds):
        taught = (fold != part) if folds > 1 else np.ones(len(fold), dtype=bool)
        shown = np.flatnonzero(taught & (nodes > 0))
        heads.append(_train_head(embeddings, mean, scale, nodes, shown, segments, seed + part, device))
    row = 0
    for whole in embeddings:
        for rows in row_blocks(len(whole), 16 * len(tree.leaves)):
            block = whole[rows]
            inputs = torch.from_numpy((block - mean) / scale).to(device)
            answers = np.empty((len(block), len(tree.leaves)), dtype=np.float32)
            for part, head in enumerate(heads):
                asked = np.flatnonzero(fold[row : row + len(block)] == part)
                with torch.no_grad():
                    answers[asked] = segments.leaf_probabilities(head(inputs[asked])).cpu().numpy()
            row += len(block)
            yield answers


class Segments:
    """Groups of consecutive leaves that no label distinguishes: a head has one output per group.

    Every label contains all leaves of a segment or none. With one output per leaf, the leaves of a segment would have
    the same gradients in every step and therefore the same weights. So the result is the same, and the size of the
    head depends on the labels.

    Attributes:
        size: int64 [s], number of leaves of each segment.
        start, stop: int64 [nodes], range of the segments of each node that is a label; 0 for other nodes.
    """

    def __init__(self, nodes: np.ndarray, tree: LabelTree, device: torch.device | str):
        leaves, labels = len(tree.leaves), np.unique(nodes[nodes > 0])
        cuts = np.unique(np.concatenate([[0, leaves], tree.leaf_start[labels], tree.leaf_stop[labels]]))
        self.size = torch.from_numpy(np.diff(cuts)).to(device)
        self.of_leaf = torch.from_numpy(np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))).to(device)
        self.start, self.stop = (torch.zeros(len(tree), dtype=torch.long, device=device) for _ in range(2))
        for found, ends in ((self.start, tree.leaf_start), (self.stop, tree.leaf_stop)):
            found[labels] = torch.from_numpy(np.searchsorted(cuts, ends[labels])).to(device)

    def __len__(self) -> int:
        return len(self.size)

    def leaf_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Convert logits of the segments [b, s] to probabilities of the leaves: float32 [b, leaves]."""
        return torch.softmax(logits[:, self.of_leaf], dim=1)

    def loss(self, logits: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """-log of the probability of the label ``nodes`` [b], from logits of all segments [b, s]: float32 [b]."""
        logits = logits + torch.log(self.size)
        # Nearly all labels have few segments, so only the sum over all segments needs the whole array.
        start, count = self.start[nodes], (self.stop - self.start)[nodes]
        owner = torch.repeat_interleave(torch.arange(len(nodes), device=logits.device), count)
        segment = torch.arange(len(owner), device=logits.device) - (count.cumsum(0) - count - start)[owner]
        total = torch.logsumexp(logits, dim=1)
        shares = torch.exp(logits[owner, segment] - total[owner])
        return -torch.log(torch.zeros_like(total).index_add(0, owner, shares).clamp(SMALLEST_PROBABILITY, 1.0))

    def draw(self, nodes: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Random numbers of a step with the labels ``nodes`` [b]: the segments for `sampled_loss`."""
        sample, times = np.unique(random.integers(len(self), size=SAMPLED), return_counts=True)
        drawn = random.random((len(nodes), LISTED), dtype=np.float32)
        return {"drawn": drawn, "sample": sample, "times": times}

    def sampled_loss(
        self, batch: dict[str, torch.Tensor], take: Callable[[torch.Tensor], list[torch.Tensor]]
    ) -> torch.Tensor:
        """An estimate of the mean `loss` from the segments of the labels and `SAMPLED` others.

        For a label with more than `LISTED` segments, this many are drawn. Each drawn segment is weighted by the inverse
        of the share that was drawn.

        Args:
            batch: inputs float32 [b, size], targets int64 [b] (nodes of the tree), and the result of `draw`.
            take: function from segments to their rows of weight and bias (`RowAdamW.take`).
        """
        inputs, nodes, sample, times = (batch[name] for name in ("inputs", "targets", "sample", "times"))
        start, count = self.start[nodes], (self.stop - self.start)[nodes]
        steps = torch.arange(LISTED, device=inputs.device).expand(len(nodes), LISTED)
        wide = (count > LISTED)[:, None]
        places = torch.where(wide, (batch["drawn"] * count[:, None]).long(), steps)
        own = start[:, None] + torch.minimum(places, count[:, None] - 1)
        own_weight = torch.where(wide, count[:, None] / LISTED, (steps < count[:, None]).float())
        rows, place = torch.cat([sample, own.ravel()]).unique(return_inverse=True)
        weight, bias = take(rows)
        logits = inputs @ weight.T + bias + torch.log(self.size[rows])
        inside = logits.gather(1, place[len(sample) :].view(own.shape)) + torch.log(own_weight)
        # The segments of a row's label are excluded from the sample for this row.
        held = (sample >= start[:, None]) & (sample < (start + count)[:, None])
        shared = logits[:, place[: len(sample)]] + torch.log(times * (len(self) / SAMPLED))
        outside = shared.masked_fill(held, -torch.inf)
        inside = torch.logsumexp(inside, dim=1)
        total = torch.logaddexp(inside, torch.logsumexp(outside, dim=1))
        return (total - inside).mean()


def _mean_and_scale(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (at least 1e-6) of each column: float32 [size]."""
    rows, total, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        wide = block.astype(np.float64)
        rows, total, squares = rows + len(block), total + wide.sum(axis=0), squares + (wide**2).sum(axis=0)
    mean = total / rows
    scale = np.sqrt(np.maximum(squares / rows - mean**2, 1e-12))
    return mean.astype(np.float32), scale.astype(np.float32)


def _train_head(
    embeddings, mean, scale, nodes: np.ndarray, shown: np.ndarray, segments: Segments, seed: int, device
) -> torch.nn.Linear:
    head = torch.nn.Linear(len(mean), len(segments)).to(device)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if len(shown) == 0:
        return head
    generator = torch.Generator().manual_seed(seed)
    batch = min(BATCH, len(shown))
    drawn = np.stack([torch.randint(len(shown), (batch,), generator=generator).numpy() for _ in range(STEPS)])
    needed, drawn = np.unique(shown[drawn], return_inverse=True)
    drawn = drawn.reshape(STEPS, batch)
    # Shards are float16; examples are kept in this type to halve the memory.
    examples = chosen_rows((block.astype(np.float16) for block in embeddings), needed)
    targets = nodes[needed].astype(np.int64)

    sampled = len(segments) > MOST_SEGMENTS

    def draw(step: int) -> list[Batch]:
        rows = drawn[step]
        batch = {"inputs": (examples[rows].astype(np.float32) - mean) / scale, "targets": targets[rows]}
        if sampled:
            batch |= segments.draw(targets[rows], np.random.default_rng((seed, step)))
        return [Batch(batch, len(rows))]

    def compute_loss(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        if rows_of_head is not None:
            return segments.sampled_loss(batch, rows_of_head.take), {}
        return segments.loss(head(batch["inputs"]), batch["targets"]).mean(), {}

    # The learning rate would be 0 at the step after the last one.
    schedule = Schedule(STEPS + 1, LEARNING_RATE, warm_up=0.0)
    groups = parameter_groups(head, schedule.rate, WEIGHT_DECAY)
    rows_of_head = RowAdamW(groups) if sampled else None
    optimizer = AdamW([] if sampled else groups, rows=rows_of_head)
    train(head, optimizer, draw, compute_loss, STEPS, name="head of the teacher", clip=0.0)
    return head


def make_soft_labels(
    embeddings: list[str],
    labels: str | Path,
    tree: str | Path,
    folds: int,
    seed: int,
    device: str,
    output: str | Path,
    output_predictions: str | Path | None,
) -> None:
    """Read shards of embeddings and labels; write soft labels and, if requested, the predictions of the heads."""
    give_back_large_arrays()
    label_tree = LabelTree.load(tree)
    table = read_table(labels, LABELS)
    ids = table["id"].tolist()
    nodes = np.array([label_tree.deepest_node_of(lineage) for lineage in lineages_of(table)])
    blocks = soft_labels(Embeddings(embeddings, ids), nodes, label_tree, folds, seed, choose_device(device))
    parts: list[pd.DataFrame] = []

    def answered() -> Iterator[np.ndarray]:
        row = 0
        for block in blocks:
            if output_predictions is not None:
                parts.append(predictions_of(ids[row : row + len(block)], block, label_tree, 0.5))
            row += len(block)
            yield block

    metadata = teacher_of(embeddings[0]) | {"folds": folds, "seed": seed}
    write_soft_labels(output, ids, answered(), label_tree, metadata)
    if output_predictions is not None:
        write_table(output_predictions, pd.concat(parts, ignore_index=True), PREDICTIONS, {"seed": seed})
