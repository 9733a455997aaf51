"""Students that are part of genestill and opened by name: the folders of ``resources/students/``."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import yaml

from genestill.core.errors import InputError
from genestill.core.installation import workflow_root
from genestill.core.text import read_text

STUDENTS = workflow_root() / "resources" / "students"


@dataclass(frozen=True)
class ReleasedStudent:
    """A student of ``resources/students/``, as described in its model card.

    Attributes:
        name: name of its folder.
        folder: the folder, for `transformers`.
        title, summary: first line and first paragraph of the card.
        licence: licence of the weights, as an identifier of the Hugging Face Hub.
        kilobytes: size of the weights.
    """

    name: str
    folder: Path
    title: str
    summary: str
    licence: str
    kilobytes: int


def released_students(folder: str | Path = STUDENTS) -> dict[str, ReleasedStudent]:
    """The students that are part of genestill, by name; raises `InputError` for a folder without a model card."""
    found = {}
    for place in sorted(path.parent for path in Path(folder).glob("*/config.json")):
        _, header, text = read_text(place / "README.md").split("---\n", 2)
        parts = [part.strip() for part in text.split("\n\n") if part.strip()]
        title, summary = parts[0].removeprefix("# "), " ".join(parts[1].split())
        size = (place / "model.safetensors").stat().st_size
        found[place.name] = ReleasedStudent(
            place.name, place, title, summary, yaml.safe_load(header)["license"], -(-size // 1000)
        )
    return found


def student_folder(model: str | Path) -> Path:
    """The folder of a student, given as a folder or as the name of a student that is part of genestill.

    Raises `InputError` if it is neither, with the most similar name.
    """
    if Path(model).is_dir():
        return Path(model)
    names = [path.parent.name for path in STUDENTS.glob("*/config.json")]
    if str(model) in names:
        return STUDENTS / str(model)
    near = difflib.get_close_matches(str(model), names, n=1, cutoff=0.4)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise InputError(
        f"{model}: no such folder, and no student of this name comes with genestill ({', '.join(sorted(names))}){meant}"
    )
