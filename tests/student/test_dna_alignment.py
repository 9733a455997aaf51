import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.bpe import train_bpe
from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases
from genestill.student.dna.alignment import align, overlap
from genestill.student.dna.masking import cut_groups, mask_groups
from genestill.student.encoders.adapters import SingleBaseAdapter, collate, open_adapter


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe") / "tokenizer"
    generator = np.random.default_rng(1)
    train_bpe(["".join(generator.choice(list("ACGT"), 400)) for _ in range(40)], 200).save_pretrained(folder)
    return open_adapter(folder)


def spans(*pairs):
    both = torch.tensor(pairs)[None]
    return both[..., 0], both[..., 1]


def pairs(*arguments):
    ours, theirs, met = align(*arguments)
    return ours[met], theirs[met]


def test_overlap_counts_shared_bases_and_is_zero_for_special_tokens():
    teacher = spans((0, 6), (6, 12), (12, 13), (0, 0))
    student = spans((0, 0), (0, 4), (4, 9), (9, 13), (13, 13))
    expected = [[0, 4, 2, 0, 0], [0, 0, 3, 3, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    assert overlap(*teacher, *student)[0].tolist() == expected


def test_pooled_and_repeated_are_the_means_over_shared_bases():
    teacher_spans, student_spans = spans((0, 6), (6, 12)), spans((0, 4), (4, 9), (9, 12))
    student, teacher = torch.tensor([[[1.0], [2.0], [4.0]]]), torch.tensor([[[10.0], [20.0]]])
    shared = overlap(*teacher_spans, *student_spans)
    keep = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    ours, theirs = pairs(student, teacher, shared, *keep, "pooled")
    torch.testing.assert_close(ours[:, 0], torch.tensor([(4 * 1 + 2 * 2) / 6, (3 * 2 + 3 * 4) / 6]))
    assert theirs[:, 0].tolist() == [10, 20]
    ours, theirs = pairs(student, teacher, shared, *keep, "repeated")
    assert ours[:, 0].tolist() == [1, 2, 4]
    torch.testing.assert_close(theirs[:, 0], torch.tensor([10.0, (2 * 10 + 3 * 20) / 5, 20.0]))


def test_tokens_that_are_not_kept_are_excluded_from_the_pairs():
    teacher_spans, student_spans = spans((0, 6), (6, 12)), spans((0, 6), (6, 12))
    student = torch.tensor([[[1.0], [float("inf")]]])
    shared = overlap(*teacher_spans, *student_spans)
    keep = torch.tensor([[True, False]])
    ours, theirs = pairs(torch.where(keep[..., None], student, 0), torch.ones(1, 2, 1), shared, keep, keep, "pooled")
    assert ours.tolist() == [[1.0]]
    assert theirs.tolist() == [[1.0]]


@given(st.text("ACGTN", min_size=1, max_size=200))
def test_byte_pair_offsets_tile_the_sequence(byte_pairs, sequence):
    tokens = byte_pairs.encode(sequence)
    inner = ~tokens.special
    assert tokens.start[inner].tolist() == [0, *tokens.stop[inner][:-1].tolist()]
    assert tokens.stop[inner][-1] == len(sequence)
    assert tokens.special[[0, -1]].all()
    assert tokens.special.sum() == 2


@given(st.text("ACGTN", min_size=8, max_size=200), st.integers(0, 50))
def test_every_base_is_counted_once_between_any_student_and_the_teacher(byte_pairs, sequence, seed):
    boundaries = cut_groups(encode_bases(sequence))
    masked = mask_groups(boundaries, 0.2, np.random.default_rng(seed))
    teacher = torch.from_numpy(boundaries.astype(np.int64))
    for adapter in (byte_pairs, SingleBaseAdapter(cls=True)):
        batch = collate([adapter.encode_masked(sequence, boundaries, masked)], adapter.pad)
        shared = overlap(teacher[None, :-1], teacher[None, 1:], batch["start"], batch["stop"])
        assert shared.sum() == len(sequence)
        visible = shared * ~batch["masked"][:, None, :] * torch.from_numpy(masked)[None, :, None]
        assert visible.sum() == 0  # no visible token of the student overlaps a masked group


def test_byte_pair_tokenizer_reaches_its_vocabulary_size_and_encodes_every_letter(tmp_path):
    generator = np.random.default_rng(1)
    windows = ["".join(generator.choice(list("ACGT"), 500)) for _ in range(60)]
    train_bpe(windows, 1024).save_pretrained(tmp_path / "tokenizer")
    adapter = open_adapter(tmp_path / "tokenizer")
    assert adapter.size == 1024
    assert adapter.encode("acgtnacgt").ids.tolist() == adapter.encode("ACGTNACGT").ids.tolist()
    assert adapter.tokenizer.unk_token_id not in adapter.encode("ACGTNACGU").ids
    with pytest.raises(InputError, match="no sequence"):
        train_bpe([], 1024)


def test_byte_pairs_read_iupac_letters_as_single_bases_do(byte_pairs):
    for sequence in ("ACGTACGTRYKMACGTTTGCA", "acguNNryACGTUUGCA"):
        plain = "".join(letter if letter in "ACGT" else "N" for letter in sequence.upper().replace("U", "T"))
        assert np.array_equal(byte_pairs.encode(sequence).ids, byte_pairs.encode(plain).ids)
        # The saved tokenizer gives the same tokens without genestill.
        assert byte_pairs.tokenizer(sequence)["input_ids"] == byte_pairs.tokenizer(plain)["input_ids"]
        assert byte_pairs.tokenizer.unk_token_id not in byte_pairs.encode(sequence).ids
