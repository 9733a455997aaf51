"""`snakemake --use-conda`, actually run: one of envs/*.yaml is solved, created, activated and used, offline.

What is real: Snakemake's own conda code, the environment file, the solve, the packages and their linking, the
activation. What is not: the ``conda`` program is a test double on py-rattler, and the channels are local ones that
contain what pip installed here. So this test shows that the file and the workflow agree; it cannot show that
conda-forge and bioconda provide exactly these packages.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_process import BIN, ROOT, run_snakemake

DOUBLE = Path(__file__).parent / "conda_double"

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the local channel is built for linux-64"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the environment files name Python 3.11"),
]

# As in workflow/rules/common.smk, the package travels with the workflow.
SNAKEFILE = f"""
shell.prefix("set -euo pipefail; export PYTHONPATH='{ROOT}/src'; ")

rule inside:
    output: "inside.txt"
    log: "inside.log"
    conda: "{ROOT}/envs/mmseqs2.yaml"
    shell:
        '''
        {{{{
            command -v mmseqs
            mmseqs version
            command -v python
            python -c "import pandas, pyarrow; print(pandas.__file__, pandas.__version__)"
            python -m genestill --version
            python -m genestill labels --help | head -n 1
        }}}} > {{output}} 2> {{log}}
        '''
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory) -> dict[str, str]:
    """The environment of a shell in which ``conda`` is the double and the channels are local."""
    base = tmp_path_factory.mktemp("conda")
    channel = base / "channel"
    subprocess.run([sys.executable, DOUBLE / "channel.py", channel, ROOT / "envs" / "mmseqs2.yaml"], check=True)
    (base / "bin").mkdir()
    program = base / "bin" / "conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{DOUBLE}/conda.py" "$@"\n')
    program.chmod(0o755)
    (base / "bin" / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    return os.environ | {
        "PATH": f"{base}/bin:{BIN}:{os.environ['PATH']}",
        "CONDA_CHANNEL_ALIAS": f"file://{channel}",
        "CONDA_DOUBLE_PREFIX": str(base),
    }


def run_rule(folder: Path, snakefile: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    (folder / "Snakefile").write_text(snakefile)
    return run_snakemake(
        "--cores", "1", "--use-conda", folder=folder, snakefile=None, environment=environment, check=False
    )


def test_a_rule_runs_in_the_environment_that_snakemake_created_for_it(tmp_path, conda):
    finished = run_rule(tmp_path, SNAKEFILE, conda)
    assert finished.returncode == 0, finished.stderr
    mmseqs, version, python, pandas, genestill, help_line = (tmp_path / "inside.txt").read_text().splitlines()
    made = str(tmp_path / ".snakemake" / "conda")
    assert mmseqs.startswith(made)
    assert version.startswith("8cc5c")
    assert python.startswith(made)
    assert pandas.startswith(made), "the library is the environment's, not that of the interpreter that runs Snakemake"
    assert genestill.startswith("genestill ")
    assert help_line.startswith("usage: genestill labels")


def test_a_pin_that_no_channel_satisfies_stops_the_run_before_any_job(tmp_path, conda):
    declared = (ROOT / "envs" / "mmseqs2.yaml").read_text()
    (tmp_path / "unmet.yaml").write_text(declared.replace("mmseqs2 =18.8cc5c", "mmseqs2 =17.b804f"))
    finished = run_rule(tmp_path, SNAKEFILE.replace(f"{ROOT}/envs/mmseqs2.yaml", "unmet.yaml"), conda)
    assert finished.returncode != 0
    assert "mmseqs2" in finished.stderr
    assert not (tmp_path / "inside.txt").exists()
