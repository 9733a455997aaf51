"""CAMI's binning metrics: a table computed by hand, scikit-learn's Rand indices, and properties of the definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, rand_score

from genestill.evaluation.binning import measure_binning


def at_phylum(column):
    """Taxa of n contigs at the rank phylum only: int [n, 7]."""
    taxa = np.full((len(column), 7), -1)
    taxa[:, 1] = column
    return taxa


def measured(truth, predicted, length, unit="bp", filtered=False):
    table = measure_binning(at_phylum(truth), at_phylum(predicted), np.array(length))
    table = table[(table["unit"] == unit) & (table["filtered"] == filtered)]
    assert set(table["rank"]) == {"phylum"}
    return table.set_index("metric")["value"]


def test_metrics_equal_those_of_a_table_computed_by_hand():
    # True taxa 0 (150 bp) and 1 (30 bp); a contig without a true taxon is ignored for any call.
    found = measured([0, 0, 1, -1], [0, 1, 1, 0], [100, 50, 30, 1000])
    assert found["accuracy"] == found["completeness"] == pytest.approx(130 / 180)
    assert found["purity"] == pytest.approx(130 / 180)
    assert found["misclassification"] == pytest.approx(50 / 180)
    assert found["binned"] == 1
    assert found["average_purity"] == pytest.approx((1 + 30 / 80) / 2)
    assert found["average_completeness"] == pytest.approx((100 / 150 + 1) / 2)
    assert found["f1_score"] == pytest.approx(2 * 0.6875 * 0.8333333 / (0.6875 + 0.8333333))
    assert found["average_purity_error"] == pytest.approx(np.std([1, 30 / 80], ddof=1) / np.sqrt(2))
    sequences = measured([0, 0, 1, -1], [0, 1, 1, 0], [100, 50, 30, 1000], "seq")
    assert sequences["accuracy"] == pytest.approx(2 / 3)
    assert sequences["average_purity"] == pytest.approx(0.75)


def test_a_spurious_taxon_lowers_purity_and_not_completeness():
    found = measured([0, 0], [0, 7], [60, 40])
    assert found["average_purity"] == 0.5
    assert found["average_completeness"] == pytest.approx(0.6)
    assert found["purity"] == pytest.approx(0.6)


def test_unassigned_contigs_lower_completeness_and_not_purity():
    found = measured([0, 0, 1], [0, -1, -1], [60, 40, 100])
    assert found["purity"] == 1
    assert found["binned"] == found["completeness"] == pytest.approx(0.3)
    assert found["average_completeness"] == pytest.approx((0.6 + 0) / 2)


def test_the_filter_removes_the_tail_by_base_pairs_and_counts_it_as_missed():
    truth, predicted, length = [0] * 4 + [1], [0, 0, 0, 7, 1], [600, 200, 190, 4, 6]
    whole, filtered = measured(truth, predicted, length), measured(truth, predicted, length, filtered=True)
    assert whole["average_purity"] == pytest.approx((1 + 0 + 1) / 3)
    assert filtered["average_purity"] == 1  # of taxon 0 alone: 7 and 1 together are 1 % of what is predicted
    assert filtered["average_completeness"] == pytest.approx((990 / 994 + 0 + 0) / 3)
    assert filtered["binned"] == pytest.approx(0.99)
    assert measured(truth, predicted, length, "seq", filtered=True)["binned"] == pytest.approx(3 / 5)


def test_undefined_values_are_nan():
    nothing = measured([0, 0, 1], [-1, -1, -1], [1, 2, 3])
    assert nothing[["purity", "average_purity", "rand_index", "adjusted_rand_index"]].isna().all()
    assert nothing["completeness"] == 0
    assert np.isnan(measured([0, 0], [0, 0], [10, 20])["average_purity_error"])


columns = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-1, 3), min_size=n, max_size=n) for _ in range(2)))
)


@settings(deadline=None)
@given(columns)
def test_rand_indices_equal_those_of_scikit_learn(taxa):
    truth, predicted = map(np.array, taxa)
    both = (truth >= 0) & (predicted >= 0)
    if (truth < 0).all() or both.sum() < 2:
        return
    found = measured(truth, predicted, [10] * len(truth), "seq")
    assert found["rand_index"] == pytest.approx(rand_score(truth[both], predicted[both]))
    assert found["adjusted_rand_index"] == pytest.approx(adjusted_rand_score(truth[both], predicted[both]))


@settings(deadline=None)
@given(columns, st.lists(st.integers(1, 10**7), min_size=12, max_size=12))
def test_shares_are_between_zero_and_one(taxa, lengths):
    truth, predicted = map(np.array, taxa)
    if (truth < 0).all():
        return
    table = measure_binning(at_phylum(truth), at_phylum(predicted), np.array(lengths[: len(truth)]))
    shares = table[~table["metric"].isin(["adjusted_rand_index"])]["value"].dropna()
    assert ((shares >= -1e-9) & (shares <= 1 + 1e-9)).all()
    filtered = table.pivot_table(index=["metric", "unit"], columns="filtered", values="value")
    assert (filtered.loc["binned", True] <= filtered.loc["binned", False] + 1e-9).all()


def test_a_perfect_binning_has_perfect_scores():
    truth = np.arange(21).reshape(3, 7)
    table = measure_binning(truth, truth, np.array([5, 6, 7]))
    best = table[~table["metric"].isin(["misclassification", "average_purity_error", "average_completeness_error"])]
    assert (best["value"] == 1).all()
    assert isinstance(table, pd.DataFrame)
