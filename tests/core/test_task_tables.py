import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.near_copies import near_copies
from genestill.core.sequences import reverse_complement
from genestill.core.task_tables import (
    TaskTable,
    cross_validation,
    hold_out,
    keep_rows,
    keep_training_rows,
    read_task_table,
)


def draw(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@given(st.integers(8, 30), st.booleans(), st.integers(0, 20))
def test_sequences_that_share_a_kmer_on_either_strand_are_near_copies(size, turned, place):
    word, others = draw(size, 1), [draw(60, seed) for seed in (2, 3, 4)]
    one, two, _ = others
    one = one[:place] + word + one[place:]
    two += reverse_complement(word) if turned else word
    groups = near_copies([one, two, others[2]], size)
    assert groups[0] == groups[1] != groups[2]
    assert len(set(near_copies([one, two + "N", others[2]], len(two) + 1))) == 3


def test_kmers_with_unknown_bases_are_ignored_and_equal_short_sequences_are_grouped():
    assert len(set(near_copies(["N" * 50, "N" * 50], 20))) == 2
    groups = near_copies(["ACGTT", "AACGT", "ACGTTA"], 20)
    assert groups[0] == groups[1] != groups[2]


@pytest.mark.parametrize("split_by", ["random", "homology"])
def test_a_table_without_a_split_gets_a_reproducible_one(tmp_path, split_by):
    families = [draw(80, seed) for seed in range(40)]
    rows = [(family[: 60 + copy], "ab"[number % 2]) for number, family in enumerate(families) for copy in range(5)]
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    table = read_task_table(tmp_path / "t.tsv", split_by)
    assert (table.split == read_task_table(tmp_path / "t.tsv", split_by).split).all()
    for part in ("test", "validation"):
        assert np.bincount(table.labels[table.rows(part)]).tolist() == [10, 10]
    together = [len(set(table.split[first : first + 5])) == 1 for first in range(0, 200, 5)]
    assert all(together) == (split_by == "homology")


def test_training_rows_are_sampled_by_class_and_seed_and_test_rows_are_kept(tmp_path):
    rows = [(draw(20, number), "aab"[number % 3], "test" if number < 30 else "train") for number in range(120)]
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    table = read_task_table(tmp_path / "t.tsv")
    kept = keep_training_rows(table, 12, 1, "t")
    assert np.bincount(kept.labels[kept.train]).tolist() == [8, 4]
    assert kept.test.tolist() == table.test.tolist()
    assert kept.train.tolist() == keep_training_rows(table, 12, 1, "t").train.tolist()
    assert kept.train.tolist() != keep_training_rows(table, 12, 2, "t").train.tolist()
    assert keep_training_rows(table, None, 1, "t") is table
    with pytest.raises(InputError, match="91 of 90 training rows of 2 classes are requested; expected 4 to 90"):
        keep_training_rows(table, 91, 1, "t")


@pytest.mark.parametrize(("given", "wanted"), [((500, 501), 1000), ((40, 1), 30), ((9, 9, 1), 18)])
def test_rows_are_drawn_if_the_rest_would_lack_a_class_or_a_class_has_one_row(tmp_path, given, wanted):
    lines = [f"ACGT\tclass {number}\ttrain" for number, count in enumerate(given) for _ in range(count)]
    (tmp_path / "t.tsv").write_text("sequence\tlabel\tsplit\n" + "\n".join([*lines, "ACGT\tclass 0\ttest"]) + "\n")
    table = read_task_table(tmp_path / "t.tsv")
    found = keep_rows(table, "training", wanted, 1, "t.tsv")
    assert len(set(found.tolist())) == len(found) == wanted
    counts = np.bincount(table.labels[found])
    assert (np.abs(counts - wanted * np.array(given) / sum(given)) <= 1).all()
    assert (counts >= 1).all()
    assert found.tolist() == keep_rows(table, "training", wanted, 1, "t.tsv").tolist()


@given(st.lists(st.integers(2, 30), min_size=2, max_size=5), st.integers(0, 3))
def test_fewer_training_rows_are_a_part_of_more_in_nearly_the_same_proportions(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    split = np.full(len(labels), "train", dtype=object)
    table = TaskTable([""] * len(labels), labels, [str(code) for code in range(len(counts))], split)
    kept: set[int] = set()
    for rows in range(2 * len(counts), len(labels) + 1):
        train = keep_training_rows(table, rows, seed, "t").train
        assert len(train) == rows
        assert kept <= set(train.tolist())
        kept = set(train.tolist())
        exact = rows * np.array(counts) / len(labels)
        assert (np.abs(np.bincount(labels[train]) - exact) < 2 + len(counts) / 2).all()


def grouped(groups: list[str], labels: list[int]) -> TaskTable:
    """A task whose last group is for the test."""
    split = np.where(np.array(groups) == groups[-1], "test", "train").astype(object)
    return TaskTable([""] * len(groups), np.array(labels), ["a", "b"], split, groups=np.array(groups, dtype=object))


@given(st.integers(3, 12), st.integers(1, 9), st.integers(0, 5))
def test_held_out_rows_share_no_group_with_the_rows_to_fit(groups, size, seed):
    names = [f"g{number}" for number in range(groups + 1) for _ in range(2 * size)]
    table = grouped(names, [0, 1] * (size * (groups + 1)))
    fit, held = hold_out(table, 0.2, seed)
    assert not set(table.groups[fit]) & set(table.groups[held])
    assert sorted([*fit, *held]) == table.train.tolist()
    folds = cross_validation(table, 5, seed)
    assert sorted(np.concatenate([held for _, held in folds])) == table.train.tolist()
    assert all(not set(table.groups[fit]) & set(table.groups[held]) for fit, held in folds)


def test_if_a_class_is_in_one_group_its_held_out_rows_are_drawn_from_it(caplog):
    table = grouped(["one"] * 10 + ["two"] * 10 + ["test"] * 2, [0] * 10 + [1] * 10 + [0, 1])
    fit, held = hold_out(table, 0.2, 1)
    assert np.bincount(table.labels[held]).tolist() == [2, 2]
    assert len(fit) == 16
    assert "no whole groups of rows contain every class" in caplog.text
    for fit, held in cross_validation(table, 5, 1):
        assert set(table.labels[fit]) == set(table.labels[held]) == {0, 1}
    assert "choices are made on rows of the same groups" in caplog.text


def test_a_table_with_groups_and_without_a_split_is_split_by_group(tmp_path):
    rows = [(draw(60, number), "ab"[number % 2], f"g{number // 10}") for number in range(200)]
    pd.DataFrame(rows, columns=["sequence", "label", "group"]).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    for split_by in ("random", "homology"):
        table = read_task_table(tmp_path / "t.tsv", split_by)
        assert all(len(set(table.split[table.groups == name])) == 1 for name in set(table.groups))
        assert set(table.split) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([f"{number / 7:.3f}" for number in range(30)], "30 different numbers label 30 rows; expected classes"),
        (["a"] * 30, "all rows have the label 'a'; expected at least two labels"),
        (["a", "b", "NA"] * 10, "line 4 has the label 'NA'; every row needs a class"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, message):
    rows = [(draw(20, number), label, "test" if number > 24 else "train") for number, label in enumerate(labels)]
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=message):
        read_task_table(tmp_path / "t.tsv")


def test_a_class_with_too_few_rows_to_hold_one_out_is_named():
    split = np.array(["train"] * 20 + ["test"] * 2, dtype=object)
    table = TaskTable([""] * 22, np.array([0] * 19 + [1, 0, 1]), ["common", "rare"], split)
    with pytest.raises(InputError, match="1 of them have the label 'rare'; expected at least 2 of each label"):
        hold_out(table, 0.1, 1)
