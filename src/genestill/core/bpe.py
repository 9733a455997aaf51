"""Tokenizers over nucleotides in one file: byte pairs, as GenomeOcean, DNABERT-2 and seqLens read, and k-mers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genestill.core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# In the order of DNABERT-2's and GenomeOcean's vocabularies.
SPECIAL_TOKENS = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
LONGEST_TOKEN = 32  # bases; longer merges are low-complexity repeats


def train_bpe(
    sequences: Iterable[str], vocabulary: int, model_max_length: int | None = None, letters: str = "ACGTN"
) -> PreTrainedTokenizerFast:
    """Learn a byte-pair vocabulary over nucleotides.

    Sequences are read in upper case, with T for U and N for the other IUPAC letters. Every N is a token of its own, and
    no merge crosses it. A sequence stands between ``[CLS]`` and ``[SEP]``.

    Args:
        sequences: bases. Each counts as one word, so shorter pieces train faster and take less memory.
        vocabulary: number of tokens, the five special ones included; a small corpus may give fewer.
        model_max_length: tokens that the model takes; None for any number.
        letters: single nucleotides that are tokens; without N, every N is ``[UNK]``.

    Raises:
        InputError: there is no sequence.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^ACGT]"), behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=list(letters),
        limit_alphabet=len(letters),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    counted = _Counted(sequences)
    tokenizer.train_from_iterator(counted, trainer)
    if not counted.number:
        raise InputError("no sequence to train a tokenizer on")
    return _finish(tokenizer, model_max_length)


def make_kmer_tokenizer(k: int, model_max_length: int | None = None) -> PreTrainedTokenizerFast:
    """Words of ``k`` bases from the left, which do not overlap; what an N or the end cuts short is a shorter word.

    ``k`` = 1 reads single bases. Otherwise as `train_bpe`, with the same special tokens, so that models over byte pairs
    and over words differ in nothing else.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = ["".join(word) for size in range(1, k + 1) for word in itertools.product("ACGT", repeat=size)]
    vocabulary = {word: code for code, word in enumerate([*SPECIAL_TOKENS.values(), *words, "N"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"[ACGT]{{1,{k}}}|[^ACGT]"), behavior="isolated")
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS.values()))
    return _finish(tokenizer, model_max_length)


def _finish(tokenizer, model_max_length: int | None) -> PreTrainedTokenizerFast:
    """What both have in common: special tokens around a sequence, decoding without spaces between tokens."""
    from tokenizers import decoders, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.decoder = decoders.Fuse()
    around = [(SPECIAL_TOKENS[role], tokenizer.token_to_id(SPECIAL_TOKENS[role])) for role in ("cls", "sep")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        **({"model_max_length": model_max_length} if model_max_length else {}),
        **{f"{role}_token": token for role, token in SPECIAL_TOKENS.items()},
    )


def _normalizer():
    """Upper case, T for U, N for the other IUPAC letters."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [normalizers.Replace(base.lower(), base) for base in "ACG"]
        + [normalizers.Replace(Regex("[tuU]"), "T"), normalizers.Replace(Regex("[nRYSWKMBDHVryswkmbdhv]"), "N")]
    )


class _Counted:
    """Passes sequences on and counts them."""

    def __init__(self, sequences: Iterable[str]):
        self.sequences, self.number = sequences, 0

    def __iter__(self):
        for sequence in self.sequences:
            self.number += 1
            yield sequence
