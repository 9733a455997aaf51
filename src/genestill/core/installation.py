"""Where the files of the workflow are: in the repository, or beside the installed package."""

import importlib.util
import os
import sys
from pathlib import Path

import genestill
from genestill.core.errors import InputError

PACKAGE = Path(genestill.__file__).resolve().parent
# Options of Snakemake that set how many jobs run at the same time.
CORES = ("--cores", "-c", "--jobs", "-j", "--executor", "-e", "--profile", "--report", "--lint", "-l", "--help", "-h")
# The extra that installs an optional package, by the package's name in `import`.
EXTRA_OF = {"RNA": "workflow", "matplotlib": "figures", "peft": "lora", "pysam": "bam", "pyskani": "workflow"}


def workflow_root() -> Path:
    """The folder with ``Snakefile``, ``workflow/``, ``config/``, ``envs/`` and ``resources/``."""
    repository = PACKAGE.parents[1]
    return repository if (repository / "workflow" / "Snakefile").is_file() else PACKAGE / "workflow_files"


def source_folder(working_folder: str | Path = ".") -> Path:
    """A folder for PYTHONPATH that contains only genestill, so that other environments are not affected.

    In the repository it is ``src/``. For an installed package, whose folder also contains all other packages, it is
    ``.snakemake/genestill/`` in ``working_folder``, with one link.
    """
    if PACKAGE.parent.name == "src":
        return PACKAGE.parent
    folder = Path(working_folder).resolve() / ".snakemake" / "genestill"
    link = folder / "genestill"
    if not link.is_symlink() or link.resolve() != PACKAGE:
        folder.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(PACKAGE)
    return folder


def run_workflow(words: list[str]) -> None:
    """Replace this process by Snakemake with the workflow's Snakefile and ``words`` as its command line.

    All cores are used unless ``words`` set a number. Raises `InputError` if Snakemake is not installed.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("Snakemake is not installed here; install it with: pip install 'genestill[workflow]'")
    cores = [] if any(word.split("=")[0] in CORES for word in words) else ["--cores", "all"]
    snakefile = workflow_root() / "workflow" / "Snakefile"
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *cores, *words])
