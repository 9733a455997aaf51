"""The package without its repository: built, put into a folder of its own, and used from another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what the wheel holds; the packages that it needs are those of the test's environment."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--null", "-T", "-", "-cf", folder / "source.tar"], cwd=ROOT, input=files, check=True)
    (folder / "source").mkdir()
    subprocess.run(["tar", "-xf", folder / "source.tar", "-C", folder / "source"], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"]
    subprocess.run(built, check=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def genestill(installed, folder, *words):
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-m", "genestill", *map(str, words)]
    return subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)


def test_the_installed_package_brings_its_registry_recipes_schemas_and_workflow(installed, tmp_path):
    done = genestill(installed, tmp_path, "teacher", "fetch", "genomeocean-100", "--output", "teacher")
    assert done.returncode == 2
    assert "genomeocean-100m" in done.stderr, "the nearest name of the registry"
    for recipe in ("test", "mrna-demo", "had-demo", "seqlens-demo"):
        configuration = ROOT / "config" / f"{recipe}.yaml"
        done = genestill(installed, tmp_path, "run", "-n", "--quiet", "--configfile", configuration)
        assert done.returncode == 0, done.stderr[-3000:]
    assert not list(tmp_path.glob("results/*"))


def test_the_workflow_of_the_installed_package_runs_from_any_folder(installed, tmp_path):
    done = genestill(installed, tmp_path, "run", "--cores", "2", "--configfile", ROOT / "config" / "test.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    [table] = tmp_path.glob("results/taxdistill/test/evaluation/*/table.txt")
    assert "MMseqs2" in table.read_text()
    # Jobs import the installed package, through a folder that holds nothing else.
    assert [entry.name for entry in (tmp_path / ".snakemake" / "genestill").iterdir()] == ["genestill"]
    assert (tmp_path / ".snakemake" / "genestill" / "genestill").resolve() == installed / "genestill"


def test_run_tells_what_it_passes_on(installed, tmp_path):
    done = genestill(installed, tmp_path, "run", "--help")
    assert done.returncode == 0
    assert "goes to Snakemake" in done.stdout
