"""What stands beside every result: versions, checksums, settings, seeds, hardware."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import genestill
from genestill.ground.files import sha256_of, write_json

LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "tokenizers", "torch", "transformers", "snakemake")


def collect_provenance(inputs: dict[str, str | Path], settings: dict, seed: int | None, **more) -> dict:
    """Describe a run. ``inputs`` maps a role to a file or folder, whose SHA-256 is taken; ``more`` is kept as it is."""
    return {
        "genestill": genestill.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "command": sys.argv,
        "settings": settings,
        "seed": seed,
        "inputs": {role: {"path": str(path), "sha256": sha256_of(path)} for role, path in inputs.items()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "device": _device()},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def write_provenance(path: str | Path, inputs: dict[str, str | Path], settings: dict, seed: int | None, **more) -> None:
    """Write `collect_provenance` as JSON to ``path``."""
    write_json(path, collect_provenance(inputs, settings, seed, **more))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    source = Path(genestill.__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"
