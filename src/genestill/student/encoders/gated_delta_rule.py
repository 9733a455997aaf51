"""The gated delta rule (Yang, Kautz, Hatamizadeh: Gated Delta Networks, arXiv 2412.06464, equation 10).

    S_t = a_t S_{t-1} (I - b_t k_t k_t^T) + b_t v_t k_t^T,    o_t = S_t q_t

Three implementations: the plain recurrence, a chunked form in plain torch, and the kernels of flash-linear-attention
for CUDA. Arguments of all three:

    query, key: [B, L, N, K], N heads of size K; the caller normalises keys to length 1 (else the rule may diverge).
    value: [B, L, N, V].
    log_decay: [B, L, N], natural logarithm of a_t, at most 0.
    beta: [B, L, N], write strength b_t between 0 and 1. A position with beta 0 and log_decay 0 (padding) does not
        change the state.

They return o: [B, L, N, V], of the dtype of ``value``. The chunked form computes half precision in float32.
"""

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import nn

from genestill.student.encoders.kernels import Kernel

CHUNK = 32


def recurrent_gated_delta_rule(query, key, value, log_decay, beta) -> torch.Tensor:
    """The recurrence as written above, one position after the other: the reference for tests, best in float64."""
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
    """The chunked form: matrix products within chunks, and one small product per chunk from state to state.

    Time and memory grow linearly with L.
    """
    (length, heads), dtype = key.shape[1:3], value.dtype
    with _autocast_off(query.device):
        query, key, value, log_decay, beta = _in_full_precision(query, key, value, log_decay, beta)
        query, key, value, log_decay, beta = (_fold(x, chunk) for x in (query, key, value, log_decay, beta))
        output = _scan(query, key, value, log_decay, beta, query @ key.mT, key @ key.mT, backward=False)
        return _unfold(output, heads, length).to(dtype)


