"""AdamW with groups of parameters, based on the functional form of `torch.optim.AdamW`.

The optimizer classes of torch load its compiler (1.8 s and 75 MB in a process without transformers, a quarter of the
training time of the corrector); the functional form does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.adamw import adamw

_NORMALISATIONS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm,
)  # fmt: skip

EPSILON = 1e-8
ROWS = 512  # rows updated at a time, so that intermediate results stay in the cache of the processor


@dataclass(frozen=True)
class Group:
    """Parameters with the same weight decay and learning rate.

    Attributes:
        parameters: the parameters.
        rate: function from a step (from 0) to its learning rate, such as `Schedule.rate`.
        weight_decay: weight decay, decoupled from the gradient.
    """

    parameters: list[nn.Parameter]
    rate: Callable[[float], float]
    weight_decay: float


def parameter_groups(
    model: nn.Module, rate: Callable[[float], float], weight_decay: float, but: nn.Module | None = None
) -> list[Group]:
    """Parameter groups of ``model``: with weight decay for weights of linear maps, convolutions and embeddings.

    Without weight decay are biases and all other vectors and scalars, normalisations of any shape, and the parameters
    or submodules that a module lists in ``without_weight_decay`` (a tuple of names), such as gates, for which a value
    near zero is not simpler. Parameters of ``but``, a submodule of the model, are in no group.
    """
    without = {id(parameter) for parameter in _without_weight_decay(model)}
    left_out = {id(parameter) for parameter in but.parameters()} if but is not None else set()
    learned = [
        parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in left_out
    ]
    decayed = [parameter for parameter in learned if id(parameter) not in without]
    others = [parameter for parameter in learned if id(parameter) in without]
    groups = [Group(decayed, rate, weight_decay), Group(others, rate, 0.0)]
    return [group for group in groups if group.parameters]


class RowAdamW:
    """AdamW for the last layer of a large label tree, in which a step changes only a few rows.

    A dense step would process every row although only a few have a gradient. Here the averages of other rows are not
    changed, and the bias correction uses the number of steps of each row. Pass it to `AdamW` as ``rows``.

    Attributes:
        parameters: parameters of the groups, in order; all have the same number of rows.
        taken: rows of each parameter that the next step updates, with gradients after the backward pass; or empty.
    """

    def __init__(self, groups: list[Group]):
        self.groups = groups
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.taken: list[torch.Tensor] = []
        self._rows = torch.zeros(0, dtype=torch.long)
        self._averages = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = torch.zeros(len(self.parameters[0]), device=self.parameters[0].device)

    def take(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """``rows`` (int64 [r], without repetitions) of every parameter [r, …], for the loss of the next step.

        A step has one batch: rows that were taken before and not updated are discarded.
        """
        self._rows = rows
        self.taken = [part.detach().index_select(0, rows).requires_grad_() for part in self.parameters]
        return self.taken

    @torch.no_grad()
    def step(self, step: float, betas: tuple[float, float], skip: torch.Tensor | None = None) -> None:
        """Update the rows that were taken; see `AdamW.step`."""
        rows, gradients = self._rows, [part.grad for part in self.taken]
        self.taken = []
        if not gradients or (skip is not None and skip):
            return
        self._steps[rows] += 1
        taken = self._steps[rows]
        settings = [(group.rate(step), group.weight_decay) for group in self.groups for _ in group.parameters]
        for parameter, gradient, averages, squares, (rate, weight_decay) in zip(
            self.parameters, gradients, self._averages, self._squares, settings, strict=True
        ):
            of_row = (-1, *(1,) * (parameter.dim() - 1))
            for some, times, slope in zip(rows.split(ROWS), taken.split(ROWS), gradient.split(ROWS), strict=True):
                average = averages.index_select(0, some).lerp_(slope, 1 - betas[0])
                square = squares.index_select(0, some).mul_(betas[1]).addcmul_(slope, slope, value=1 - betas[1])
                averages.index_copy_(0, some, average)
                squares.index_copy_(0, some, square)
                size = square.div_((1 - betas[1] ** times).view(of_row)).sqrt_().add_(EPSILON)
                average.div_((1 - betas[0] ** times).view(of_row)).div_(size)
                kept = parameter.index_select(0, some).mul_(1 - rate * weight_decay)
                parameter.index_copy_(0, some, kept.sub_(average, alpha=rate))

    def state(self) -> dict[str, list[torch.Tensor]]:
        """The state for a checkpoint."""
        return {"row averages": self._averages, "row squares": self._squares, "row steps": [self._steps]}


def _without_weight_decay(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        # transformers defines a normalisation class for each architecture.
        if isinstance(module, _NORMALISATIONS) or type(module).__name__.endswith("Norm"):
            yield from module.parameters()
        yield from (parameter for parameter in module.parameters(recurse=False) if parameter.ndim < 2)
        for name in getattr(module, "without_weight_decay", ()):
            found = getattr(module, name)
            yield from found.parameters() if isinstance(found, nn.Module) else [found]


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

    Args:
        groups: parameters that are updated completely in each step.
        betas: decay rates of the averages of gradients and of squared gradients.
        rows: parameters of which a step updates only the rows that were taken.

    Attributes:
        device: device of the parameters.
    """

    def __init__(self, groups: list[Group], betas: tuple[float, float] = (0.9, 0.999), rows: RowAdamW | None = None):
        self.groups, self.betas, self.rows = groups, betas, rows
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self._averages = {parameter: torch.zeros_like(parameter) for parameter in self.parameters}
        self._squares = {parameter: torch.zeros_like(parameter) for parameter in self.parameters}
        self._first = [*groups, *(rows.groups if rows else ())][0]
        self.device = self._first.parameters[0].device
        # The fused kernel needs the number of steps on the device of the parameter.
        self._steps = {parameter: torch.zeros((), device=parameter.device) for parameter in self.parameters}

    def moved(self) -> list[torch.Tensor]:
        """Tensors with gradients for the next step: the parameters, and the rows that were taken."""
        return self.parameters + (self.rows.taken if self.rows else [])

    @torch.no_grad()
    def step(self, step: float, skip: torch.Tensor | None = None) -> float:
        """Update every parameter that has a gradient, with the learning rate of ``step``, and delete the gradients.

        ``skip`` is a float32 scalar on the parameters' device; if it is 1, nothing is updated, and the CPU does not
        wait for its value. Returns the learning rate of the first group.
        """
        for group in self.groups:
            moved = [parameter for parameter in group.parameters if parameter.grad is not None]
            if not moved:
                continue
            adamw(
                moved,
                [parameter.grad for parameter in moved],
                [self._averages[parameter] for parameter in moved],
                [self._squares[parameter] for parameter in moved],
                [],
                [self._steps[parameter] for parameter in moved],
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group.rate(step),
                weight_decay=group.weight_decay,
                eps=EPSILON,
                maximize=False,
                found_inf=skip,
            )
            for parameter in moved:
                parameter.grad = None
        if self.rows:
            self.rows.step(step, self.betas, skip)
        return self._first.rate(step)

    def state(self) -> dict[str, list[torch.Tensor]]:
        """The state for a checkpoint, in the order of the parameters."""
        return {
            "averages": [self._averages[parameter] for parameter in self.parameters],
            "squares": [self._squares[parameter] for parameter in self.parameters],
            "steps": [self._steps[parameter] for parameter in self.parameters],
        } | (self.rows.state() if self.rows else {})

    @torch.no_grad()
    def load_state(self, state: dict[str, list[torch.Tensor]]) -> None:
        """Restore the state that `state` returned."""
        for name, stored in self.state().items():
            for ours, theirs in zip(stored, state[name], strict=True):
                ours.copy_(theirs)
