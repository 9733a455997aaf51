"""The gated delta rule: chunks, both directions and gradients against the plain recurrence in float64."""

import copy
import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from genestill.student.encoders import EncoderConfig, EncoderModel, kernels
from genestill.student.encoders.gated_delta_net import BidirectionalGatedDeltaNet, convolution, gated_norm
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


def test_the_recurrence_equals_the_published_equation():
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
def test_chunks_give_the_values_of_the_recurrence_for_any_length_and_decay(length, chunk, seed, strongest):
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


def test_gradients_equal_finite_differences():
    arguments = [x.requires_grad_() for x in draw(batch=1, length=9, heads=1, width=3, value_width=2)]
    assert torch.autograd.gradcheck(lambda *x: chunked_gated_delta_rule(*x, chunk=4), arguments)


def test_single_precision_remains_accurate_when_all_keys_are_equal():
    # A homopolymer: every write has the same key, the worst case for the triangular system.
    arguments = draw(length=500, dtype=torch.float32, strongest=0.01)
    arguments[1] = arguments[1][:, :1].expand_as(arguments[1]).contiguous()
    exact = recurrent_gated_delta_rule(*(x.double() for x in arguments))
    torch.testing.assert_close(chunked_gated_delta_rule(*arguments).double(), exact, rtol=1e-4, atol=1e-4)


def test_gradients_stay_finite_under_the_strongest_decay():
    arguments = [x.requires_grad_() for x in draw(dtype=torch.float32, strongest=1e4)]
    chunked_gated_delta_rule(*arguments).sum().backward()
    assert all(x.grad.isfinite().all() for x in arguments)


@pytest.mark.parametrize("length", [1, CHUNK, 75])
def test_the_bidirectional_rule_is_the_sum_of_the_rule_on_both_directions(length):
    query, key, value, log_decay, beta = draw(length=length)
    other_decay, other_beta = log_decay.flip(0) / 2, beta.flip(0)
    forward = recurrent_gated_delta_rule(query, key, value, log_decay, beta)
    backward = recurrent_gated_delta_rule(*(x.flip(1) for x in (query, key, value, other_decay, other_beta))).flip(1)
    both = bidirectional_gated_delta_rule(
        query, key, value, torch.cat([log_decay, other_decay], -1), torch.cat([beta, other_beta], -1)
    )
    torch.testing.assert_close(both, forward + backward, rtol=1e-9, atol=1e-10)


def test_the_mixer_ignores_padding_and_depends_on_both_ends():
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


def fake_kernel(output_factor=1.0, gradient_factor=1.0, refusal=None):
    """A replacement of flash-linear-attention in plain torch: correct, wrong, or failing in one of its passes."""

    class Pass(torch.autograd.Function):
        @staticmethod
        def forward(ctx, output):
            if refusal == "forward":
                raise RuntimeError("Triton >= 3.4.0 is not supported on Hopper GPUs\nsee the issue")
            return output * output_factor

        @staticmethod
        def backward(ctx, gradient):
            if refusal == "backward":
                raise AssertionError("Triton >= 3.4.0 is not supported on Hopper GPUs\nsee the issue")
            return gradient * gradient_factor

    def kernel(query, key, value, g, beta, scale):
        assert scale == 1.0
        kernel.calls.append((query.dtype, tuple(query.shape)))
        return Pass.apply(chunked_gated_delta_rule(query, key, value, g, beta)), None

    kernel.calls = []
    return kernel


@pytest.fixture
def install(monkeypatch):
    """Treat the CPU as a GPU and replace flash-linear-attention by a module."""
    caches = (kernels._working, kernels._tell_of_the_extra, kernels._warn_of_fallback)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(kernels, "DEVICES", ("cpu",))

    def put(kernel, place="fla.ops.gated_delta_rule", name="chunk_gated_delta_rule"):
        module = types.ModuleType(place)
        if kernel is not None:
            setattr(module, name, kernel)
        for package in ("fla", place.rpartition(".")[0]):
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        monkeypatch.setitem(sys.modules, place, module)

    yield put
    for cache in caches:
        cache.cache_clear()


