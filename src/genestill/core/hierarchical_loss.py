"""Losses over a label tree, with one softmax over all leaves."""

import torch

from genestill.core.label_tree import LabelTree

SMALLEST_PROBABILITY = 1e-12


class FlatSoftmax:
    """Probabilities of the nodes of a label tree from logits over its leaves (Valmadre 2022, arXiv 2210.10929).

    The leaves of a node are contiguous, so the probability of a node is the difference of two entries of one
    cumulative sum: the cost does not grow with the number of inner nodes.
    """

    def __init__(self, tree: LabelTree, device: torch.device | str = "cpu"):
        self.start = torch.as_tensor(tree.leaf_start, dtype=torch.long, device=device)
        self.stop = torch.as_tensor(tree.leaf_stop, dtype=torch.long, device=device)

    def node_probabilities(self, logits: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Probability of ``nodes`` [b] (int64), one per row of ``logits`` [b, leaves]: float64 [b]."""
        # In float64, because small probabilities are differences of two sums near one.
        total = torch.softmax(logits, dim=1, dtype=torch.float64).cumsum(dim=1)
        total = torch.nn.functional.pad(total, (1, 0))
        upper = total.gather(1, self.stop[nodes].unsqueeze(1))
        lower = total.gather(1, self.start[nodes].unsqueeze(1))
        return (upper - lower).squeeze(1)

    def negative_log_likelihood(self, logits: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """-log of the summed probability of the leaves under each label node: float32 [b]; zero for the root."""
        probabilities = self.node_probabilities(logits, nodes).clamp(SMALLEST_PROBABILITY, 1.0)
        return -torch.log(probabilities).to(logits.dtype)


def distillation_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² KL(teacher/T ‖ student/T) (Hinton et al. 2015, arXiv 1503.02531), one value per row: float [b].

    The logits are float [b, leaves]; those of the teacher are detached. The factor T² makes the size of the gradient
    independent of the temperature.
    """
    teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=1)
    student = torch.log_softmax(student_logits / temperature, dim=1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=1)
