"""Checks that files and folders of a configuration exist, before the first job.

The keyword ``path`` of a schema gives the kind of path in a string:

* ``file`` or ``folder``;
* ``taxdump``: a folder with ``nodes.dmp`` and ``names.dmp``;
* ``database``: the path of an MMseqs2 database (``<path>.dbtype`` exists), or one of the words in ``names``;
* ``model``: a folder if the string contains a slash, else a name of ``resources/teachers.yaml``;
* ``source``: ``FILE``, ``FILE,FILE`` or ``FILE:key=value,…``.

Files made by the workflow (in ``results/`` and ``resources/downloads/``) need not exist yet.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from genestill.core.configuration import read_yaml
from genestill.core.errors import InputError
from genestill.core.settings import expand
from genestill.core.taxonomy_folder import dump_file

MADE = ("resources/downloads/", "results/")


def is_made(path: str) -> bool:
    """Whether a file is made by a rule of the workflow and not given by the user."""
    return os.path.relpath(path).startswith(MADE)


def is_folder(model: str) -> bool:
    """Whether ``teacher.model`` is a folder (it contains a slash: ``./mine`` or ``mine/``) and not a model's name."""
    return "/" in model


def refuse_missing_paths(configuration: dict, schemas: str | Path, registry: str | Path) -> None:
    """Check every path of a completed configuration.

    Args:
        configuration: as returned by `complete_configuration`.
        schemas: folder of the schemas.
        registry: the table of named teachers.

    Raises:
        InputError: with the key, the path, and the folder to which a relative path is relative.
    """
    for section, settings in configuration.items():
        file = Path(schemas) / f"{section}.schema.yaml"
        if file.is_file():
            for key, value, schema in _given(settings, expand(read_yaml(file)), section):
                _refuse(key, value, schema, registry)


def _given(settings, schema: dict, key: str) -> Iterator[tuple[str, str, dict]]:
    """All strings of ``settings`` whose schema has the keyword ``path``."""
    if isinstance(settings, str) and "path" in schema:
        yield key, settings, schema
    elif isinstance(settings, list) and isinstance(schema.get("items"), dict):
        for entry in settings:
            yield from _given(entry, schema["items"], key)
    elif isinstance(settings, dict):
        named = schema.get("additionalProperties")
        for name, value in settings.items():
            below = schema.get("properties", {}).get(name, named)
            if isinstance(below, dict):
                yield from _given(value, below, f"{key}.{name}")


def _refuse(key: str, value: str, schema: dict, registry: str | Path) -> None:
    kind = schema["path"]
    if not value:
        raise InputError(f"{key}: empty; expected a path, or null for none")
    if kind == "source":
        table = ":" in value
        for file in [value.split(":", 1)[0]] if table else value.split(","):
            _refuse(key, file, {"path": "file"}, registry)
        return
    if kind == "database" and value in schema["names"]:
        return
    if kind == "model" and not is_folder(value):
        known = read_yaml(registry)
        if value not in known:
            raise InputError(
                f"{key}: {value!r} is neither a folder (a path with a slash, such as ./{value}) nor a model of "
                f"{registry}: {', '.join(known)}"
            )
        return
    shown = f"{value}.dbtype" if kind == "database" else value
    path = Path(shown)
    if not path.exists() and not is_made(value):
        names = f", nor one of {', '.join(schema['names'])}" if kind == "database" else ""
        missing = "no such file" if kind in ("file", "database") else "no such folder"
        raise InputError(f"{key}: {shown}: {missing}{names}; a relative path starts in {Path.cwd()}")
    if path.exists() and path.is_dir() == (kind in ("file", "database")):
        raise InputError(
            f"{key}: {shown}: {'a folder; expected a file' if path.is_dir() else 'a file; expected a folder'}"
        )
    if kind == "taxdump" and path.exists():
        for name in ("nodes", "names"):
            dump = dump_file(path, name)
            if not dump.is_file():
                raise InputError(f"{key}: {dump}: no such file; expected the folder of an unpacked taxonomy dump")


def refuse_to_replace(predictions: str | Path, log: str | Path, name: str) -> None:
    """Refuse to run a step whose output is a file that this workflow did not make.

    Snakemake deletes the outputs of a step before it runs. A step writes its log first, so predictions without a log
    are the user's. Raises `InputError` with the setting to use for such predictions.
    """
    if Path(predictions).exists() and not Path(log).exists():
        raise InputError(
            f"{predictions}: was not made by this workflow, which would replace it by the predictions of the student "
            f"{name}; move it elsewhere and name it in evaluation.predictions to have it scored, or give student.name "
            "another name"
        )
