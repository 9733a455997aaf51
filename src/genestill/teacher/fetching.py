"""Downloading teachers from the Hugging Face hub: a fixed commit, safetensors only, with checksums."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, require_disk_space, sha256_of, write_json
from genestill.core.logs import logger
from genestill.teacher.loading import DESCRIPTION
from genestill.teacher.registry import REGISTRY, NamedTeacher, find_teacher

# Weights, settings, tokenizer and licence; no pickle and no code.
PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "vocab.txt", "merges.txt", "LICENSE*", "README.md"]


def fetch(name: str, output: str | Path, registry: str | Path = REGISTRY, revision: str | None = None) -> dict:
    """Download a named teacher to the folder ``output``; return the content of ``teacher.json`` in it.

    A branch is resolved to its commit, which is kept in ``.<name>.commit.json`` beside ``output``. A later download of
    the same branch to the same folder uses this commit, even if the folder was removed and the branch has changed.

    Args:
        name: name in the registry.
        output: the folder to write.
        registry: the table of named teachers.
        revision: commit, tag or branch instead of the registry's.

    Raises:
        InputError: unknown name; no network, no such revision, or no access; a repository without safetensors, or
            larger than the free disk space.
    """
    from huggingface_hub import snapshot_download

    teacher = find_teacher(name, registry)
    wanted = revision or teacher.revision
    pin = Path(output).with_name(f".{Path(output).name}.commit.json")
    commit = _pinned(pin, teacher, wanted) or _commit(teacher, wanted)
    size = _size(teacher, commit)
    require_disk_space(Path(output).parent, size, f"revision {commit} of {teacher.repository}")
    logger.info("%s: downloading %.2f GB", name, size / 1e9)
    with folder_aside(output) as folder:
        try:
            snapshot_download(teacher.repository, revision=commit, local_dir=folder, allow_patterns=PATTERNS)
        except Exception as error:  # the hub client and the network libraries raise many types of errors
            raise InputError(_sentence(teacher, commit, error)) from None
        if not list(folder.glob("*.safetensors")):
            raise InputError(f"{teacher.repository}: revision {commit} has no safetensors; pickles are never loaded")
        files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != DESCRIPTION)
        description = {
            "name": name,
            "repository": teacher.repository,
            "revision": commit,
            "architecture": teacher.architecture,
            "context": teacher.context,
            "licence": teacher.licence,
            "source": f"https://huggingface.co/{teacher.repository}/tree/{commit}",
            "sha256": {file.name: sha256_of(file) for file in files},
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    write_json(pin, {"repository": teacher.repository, "revision": wanted, "commit": commit})
    logger.info("%s: revision %s of %s in %s", name, commit, teacher.repository, output)
    return description


def _pinned(pin: Path, teacher: NamedTeacher, revision: str) -> str | None:
    """The commit that an earlier download of this revision resolved; None without one."""
    try:
        known = read_json(pin) if pin.is_file() else None
    except InputError:  # truncated, so the commit is unknown
        return None
    asked = {"repository": teacher.repository, "revision": revision}
    if not isinstance(known, dict) or not asked.items() <= known.items() or not _is_commit(known.get("commit")):
        return None
    logger.info(
        "%s: %s is pinned to the commit %s of the first download; remove %s to use a later one",
        *(teacher.name, revision, known["commit"], pin),
    )
    return known["commit"]


def _is_commit(revision) -> bool:
    return isinstance(revision, str) and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def _commit(teacher: NamedTeacher, revision: str) -> str:
    from huggingface_hub import HfApi

    if _is_commit(revision):
        return revision
    try:
        commit = str(HfApi().model_info(teacher.repository, revision=revision).sha)
    except Exception as error:  # as above
        raise InputError(_sentence(teacher, revision, error)) from None
    logger.info(
        "%s: %s is currently the commit %s; give this as the revision to pin it", teacher.name, revision, commit
    )
    return commit


def _size(teacher: NamedTeacher, commit: str) -> int:
    """Bytes of the files that will be downloaded, as the hub lists them."""
    from huggingface_hub import HfApi

    try:
        listed = HfApi().model_info(teacher.repository, revision=commit, files_metadata=True).siblings or []
    except Exception as error:  # as above
        raise InputError(_sentence(teacher, commit, error)) from None
    wanted = (file for file in listed if any(fnmatch(file.rfilename, pattern) for pattern in PATTERNS))
    return sum(file.size or 0 for file in wanted)


def _sentence(teacher: NamedTeacher, revision: str, error: Exception) -> str:
    why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"teacher {teacher.name!r}: cannot download revision {revision} of {teacher.repository} "
        f"({type(error).__name__}: {why}); without network, copy the model folder from another machine and give "
        "its path instead"
    )


def teacher_folder(name_or_folder: str | Path, registry: str | Path = REGISTRY) -> Path:
    """The folder of a teacher, given as a folder or as a name that has been fetched to ``teachers/<name>``.

    Raises `InputError` with the command that fetches a known name, or with the most similar name for an unknown one.
    """
    path = Path(name_or_folder)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{path}: a file; expected a model folder or a teacher's name")
    name = str(name_or_folder)
    if "/" in name or name.startswith("."):
        raise InputError(f"{path}: no such folder; expected a Hugging Face model folder or a teacher's name")
    teacher = find_teacher(name, registry)
    fetched = Path("teachers") / teacher.name
    if not fetched.is_dir():
        raise InputError(
            f"teacher {name!r} is not downloaded; fetch it with: genestill teacher fetch {name} --output {fetched}"
        )
    return fetched
