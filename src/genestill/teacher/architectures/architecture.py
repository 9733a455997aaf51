"""What an architecture of teachers is to the rest of the stage."""

from importlib import import_module
from pathlib import Path

from genestill.core.tokenization import Tokenizer
from genestill.teacher import architectures
from genestill.teacher.genomes import Genomes
from genestill.teacher.settings import ARCHITECTURES, PretrainingSettings


class Architecture:
    """How a miniature of an architecture is made, and how folders of it open.

    Attributes:
        kind: ``causal`` (predicts the next token) or ``masked`` (predicts 15 % of the tokens from the others).
    """

    kind: str

    def make_tokenizer(self, corpus: Genomes, settings: PretrainingSettings) -> Tokenizer:
        """The tokenizer of a miniature, trained on ``corpus`` where it is trained."""
        raise NotImplementedError

    def build(self, settings: PretrainingSettings, tokenizer: Tokenizer):
        """A Hugging Face model with random weights; seeded by the caller.

        Its ``base_model`` gives the hidden states of ids (or of embedded ids) and attention mask, and its ``lm_head``
        the logits of those. Positions are relative: windows may share a block (see `genestill.teacher.pretraining`).
        """
        raise NotImplementedError

    def last_norm(self, model):
        """The module of what `build` made that normalises the states after the last layer; None without one."""
        return None

    def class_of(self, config, files: list[Path]) -> type | None:
        """The class that opens a model folder; None for folders that transformers opens by itself, and for others.

        Args:
            config: the folder's config.json, as transformers reads it.
            files: its safetensors files.
        """
        return None


def find_architecture(name: str) -> Architecture:
    """The architecture of that name, one of `settings.ARCHITECTURES`."""
    return import_module(f"{architectures.__name__}.{name.replace('-', '_')}").ARCHITECTURE


def class_of_folder(config, files: list[Path]) -> type | None:
    """The first class that an architecture has for a model folder; None where transformers has one."""
    found = (find_architecture(name).class_of(config, files) for name in ARCHITECTURES)
    return next((kind for kind in found if kind is not None), None)


def common_settings(settings: PretrainingSettings, tokenizer: Tokenizer) -> dict:
    """Sizes of a miniature under the names that configurations of transformers give them."""
    return {
        "vocab_size": len(tokenizer.vocabulary),
        "hidden_size": settings.hidden_size,
        "intermediate_size": 4 * settings.hidden_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "pad_token_id": tokenizer.pad,
    }
