"""The gated delta rule: chunks, both directions and gradients against the plain recurrence in float64."""

import importlib.util
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from genestill.student.encoders.gated_delta_net import BidirectionalGatedDeltaNet
from genestill.student.encoders.gated_delta_rule import (
    CHUNK,
    bidirectional_gated_delta_rule,
    chunked_gated_delta_rule,
    recurrent_gated_delta_rule,
)


def draw(batch=2, length=70, heads=2, width=8, value_width=6, seed=0, dtype=torch.float64, strongest=2.0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    query, key = (normalize(normal(batch, length, heads, width), dim=-1) for _ in range(2))
    value = normal(batch, length, heads, value_width)
    log_decay = -torch.rand(batch, length, heads, generator=generator, dtype=dtype) * strongest
    beta = torch.rand(batch, length, heads, generator=generator, dtype=dtype)
    return [query, key, value, log_decay, beta]


def test_the_recurrence_is_the_published_equation():
    query, key, value, log_decay, beta = draw(batch=1, length=5, heads=1)
    state = torch.zeros(6, 8, dtype=torch.float64)
    for t in range(5):
        k, v, a, b = key[0, t, 0], value[0, t, 0], log_decay[0, t, 0].exp(), beta[0, t, 0]
        state = a * state @ (torch.eye(8, dtype=torch.float64) - b * torch.outer(k, k)) + b * torch.outer(v, k)
        expected = state @ query[0, t, 0]
    torch.testing.assert_close(
        recurrent_gated_delta_rule(query, key, value, log_decay, beta)[0, -1, 0], expected, rtol=1e-12, atol=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 100),
    chunk=st.sampled_from([1, 7, 16, 32, 64]),
    seed=st.integers(0, 10_000),
    strongest=st.sampled_from([0.0, 0.1, 5.0, 200.0]),
)
def test_chunks_give_the_values_of_the_recurrence_at_any_length_and_decay(length, chunk, seed, strongest):
    arguments = draw(length=length, seed=seed, strongest=strongest)
    torch.testing.assert_close(
        chunked_gated_delta_rule(*arguments, chunk=chunk),
        recurrent_gated_delta_rule(*arguments),
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_chunks_give_the_gradients_of_the_recurrence(length):
    arguments = [x.requires_grad_() for x in draw(length=length)]
    weights = torch.randn(2, length, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad((recurrent_gated_delta_rule(*arguments) * weights).sum(), arguments)
    found = torch.autograd.grad((chunked_gated_delta_rule(*arguments) * weights).sum(), arguments)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_gradients_are_those_of_finite_differences():
    arguments = [x.requires_grad_() for x in draw(batch=1, length=9, heads=1, width=3, value_width=2)]
    assert torch.autograd.gradcheck(lambda *x: chunked_gated_delta_rule(*x, chunk=4), arguments)


def test_single_precision_stays_close_when_every_key_is_the_same():
    # A homopolymer: every write meets the same key, the worst case for the triangular system.
    arguments = draw(length=500, dtype=torch.float32, strongest=0.01)
    arguments[1] = arguments[1][:, :1].expand_as(arguments[1]).contiguous()
    exact = recurrent_gated_delta_rule(*(x.double() for x in arguments))
    torch.testing.assert_close(chunked_gated_delta_rule(*arguments).double(), exact, rtol=1e-4, atol=1e-4)


def test_gradients_stay_finite_under_the_strongest_decay():
    arguments = [x.requires_grad_() for x in draw(dtype=torch.float32, strongest=1e4)]
    chunked_gated_delta_rule(*arguments).sum().backward()
    assert all(x.grad.isfinite().all() for x in arguments)


@pytest.mark.parametrize("length", [1, CHUNK, 75])
def test_both_directions_are_the_rule_and_the_rule_on_the_reversed_sequence(length):
    query, key, value, log_decay, beta = draw(length=length)
    other_decay, other_beta = log_decay.flip(0) / 2, beta.flip(0)
    forward = recurrent_gated_delta_rule(query, key, value, log_decay, beta)
    backward = recurrent_gated_delta_rule(*(x.flip(1) for x in (query, key, value, other_decay, other_beta))).flip(1)
    both = bidirectional_gated_delta_rule(
        query, key, value, torch.cat([log_decay, other_decay], -1), torch.cat([beta, other_beta], -1)
    )
    torch.testing.assert_close(both, forward + backward, rtol=1e-9, atol=1e-10)


def test_the_mixer_does_not_see_padding_and_sees_both_ends():
    torch.manual_seed(0)
    mixer = BidirectionalGatedDeltaNet(hidden_size=16, heads=2, convolution_width=5, eps=1e-6).double()
    hidden = torch.randn(2, 90, 16, dtype=torch.float64)
    mask = torch.arange(90)[None] < torch.tensor([[90], [41]])
    padded = mixer(hidden, mask)
    alone = mixer(hidden[1:, :41], mask[1:, :41])
    torch.testing.assert_close(padded[1, :41], alone[0], rtol=1e-9, atol=1e-10)
    changed = hidden.clone()
    changed[0, -1] += 1
    changed[1, -1] += 1
    moved = (mixer(changed, mask) - padded).abs().amax(-1)
    assert moved[0, 0] > 0
    assert moved[1, :41].max() == 0


@pytest.mark.gpu
def test_the_cuda_kernel_gives_the_values_and_gradients_of_the_chunks():
    pytest.importorskip("fla")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    base = draw(length=200, width=32, value_width=32, dtype=torch.float32)
    base[3], base[4] = torch.cat([base[3], base[3] / 2], -1), torch.cat([base[4], base[4] / 2], -1)
    results = []
    for device in ("cpu", "cuda"):
        arguments = [x.to(device).requires_grad_() for x in base]
        output = bidirectional_gated_delta_rule(*arguments)
        output.square().sum().backward()
        results.append([output.detach().cpu(), *(x.grad.cpu() for x in arguments)])
    for one, other in zip(*results, strict=True):
        assert (one - other).norm() < 0.01 * one.norm()


def load_benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "gated_delta_rule.py"
    specification = importlib.util.spec_from_file_location("gated_delta_rule_benchmark", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_chunks_are_at_least_five_times_as_fast_as_the_recurrence_at_4_kb():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = load_benchmark().compare(4096, "cpu")
    finally:
        torch.set_num_threads(threads)
    for slow, fast in zip(rows["recurrence"], rows["chunks"], strict=True):
        assert slow >= 5 * fast


@pytest.mark.slow
def test_time_of_training_grows_linearly_with_the_length(capsys):
    load_benchmark().print_growth("cpu", lengths=(4096, 32768))
    short, long = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[1:])
    assert long < 3 * short  # a base


@pytest.mark.slow
def test_memory_grows_linearly_with_the_length(capsys):
    load_benchmark().print_memory("cpu", lengths=(4096, 16384))
    lines = capsys.readouterr().out.splitlines()[1:]
    short, long = (float(line.split()[1]) for line in lines)
    assert short > 0
    assert 3 < long / short < 6.5  # quadratic growth would be 16
