"""Writing a distilled transcript encoder as a folder."""

from pathlib import Path

from genestill.core.files import folder_aside, write_json
from genestill.core.models import save_tokenizer
from genestill.student.encoders.tokenization import build_tokenizer


def write_student(match, settings, figures: dict, output: Path) -> None:
    """Write ``output``/model (config.json, model.safetensors, tokenizer) and ``output``/training.json.

    The folder contains only the encoder, without the heads of the loss.
    """
    config = match.model.config
    parameters = sum(parameter.numel() for parameter in match.model.parameters())
    metadata = match.corpus.teacher_metadata
    config.teacher = {key: metadata[key] for key in ("teacher", "revision", "layer", "pooling") if key in metadata}
    config.provenance = {"objective": settings.objective, "seed": settings.seed, "steps": settings.steps}
    with folder_aside(output / "model") as folder:
        match.model.save_pretrained(folder)
        # Training reads no [CLS]: with the pooling cls, the first base is used.
        tokenizer = build_tokenizer(cls=False, max_length=config.max_length)
        save_tokenizer(tokenizer, folder)
    write_json(output / "training.json", {"objective": settings.objective, "parameters": parameters, **figures})
