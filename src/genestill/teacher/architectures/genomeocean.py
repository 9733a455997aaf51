"""GenomeOcean: a causal Mistral model over byte pairs."""

import numpy as np
from transformers import MistralConfig, MistralForCausalLM

from genestill.core.bpe import train_bpe
from genestill.core.sequences import BASES
from genestill.core.tokenization import FastTokenizer, Tokenizer
from genestill.teacher.architectures.architecture import Architecture, common_settings
from genestill.teacher.genomes import Genomes
from genestill.teacher.settings import PretrainingSettings

TOKENIZER_BASES = 2_000_000  # sufficient for a stable byte-pair vocabulary of a few thousand tokens
TOKENIZER_PIECE = 200


class GenomeOcean(Architecture):
    """The architecture of GenomeOcean; its folders are opened by transformers."""

    kind = "causal"

    def make_tokenizer(self, corpus: Genomes, settings: PretrainingSettings) -> Tokenizer:
        """Byte pairs, trained on pieces of the corpus."""
        count = min(TOKENIZER_BASES, 2 * corpus.bases) // TOKENIZER_PIECE
        generator = np.random.default_rng([settings.seed, 0])
        pieces = corpus.draw(generator, TOKENIZER_PIECE, max(1, count), settings.strands)
        return FastTokenizer(train_bpe(pieces, settings.vocabulary, settings.context, letters=BASES))

    def build(self, settings: PretrainingSettings, tokenizer: Tokenizer) -> MistralForCausalLM:
        """A model with full attention and separate weights for the embedding and the head."""
        return MistralForCausalLM(
            MistralConfig(
                **common_settings(settings, tokenizer),
                num_key_value_heads=settings.heads,
                max_position_embeddings=settings.context,
                sliding_window=None,
                bos_token_id=tokenizer.prefix[0],
                eos_token_id=tokenizer.suffix[-1],
                tie_word_embeddings=False,
            )
        )

    def last_norm(self, model: MistralForCausalLM):
        """The last normalisation of Mistral."""
        return model.model.norm


ARCHITECTURE = GenomeOcean()
