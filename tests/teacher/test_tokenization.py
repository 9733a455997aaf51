import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.ground.errors import InputError
from genestill.teacher.tokenization import KmerTokenizer, load_tokenizer, train_bpe

DNA = st.text("ACGTNacgtRYn", min_size=1, max_size=80)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The published tokenizer of the Nucleotide Transformer, as transformers runs it."""
    from transformers import EsmTokenizer

    folder = tmp_path_factory.mktemp("published")
    tokenizer = KmerTokenizer.of_size(6, 2048)
    tokenizer.save(folder)
    return tokenizer, EsmTokenizer.from_pretrained(folder)


@given(st.text("ACGTN", min_size=1, max_size=60))
@settings(max_examples=150, deadline=None)
def test_six_mers_are_those_of_the_published_tokenizer(published, sequence):
    ours, theirs = published
    tokens = ours.encode([sequence])[0]
    assert ours.wrap(tokens.ids).tolist() == theirs(sequence)["input_ids"]


def test_six_mers_run_from_the_left_with_single_letters_at_n_and_at_the_tail(published):
    ours, _ = published
    tokens = ours.encode(["ACGTACGTNACGTACG"])[0]
    spelled = [ours.vocabulary[index] for index in tokens.ids]
    assert spelled == ["ACGTAC", "G", "T", "N", "ACGTAC", "G"]
    assert tokens.start.tolist() == [0, 6, 7, 8, 9, 15]
    assert tokens.stop.tolist() == [6, 7, 8, 9, 15, 16]


def test_published_vocabulary_has_4107_tokens_in_the_published_order(published):
    words = published[0].vocabulary
    assert len(words) == 4107
    assert words[:10] == ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", "AAAAAA", "AAAAAT", "AAAAAC", "AAAAAG"]
    assert words[-5:] == ["A", "T", "C", "G", "N"]


@given(st.lists(DNA, min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_tokens_cover_every_base_once_and_spell_it(sequences):
    for tokenizer in (KmerTokenizer.of_size(3, 64), BYTE_PAIRS):
        for sequence, tokens in zip(sequences, tokenizer.encode(sequences), strict=True):
            assert tokens.start[0] == 0
            assert tokens.stop[-1] == len(sequence)
            assert np.array_equal(tokens.start[1:], tokens.stop[:-1])
            clean = "".join(letter if letter in "ACGT" else "N" for letter in sequence.upper())
            for index, start, stop in zip(tokens.ids, tokens.start, tokens.stop, strict=True):
                if "N" not in clean[start:stop]:
                    assert tokenizer.vocabulary[index] == clean[start:stop]


BYTE_PAIRS = train_bpe(["ACGTTGCATGCACCGTAGGCATCA" * 4, "GGCATTACGACCATTTGACCA" * 5], 60, 64)


def test_saved_tokenizers_open_again_as_they_were(tmp_path):
    for tokenizer in (KmerTokenizer.of_size(3, 64), BYTE_PAIRS):
        folder = tmp_path / type(tokenizer).__name__
        folder.mkdir()
        tokenizer.save(folder)
        again = load_tokenizer(folder)
        assert again.checksum == tokenizer.checksum
        assert (again.prefix, again.suffix, again.pad, again.mask) == (
            tokenizer.prefix, tokenizer.suffix, tokenizer.pad, tokenizer.mask,
        )  # fmt: skip
        assert again.model_max_length == 64


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("vocab.txt", "<pad>\nA\nC\nG\nT\nAA\nAC", "not one of k-mers"),
        ("vocab.txt", "the\nof\nand", "not one of k-mers"),
        ("tokenizer.json", "{", "not a JSON file"),
        ("tokenizer.json", "{}", "not a tokenizer that opens"),
        ("README.md", "", "no tokenizer"),
    ],
)
def test_broken_tokenizers_get_a_sentence(tmp_path, file, text, sentence):
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=sentence):
        load_tokenizer(tmp_path)
