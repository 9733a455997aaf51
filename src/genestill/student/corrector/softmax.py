"""The corrector's loss: the cross-entropy between the targets and its softmax over the leaves.

The loss of a contig is -Σ_c t(c) log p(c) over the leaves c. Its part -Σ_c t(c) logit(c) needs only the leaves of the
target; the other part, log Σ_c exp(logit(c)), needs all leaves. For a small tree, all are computed. For a large tree,
the second sum is estimated from the leaves in the contig's target and evidence, included exactly, and from a sample of
the others, weighted by the inverse of their sampling probability: the estimate of the sum is unbiased (importance
sampling; Bengio and Senécal 2008, doi 10.1109/TNN.2007.912312; Jean et al. 2015, arXiv 1412.2007).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import sparse

from genestill.core.memory import row_blocks
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.network import Corrector
from genestill.student.corrector.targets import Targets

SAMPLED = 2048  # sampled leaves for all contigs of a step
SAMPLED_BELOW = 8  # sampled leaves of a wide node, for each contig with one


def full_losses(
    logits: torch.Tensor, posterior: sparse.csr_matrix, targets: Targets, temperatures: Sequence[float] = (1.0,)
) -> torch.Tensor:
    """Mean loss over the rows of ``logits`` [b, leaves] and ``posterior``, for each temperature: [temperatures]."""
    leaves = logits.shape[1]
    owner = torch.from_numpy(np.repeat(np.arange(len(logits)), np.diff(posterior.indptr)))
    column = torch.from_numpy(posterior.indices.astype(np.int64))
    share = torch.from_numpy(posterior.data.astype(np.float32))
    at_leaf = column < leaves
    chosen = (logits[owner[at_leaf], column[at_leaf]] * share[at_leaf]).sum()
    if not at_leaf.all():
        node = column[~at_leaf] - leaves
        start, stop = (torch.from_numpy(ends)[node] for ends in (targets.wide.start, targets.wide.stop))
        # In float64, because differences of two long sums are needed.
        totals = torch.nn.functional.pad(logits.cumsum(dim=1, dtype=torch.float64), (1, 0))
        row = owner[~at_leaf]
        mean = (totals[row, stop] - totals[row, start]) / (stop - start)
        chosen = chosen + (mean.float() * share[~at_leaf]).sum()
    mass = torch.zeros(len(logits)).index_add(0, owner, share)
    sums = [(torch.logsumexp(logits / temperature, dim=1) * mass).sum() for temperature in temperatures]
    return torch.stack(
        [(total - chosen / temperature) / len(logits) for total, temperature in zip(sums, temperatures, strict=True)]
    )


def held_out_losses(
    student: Corrector, inputs: Inputs, targets: Targets, rows: torch.Tensor, temperatures: Sequence[float]
) -> np.ndarray:
    """Mean loss of the contigs in ``rows`` for each temperature, over all leaves, in blocks: float64 [temperatures].

    The student is left in evaluation mode.
    """
    student.eval()
    total = np.zeros(len(temperatures))
    with torch.no_grad():
        for block in row_blocks(len(rows), 8 * student.config.leaves):
            some = rows[block]
            logits = student(inputs.values[some], inputs.present[some], inputs.leaves[some], inputs.gains[some])
            posterior = targets.posterior[some.numpy()]
            total += full_losses(logits, posterior, targets, temperatures).double().numpy() * len(some)
    return total / len(rows)


class FullSoftmax:
    """The loss over every leaf."""

    def __init__(self, student: Corrector, targets: Targets):
        self.student, self.targets = student, targets

    def draw(self, rows: np.ndarray, random: np.random.Generator) -> dict[str, torch.Tensor]:
        """Random values for the loss of the contigs ``rows``: none."""
        return {}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean loss of a batch: its rows, their inputs (of the corrector) and the result of `draw`."""
        logits = self.student(batch["values"], batch["present"], batch["leaves"], batch["gains"])
        return full_losses(logits, self.targets.posterior[batch["rows"].numpy()], self.targets)[0]


