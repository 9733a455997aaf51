import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_documented_demo(tmp_path):
    """Runs a demo of the documentation in a copy of the workflow, as its page shows the command; answers the folder."""

    def run(target: str, configuration: str) -> Path:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        for folder in ("workflow", "config", "envs", "resources", "src"):
            shutil.copytree(ROOT / folder, tmp_path / folder)
        shutil.copy(ROOT / "Snakefile", tmp_path)
        command = ["snakemake", "--cores", "2", target, "--configfile", f"config/{configuration}.yaml"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=1800)
        return tmp_path

    return run
