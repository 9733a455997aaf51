"""DeBERTa students: seqLens' published shapes over byte-pair tokens (He et al. 2021; models of transformers)."""

from genestill.core.errors import InputError

# hidden size, layers, heads, width of the MLP, disentangled attention ("-at" in the names of seqLens). The shapes of
# 23M-at-xsmall, 27M and 46M are published; those of the others follow from the standard sizes of DeBERTa-v3 and the
# published parameter counts. The tiny ones were added for runs on two cores.
SHAPES = {
    "deberta-tiny": (64, 2, 2, 128, True),
    "deberta-1M-at": (128, 4, 4, 256, True),
    "deberta-15M": (512, 4, 8, 2048, False),
    "deberta-23M-at-xsmall": (384, 12, 6, 1536, True),
    "deberta-27M": (512, 8, 8, 2048, False),
    "deberta-46M": (768, 6, 6, 3072, False),
    "deberta-47M-at-small": (768, 6, 12, 3072, True),
    "deberta-89M-at-base": (768, 12, 12, 3072, True),
}


def deberta_configuration(
    architecture: str,
    vocabulary_size: int,
    pad: int,
    max_tokens: int = 512,
    attention: str | None = None,
):
    """A ``DebertaV2Config`` or, with rotary positions, a ``RoFormerConfig`` of the same shape.

    DeBERTa has no rotary positions; the layers of RoFormer (Su et al., arXiv 2104.09864) are those of BERT, like the
    layers of DeBERTa.

    Args:
        architecture: a key of ``SHAPES``.
        vocabulary_size: number of tokens of the tokenizer.
        pad: id of the padding token.
        max_tokens: longest input, including special tokens.
        attention: ``disentangled``, ``absolute`` or ``rotary``; None for that of the architecture.

    Raises:
        InputError: an unknown architecture.
    """
    from transformers import DebertaV2Config, RoFormerConfig

    if architecture not in SHAPES:
        raise InputError(f"architecture {architecture!r} is unknown; expected one of {', '.join(SHAPES)}")
    hidden, layers, heads, intermediate, disentangled = SHAPES[architecture]
    shape = {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": pad,
    }
    if attention == "rotary":
        return RoFormerConfig(
            **shape, embedding_size=hidden, max_position_embeddings=max_tokens, type_vocab_size=1, rotary_value=False
        )
    if attention is not None:
        disentangled = attention == "disentangled"
    relative = {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 256,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    }
    return DebertaV2Config(
        **shape,
        max_position_embeddings=max_tokens,
        type_vocab_size=0,
        **(relative if disentangled else {"relative_attention": False, "position_biased_input": True}),
    )
