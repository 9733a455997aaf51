"""AdamW under a one-cycle learning rate, on the function that `torch.optim.AdamW` calls.

The optimiser classes of torch load its compiler, which takes longer than a quarter of the corrector's whole training
and 70 MB; the function itself needs neither.
"""

import math

import torch
from torch.optim.adamw import adamw

WARM_UP, START, END = 0.3, 1 / 25, 1e-4  # share of the steps; first rate as a share of the peak, last of the first
BETAS, EPSILON = (0.9, 0.999), 1e-8


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate of ``step`` (0 to ``steps`` - 1): up to ``peak`` and down again, both along half a cosine.

    Smith and Topin 2017, arXiv 1708.07120, with the shares that torch's OneCycleLR has by default.
    """
    top = max(WARM_UP * steps - 1, 1e-9)
    if step <= top:
        left, right, way = START, 1.0, step / top
    else:
        left, right, way = 1.0, START * END, (step - top) / max(steps - 1 - top, 1e-9)
    return peak * (right + (left - right) * (1 + math.cos(math.pi * way)) / 2)


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over ``parameters``, decoupled ``weight_decay``."""

    def __init__(self, parameters, weight_decay: float):
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.weight_decay = weight_decay
        self.averages = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros(()) for _ in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter against its gradient, then forget the gradients."""
        adamw(
            self.parameters,
            [parameter.grad for parameter in self.parameters],
            self.averages,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=learning_rate,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None


class RowAdamW:
    """AdamW over some rows of matrices and vectors at a time: the averages of rows that took no part stay as they are.

    A dense step would pass over every row to move the few that have a gradient. Bias is corrected by how often a row
    took part.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], weight_decay: float):
        self.parameters, self.weight_decay = parameters, weight_decay
        self.averages = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = torch.zeros(len(parameters[0]))

    @torch.no_grad()
    def step(self, rows: torch.Tensor, gradients: list[torch.Tensor], learning_rate: float) -> None:
        """Move ``rows`` (int64 [r], each once) of every parameter against its gradient [r, …]."""
        self.steps[rows] += 1
        taken = self.steps[rows]
        for parameter, gradient, averages, squares in zip(
            self.parameters, gradients, self.averages, self.squares, strict=True
        ):
            average = averages[rows].lerp_(gradient, 1 - BETAS[0])
            square = squares[rows].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            averages[rows], squares[rows] = average, square
            of_row = (-1, *(1,) * (parameter.dim() - 1))
            size = square.div_((1 - BETAS[1] ** taken).view(of_row)).sqrt_().add_(EPSILON)
            average.div_((1 - BETAS[0] ** taken).view(of_row)).div_(size)
            kept = parameter[rows].mul_(1 - learning_rate * self.weight_decay)
            parameter[rows] = kept.sub_(average, alpha=learning_rate)
