import numpy as np
import pytest
import torch

from genestill.core.errors import InputError
from genestill.core.pooling import POOLINGS, pool, pooled_size, region_lengths
from genestill.core.windows import CombinedWindows

HIDDEN = torch.tensor([[[-3.0, 1.0], [-2.0, 5.0], [9.0, 9.0]], [[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]]])
MASK = torch.tensor([[1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [-2.5, 3.0]),
        ("max", [-2.0, 5.0]),
        ("cls", [-3.0, 1.0]),
        ("last", [-2.0, 5.0]),
        ("concatenated", [-3.0, 1.0, -2.0, 5.0, -2.5, 3.0]),
    ],
)
def test_poolings_ignore_padding(how, expected):
    found = pool(HIDDEN, MASK, how)
    assert found.tolist() == [expected, [0.0] * len(expected)]
    assert found.shape[1] == pooled_size(2, how)


def test_excluded_tokens_are_ignored_by_mean_and_max_only():
    counted = torch.tensor([[0, 1, 0], [0, 0, 0]])
    assert pool(HIDDEN, MASK, "concatenated", counted)[0].tolist() == [-3.0, 1.0, -2.0, 5.0, -2.0, 5.0]


def test_an_unknown_pooling_is_refused():
    with pytest.raises(InputError, match="pooling is 'first'; expected one of mean, max, cls, last"):
        pool(HIDDEN, MASK, "first")


def test_values_in_the_padding_never_affect_a_vector():
    wrong = HIDDEN.clone()
    wrong[0, 2] = torch.nan
    for how in POOLINGS:
        assert pool(wrong, MASK, how)[0].isfinite().all()


def test_windows_are_combined_as_they_were_pooled():
    vectors = np.array([[1.0, -1, 2], [3, -5, 4], [9, 9, 9]])
    rows, weights = np.array([0, 0, 1]), np.array([30, 10, 5])
    expected = {"mean": [1.5, -2, 2.5], "max": [3, -1, 4], "concatenated": [1.5, -1, 2.5]}
    for pooling, first in expected.items():
        combined = CombinedWindows(3, 3, pooling)
        combined.add(rows[1:], vectors[1:], weights[1:])
        combined.add(rows[:1], vectors[:1], weights[:1])
        assert combined.vectors().tolist() == [first, [9, 9, 9], [0, 0, 0]]


def test_regions_are_pooled_separately_and_an_empty_region_gives_zeros():
    regions = torch.tensor([[2, 0, 0], [0, 1, 2]])
    assert pool(HIDDEN, MASK, "regions", regions=regions).tolist() == [[-2, 5, 0, 0, -3, 1], [0] * 6]
    assert pooled_size(2, "regions") == 6
    assert region_lengths(MASK, regions).expm1().round().tolist() == [[1, 0, 1], [0, 0, 0]]
    with pytest.raises(InputError, match="the region of every base is not given"):
        pool(HIDDEN, MASK, "regions")


def test_regions_of_windows_are_weighted_by_their_own_bases():
    vectors = np.array([[1.0, 2, 0], [3, 0, 4]])
    combined = CombinedWindows(2, 3, "regions")
    combined.add(np.array([0, 0]), vectors, np.array([[10, 5, 0], [30, 0, 2]]))
    assert combined.vectors().tolist() == [[2.5, 2, 4], [0, 0, 0]]
