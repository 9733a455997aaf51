"""The bidirectional gated delta net mixer."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from genestill.student.encoders.gated_delta_rule import bidirectional_gated_delta_rule
from genestill.student.encoders.kernels import Kernel


class BidirectionalGatedDeltaNet(nn.Module):
    """Gated delta rule, run forward and backward over the sequence, and summed.

    A layer of Gated DeltaNet (arXiv 2412.06464): projections, short convolution and SiLU, unit-length queries and
    keys, gates a_t and b_t from the input, output normalised and gated. Both directions share the projections (as in
    the bidirectional Mamba of Caduceus, arXiv 2403.03234) and the convolution, which is centred here because causality
    is not needed; each direction has separate gates. On CUDA, the convolution with its SiLU, the rule, and the norm
    with its gate are computed by kernels of flash-linear-attention, if these work (`kernels.Kernel`).
    """

    without_weight_decay = ("gates",)  # decay_rate and time_step have none because they are vectors

    def __init__(self, hidden_size: int, heads: int, convolution_width: int, eps: float):
        super().__init__()
        self.heads, self.width = heads, hidden_size // heads
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.convolution = nn.Conv1d(
            3 * hidden_size,
            3 * hidden_size,
            convolution_width,
            padding=convolution_width // 2,
            groups=3 * hidden_size,
            bias=False,
        )
        self.gates = nn.Linear(hidden_size, 4 * heads, bias=False)  # decay and write strength, forward and backward
        self.decay_rate = nn.Parameter(torch.empty(2 * heads))  # logarithm of the rate
        self.time_step = nn.Parameter(torch.empty(2 * heads))  # bias of the time step before softplus
        self.output_gate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.norm = nn.RMSNorm(self.width, eps=eps)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_gates()

    def reset_gates(self) -> None:
        """Draw decay rates from U(0, 16) and time steps log-uniformly from 0.001 to 0.1, as Gated DeltaNet does."""
        with torch.no_grad():
            self.decay_rate.uniform_(1e-2, 16).log_()
            step = torch.exp(torch.empty_like(self.time_step).uniform_(math.log(1e-3), math.log(1e-1)))
            self.time_step.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map [B, L, H] to [B, L, H]; ``mask`` is bool [B, L], True at real tokens, padding on the right.

        ``mask`` is None without padding.
        """
        batch, length, size = hidden.shape
        real = 1 if mask is None else mask.unsqueeze(-1).to(hidden.dtype)
        mixed = self.query_key_value(hidden)
        if mask is not None:
            mixed = mixed * real  # for the convolution, padding is equal to the end of the sequence
        weight = self.convolution.weight
        mixed = (CONVOLUTION.working(mixed, *weight.shape[::2]) or convolution)(mixed, weight)
        query, key, value = mixed.view(batch, length, 3, self.heads, self.width).unbind(2)
        # Under autocast the norms are in single precision; the kernel needs all three in the precision of the products.
        query, key = ((x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)).to(value.dtype) for x in (query, key))
        decay, write = self.gates(hidden).float().chunk(2, dim=-1)
        # Decay 1 and write strength 0 at padding, so that the backward direction, which starts there, is not affected.
        log_decay = -self.decay_rate.float().exp() * functional.softplus(decay + self.time_step.float()) * real
        beta = write.sigmoid() * real
        mixed = bidirectional_gated_delta_rule(query, key, value, log_decay, beta)
        gate = self.output_gate(hidden).view(mixed.shape)
        normalise = GATED_NORM.working(mixed, self.width) or gated_norm
        return self.output(normalise(mixed, gate, self.norm.weight, self.norm.eps).reshape(batch, length, size))


def convolution(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The centred convolution of each channel, then SiLU: [B, L, C] and a weight [C, 1, odd width] to [B, L, C]."""
    channels, _, width = weight.shape
    return functional.silu(functional.conv1d(hidden.mT, weight, padding=width // 2, groups=channels).mT)


def gated_norm(hidden: torch.Tensor, gate: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """The root-mean-square norm of [B, L, N, W] over its last dimension, with a weight [W], times SiLU of the gate."""
    # Weights in the precision of the states, because otherwise there is no fused kernel.
    return functional.rms_norm(hidden, hidden.shape[-1:], weight.to(hidden.dtype), eps) * functional.silu(gate)


def _load_convolution() -> Callable[..., torch.Tensor]:
    from fla.modules.convolution import causal_conv1d

    def kernel(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        # A causal convolution over a sequence padded with zeros is the centred one, shifted by this many positions.
        late = weight.shape[-1] // 2
        padded = functional.pad(hidden, (0, 0, 0, late))
        return causal_conv1d(padded, weight.squeeze(1).to(hidden.dtype), activation="silu")[0][:, late:]

    return kernel


def _load_gated_norm() -> Callable[..., torch.Tensor]:
    from fla.modules.fused_norm_gate import rms_norm_gated

    def kernel(hidden, gate, weight, eps: float = 1e-6) -> torch.Tensor:
        return rms_norm_gated(hidden, gate, weight.to(hidden.dtype), None, activation="swish", eps=eps)

    return kernel


def _convolution_trial(dtype: torch.dtype, channels: int, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 33, channels), (channels, 1, width))
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def _gated_norm_trial(dtype: torch.dtype, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 33, 2, width), (2, 33, 2, width), (width,))
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


CONVOLUTION = Kernel("short convolution", _load_convolution, convolution, _convolution_trial)
GATED_NORM = Kernel("gated norm", _load_gated_norm, gated_norm, _gated_norm_trial)
