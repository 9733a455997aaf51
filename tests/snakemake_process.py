"""Snakemake as a process of its own: the one way in which tests start it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
# Seconds after which a run hangs; none takes as long, on a busy machine either.
PATIENCE = 1800


def run_snakemake(
    *arguments,
    folder: Path,
    snakefile: Path | None = ROOT / "Snakefile",
    before: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder`` to its end and return what it printed.

    Args:
        arguments: words of its command line.
        snakefile: None: the one that Snakemake finds in ``folder``.
        before: words before ``snakemake``, of a program that starts it.
        environment: variables beside those of the test.
        check: fail, with the end of what was printed, unless it ends well.
    """
    call = _call(arguments, folder, snakefile, before, environment)
    done = subprocess.run(**call, capture_output=True, timeout=PATIENCE)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def start_snakemake(
    *arguments,
    folder: Path,
    snakefile: Path | None = ROOT / "Snakefile",
    environment: dict[str, str] | None = None,
) -> subprocess.Popen:
    """Start Snakemake in ``folder``, in a process group of its own; what it prints is in the process's ``stdout``."""
    call = _call(arguments, folder, snakefile, (), environment)
    return subprocess.Popen(**call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def _call(arguments, folder, snakefile, before, environment) -> dict:
    workflow = ["--snakefile", snakefile] if snakefile else []
    return {
        "args": [str(word) for word in (*before, BIN / "snakemake", *workflow, *arguments)],
        "cwd": folder,
        "env": os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        "text": True,
    }
