"""The interface of an architecture of teachers."""

from importlib import import_module
from pathlib import Path

from genestill.core.tokenization import Tokenizer
from genestill.teacher import architectures
from genestill.teacher.genomes import Genomes
from genestill.teacher.settings import ARCHITECTURES, PretrainingSettings


class Architecture:
    """How a small model of an architecture is made, and how model folders of it are opened.

    Attributes:
        kind: ``causal`` (predicts the next token) or ``masked`` (predicts 15 % of the tokens from the others).
    """

    kind: str

    def make_tokenizer(self, corpus: Genomes, settings: PretrainingSettings) -> Tokenizer:
        """The tokenizer of a small model; some architectures train it on ``corpus``."""
        raise NotImplementedError

    def build(self, settings: PretrainingSettings, tokenizer: Tokenizer):
        """A Hugging Face model with random weights; the caller sets the seed.

        Its ``base_model`` computes hidden states from ids (or embedded ids) and an attention mask, and its ``lm_head``
        the logits from hidden states. Positions are relative, so windows may share a block (see
        `genestill.teacher.pretraining`).
        """
        raise NotImplementedError

    def last_norm(self, model):
        """The module of a model from `build` that normalises the states after the last layer; None without one."""
        return None

    def class_of(self, config, files: list[Path]) -> type | None:
        """The class that opens a model folder; None for folders that transformers opens, or of other architectures.

        Args:
            config: config.json of the folder, as read by transformers.
            files: its safetensors files.
        """
        return None


def find_architecture(name: str) -> Architecture:
    """The architecture with this name, one of `settings.ARCHITECTURES`."""
    return import_module(f"{architectures.__name__}.{name.replace('-', '_')}").ARCHITECTURE


def class_of_folder(config, files: list[Path]) -> type | None:
    """The first class of an architecture for a model folder; None for folders that transformers opens."""
    found = (find_architecture(name).class_of(config, files) for name in ARCHITECTURES)
    return next((kind for kind in found if kind is not None), None)


def common_settings(settings: PretrainingSettings, tokenizer: Tokenizer) -> dict:
    """Sizes of a small model, by their names in configurations of transformers."""
    return {
        "vocab_size": len(tokenizer.vocabulary),
        "hidden_size": settings.hidden_size,
        "intermediate_size": 4 * settings.hidden_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "pad_token_id": tokenizer.pad,
    }
