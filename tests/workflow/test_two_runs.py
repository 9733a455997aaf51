"""A second run that would write to the folder of a running one is refused before its first job."""

import pytest
import yaml

from genestill.core.locks import hold
from snakemake_process import ROOT, run_snakemake

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(
    "folder", ["results/taxdistill/second", pytest.param(".snakemake/peers", marks=pytest.mark.slow)]
)
def test_a_benchmark_is_refused_while_another_run_uses_a_community_or_shared_files(tmp_path, folder):
    configuration = yaml.safe_load((ROOT / "config" / "test.yaml").read_text()) | {
        "evaluation": {"benchmark": {"corrector": 1, "taxometer": 1}},
        "benchmark": {"communities": {"first": {}, "second": {"seed": 2}}},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(configuration))
    held = hold(tmp_path / folder)
    done = run_snakemake(
        *("--cores", "1", "--configfile", tmp_path / "c.yaml", "--workflow-profile", "none", "--nolock"),
        folder=tmp_path,
        check=False,
    )
    held.close()
    assert done.returncode != 0
    assert f"{folder}: in use by another run" in done.stderr + done.stdout
    assert not list(tmp_path.glob("results/taxdistill/*/reference")), "no job has started"
