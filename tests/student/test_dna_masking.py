import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.bpe import train_bpe
from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases
from genestill.student.dna.masking import check_groups, cut_groups, mask_groups
from genestill.student.encoders import adapters
from genestill.student.encoders.adapters import SingleBaseAdapter, open_adapter

DNA = st.text("ACGTN", min_size=1, max_size=90)


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe") / "tokenizer"
    generator = np.random.default_rng(1)
    train_bpe(["".join(generator.choice(list("ACGT"), 400)) for _ in range(40)], 200).save_pretrained(folder)
    return open_adapter(folder)


def groups_of(sequence: str) -> list[str]:
    boundaries = cut_groups(encode_bases(sequence))
    return [sequence[a:b] for a, b in itertools.pairwise(boundaries)]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("ACGTACGTACGT", ["ACGTAC", "GTACGT"]),
        ("ACGTACGT", ["ACGTAC", "G", "T"]),
        ("ACNACGTAC", ["A", "C", "N", "ACGTAC"]),
        ("ACGTACGNTTTTTTT", ["ACGTAC", "G", "N", "TTTTTT", "T"]),
        ("NN", ["N", "N"]),
        ("A", ["A"]),
    ],
)
def test_groups_are_split_like_the_tokens_of_the_teacher(sequence, expected):
    assert groups_of(sequence) == expected


@given(DNA)
def test_groups_cover_every_base_once_and_equal_those_of_a_naive_scan(sequence):
    expected, position = [], 0
    while position < len(sequence):
        size = 6 if len(sequence) - position >= 6 and "N" not in sequence[position : position + 6] else 1
        expected.append(sequence[position : position + size])
        position += size
    assert groups_of(sequence) == expected


@given(DNA, st.integers(0, 99), st.sampled_from([0.05, 0.15, 0.5, 0.9]))
def test_no_visible_base_belongs_to_a_masked_group(sequence, seed, share):
    boundaries = cut_groups(encode_bases(sequence))
    masked = mask_groups(boundaries, share, np.random.default_rng(seed))
    shown = SingleBaseAdapter(cls=False).encode_masked(sequence, boundaries, masked)
    for group, hidden in enumerate(masked):
        inside = slice(boundaries[group], boundaries[group + 1])
        assert (shown.ids[inside] == 6).all() == hidden
        assert shown.masked[inside].all() == hidden


def with_other_bases(sequence: str, boundaries, masked, generator) -> str:
    hidden = np.repeat(masked, np.diff(boundaries))
    letters = [
        generator.choice([base for base in "ACGT" if base != letter]) if hide and letter != "N" else letter
        for letter, hide in zip(sequence, hidden, strict=True)
    ]
    return "".join(letters)


@given(DNA, st.integers(0, 99), st.booleans())
def test_masked_bases_do_not_affect_the_input_of_a_single_base_student(sequence, seed, cls):
    generator = np.random.default_rng(seed)
    boundaries = cut_groups(encode_bases(sequence))
    masked = mask_groups(boundaries, 0.3, generator)
    other = with_other_bases(sequence, boundaries, masked, generator)
    adapter = SingleBaseAdapter(cls)
    first, second = (
        adapter.encode_masked(sequence, boundaries, masked),
        adapter.encode_masked(other, boundaries, masked),
    )
    assert (first.ids == second.ids).all()


@given(seed=st.integers(0, 99), sequence=st.text("ACGT", min_size=30, max_size=120))
def test_masked_bases_do_not_affect_the_input_of_a_byte_pair_student(byte_pairs, sequence, seed):
    generator = np.random.default_rng(seed)
    boundaries = cut_groups(encode_bases(sequence))
    masked = mask_groups(boundaries, 0.3, generator)
    other = with_other_bases(sequence, boundaries, masked, generator)
    first = byte_pairs.encode_masked(sequence, boundaries, masked)
    second = byte_pairs.encode_masked(other, boundaries, masked)
    assert first.ids.tolist() == second.ids.tolist()
    assert first.start.tolist() == second.start.tolist()


def test_masking_covers_the_requested_share_and_never_all_bases():
    boundaries = np.arange(0, 606, 6, dtype=np.int32)
    generator = np.random.default_rng(1)
    assert mask_groups(boundaries, 0.15, generator).sum() == 15
    assert mask_groups(boundaries, 1.0, generator).sum() == 99
    assert mask_groups(boundaries, 0.001, generator).sum() == 1
    assert not mask_groups(boundaries, 0.0, generator).any()


def test_features_of_another_window_are_refused():
    boundaries = cut_groups(encode_bases("ACGTACGTACGT"))
    with pytest.raises(InputError, match="window-3"):
        check_groups(boundaries, boundaries[:-1] + 1, boundaries[1:] + 1, "window-3")
    check_groups(boundaries, boundaries[:-1], boundaries[1:], "window-3")


def test_a_chromosome_is_tokenized_in_pieces_and_every_base_is_read_once(monkeypatch, tmp_path):
    train_bpe(["".join(np.random.default_rng(3).choice(list("ACGT"), 4000))], 64).save_pretrained(tmp_path)
    adapter = open_adapter(tmp_path)
    sequence = "".join(np.random.default_rng(4).choice(list("ACGT"), 1000))
    whole = adapter.windows(sequence, 50)
    monkeypatch.setattr(adapters, "PIECE", 1000)
    for one, other in zip(whole, adapter.windows(sequence, 50), strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
    monkeypatch.setattr(adapters, "PIECE", 64)
    windows = adapter.windows(sequence, 50)
    assert all(len(window.ids) <= 50 for window in windows)
    start, stop = (np.concatenate([getattr(window, name)[1:-1] for window in windows]) for name in ("start", "stop"))
    assert start[0] == 0
    assert stop[-1] == len(sequence)
    assert (start[1:] == stop[:-1]).all()
