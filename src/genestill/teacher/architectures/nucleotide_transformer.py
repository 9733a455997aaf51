"""The Nucleotide Transformer v2: masked k-mers. The model class is in `genestill.core.nucleotide_transformer`."""

from pathlib import Path

from torch import nn
from transformers import EsmConfig

from genestill.core.nucleotide_transformer import NucleotideTransformerForMaskedLM, class_of
from genestill.core.tokenization import KmerTokenizer, Tokenizer
from genestill.teacher.architectures.architecture import Architecture, common_settings
from genestill.teacher.genomes import Genomes
from genestill.teacher.settings import PretrainingSettings


class NucleotideTransformer(Architecture):
    """Masked 6-mers (or other k-mers), rotary positions."""

    kind = "masked"

    def make_tokenizer(self, corpus: Genomes, settings: PretrainingSettings) -> Tokenizer:
        """A tokenizer with all k-mers."""
        return KmerTokenizer.of_size(settings.k, settings.context)

    def build(self, settings: PretrainingSettings, tokenizer: Tokenizer) -> NucleotideTransformerForMaskedLM:
        """A model like the published v2 models."""
        config = EsmConfig(
            **common_settings(settings, tokenizer),
            max_position_embeddings=settings.context + 2,
            position_embedding_type="rotary",
            mask_token_id=tokenizer.mask,
            token_dropout=False,
            emb_layer_norm_before=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            layer_norm_eps=1e-12,
            tie_word_embeddings=False,
        )
        config.add_bias_fnn = False
        model = NucleotideTransformerForMaskedLM(config)
        # The name in the published checkpoints; `class_of` recognises the gated block by its shape.
        config.architectures = ["EsmForMaskedLM"]
        return model

    def last_norm(self, model: NucleotideTransformerForMaskedLM) -> nn.Module:
        """The last normalisation of ESM."""
        return model.esm.encoder.emb_layer_norm_after

    def class_of(self, config, files: list[Path]) -> type | None:
        """The class with the gated block."""
        return class_of(config, files)


ARCHITECTURE = NucleotideTransformer()
