"""A teacher without training: the architecture and the tokenizer of another teacher, with random weights.

Students distilled from the two teachers differ only in what the teacher has learnt.
"""

import json
import shutil
from pathlib import Path

from genestill.core.files import folder_aside
from genestill.core.seeds import seed_everything
from genestill.teacher.loading import DESCRIPTION, load_teacher, weights_checksum

TOKENIZER_FILES = (
    "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip


def randomise(folder: str | Path, output: str | Path, seed: int) -> None:
    """Write a model folder like ``folder`` with new random weights, as initialised by its architecture.

    Raises:
        InputError: as `load_teacher`.
    """
    folder = Path(folder)
    teacher = load_teacher(folder, dtype="float32")
    seed_everything(seed)
    model = type(teacher.model)(teacher.model.config)
    with folder_aside(output) as aside:
        model.save_pretrained(aside)
        for name in TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, aside / name)
        description = teacher.description | {
            "name": f"{teacher.name}.random",
            "revision": f"sha256:{weights_checksum([aside / 'model.safetensors'])}",
            "context": teacher.context,
            "source": f"random weights in the architecture of {teacher.name}",
        }
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
