"""The gated delta rule (Yang, Kautz, Hatamizadeh: Gated Delta Networks, arXiv 2412.06464, equation 10).

    S_t = a_t S_{t-1} (I - b_t k_t k_t^T) + b_t v_t k_t^T,    o_t = S_t q_t

Three ways to the same numbers: the plain recurrence, a chunked form in plain torch, and the kernels of
flash-linear-attention for CUDA. Arguments of all three:

    query, key: [B, L, N, K], N heads of width K; the caller normalises keys to length 1 (else the rule may diverge).
    value: [B, L, N, V].
    log_decay: [B, L, N], natural logarithm of a_t, at most 0.
    beta: [B, L, N], write strength b_t between 0 and 1. A position with beta 0 and log_decay 0 (padding) leaves
        the state as it was.

They return o: [B, L, N, V].
"""

import functools

import torch
from torch import nn

CHUNK = 32


def recurrent_gated_delta_rule(query, key, value, log_decay, beta) -> torch.Tensor:
    """The recurrence as it is written, one position after the other: the reference for tests, best in float64."""
    batch, length, heads, width = key.shape
    state = query.new_zeros(batch, heads, value.shape[-1], width)
    outputs = []
    for t in range(length):
        k, v, b = key[:, t], value[:, t], beta[:, t, :, None]
        state = state * log_decay[:, t].exp()[..., None, None]
        error = v - torch.einsum("bnvk,bnk->bnv", state, k)
        state = state + torch.einsum("bnv,bnk->bnvk", b * error, k)
        outputs.append(torch.einsum("bnvk,bnk->bnv", state, query[:, t]))
    return torch.stack(outputs, dim=1) if outputs else value.new_zeros(value.shape)


def chunked_gated_delta_rule(query, key, value, log_decay, beta, chunk: int = CHUNK) -> torch.Tensor:
    """The chunked form: matrix products within chunks, one small product a chunk from state to state.

    With c_t the cumulative log decay within a chunk and S the state before it (here as [K, V]), the rule is
    (I + A) Y = diag(b) (V - diag(e^c) K S) with A_ij = b_i e^(c_i - c_j) k_i.k_j for j < i. Solved once for the
    right sides V and K, the next state is an affine function of S (``transition`` S + ``addition``), so that only
    this one product runs in sequence, and everything else is batched over all chunks.
    Time and memory grow linearly with L.
    """
    batch, length, heads, width = key.shape
    padding = -length % chunk
    if padding:
        query, key, value = (nn.functional.pad(x, (0, 0, 0, 0, 0, padding)) for x in (query, key, value))
        log_decay, beta = (nn.functional.pad(x, (0, 0, 0, padding)) for x in (log_decay, beta))
    chunks = (length + padding) // chunk

    def fold(x):  # [B, L, N, ...] -> [C, B N, chunk, ...]: chunks first, the order in which the states are met
        x = x.reshape(batch, chunks, chunk, heads, -1).permute(1, 0, 3, 2, 4)
        return x.reshape(chunks, batch * heads, chunk, -1)

    query, key, value, beta = fold(query), fold(key), fold(value), fold(beta)
    decay = fold(log_decay).squeeze(-1).cumsum(-1)
    pairwise = (decay.unsqueeze(-1) - decay.unsqueeze(-2)).tril().exp().tril()  # e^(c_i - c_j) for j <= i
    since_start = decay.exp().unsqueeze(-1)
    weighted = key * beta
    system = (weighted @ key.mT) * pairwise  # the solver reads below the diagonal only and takes 1 for the diagonal
    solved = torch.linalg.solve_triangular(
        system, torch.cat([value * beta, weighted * since_start], -1), upper=False, unitriangular=True
    )
    new_values, reads = solved.split([value.shape[-1], width], dim=-1)
    to_end = key * (decay[..., -1:] - decay).exp().unsqueeze(-1)
    addition = to_end.mT @ new_values  # [C, B N, K, V]
    whole = decay[..., -1].exp()[..., None, None]
    transition = whole * torch.eye(width, dtype=key.dtype, device=key.device) - to_end.mT @ reads
    state = torch.zeros_like(addition[0])
    states = [state]
    for t in range(chunks - 1):
        state = torch.baddbmm(addition[t], transition[t], state)
        states.append(state)
    states = torch.stack(states)
    within = (query @ key.mT) * pairwise
    output = (query * since_start) @ states + within @ (new_values - reads @ states)
    output = output.reshape(chunks, batch, heads, chunk, -1).permute(1, 0, 3, 2, 4)
    return output.reshape(batch, length + padding, heads, -1)[:, :length]


def gated_delta_rule(query, key, value, log_decay, beta) -> torch.Tensor:
    """The gated delta rule by the fastest way here: flash-linear-attention on CUDA if it is installed, else chunks."""
    if query.is_cuda and (kernel := _cuda_kernel()) is not None:
        output, _ = kernel(query, key, value, g=log_decay, beta=beta, scale=1.0)
        return output
    return chunked_gated_delta_rule(query, key, value, log_decay, beta)


@functools.cache
def _cuda_kernel():
    """flash-linear-attention's `chunk_gated_delta_rule` (extra ``gpu``), or None if it cannot be imported."""
    try:
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    except (ImportError, RuntimeError):  # without triton, or triton without a driver
        return None
    return chunk_gated_delta_rule
