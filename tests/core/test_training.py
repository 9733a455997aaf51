import copy

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genestill.core.errors import InputError
from genestill.core.training import checkpoints, loop
from genestill.core.training.batches import Batch, LengthBuckets, ShuffledRows, cut_rows, pack_rows, prepared
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import Diverged, train, write_history
from genestill.core.training.optimizer import AdamW, Group, RowAdamW, parameter_groups
from genestill.core.training.schedule import Schedule

CPU = torch.device("cpu")


class Gated(nn.Module):
    """An embedding, a two-dimensional normalisation, and a layer with gates that have no weight decay."""

    without_weight_decay = ("gates", "strength")

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm([3, 4])
        self.convolution = nn.Conv1d(4, 4, 3, padding=1)
        self.gates = nn.Linear(4, 2)
        self.strength = nn.Parameter(torch.ones(2, 2))
        self.rate = nn.Parameter(torch.ones(3))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def regression(seed=0, dropout=0.2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.LayerNorm(8), nn.Linear(8, 1))


def draw(step):
    inputs = np.random.default_rng((7, step)).normal(size=(4, 3)).astype(np.float32)
    return [Batch({"inputs": inputs, "targets": inputs.sum(axis=1, keepdims=True)}, tokens=4)]


def run(model, steps=12, draw=draw, schedule=None, after_loss=lambda loss: loss, **more):
    schedule = schedule or Schedule(steps, 0.05)
    optimizer = AdamW(parameter_groups(model, schedule.rate, 0.1))

    def compute_loss(batch):
        loss = (model(batch["inputs"]) - batch["targets"]).square().mean()
        return after_loss(loss), {"squared": loss}

    return train(model, optimizer, draw, compute_loss, steps, **more)


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@given(
    st.integers(1, 3000),
    st.floats(0, 0.9),
    st.floats(0, 0.99),  # with a start that rounds to the peak, several steps have the highest rate
    st.floats(0, 0.99),
    st.sampled_from(["linear", "cosine"]),
)
def test_the_learning_rate_increases_to_its_peak_once_and_decreases_to_the_end(steps, warm_up, start, end, rise):
    schedule = Schedule(steps, 2.0, warm_up, start, end, rise)
    rates = np.array([schedule.rate(step) for step in range(steps)])
    top = int(rates.argmax())
    assert (np.diff(rates[: top + 1]) >= -1e-9).all()
    assert (np.diff(rates[top:]) <= 1e-9).all()
    assert rates.min() >= 2 * min(start, end) - 1e-9
    assert rates.max() <= 2 + 1e-9
    assert abs(top - (warm_up * steps - 1)) <= 1 or top == 0
    assert schedule.rate(steps) == pytest.approx(2 * end) or steps == 1


def test_without_warm_up_the_first_learning_rate_is_the_peak_and_is_used_for_one_step():
    assert Schedule(10, 3.0, warm_up=0.0).rate(0) == Schedule(1, 3.0).rate(0) == 3.0
    with pytest.raises(InputError, match="expected linear or cosine"):
        Schedule(10, 3.0, rise="steep")


