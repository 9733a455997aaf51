"""AdamW for the last layer of a large label tree, of which a step moves few rows."""

import torch

BETAS, EPSILON = (0.9, 0.999), 1e-8


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
