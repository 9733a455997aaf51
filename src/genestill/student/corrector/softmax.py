"""The corrector's loss: how far its softmax over the leaves is from the targets, and a step against that.

The loss of a contig is -Σ_c t(c) log p(c) over the leaves c. Its part -Σ_c t(c) logit(c) needs only the leaves of the
target; the other, log Σ_c exp(logit(c)), needs all. Of a small tree all are formed. Of a large one, the second sum is
estimated from the leaves that the contig's target and evidence name, each for itself, and from a sample of the others,
weighted by one over their chance of being drawn: the estimate of the sum is unbiased (importance sampling; Bengio and
Senécal 2008, doi 10.1109/TNN.2007.912312; Jean et al. 2015, arXiv 1412.2007).
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse

from genestill.core.memory import row_blocks
from genestill.core.training.optimizer import AdamW, Group
from genestill.core.training.row_optimizer import RowAdamW
from genestill.core.training.schedule import Schedule
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.network import Corrector
from genestill.student.corrector.targets import Targets

SAMPLED = 4096  # leaves that all contigs of a step share
SAMPLED_BELOW = 8  # leaves of a wide node, for each contig with one
CLIP = 1.0


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
        # In float64, or the difference of two long sums would be coarse.
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

    Leaves the student in evaluation mode.
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
    """Steps that see every leaf."""

    def __init__(
        self,
        student: Corrector,
        inputs: Inputs,
        targets: Targets,
        schedule: Schedule,
        weight_decay: float,
        random: torch.Generator,
    ):
        self.student, self.inputs, self.targets = student, inputs, targets
        self.optimizer = AdamW([Group(list(student.parameters()), schedule.rate, weight_decay)])

    def step(self, rows: torch.Tensor, present: torch.Tensor, gains: torch.Tensor, step: int) -> float:
        """Learn from the contigs ``rows``, with ``present`` and ``gains`` in place of theirs; return the mean loss."""
        logits = self.student(self.inputs.values[rows], present, self.inputs.leaves[rows], gains)
        loss = full_losses(logits, self.targets.posterior[rows.numpy()], self.targets)[0]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), CLIP)
        self.optimizer.step(step)
        return loss.item()


class SampledSoftmax:
    """Steps that see the leaves that their contigs name, and `SAMPLED` others; only these rows of the head move.

    Half of the sample is drawn by the prior, half evenly. The head starts from the prior.
    """

    def __init__(
        self,
        student: Corrector,
        inputs: Inputs,
        targets: Targets,
        schedule: Schedule,
        weight_decay: float,
        random: torch.Generator,
    ):
        self.student, self.inputs, self.random, self.schedule = student, inputs, random, schedule
        self.wide, leaves = targets.wide, student.config.leaves
        self.named, self.below = _named_leaves(targets.posterior, inputs, leaves)
        chance = 0.5 * targets.prior + 0.5 / leaves
        self.chance, self.reach = torch.from_numpy(chance), torch.from_numpy(np.cumsum(chance))
        # Places of leaves in the sample of a step; emptied after each.
        self.place = torch.full((leaves,), -1)
        with torch.no_grad():
            student.head.bias.copy_(torch.from_numpy(np.log(targets.prior)))
        self.head = [student.head.weight, student.head.bias]
        others = [parameter for parameter in student.parameters() if all(parameter is not part for part in self.head)]
        self.optimizer = AdamW([Group(others, schedule.rate, weight_decay)])
        self.row_optimizer = RowAdamW(self.head, weight_decay)

    def step(self, rows: torch.Tensor, present: torch.Tensor, gains: torch.Tensor, step: int) -> float:
        """Learn from the contigs ``rows``, with ``present`` and ``gains`` in place of theirs; return the mean loss."""
        drawn = torch.rand(SAMPLED, generator=self.random, dtype=torch.float64)
        sample, times = torch.searchsorted(self.reach, drawn).clamp_(max=len(self.reach) - 1).unique(return_counts=True)
        loss, leaves, parts = self.loss(rows, present, gains, sample, times / (SAMPLED * self.chance[sample]))
        loss.backward()
        others = self.optimizer.parameters
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(part.grad) for part in [*parts, *others] if part.grad is not None])
        )
        shrink = torch.clamp(CLIP / (norm + 1e-6), max=1.0)
        for part in [*parts, *others]:
            part.grad.mul_(shrink)
        self.row_optimizer.step(leaves, [part.grad for part in parts], self.schedule.rate(step))
        self.optimizer.step(step)
        return loss.item()

    def loss(self, rows: torch.Tensor, present, gains, sample: torch.Tensor, weights: torch.Tensor):
        """Estimate of the mean loss from the leaves ``sample`` (each once), which stand for ``weights`` leaves each.

        Returns:
            The loss, the leaves that took part, and the rows of the head's weight and bias for these, with gradients.
        """
        named = self.named[rows.numpy()]
        owner = torch.from_numpy(np.repeat(np.arange(len(rows)), np.diff(named.indptr)))
        leaf = torch.from_numpy(named.indices.astype(np.int64))
        share = torch.from_numpy(named.data)
        below = self._sample_below(rows)
        leaves, place = torch.cat([sample, leaf, below[1]]).unique(return_inverse=True)
        sample_place, leaf_place, below_place = place.split([len(sample), len(leaf), len(below[1])])
        weight, bias = (part.detach()[leaves].requires_grad_() for part in self.head)
        seen = self.student.represent(self.inputs.values[rows], present)

        def logits_of(contig: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            return (seen[contig] * weight[at]).sum(dim=1) + bias[at]

        # Evidence of a contig raises leaves that it names, and no other.
        raised = torch.zeros(len(rows), len(leaves)).scatter_add_(
            1, self._places(leaves, self.inputs.leaves[rows]), gains
        )
        own = logits_of(owner, leaf_place) + self.student.evidence_weight * raised[owner, leaf_place]
        shared = seen @ weight[sample_place].T + bias[sample_place] + torch.log(weights).float()
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
        chosen = (own * share).sum() + (logits_of(below[0], below_place) * below[2]).sum()
        mass = torch.zeros(len(rows)).index_add(0, owner, share).index_add(0, below[0], below[2])
        return ((total * mass).sum() - chosen) / len(rows), leaves, [weight, bias]

    def _places(self, leaves: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Where ``wanted`` leaves are in ``leaves`` (rising); 0 for leaves of padding that are not there."""
        found = torch.searchsorted(leaves, wanted).clamp_(max=len(leaves) - 1)
        return torch.where(leaves[found] == wanted, found, 0)

    def _sample_below(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Leaves drawn evenly below the wide nodes of the targets: row of the batch, leaf, share of the target."""
        entries = self.below[rows.numpy()].tocoo()
        start, stop = self.wide.start[entries.col], self.wide.stop[entries.col]
        drawn = torch.rand((entries.nnz, SAMPLED_BELOW), generator=self.random, dtype=torch.float64).numpy()
        leaf = (start[:, None] + drawn * (stop - start)[:, None]).astype(np.int64)
        share = np.repeat(entries.data / SAMPLED_BELOW, SAMPLED_BELOW).astype(np.float32)
        contig = np.repeat(entries.row, SAMPLED_BELOW).astype(np.int64)
        return torch.from_numpy(contig), torch.from_numpy(leaf.ravel()), torch.from_numpy(share)


def _named_leaves(
    posterior: sparse.csr_matrix, inputs: Inputs, leaves: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The leaves that the target or the evidence of each contig names, with their shares of the target, which may be
    zero (float32 [n, leaves]), and the wide nodes of the targets (float64 [n, w])."""
    contig, place = np.nonzero(inputs.gains.numpy())
    targets = posterior[:, :leaves].tocoo()
    rows = np.concatenate([targets.row, contig])
    columns = np.concatenate([targets.col, inputs.leaves.numpy()[contig, place]])
    shares = np.concatenate([targets.data, np.zeros(len(contig))]).astype(np.float32)
    # Entries of zero stay: duplicates are summed, and nothing is left out.
    return sparse.csr_matrix((shares, (rows, columns)), shape=(len(inputs), leaves)), posterior[:, leaves:].tocsr()