def test_one_cycle_and_cosine_schedules_equal_those_of_torch():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=37, cycle_momentum=False)
    ours = Schedule(37, 0.1, warm_up=0.3, start=1 / 25, end=1 / 25 * 1e-4, rise="cosine")
    for step in range(37):
        assert ours.rate(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step() if step < 36 else None
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for step in range(20):
        assert Schedule(21, 0.1, warm_up=0.0).rate(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_weight_decay_applies_to_linear_maps_but_not_to_norms_biases_gates_and_frozen_weights():
    model = Gated()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, others = parameter_groups(model, Schedule(1, 1.0).rate, 0.1)
    assert {names[id(parameter)] for parameter in decayed.parameters} == {"embedding.weight", "convolution.weight"}
    assert {names[id(parameter)] for parameter in others.parameters} == {
        "norm.weight", "norm.bias", "convolution.bias", "gates.weight", "gates.bias", "strength", "rate",
    }  # fmt: skip
    assert (decayed.weight_decay, others.weight_decay) == (0.1, 0.0)
    decayed, others = parameter_groups(model, Schedule(1, 1.0).rate, 0.1, but=model.norm)
    assert "norm.bias" not in {names[id(parameter)] for parameter in others.parameters}


def test_the_optimizer_is_adamw():
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs, unused = copy.deepcopy(ours), nn.Parameter(torch.ones(2))
    optimizer = AdamW([Group([*ours.parameters(), unused], lambda step: 0.1, 0.01)], betas=(0.9, 0.95))
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.01, betas=(0.9, 0.95))
    for step in range(10):
        inputs = torch.randn(5, 4)
        for model in (ours, theirs):
            model(inputs).square().mean().backward()
        optimizer.step(step)
        reference.step()
        reference.zero_grad()
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    assert unused.tolist() == [1, 1]


def test_rows_that_all_have_gradients_are_updated_as_by_the_dense_optimizer():
    torch.manual_seed(0)
    dense, by_rows, body = nn.Linear(5, 7), nn.Linear(5, 7), nn.Linear(5, 5)
    by_rows.load_state_dict(dense.state_dict())
    rows = RowAdamW([Group([by_rows.weight], lambda step: 0.1, 0.01), Group([by_rows.bias], lambda step: 0.1, 0.0)])
    ours = AdamW([Group(list(body.parameters()), lambda step: 0.1, 0.01)], rows=rows)
    theirs = AdamW([Group([dense.weight], lambda step: 0.1, 0.01), Group([dense.bias], lambda step: 0.1, 0.0)])
    for step in range(5):
        inputs = torch.randn(20, 5)
        dense(inputs).square().mean().backward()
        nn.functional.linear(inputs, *rows.take(torch.arange(7))).square().mean().backward()
        assert ours.moved()[-2:] == rows.taken
        ours.step(step)
        theirs.step(step)
    torch.testing.assert_close(by_rows.weight, dense.weight)
    torch.testing.assert_close(by_rows.bias, dense.bias)
    before = by_rows.weight.detach().clone()
    for skip, moved in ((1.0, []), (0.0, [3])):
        sum(part.sum() for part in rows.take(torch.tensor([3]))).backward()
        ours.step(5, torch.tensor(skip))
        assert (by_rows.weight != before).any(dim=1).nonzero().ravel().tolist() == moved


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(10, 200), st.integers(0, 3))
@settings(max_examples=50)
def test_buckets_contain_every_row_once_per_epoch_within_the_budget(lengths, tokens, seed):
    buckets, again = (LengthBuckets(lengths, tokens, seed) for _ in range(2))
    step, epochs = 0, []
    for _ in range(2):
        seen = []
        while len(seen) < len(lengths):
            rows = buckets.rows(step)
            assert len(rows) == 1 or max(lengths[row] for row in rows) * len(rows) <= tokens
            seen += rows.tolist()
            step += 1
        assert sorted(seen) == list(range(len(lengths)))
        epochs.append(seen)
    assert [again.rows(number).tolist() for number in reversed(range(step))] == [
        buckets.rows(number).tolist() for number in reversed(range(step))
    ]


