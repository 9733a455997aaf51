"""Writing a distilled transcript encoder as a folder that opens again."""

import math
from dataclasses import asdict
from pathlib import Path

from safetensors import safe_open

from genestill.ground.errors import InputError
from genestill.ground.files import folder_aside, write_json
from genestill.ground.provenance import collect_provenance
from genestill.student.encoders.tokenization import build_tokenizer


def write_student(match, settings, transcripts, teacher, figures: dict, output: Path) -> None:
    """Write ``output``/model (config.json, model.safetensors, tokenizer) and ``output``/training.json.

    The heads of the loss are left behind: the folder holds the encoder alone.
    """
    config = match.model.config
    parameters = sum(parameter.numel() for parameter in match.model.parameters())
    metadata = match.corpus.teacher_metadata
    config.teacher = {key: metadata[key] for key in ("teacher", "revision", "layer", "pooling") if key in metadata}
    config.provenance = {"objective": settings.objective, "seed": settings.seed, "steps": settings.steps}
    with folder_aside(output / "model") as folder:
        match.model.save_pretrained(folder)
        build_tokenizer(cls=config.pooling in ("cls", "concatenated"), max_length=config.max_length).save_pretrained(
            folder
        )
    given = {"transcripts": transcripts}
    for role, paths in asdict(teacher).items():
        given |= {f"{role}[{number}]": path for number, path in enumerate(paths)}
    provenance = collect_provenance(given, asdict(settings), settings.seed)
    write_json(output / "training.json", {"parameters": parameters, **figures, "provenance": provenance})


def parameters_of(folder: str | Path) -> int:
    """Number of parameters in a model folder's safetensors files; only their headers are read."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors in this folder; expected a model")
    count = 0
    for file in files:
        with safe_open(file, framework="np") as tensors:
            count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count
