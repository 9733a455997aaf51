import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.near_copies import near_copies
from genestill.core.sequences import reverse_complement
from genestill.core.task_tables import keep_rows, keep_training_rows, read_task_table


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
