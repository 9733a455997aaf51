"""Students as folders: building from an architecture, opening, and saving."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedModel

from genestill.core import nucleotide_transformer
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json
from genestill.core.logs import logger
from genestill.core.models import open_whole, save_tokenizer
from genestill.core.tokenization import load_tokenizer
from genestill.student.dna.deberta import SHAPES, deberta_configuration
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.encoders.adapters import BytePairAdapter, SingleBaseAdapter, TeacherAdapter, open_adapter
from genestill.student.encoders.configuration import DEFAULT_WINDOW
from genestill.student.encoders.embedding import OF_TRANSFORMERS
from genestill.student.encoders.heads import with_language_head
from genestill.student.encoders.sizing import PRESETS, size_for_budget
from genestill.student.model_card import LANGUAGE_HEADS, Card, write_model_card

# Single-base encoders: the published size, and smaller and attention-only variants.
ENCODERS: dict[str, dict[str, Any]] = {
    **PRESETS,
    # Without the layer of attention and otherwise unchanged: about the same size.
    "had-mixer": PRESETS["had"] | {"backbone": "delta"},
    "had-attention": PRESETS["had"] | {"backbone": "transformer"},
    "had-small": {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2},
    "had-tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "transformer-tiny": {
        "backbone": "transformer",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
}
ARCHITECTURES = (*ENCODERS, *SHAPES)
STUDENTS = (EncoderConfig.model_type, *OF_TRANSFORMERS)  # model types in config.json; others are teachers


def build_student(
    architecture: str,
    tokenizer: str | Path | None = None,
    reverse_complement: bool = False,
    cls: bool = False,
    max_tokens: int = 12_288,
    parameters: int | None = None,
    attention: str | None = None,
):
    """A new student: (model, adapter).

    Args:
        architecture: a key of ``ENCODERS`` (single bases) or of ``deberta.SHAPES`` (byte pairs).
        tokenizer: folder of a tokenizer of byte pairs or k-mers; only for DeBERTa.
        reverse_complement: average both strands; only for encoders.
        cls: add a [CLS] before the first base; only for encoders, DeBERTa always has one.
        max_tokens: longest input.
        parameters: size of an encoder, with the proportions of `size_for_budget`; None for that of the architecture.
        attention: one of `settings.ATTENTIONS` instead of the architecture's; only for DeBERTa.

    Raises:
        InputError: an unknown architecture, or one that cannot be used with the tokenizer.
    """
    if architecture in ENCODERS:
        if tokenizer is not None:
            raise InputError(f"{architecture} reads single bases; do not give a tokenizer ({tokenizer})")
        if attention is not None:
            raise InputError(f"{architecture} has a fixed kind of attention; do not give {attention}")
        # With a window as wide as the input, windowed attention equals full attention, but its blocks are padded.
        narrow: dict[str, Any] = {"attention_window": 0} if max_tokens <= DEFAULT_WINDOW else {}
        others = {**narrow, "reverse_complement": reverse_complement, "max_length": max_tokens}
        if parameters is None:
            config = EncoderConfig(**ENCODERS[architecture], **others)
        else:
            config = size_for_budget(ENCODERS[architecture].get("backbone", "delta_hybrid"), parameters, **others)
        return EncoderModel(config), SingleBaseAdapter(cls, max_tokens)
    if architecture not in SHAPES:
        raise InputError(f"architecture {architecture!r} is unknown; expected one of {', '.join(ARCHITECTURES)}")
    if tokenizer is None:
        raise InputError(f"{architecture} needs a tokenizer; make one with genestill student train-tokenizer")
    if parameters is not None:
        raise InputError(f"{architecture} has a fixed size; do not give a number of parameters ({parameters})")
    if reverse_complement:
        raise InputError(f"{architecture} has no reverse-complement option; its tokens differ between the strands")
    adapter = open_adapter(tokenizer)
    if not isinstance(adapter, BytePairAdapter):
        raise InputError(f"{tokenizer}: the tokenizer of an encoder; {architecture} needs one of train-tokenizer")
    config = deberta_configuration(architecture, adapter.size, adapter.pad, max_tokens, attention)
    return AutoModel.from_config(config), adapter


def open_student(folder: str | Path) -> tuple[PreTrainedModel, Any]:
    """(model, adapter) of a student folder, or of a published model when online; no code from the folder is executed.

    The folder of a teacher can be opened too, without its language head, for fine-tuning (`TeacherAdapter`).

    Raises `InputError` as `models.open_whole` does, and for a tokenizer that cannot be opened.
    """
    kind = read_json(Path(folder) / "config.json").get("model_type") if Path(folder).is_dir() else None
    if kind is not None and kind not in STUDENTS:
        return _open_teacher(Path(folder))
    return open_whole(AutoModel, folder), open_adapter(folder)


def _open_teacher(folder: Path) -> tuple[PreTrainedModel, TeacherAdapter]:
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    kind = nucleotide_transformer.class_of(config, sorted(folder.glob("*.safetensors"))) or AutoModel
    model = open_whole(
        kind, folder, skipped="esm.contact_head.regression.weight", dtype=torch.float32,
        may_be_left=lambda name: name.endswith(("inv_freq", "position_ids")),
    )  # fmt: skip
    return model.base_model, TeacherAdapter(load_tokenizer(folder))


def open_language_model(folder: str | Path, student: PreTrainedModel) -> PreTrainedModel:
    """``student``, which was opened from ``folder``, with the language head of the folder.

    If the folder has no head, a new head is used, with a warning. Raises `InputError` for a head that is incomplete or
    of another size.
    """
    if _has_language_head(folder):
        return open_whole(AutoModelForMaskedLM, folder)
    logger.warning("%s: its head is not loaded; the language head starts from random weights", folder)
    return with_language_head(student)


def _has_language_head(folder: str | Path) -> bool:
    for file in Path(folder).glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            if any(name.startswith(LANGUAGE_HEADS) for name in tensors.keys()):  # noqa: SIM118
                return True
    return False


def save_student(folder: str | Path, model: PreTrainedModel, adapter, settings: dict) -> None:
    """Write config.json, model.safetensors, tokenizer files and a model card with ``settings``, atomically.

    ``model`` is the student without a head, with its language head, or with a classifier.
    """
    with folder_aside(folder) as aside:
        model.save_pretrained(aside)
        save_tokenizer(adapter.tokenizer, aside)
        count = sum(parameter.numel() for parameter in model.base_model.parameters())
        classes = list(model.config.id2label.values()) if hasattr(model, "head") else []
        tells = f"Distinguishes {', '.join(classes)}. " if classes else ""
        card = Card(
            title=f"DNA classifier, {len(classes)} classes" if classes else f"DNA encoder, {count:,} parameters",
            summary=f"{tells}Reads {adapter.kind} ({adapter.size} tokens); width {model.config.hidden_size}, "
            f"{model.config.num_hidden_layers} layers.",
            limits=["This card was written after training; nothing has been measured yet."],
            training=settings,
        )
        write_model_card(aside, card)
