"""Named teachers: the table ``resources/teachers.yaml``."""

import difflib
from dataclasses import dataclass, fields
from pathlib import Path

from genestill.core.configuration import read_yaml
from genestill.core.errors import InputError
from genestill.core.installation import workflow_root

REGISTRY = workflow_root() / "resources" / "teachers.yaml"


@dataclass(frozen=True)
class NamedTeacher:
    """One entry of the registry.

    repository, revision: on the Hugging Face hub; a revision that is a branch is resolved to a commit when fetched, and
    ``revision_checked`` is whether the revision was checked. context: tokens of one input. layer, pooling:
    recommended. loadable: whether `load_teacher` can open it; if not, ``note`` gives the reason.
    """

    name: str
    repository: str
    revision: str
    revision_checked: bool
    architecture: str
    tokenizer: str
    parameters: str
    context: int
    layer: int | str
    pooling: str
    licence: str
    loadable: bool
    note: str


def read_registry(path: str | Path = REGISTRY) -> dict[str, NamedTeacher]:
    """Read the table of named teachers; raise `InputError` if an entry has a missing or an unknown field."""
    wanted = {field.name for field in fields(NamedTeacher)} - {"name"}
    found = {}
    table = read_yaml(path) or {}
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise InputError(f"{path}: expected a name with its fields for each teacher")
    for name, row in table.items():
        if set(row) != wanted:
            odd = ", ".join(sorted(map(str, set(row) ^ wanted)))
            raise InputError(f"{path}: {name}: fields missing or unknown: {odd}")
        found[name] = NamedTeacher(name=name, **row)
    return found


def find_teacher(name: str, path: str | Path = REGISTRY) -> NamedTeacher:
    """The teacher with this name.

    Raises `InputError` if there is none, with the most similar name, or if it cannot be loaded, with the reason.
    """
    registry = read_registry(path)
    if name not in registry:
        close = difflib.get_close_matches(name, registry, n=1, cutoff=0.4)
        raise InputError(
            f"teacher {name!r} is neither a folder nor a known name; known names: {', '.join(registry)}"
            + (f"; did you mean {close[0]!r}?" if close else "")
        )
    teacher = registry[name]
    if not teacher.loadable:
        raise InputError(f"teacher {name!r} cannot be loaded: {teacher.note}")
    return teacher
