"""Overlapped work gives the results of a plain loop, and its errors are raised in the caller."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.devices import Halving, compile_on_gpu, copy_back, to_device
from genestill.core.errors import InputError
from genestill.core.overlap import ahead, behind

CPU = torch.device("cpu")


@given(st.lists(st.integers()), st.integers(1, 3))
def test_ahead_and_behind_keep_the_order_of_items(items, depth):
    assert list(ahead(iter(items), depth)) == items
    taken = []
    behind(iter(items), taken.append, depth)
    assert taken == items


def test_few_items_are_buffered_and_the_producer_ends_with_its_consumer():
    made = []

    def make():
        for number in range(1000):
            made.append(number)
            yield number

    reader = ahead(make(), depth=2)
    assert next(reader) == 0
    time.sleep(0.05)
    assert len(made) <= 5  # one was read, two are waiting, one is being produced
    reader.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_an_error_of_the_producer_is_raised_unchanged_after_the_items_it_produced():
    def make():
        yield 1
        raise InputError("reads.fasta: row 3 is empty")

    reader = ahead(make())
    assert next(reader) == 1
    with pytest.raises(InputError, match=r"^reads\.fasta: row 3 is empty$"):
        next(reader)


@pytest.mark.parametrize("error", [InputError("disk is full"), KeyboardInterrupt()])
def test_an_error_of_the_writer_ends_the_loop(error):
    made = []

    def make():
        for number in range(1000):
            made.append(number)
            yield number

    def consume(number):
        raise error

    with pytest.raises(type(error)):
        behind(make(), consume)
    assert len(made) < 10


@pytest.mark.parametrize("error", [InputError("no such contig"), KeyboardInterrupt()])
def test_after_an_error_or_ctrl_c_in_the_loop_nothing_more_is_written_and_no_thread_remains(error):
    written, first = [], threading.Event()

    def make():
        yield 1
        first.wait(5)
        yield 2
        raise error

    def consume(number):
        first.set()
        time.sleep(0.02)
        written.append(number)

    with pytest.raises(type(error)):
        behind(make(), consume)
    assert written[:1] == [1]
    assert not [thread for thread in threading.enumerate() if thread.name == "behind"]


def refuses_above(largest, calls):
    def compute(part):
        calls.append((part.start, part.stop))
        if part.stop - part.start > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(part.start, part.stop))

    return compute


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 50))
def test_a_batch_that_does_not_fit_in_memory_is_halved_and_every_row_is_returned_once(batches, largest):
    halving, calls = Halving("teacher embed", CPU), []
    for rows in batches:
        found = [row for _, rows_of in halving.results(rows, refuses_above(largest, calls)) for row in rows_of]
        assert found == list(range(rows))


def test_halving_is_logged_once_and_later_batches_are_halved_from_the_start(caplog):
    halving, calls = Halving("teacher embed", CPU), []
    list(halving.results(16, refuses_above(8, calls)))
    list(halving.results(16, refuses_above(8, calls)))
    assert calls == [(0, 16), (0, 8), (8, 16), (0, 8), (8, 16)]
    assert [record.getMessage() for record in caplog.records] == [
        "teacher embed: a batch does not fit into the memory of cpu (16 inputs); this and all later batches are halved"
    ]


def test_a_single_input_that_does_not_fit_in_memory_is_refused_with_a_remedy():
    with pytest.raises(InputError, match="one input does not fit into the memory of cpu; use shorter windows"):
        list(Halving("teacher embed", CPU).results(4, refuses_above(0, [])))


def test_copies_equal_their_originals_and_nothing_is_compiled_on_a_cpu(monkeypatch):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(copy_back(to_device(array, CPU))(), array)
    compiled, module = [], torch.nn.Linear(2, 2)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    compile_on_gpu(module, CPU, True)
    compile_on_gpu(module, torch.device("cuda"), False)
    assert not compiled
    compile_on_gpu(module, torch.device("cuda"), True)
    assert compiled == [module]