def bidirectional_gated_delta_rule(query, key, value, log_decay, beta) -> torch.Tensor:
    """The gated delta rule forward, plus the same backward from the end: o_t = S_t q_t + R_t q_t.

    The fastest available implementation: flash-linear-attention on CUDA if it is installed and works, else chunks.

    Args:
        query, key, value: as above, the same for both directions.
        log_decay, beta: [B, L, 2 N], the gates of the forward direction before those of the backward direction.
    """
    kernel = KERNEL.working(query, query.shape[-1])
    if kernel is not None:
        query, key, value = (torch.cat([x, x.flip(1)], dim=2) for x in (query, key, value))
        log_decay, beta = (torch.cat([f, b.flip(1)], dim=2) for f, b in (x.chunk(2, -1) for x in (log_decay, beta)))
        forward, backward = kernel(query, key, value, log_decay, beta).chunk(2, dim=2)
        return forward + backward.flip(1)
    length, dtype = key.shape[1], value.dtype
    chunk = _chunk_of(length)
    with _autocast_off(query.device):
        query, key, value, log_decay, beta = _in_full_precision(query, key, value, log_decay, beta)
        query, key, value = (_fold(x, chunk) for x in (query, key, value))
        reading, similarity = query @ key.mT, key @ key.mT  # for both directions: below and above the diagonal
        output = None
        for direction, gates in enumerate(zip(log_decay.chunk(2, -1), beta.chunk(2, -1), strict=True)):
            decays, betas = (_fold(x, chunk) for x in gates)
            one = _scan(query, key, value, decays, betas, reading, similarity, backward=direction == 1)
            output = one if output is None else output + one
        return _unfold(output, log_decay.shape[-1] // 2, length).to(dtype)


def _autocast_off(device: torch.device):
    """Compute products in the precision of their arguments: in bfloat16, states with slow decay would be lost."""
    inside = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    if torch.compiler.is_exporting() or not inside:
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def _chunk_of(length: int) -> int:
    """`CHUNK`, or less for short sequences, so that the last chunk has little padding; a multiple of 4."""
    if torch.compiler.is_exporting():
        return CHUNK
    chunks = -(-length // CHUNK)
    return min(CHUNK, 4 * -(-length // (4 * chunks)))


def _in_full_precision(*arguments: torch.Tensor) -> list[torch.Tensor]:
    """All in the same dtype, at least float32: there is no triangular solver in half precision, and gates need more."""
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in arguments), torch.float32)
    return [x.to(dtype) for x in arguments]


def _fold(x: torch.Tensor, chunk: int) -> torch.Tensor:
    """[B, L, N, ...] -> [C, B N, chunk, ...], padded with zeros: chunks first, in the order of the states."""
    padding = -x.shape[1] % chunk
    if torch.compiler.is_exporting() or padding:  # with a variable length, there must be no branch on it
        x = nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, padding))
    batch, length, heads, *rest = x.shape
    x = x.unflatten(1, (length // chunk, chunk)).movedim((1, 0, 3, 2), (0, 1, 2, 3))
    return x.reshape(length // chunk, batch * heads, chunk, *rest)


def _unfold(x: torch.Tensor, heads: int, length: int) -> torch.Tensor:
    """[C, B N, chunk, V] -> [B, L, N, V]."""
    chunks, rows, chunk, width = x.shape
    x = x.reshape(chunks, rows // heads, heads, chunk, width).permute(1, 0, 3, 2, 4)
    return x.reshape(rows // heads, chunks * chunk, heads, width)[:, :length]


def _scan(query, key, value, log_decay, beta, reading, similarity, backward: bool) -> torch.Tensor:
    """One direction over folded arguments [C, B N, chunk, ...]; reading is Q K^T and similarity K K^T of each chunk.

    With c_t the cumulative log decay within a chunk and S the state before it (here as [K, V]), the values written
    are Y = U - W S, where U = T diag(b) V, W = T diag(b e^c) K, T = (I + A)^-1 and A_ij = b_i e^(c_i - c_j) k_i.k_j for
    j before i. The next state is e^c_last S + (diag(e^(c_last - c)) K)^T Y. Only these two products per chunk are
    sequential, and everything else is batched over all chunks.
    """
    decay = log_decay.flip(-1).cumsum(-1).flip(-1) if backward else log_decay.cumsum(-1)
    whole = decay[..., :1] if backward else decay[..., -1:]
    since_start = decay.exp().unsqueeze(-1)
    size = decay.shape[-1]
    later = torch.ones(size, size, dtype=torch.bool, device=decay.device).tril(-1)
    hidden = later if backward else later.mT
    pairwise = (
        (decay.unsqueeze(-1) - decay.unsqueeze(-2)).masked_fill(hidden, -torch.inf).exp()
    )  # e^(c_i - c_j), j <= i
    strength = beta.unsqueeze(-1)
    given = torch.cat([value * strength, key * (strength * since_start)], dim=-1)
    solved = _solve(similarity * pairwise * strength, given, backward)
    own, erased = solved.split([value.shape[-1], key.shape[-1]], dim=-1)
    to_end = (key * (whole - decay).exp().unsqueeze(-1)).mT
    states, written = _run_states(own, erased, to_end, whole.exp().unsqueeze(-1), backward)
    return (reading * pairwise) @ written + (query * since_start) @ states


def _solve(system: torch.Tensor, right: torch.Tensor, upper: bool) -> torch.Tensor:
    """(I + the part of ``system`` above or below the diagonal)^-1 ``right``, [..., chunk, chunk]."""
    if not torch.compiler.is_exporting():
        return torch.linalg.solve_triangular(system, right, upper=upper, unitriangular=True)
    # ONNX has no triangular solver. Blocks on the diagonal are inverted pairwise, with doubled size in each step: the
    # inverse of [[P, 0], [M, Q]] has -Q^-1 M P^-1 below the diagonal, so that no large powers occur.
    size = system.shape[-1]
    position = torch.arange(size, device=system.device)
    row, column = (position[None, :], position[:, None]) if upper else (position[:, None], position[None, :])
    inverse = torch.eye(size, dtype=system.dtype, device=system.device)
    block = 1
    while block < size:
        pair = (row // (2 * block) == column // (2 * block)) & (row // block > column // block)
        inverse = inverse - inverse @ (system * pair) @ inverse
        block *= 2
    return inverse @ right


def _run_states(own, erased, to_end, kept, backward: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The state before each chunk, [C, B N, K, V], from zeros, and the values written in it, [C, B N, chunk, V].

    written = own - erased S, S_next = kept S + to_end written.
    """
    state = to_end.new_zeros(to_end.shape[1], to_end.shape[-2], own.shape[-1])
    if torch.compiler.is_exporting():  # a loop in ONNX, with a variable number of iterations
        from torch._higher_order_ops.scan import scan

        def advance(state, step):
            own, erased, to_end, kept = step
            written = torch.baddbmm(own, erased, state, alpha=-1)
            return torch.baddbmm(kept * state, to_end, written), [state.clone(), written]

        return tuple(scan(advance, state, (own, erased, to_end, kept), reverse=backward)[1])
    chunks = list(
        zip(*(x.unbind() for x in (own, erased, to_end, kept)), strict=True)
    )  # gradients of indexing are larger
    states, values = [state] * len(chunks), [state] * len(chunks)
    for now in reversed(range(len(chunks))) if backward else range(len(chunks)):
        own, erased, to_end, kept = chunks[now]
        states[now], values[now] = state, torch.baddbmm(own, erased, state, alpha=-1)
        state = torch.baddbmm(kept * state, to_end, values[now])
    return torch.stack(states), torch.stack(values)


def _load() -> Callable[..., torch.Tensor]:
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    def kernel(query, key, value, log_decay, beta) -> torch.Tensor:
        return chunk_gated_delta_rule(query, key, value, g=log_decay, beta=beta, scale=1.0)[0]

    return kernel


def _trial(dtype: torch.dtype, width: int) -> list[torch.Tensor]:
    """Arguments for one short sequence; the gates in float32."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 2 * CHUNK + 1, 1, width)
    query, key, value = (torch.randn(shape, generator=generator) for _ in range(3))
    query, key = (nn.functional.normalize(x, dim=-1) for x in (query, key))
    gates = torch.rand((2, *shape[:3]), generator=generator)
    return [x.to(dtype) for x in (query, key, value)] + [-gates[0], gates[1]]


KERNEL = Kernel("delta rule", _load, chunked_gated_delta_rule, _trial)
