"""Snakemake as a process of its own: the one way in which tests start it."""

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import tempfile
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
    if before or environment:
        done = subprocess.run(**call, capture_output=True, timeout=PATIENCE)
    else:
        done = _run_on_server(call)
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


@functools.cache
def _server() -> subprocess.Popen:
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("snakemake_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(server.kill)
    return server


def _run_on_server(call: dict) -> subprocess.CompletedProcess:
    """The same as `subprocess.run`, without the two seconds of imports."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        for file in files:
            file.touch()
        outputs = {file.name: str(file) for file in files}
        request = {"words": call["args"], "folder": str(call["cwd"]), "variables": call["env"], **outputs}
        print(json.dumps(request), file=server.stdin, flush=True)
        if not select.select([server.stdout], [], [], PATIENCE)[0]:
            os.killpg(server.pid, 9)
            _server.cache_clear()
            raise subprocess.TimeoutExpired(call["args"], PATIENCE)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(call["args"], status, *(file.read_text() for file in files))