@given(st.integers(1, 30), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=50)
def test_shuffled_batches_contain_every_row_once_per_epoch(rows, batch, seed):
    shuffled = ShuffledRows(rows, batch, seed)
    seen = np.concatenate([shuffled.rows(step) for step in range(-(-3 * rows // batch))])
    for epoch in range(3):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    assert shuffled.rows(0).tolist() == seen[:batch].tolist()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
@settings(max_examples=50)
def test_every_row_is_in_one_block_no_longer_than_the_longest_row(lengths):
    blocks = pack_rows(lengths)
    assert sorted(row for block in blocks for row in block) == list(range(len(lengths)))
    sizes = sorted(sum(lengths[row] for row in block) for block in blocks)
    assert sizes[-1] == max(lengths)
    assert len(sizes) == 1 or sizes[0] + sizes[1] > max(lengths)  # no two blocks could be merged into one


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_result(workers):
    here, there = (
        [parts[0].tensors["inputs"] for parts in prepared(draw, range(2, 9), CPU, number)] for number in (0, workers)
    )
    assert all(torch.equal(one, two) for one, two in zip(here, there, strict=True))
    plain, prepared_ahead = regression(), regression()
    torch.manual_seed(1)
    run(plain, steps=3)
    torch.manual_seed(1)
    run(prepared_ahead, steps=3, workers=workers)
    assert same(plain, prepared_ahead)


def test_an_error_in_a_batch_is_raised_unchanged_from_a_worker():
    def wrong(step):
        raise InputError("reads.fasta: row 3 is empty")

    with pytest.raises(InputError, match=r"^reads\.fasta: row 3 is empty$"):
        list(prepared(wrong, range(2), CPU, workers=1))


def test_the_loss_decreases_and_the_history_records_every_step(tmp_path):
    model = regression(dropout=0.0)
    history = run(model, steps=200, residual_stream=model[2])
    assert history["loss"].iloc[-10:].mean() < 0.3 * history["loss"].iloc[:10].mean()
    assert not model.training
    write_history(tmp_path / "training.tsv", history)
    table = pd.read_csv(tmp_path / "training.tsv", sep="\t")
    assert table.columns.tolist() == [
        "step", "loss", "squared", "gradient_norm", "residual_norm", "learning_rate", "tokens", "tokens_per_second",
        "seconds",
    ]  # fmt: skip
    assert table["step"].tolist() == list(range(1, 201))
    assert (table["tokens"] == 4).all()
    assert table["seconds"].is_monotonic_increasing


def test_the_parts_of_a_step_give_the_gradient_of_the_whole_step():
    def halves(step):
        tensors = draw(step)[0].tensors
        return [Batch({name: values[rows] for name, values in tensors.items()}, 2)
                for rows in (slice(0, 2), slice(2, 4))]  # fmt: skip

    whole, parts = regression(dropout=0.0), regression(dropout=0.0)
    one, two = run(whole), run(parts, draw=halves)
    assert np.allclose(one["loss"], two["loss"], rtol=1e-4)
    assert one["tokens"].tolist() == two["tokens"].tolist()


def halves_of(step, parts=1):
    tensors = draw(step)[0].tensors
    return [Batch({name: values[rows] for name, values in tensors.items()}, len(rows))
            for rows in cut_rows(np.arange(4), parts)]  # fmt: skip


class OutOfMemory:
    """A loss that runs out of memory beyond ``largest`` rows."""

    def __init__(self, model, largest):
        self.model, self.largest, self.sizes = model, largest, []

    def __call__(self, batch):
        self.sizes.append(len(batch["inputs"]))
        loss = (self.model(batch["inputs"]) - batch["targets"]).square().mean()
        if len(batch["inputs"]) > self.largest:
            loss.backward()  # when memory runs out, some gradients exist already
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss, {}


@pytest.mark.parametrize("workers", [0, 1])
def test_out_of_memory_halves_all_later_batches_and_is_logged(caplog, workers):
    plain, cut = regression(dropout=0.0), regression(dropout=0.0)
    expected = run(plain, steps=5)
    schedule, compute_loss = Schedule(5, 0.05), OutOfMemory(cut, 2)
    optimizer = AdamW(parameter_groups(cut, schedule.rate, 0.1))
    found = train(cut, optimizer, halves_of, compute_loss, 5, name="pretraining", workers=workers, divisible=True)
    assert compute_loss.sizes == [4] + 10 * [2]
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-4)
    for one, other in zip(plain.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "pretraining: the memory of cpu is too small for the batch of step 1; from here on it is processed in 2 "
        "parts of about 2 tokens, and the step uses the mean of their losses"
    ]


@pytest.mark.parametrize("divisible", [True, False])
def test_a_step_that_cannot_fit_in_memory_is_refused_with_a_remedy(divisible):
    model = regression()
    optimizer = AdamW(parameter_groups(model, Schedule(5, 0.05).rate, 0.1))
    where = "cpu, even in parts of one row; " if divisible else "cpu; "
    with pytest.raises(
        InputError, match=f"pretraining: a step does not fit into the memory of {where}use a smaller model"
    ):
        train(model, optimizer, halves_of, OutOfMemory(model, 0), 5, name="pretraining", divisible=divisible)
    assert all(parameter.grad is None for parameter in model.parameters())


def _checkpoint(folder, **more):
    (folder / "corpus.txt").write_text("ACGT") if not (folder / "corpus.txt").exists() else None
    return Checkpoint(folder / "checkpoint", {"rate": 0.05, **more}, {"corpus": folder / "corpus.txt"}, {"name": "t"})


def killed_at(stop):
    def dies(step):
        if step == stop:
            raise KeyboardInterrupt

    return dies


def test_a_killed_and_resumed_training_ends_with_the_same_weights_and_history(tmp_path, monkeypatch):
    """Dropout is active, so the checkpoint must contain the state of the random number generator."""
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole, cut, resumed = regression(), regression(), regression(seed=5)
    torch.manual_seed(1)
    expected = run(whole)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        run(cut, checkpoint=_checkpoint(tmp_path), after_step=killed_at(8))
    found = run(resumed, checkpoint=_checkpoint(tmp_path))
    assert same(whole, resumed)
    timed = ["seconds", "tokens_per_second"]
    assert found.drop(columns=timed).equals(expected.drop(columns=timed))
    assert found["seconds"].is_monotonic_increasing


def test_a_checkpoint_of_other_inputs_settings_or_teacher_is_refused_with_the_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    run(regression(), checkpoint=_checkpoint(tmp_path))
    with pytest.raises(InputError, match=r"other settings or inputs \(settings.rate: 0.05, now 0.1\); remove it"):
        run(regression(), checkpoint=_checkpoint(tmp_path, rate=0.1))
    other = Checkpoint(tmp_path / "checkpoint", {"rate": 0.05}, {"corpus": tmp_path / "corpus.txt"}, {"name": "u"})
    with pytest.raises(InputError, match=r"teacher\.name: 't', now 'u'"):
        run(regression(), checkpoint=other)
    (tmp_path / "corpus.txt").write_text("ACGA")
    with pytest.raises(InputError, match=r"\(inputs.corpus: "):
        run(regression(), checkpoint=_checkpoint(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_an_incomplete_checkpoint_is_refused_with_the_path_to_remove(tmp_path, monkeypatch, share):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    run(regression(), checkpoint=_checkpoint(tmp_path))
    file = tmp_path / "checkpoint"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match="so it is damaged; remove it to start again"):
        run(regression(), checkpoint=_checkpoint(tmp_path))


@pytest.mark.parametrize(("factor", "between_readings"), [("nan", 1), ("inf", 1), ("nan", 50)])
def test_a_step_that_is_not_finite_is_reported_and_the_weights_before_it_are_kept(
    tmp_path, monkeypatch, factor, between_readings
):
    """Also if the loss is read late, as on a GPU."""
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0 if between_readings == 1 else 1e9)
    monkeypatch.setitem(loop.STEPS_BETWEEN_READINGS, "cpu", between_readings)
    calls = []

    def breaks(loss):
        calls.append(1)
        return loss * float(factor) if len(calls) == 6 else loss

    before, broken = regression(dropout=0.0), regression(dropout=0.0)
    run(before, steps=5, schedule=Schedule(12, 0.05))
    kept = "the checkpoint of an earlier step is" if between_readings == 1 else "there is no checkpoint"
    with pytest.raises(Diverged, match=rf"at step 6 \(learning rate .*{kept}") as error:
        run(broken, after_loss=breaks, checkpoint=_checkpoint(tmp_path))
    assert same(before, broken)
    assert error.value.history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    calls.clear()
    resumed = run(regression(seed=3), checkpoint=_checkpoint(tmp_path))
    assert len(resumed) == 12


def test_a_time_limit_ends_training_at_the_end_of_its_schedule():
    history = run(regression(), steps=10**7, schedule=Schedule(10**7, 0.05, end=0.0), minutes=0.005)
    assert 1 < len(history) < 10**7
    assert history["learning_rate"].iloc[-1] < 0.01