def both_directions(arguments):
    query, key, value, log_decay, beta = arguments
    leaves = [query, key, value, torch.cat([log_decay, log_decay / 2], -1), torch.cat([beta, beta / 2], -1)]
    leaves = [x.detach().requires_grad_() for x in leaves]
    output = bidirectional_gated_delta_rule(*leaves)
    return [output.detach(), *torch.autograd.grad(output.square().sum(), leaves)]


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (fake_kernel(refusal="backward"), "Triton >= 3.4.0 is not supported on Hopper GPUs"),
        (fake_kernel(refusal="forward"), "Triton >= 3.4.0 is not supported on Hopper GPUs"),
        (fake_kernel(output_factor=1.5), "values or gradients of the delta rule are wrong"),
        (fake_kernel(gradient_factor=-1.0), "values or gradients of the delta rule are wrong"),
        (fake_kernel(gradient_factor=float("nan")), "values or gradients of the delta rule are wrong"),
        (None, "cannot import name"),
    ],
    ids=["backward refuses", "forward refuses", "wrong values", "wrong gradients", "no gradients", "another release"],
)
def test_kernel_fallback_gives_the_values_of_the_chunks_and_one_warning(install, monkeypatch, caplog, kernel, told):
    arguments = draw(dtype=torch.float32)
    with monkeypatch.context() as plain:
        plain.setattr(kernels, "DEVICES", ())
        expected = both_directions(arguments)
    install(kernel)
    with caplog.at_level("INFO", logger="genestill"):
        for _ in range(3):
            found = both_directions(arguments)
            with torch.inference_mode():
                bidirectional_gated_delta_rule(*arguments[:3], *(torch.cat([x, x], -1) for x in arguments[3:]))
        both_directions(draw(width=4, dtype=torch.float32))  # other widths of the student do not change the cause
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert told in warnings[0]
    for name in ("flash-linear-attention", f"torch {torch.__version__}", "triton"):
        assert name in warnings[0]


