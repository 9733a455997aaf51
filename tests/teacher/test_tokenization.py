import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.bpe import train_bpe
from genestill.core.errors import InputError
from genestill.core.tokenization import FastTokenizer, KmerTokenizer, load_tokenizer

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
def test_six_mers_equal_those_of_the_published_tokenizer(published, sequence):
    ours, theirs = published
    tokens = ours.encode([sequence])[0]
    assert ours.wrap(tokens.ids).tolist() == theirs(sequence)["input_ids"]


def test_six_mers_are_split_from_the_left_with_single_letters_at_n_and_at_the_end(published):
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


BYTE_PAIRS = FastTokenizer(
    train_bpe(["ACGTTGCATGCACCGTAGGCATCA" * 4, "GGCATTACGACCATTTGACCA" * 5], 60, 64, letters="ACGT")
)


def test_saved_tokenizers_are_loaded_unchanged(tmp_path):
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
        ("vocab.txt", "<pad>\nA\nC\nG\nT\nAA\nAC", "not a vocabulary of k-mers"),
        ("vocab.txt", "the\nof\nand", "not a vocabulary of k-mers"),
        ("tokenizer.json", "{", "not a JSON file"),
        ("tokenizer.json", "{}", "not a tokenizer that can be loaded"),
        ("README.md", "", "no tokenizer"),
        ("vocab.txt", "A\nC\nG\nT", "neither N nor an unknown token"),
        ("vocab.txt", "[PAD]\n[UNK]\n" + "\n".join(f"AC{base}" for base in "ACGT"), "not a vocabulary of k-mers"),
    ],
)
def test_invalid_tokenizers_are_refused_with_a_clear_message(tmp_path, file, text, sentence):
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=sentence):
        load_tokenizer(tmp_path)


SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _save_letters(folder, letters):
    """A tokenizer of single letters, as transformers saves one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({token: i for i, token in enumerate([*SPECIALS, *letters])}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))
    special = {f"{role}_token": name for role, name in names.items()}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **special).save_pretrained(folder)


@pytest.mark.parametrize("letters", ["ACGTN", "ACGUN", "acgtn", "acgun", "ACGU", "TGCA"])
def test_sequences_are_translated_into_the_alphabet_of_the_tokenizer(tmp_path, caplog, letters):
    caplog.set_level("INFO")
    _save_letters(tmp_path, letters)
    tokenizer = load_tokenizer(tmp_path)
    tokens = tokenizer.encode(["ACGTTacguR"])[0]
    n = next((letter for letter in letters if letter in "Nn"), None)
    as_upper = letters.upper().replace("U", "T")
    unknown = "[UNK]" if n is None else "N"
    assert [tokenizer.vocabulary[index] for index in tokens.ids] == [*"ACGTTACGT", unknown]
    assert tokens.ids[0] == 5 + as_upper.index("A")
    assert len(tokenizer.bases_of_tokens(1)[0]) == 4
    assert (tokenizer.prefix, tokenizer.suffix, tokenizer.bases_per_token) == ((2,), (3,), 1)
    assert ("converted to the alphabet" in caplog.text) == (letters not in ("ACGTN", "TGCA"))


@pytest.mark.parametrize("letters", ["the", "EFIKLMNPQRSVWY", "ACG", "ABCDEFN"])
def test_a_tokenizer_that_lacks_a_base_is_refused(tmp_path, letters):
    _save_letters(tmp_path, letters)
    with pytest.raises(InputError, match=r"does not read DNA: TGGCC.* becomes .*UNK"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_requires_pre_split_words_is_refused(tmp_path):
    from itertools import product

    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {token: i for i, token in enumerate([*SPECIALS, *map("".join, product("ATCG", repeat=3))])}
    backend = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="cut beforehand"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("letters", ["ACGT", "ACGU", "acgt", "acgu"])
@pytest.mark.parametrize("k", [1, 3])
def test_k_mers_of_any_alphabet_are_read_in_the_same_way(tmp_path, letters, k):
    from itertools import product

    words = [*SPECIALS, *map("".join, product(letters, repeat=k)), *(letters if k > 1 else ""), "N"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = load_tokenizer(tmp_path)
    reference = KmerTokenizer(
        ["[PAD]", "[UNK]", *words[2:5], *map("".join, product("ACGT", repeat=k)), *"ACGT"[: 4 * (k > 1)], "N"]
    )
    for sequence in ("ACGUacgtTTGNACRYG", "A", "NNN"):
        assert np.array_equal(tokenizer.encode([sequence])[0].ids, reference.encode([sequence])[0].ids)
    tokenizer.save(tmp_path)
    assert (tmp_path / "vocab.txt").read_text().split("\n") == words
    assert load_tokenizer(tmp_path).checksum == tokenizer.checksum


@pytest.mark.parametrize(
    ("specials", "files", "around"),
    [
        (SPECIALS, {}, (["[CLS]"], ["[SEP]"])),
        (["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"], {}, (["<cls>"], [])),
        (
            ["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"],
            {"tokenizer_config.json": '{"tokenizer_class": "EsmTokenizer"}'},
            (["<cls>"], ["<eos>"]),
        ),
        (
            ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            {"special_tokens_map.json": '{"cls_token": {"content": "<s>"}, "eos_token": "</s>"}'},
            (["<s>"], ["</s>"]),
        ),
        (SPECIALS, {"tokenizer_config.json": '{"cls_token": null, "sep_token": null}'}, ([], [])),
    ],
)
def test_special_tokens_of_a_vocabulary_are_defined_by_its_settings_or_its_family(tmp_path, specials, files, around):
    (tmp_path / "vocab.txt").write_text("\n".join([*specials, *"ACGTN"]))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    tokenizer = load_tokenizer(tmp_path)
    spelled = [[tokenizer.vocabulary[index] for index in side] for side in (tokenizer.prefix, tokenizer.suffix)]
    assert spelled == list(around)
    assert tokenizer.vocabulary[tokenizer.mask] in ("[MASK]", "<mask>")


@given(st.text("ACGTURYSWKMBDHVNacgturyswkmbdhvn", min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_iupac_letter_that_is_not_a_base_is_read_as_n(sequence):
    plain = "".join(letter if letter in "ACGT" else "N" for letter in sequence.upper().replace("U", "T"))
    for tokenizer in (KmerTokenizer.of_size(3, 64), KmerTokenizer.of_size(1, 64), BYTE_PAIRS):
        assert np.array_equal(tokenizer.encode([sequence])[0].ids, tokenizer.encode([plain])[0].ids)
