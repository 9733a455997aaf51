"""One token per base: the tokenizer that is saved with a student, and a faster equivalent.

Codes of bases are those of `genestill.core.sequences.encode_bases`. Ambiguous IUPAC letters become N.
"""

from collections.abc import Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from genestill.core.sequences import encode_bases

TOKENS = ("A", "C", "G", "T", "N", "[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]")
PAD, MASK, CLS, SEP, UNKNOWN = range(5, 10)
COMPLEMENT = (3, 2, 1, 0, 4, 5, 6, 7, 8, 9)  # token id -> token id on the other strand


def build_tokenizer(cls: bool = False, max_length: int = 12_288) -> PreTrainedTokenizerFast:
    """The single-nucleotide tokenizer.

    Case is ignored, U is read as T, other IUPAC letters as N, any other letter as ``[UNK]``.

    Args:
        cls: add ``[CLS]`` before the first base (for the poolings ``cls`` and ``concatenated``).
        max_length: stored as ``model_max_length``.
    """
    tokenizer = Tokenizer(WordLevel({token: code for code, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("a", "A"),
            normalizers.Replace("c", "C"),
            normalizers.Replace("g", "G"),
            normalizers.Replace(Regex("[tuU]"), "T"),
            normalizers.Replace(Regex("[nRYSWKMBDHVryswkmbdhv]"), "N"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()  # without spaces between tokens
    if cls:
        tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", CLS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        padding_side="right",
        pad_token="[PAD]",
        mask_token="[MASK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    )


def encode_batch(sequences: Sequence[str], cls: bool = False, multiple_of: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of nucleotide sequences, padded on the right.

    Gives the same ids as `build_tokenizer` for IUPAC nucleotide letters, about a hundred times faster.

    Args:
        sequences: B sequences of IUPAC letters, any case.
        cls: add ``[CLS]`` before the first base.
        multiple_of: pad the common length to a multiple of this.

    Returns:
        (input_ids, attention_mask), both int64 [B, L]; the mask is 1 at real tokens and 0 at padding.
    """
    first = int(cls)
    longest = max((len(sequence) for sequence in sequences), default=0) + first
    longest = -(-longest // multiple_of) * multiple_of
    input_ids = np.full((len(sequences), longest), PAD, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        input_ids[row, :first] = CLS
        input_ids[row, first : first + len(sequence)] = encode_bases(sequence)
    return input_ids, (input_ids != PAD).astype(np.int64)