def test_kernel_fallback_is_not_used_if_the_kernel_works(install, caplog):
    kernel = fake_kernel()
    install(kernel)
    arguments = draw(dtype=torch.float32)
    with caplog.at_level("INFO", logger="genestill"):
        found = both_directions(arguments)
        both_directions(arguments)
    assert kernel.calls == [
        (torch.float32, (1, 2 * CHUNK + 1, 1, 8)),  # the trial, once
        (torch.float32, (2, 70, 4, 8)),
        (torch.float32, (2, 70, 4, 8)),
    ]
    assert not caplog.records
    kernels._working.cache_clear()
    install(fake_kernel(refusal="backward"))
    for one, other in zip(found, both_directions(arguments), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_kernel_fallback_without_the_optional_dependency_gives_no_warning(install, monkeypatch, caplog):
    for name in ("fla.ops", "fla.ops.gated_delta_rule"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "fla", None)
    with caplog.at_level("INFO", logger="genestill"):
        both_directions(draw(dtype=torch.float32))
        both_directions(draw(dtype=torch.float32))
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_kernel_fallback_does_not_change_the_random_state(install):
    install(fake_kernel())
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    both_directions(draw(dtype=torch.float32))
    assert torch.equal(torch.rand(3), expected)


class Scaled(torch.autograd.Function):
    """Output as it is, its gradient times a factor; a factor of 0 refuses."""

    @staticmethod
    def forward(ctx, output, factor):
        ctx.factor = factor
        return output.clone()

    @staticmethod
    def backward(ctx, gradient):
        if not ctx.factor:
            raise RuntimeError("Triton >= 3.4.0 is not supported on Hopper GPUs")
        return ctx.factor * gradient, None


def fake_convolution(factor):
    def causal_conv1d(x, weight, activation):
        assert activation == "silu"
        causal_conv1d.calls += 1
        late = weight.shape[1] - 1
        sums = sum(functional.pad(x, (0, 0, late - i, 0))[:, : x.shape[1]] * weight[:, i] for i in range(late + 1))
        return Scaled.apply(functional.silu(sums), factor), None

    causal_conv1d.calls = 0
    return causal_conv1d


def fake_gated_norm(factor):
    def rms_norm_gated(x, g, weight, bias, activation, eps):
        assert (bias, activation) == (None, "swish")
        rms_norm_gated.calls += 1
        normalised = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight
        return Scaled.apply(normalised * g * g.sigmoid(), factor)

    rms_norm_gated.calls = 0
    return rms_norm_gated


@pytest.mark.parametrize(("factor", "told"), [(1.0, None), (0.0, "Hopper"), (-1.0, "short convolution are wrong")])
def test_kernel_fallback_of_convolution_and_norm_gives_the_values_of_plain_torch(install, caplog, factor, told):
    torch.manual_seed(0)
    mixer = BidirectionalGatedDeltaNet(hidden_size=16, heads=2, convolution_width=5, eps=1e-5)
    hidden, mask = torch.randn(2, 40, 16), torch.arange(40)[None] < torch.tensor([[40], [23]])
    fakes = fake_convolution(factor), fake_gated_norm(factor)
    found = []
    for devices in ((), ("cpu",)):
        kernels.DEVICES = devices
        install(fake_kernel())
        install(fakes[0], "fla.modules.convolution", "causal_conv1d")
        install(fakes[1], "fla.modules.fused_norm_gate", "rms_norm_gated")
        for _ in range(2):
            output = mixer(hidden, mask)
        gradients = torch.autograd.grad(output[mask].square().sum(), list(mixer.parameters()))
        found.append([output[mask].detach(), *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    # The trial, and the two passes if it succeeded.
    assert [fake.calls for fake in fakes] == ([3, 3] if told is None else [1, 1])
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == {None: 0, "Hopper": 1}.get(told, 2)  # one cause is reported once
    assert told is None or told in warnings[0]


@given(st.integers(1, 12), st.sampled_from([1, 3, 5, 7]), st.integers(0, 3))
@settings(max_examples=20)
def test_the_convolution_is_centred_and_the_norm_is_over_the_last_dimension(length, width, seed):
    torch.manual_seed(seed)
    hidden, weight = torch.randn(2, length, 6), torch.randn(6, 1, width)
    padded = functional.pad(hidden, (0, 0, width // 2, width // 2))
    sums = torch.stack([(padded[:, i : i + width] * weight[:, 0].T).sum(1) for i in range(length)], 1)
    torch.testing.assert_close(convolution(hidden, weight), functional.silu(sums), rtol=1e-4, atol=1e-5)
    gate, scale = torch.randn(2, length, 6), torch.rand(6)
    norm = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt() * scale * gate * gate.sigmoid()
    torch.testing.assert_close(gated_norm(hidden, gate, scale), norm, rtol=1e-4, atol=1e-5)


def relative(one, other):
    one, other = one.float(), other.float()
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("with_kernel", [False, True], ids=["chunks", "kernel_fallback"])
def test_half_precision_is_close_to_the_values_and_gradients_of_single_precision(install, dtype, with_kernel):
    if with_kernel:
        install(fake_kernel(refusal="backward"))
    exact = draw(length=200, dtype=torch.float32)
    exact[:3] = [
        x.to(dtype).float() for x in exact[:3]
    ]  # rounding of the inputs to half precision is not an error of the rule
    rounded = [*(x.to(dtype) for x in exact[:3]), *exact[3:]]
    for one, other in zip(both_directions(rounded), both_directions(exact), strict=True):
        assert relative(one, other) < 0.01
    assert bidirectional_gated_delta_rule(*rounded[:3], *(torch.cat([x, x], -1) for x in rounded[3:])).dtype == dtype
    assert chunked_gated_delta_rule(*rounded).dtype == dtype


@pytest.mark.parametrize("reverse_complement", [False, True])
def test_embeddings_and_gradients_in_bfloat16_are_close_to_those_in_float32(reverse_complement):
    torch.manual_seed(0)
    settings = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "attention_window": 16}
    model = EncoderModel(EncoderConfig(**settings, tracks=2, reverse_complement=reverse_complement)).eval()
    ids = torch.randint(0, 4, (3, 90), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(90)[None] < torch.tensor([[90], [41], [7]])).long()
    tracks = torch.rand(3, 90, 2, generator=torch.Generator().manual_seed(2))
    found = []
    for student in (model, copy.deepcopy(model).bfloat16()):
        embedding = student.embed(ids, mask, tracks)
        embedding.float().square().sum().backward()
        found.append((embedding.dtype, embedding.detach(), {n: p.grad for n, p in student.named_parameters()}))
    assert found[1][0] == torch.bfloat16
    assert relative(found[1][1], found[0][1]) < 0.03
    whole = [torch.cat([gradient.float().flatten() for gradient in part[2].values()]) for part in found]
    assert relative(whole[1], whole[0]) < 0.1


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
@pytest.mark.timed
def test_chunks_are_at_least_five_times_as_fast_as_the_recurrence_at_4_kb():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = load_benchmark().compare(4096, "cpu")
    finally:
        torch.set_num_threads(threads)
    for slow, fast in zip(rows["recurrence"], rows["chunks"], strict=True):
        assert slow >= 5 * fast


class ElementsWritten(TorchDispatchMode):
    """Counts the elements of all tensors that operations give, forward and backward, views included."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        given = function(*arguments, **(settings or {}))
        self.elements += sum(x.numel() for x in tree_leaves(given) if isinstance(x, torch.Tensor))
        return given


def test_training_cost_grows_linearly_with_the_length():
    # Elements are counted, not seconds: times per base differ threefold between runs, because of memory mapping.
    work = {}
    for length in (1024, 8192):
        arguments = [x.requires_grad_() for x in draw(batch=1, length=length, dtype=torch.float32)]
        arguments[3:] = [torch.cat([x, x], -1) for x in arguments[3:]]
        with FlopCounterMode(display=False) as products, ElementsWritten() as written:
            bidirectional_gated_delta_rule(*arguments).sum().backward()
        work[length] = (products.get_total_flops(), written.elements)
    for short, long in zip(*work.values(), strict=True):
        assert short > 0
        assert 7 < long / short < 9  # quadratic growth would be 64


@pytest.mark.slow
def test_memory_grows_linearly_with_the_length(capsys):
    load_benchmark().print_memory("cpu", lengths=(4096, 16384))
    lines = capsys.readouterr().out.splitlines()[1:]
    short, long = (float(line.split()[1]) for line in lines)
    assert short > 0
    assert 3 < long / short < 6.5  # quadratic growth would be 16
