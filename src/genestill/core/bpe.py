"""Nucleotide tokenizers in one file: byte pairs, as in GenomeOcean, DNABERT-2 and seqLens, and k-mers."""

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

    Sequences are converted to upper case, with T for U and N for other IUPAC letters. Each N is a separate token, and
    no merge contains an N. A sequence is enclosed in ``[CLS]`` and ``[SEP]``.

    Args:
        sequences: bases. Each sequence is treated as one word, so shorter pieces need less time and memory.
        vocabulary: number of tokens, including the five special ones; a small corpus may give fewer.
        model_max_length: maximum number of tokens of the model; None for no limit.
        letters: single nucleotides that are tokens; without N, every N is ``[UNK]``.

    Returns:
        The tokenizer.

    Raises:
        InputError: there are no sequences.
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
    """Make a tokenizer of non-overlapping words of ``k`` bases, from the left.

    Before an N or the end of the sequence, a word may be shorter. ``k`` = 1 gives single bases. Everything else,
    including the special tokens, is as in `train_bpe`, so that models of byte pairs and of k-mers can be compared.
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
    """Wrap a tokenizer: special tokens around a sequence, decoding without spaces between tokens."""
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
    """Normalise to upper case, T for U, N for other IUPAC letters."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [normalizers.Replace(base.lower(), base) for base in "ACG"]
        + [normalizers.Replace(Regex("[tuU]"), "T"), normalizers.Replace(Regex("[nRYSWKMBDHVryswkmbdhv]"), "N")]
    )


class _Counted:
    """Iterate over sequences and count them."""

    def __init__(self, sequences: Iterable[str]):
        self.sequences, self.number = sequences, 0

    def __iter__(self):
        for sequence in self.sequences:
            self.number += 1
            yield sequence
