"""Byte-pair tokenisers over genomes, and the base offsets of their tokens."""

from collections.abc import Iterable
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import folder_aside

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SMALLEST, LARGEST = 64, 65536


def train_bpe(sequences: Iterable[str], vocabulary_size: int, folder: str | Path, longest_token: int = 32) -> int:
    """Train a byte-pair tokeniser on DNA and save it as a folder that ``AutoTokenizer`` opens.

    Sequences are taken in upper case, with T for U and N for the other IUPAC letters, and split at every N (an N is a
    token of its own), so that no merge crosses an unknown base. Vocabularies of 1,024 to 65,536 are those that seqLens
    compares (4,096 came out best there).

    Args:
        sequences: bases; each is one training text. Windows rather than whole chromosomes keep the memory bounded.
        vocabulary_size: tokens in all, the five special ones included.
        folder: where it goes.
        longest_token: in bases; longer merges are low-complexity repeats.

    Returns:
        The size reached; a small corpus may have fewer merges than asked for.

    Raises:
        InputError: the size lies outside 64 to 65,536, or there is no sequence.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if not SMALLEST <= vocabulary_size <= LARGEST:
        raise InputError(f"a vocabulary of {vocabulary_size} was asked for; expected {SMALLEST} to {LARGEST}")
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(base, base.upper()) for base in "acg"]
        + [normalizers.Replace(Regex("[tuU]"), "T"), normalizers.Replace(Regex("[nRYSWKMBDHVryswkmbdhv]"), "N")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^ACGT]"), behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=list("ACGTN"),
        max_token_length=longest_token,
        show_progress=False,
    )
    counted = _Counted(sequences)
    tokenizer.train_from_iterator(counted, trainer)
    if not counted.number:
        raise InputError("no sequence to train a tokeniser on")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        clean_up_tokenization_spaces=False,
    )
    with folder_aside(folder) as aside:
        wrapped.save_pretrained(aside)
    return tokenizer.get_vocab_size()


class _Counted:
    """Passes texts on and knows afterwards how many there were."""

    def __init__(self, sequences: Iterable[str]):
        self.sequences, self.number = sequences, 0

    def __iter__(self):
        for sequence in self.sequences:
            self.number += 1
            yield sequence
