import shutil
from pathlib import Path

import pytest

from snakemake_process import ROOT, run_snakemake


@pytest.fixture
def run_documented_demo(tmp_path):
    """Runs a demo of the documentation in a copy of the workflow, as its page shows the command; returns the folder."""

    def run(target: str, configuration: str) -> Path:
        for folder in ("workflow", "config", "envs", "resources", "src"):
            shutil.copytree(ROOT / folder, tmp_path / folder)
        shutil.copy(ROOT / "Snakefile", tmp_path)
        command = ("--cores", "2", target, "--configfile", f"config/{configuration}.yaml")
        done = run_snakemake(*command, folder=tmp_path, snakefile=None)
        (table,) = tmp_path.glob(f"results/{target}/*/evaluation/*/table.txt")
        assert table.read_text() in done.stdout
        return tmp_path

    return run