class SampledSoftmax:
    """An estimate of the loss from the leaves of the contigs of a step, and `SAMPLED` others.

    Half of the sample is drawn from the prior, half uniformly. The head is initialised with the prior. A step reads and
    updates only the rows of the head for these leaves (`RowAdamW.take`).
    """

    def __init__(
        self, student: Corrector, inputs: Inputs, targets: Targets, take: Callable[[torch.Tensor], list[torch.Tensor]]
    ):
        self.student, self.take = student, take
        self.wide, leaves = targets.wide, student.config.leaves
        self.named, self.below = _named_leaves(targets.posterior, inputs, leaves)
        self.chance = 0.5 * targets.prior + 0.5 / leaves
        self.reach = np.cumsum(self.chance)
        # Positions of leaves in the sample of a step; reset after each step.
        self.place = torch.full((leaves,), -1)
        with torch.no_grad():
            student.head.bias.copy_(torch.from_numpy(np.log(targets.prior)))

    def draw(self, rows: np.ndarray, random: np.random.Generator) -> dict[str, torch.Tensor]:
        """Distinct leaves for the contigs ``rows``, and the weight of each; leaves below wide nodes."""
        drawn = np.searchsorted(self.reach, random.random(SAMPLED)).clip(max=len(self.reach) - 1)
        sample, times = np.unique(drawn, return_counts=True)
        weights = (times / (SAMPLED * self.chance[sample])).astype(np.float32)
        shared = {"sample": torch.from_numpy(sample), "weights": torch.from_numpy(weights)}
        return shared | self._draw_below(rows, random)

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Estimate of the mean loss of a batch: its rows, their inputs and the result of `draw`."""
        rows, gains, sample = batch["rows"], batch["gains"], batch["sample"]
        named = self.named[rows.numpy()]
        owner = torch.from_numpy(np.repeat(np.arange(len(rows)), np.diff(named.indptr)))
        leaf = torch.from_numpy(named.indices.astype(np.int64))
        share = torch.from_numpy(named.data)
        below_contig, below_leaf, below_share = (batch[f"below_{part}"] for part in ("contig", "leaf", "share"))
        leaves, place = torch.cat([sample, leaf, below_leaf]).unique(return_inverse=True)
        sample_place, leaf_place, below_place = place.split([len(sample), len(leaf), len(below_leaf)])
        weight, bias = self.take(leaves)
        seen = self.student.represent(batch["values"], batch["present"])

        def logits_of(contig: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            # The gradient of index_select is summed row by row; that of indexing sorts the positions first.
            products = seen.index_select(0, contig) * weight.index_select(0, at)
            return products.sum(dim=1) + bias.index_select(0, at)

        # The evidence of a contig only affects the leaves in it.
        raised = torch.zeros(len(rows), len(leaves)).scatter_add_(1, self._places(leaves, batch["leaves"]), gains)
        own = logits_of(owner, leaf_place) + self.student.evidence_weight * raised[owner, leaf_place]
        offset = bias.index_select(0, sample_place) + torch.log(batch["weights"])
        shared = torch.addmm(offset, seen, weight.index_select(0, sample_place).T)
        self.place[sample] = torch.arange(len(sample))
        at = self.place[leaf]
        self.place[sample] = -1
        twice = torch.zeros(shared.shape, dtype=torch.bool)
        twice[owner[at >= 0], at[at >= 0]] = True
        starts = torch.from_numpy(named.indptr.astype(np.int64))
        width = int((starts[1:] - starts[:-1]).max()) if len(leaf) else 0
        padded = torch.full((len(rows), width), -torch.inf)
        padded = padded.index_put((owner, torch.arange(len(leaf)) - starts[owner]), own)
        total = torch.logsumexp(torch.cat([padded, shared.masked_fill(twice, -torch.inf)], dim=1), dim=1)
        chosen = (own * share).sum() + (logits_of(below_contig, below_place) * below_share).sum()
        mass = torch.zeros(len(rows)).index_add(0, owner, share).index_add(0, below_contig, below_share)
        return ((total * mass).sum() - chosen) / len(rows)

    def _places(self, leaves: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Positions of the ``wanted`` leaves in ``leaves`` (ascending); 0 for leaves of padding that are missing."""
        found = torch.searchsorted(leaves, wanted).clamp_(max=len(leaves) - 1)
        return torch.where(leaves[found] == wanted, found, 0)

    def _draw_below(self, rows: np.ndarray, random: np.random.Generator) -> dict[str, torch.Tensor]:
        """Leaves drawn uniformly below the wide nodes of the targets: row of the batch, leaf, share of the target."""
        entries = self.below[rows].tocoo()
        start, stop = self.wide.start[entries.col], self.wide.stop[entries.col]
        drawn = random.random((entries.nnz, SAMPLED_BELOW))
        leaf = (start[:, None] + drawn * (stop - start)[:, None]).astype(np.int64)
        share = np.repeat(entries.data / SAMPLED_BELOW, SAMPLED_BELOW).astype(np.float32)
        contig = np.repeat(entries.row, SAMPLED_BELOW).astype(np.int64)
        found = {"below_contig": contig, "below_leaf": leaf.ravel(), "below_share": share}
        return {name: torch.from_numpy(values) for name, values in found.items()}


def _named_leaves(
    posterior: sparse.csr_matrix, inputs: Inputs, leaves: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The leaves in the target or the evidence of each contig, with their shares of the target, which may be zero
    (float32 [n, leaves]), and the wide nodes of the targets (float64 [n, w])."""
    contig, place = np.nonzero(inputs.gains.numpy())
    targets = posterior[:, :leaves].tocoo()
    rows = np.concatenate([targets.row, contig])
    columns = np.concatenate([targets.col, inputs.leaves.numpy()[contig, place]])
    shares = np.concatenate([targets.data, np.zeros(len(contig))]).astype(np.float32)
    # Zero entries are kept: duplicates are summed, and nothing is removed.
    return sparse.csr_matrix((shares, (rows, columns)), shape=(len(inputs), leaves)), posterior[:, leaves:].tocsr()
