"""Byte-pair tokenizers over nucleotides: the type that GenomeOcean, DNABERT-2 and seqLens read."""

from __future__ import annotations

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
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(base.lower(), base) for base in "ACG"]
        + [normalizers.Replace(Regex("[tuU]"), "T"), normalizers.Replace(Regex("[nRYSWKMBDHVryswkmbdhv]"), "N")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^ACGT]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()  # without spaces between tokens
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
    around = [(SPECIAL_TOKENS[role], tokenizer.token_to_id(SPECIAL_TOKENS[role])) for role in ("cls", "sep")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        **({"model_max_length": model_max_length} if model_max_length else {}),
        **{f"{role}_token": token for role, token in SPECIAL_TOKENS.items()},
    )


class _Counted:
    """Hands sequences on and knows afterwards how many there were."""

    def __init__(self, sequences: Iterable[str]):
        self.sequences, self.number = sequences, 0

    def __iter__(self):
        for sequence in self.sequences:
            self.number += 1
            yield sequence
