import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.windows import batch_by_length, window_bounds


@given(st.integers(0, 5000), st.integers(1, 700), st.sampled_from([1, 3, 6]))
def test_windows_cover_every_base_exactly_once_and_do_not_exceed_their_size(length, size, unit):
    bounds = window_bounds(length, size, unit)
    covered = [place for start, stop in bounds for place in range(start, stop)]
    assert covered == list(range(length))
    assert all(start % unit == 0 and 0 < stop - start <= max(size, unit) for start, stop in bounds)
    assert len(bounds) <= max(1, -(-length // max(unit, size // unit * unit)))


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 300))
@settings(deadline=None)
def test_batches_contain_each_window_once_longest_first_within_the_budget(lengths, budget):
    taken = [batch.tolist() for batch in batch_by_length(np.array(lengths, dtype=np.int64), budget)]
    order = [position for batch in taken for position in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[position] for position in order] == sorted(lengths, reverse=True)
    for batch in taken:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= budget
