"""The package without its repository: built, put into a separate folder, and used from another one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the content of the wheel; the packages that it needs are those of the test's environment."""
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
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", "v0"]):
        subprocess.run([*git, *words], cwd=folder / "source", check=True)
    return folder / "site"


def run_module(installed, folder, *words, environment=None):
    variables = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"} | (environment or {})
    call = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True, timeout=1800)


def genestill(installed, folder, *words):
    return run_module(installed, folder, "genestill", *words)


def test_the_installed_package_contains_its_registry_recipes_schemas_and_workflow(installed, tmp_path):
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
    # Jobs import the installed package, through a folder that contains nothing else.
    assert [entry.name for entry in (tmp_path / ".snakemake" / "genestill").iterdir()] == ["genestill"]
    assert (tmp_path / ".snakemake" / "genestill" / "genestill").resolve() == installed / "genestill"


def test_the_help_of_run_describes_the_arguments_passed_to_snakemake(installed, tmp_path):
    done = genestill(installed, tmp_path, "run", "--help")
    assert done.returncode == 0
    assert "passed to Snakemake" in done.stdout


def commands(done, installed) -> list[str]:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return sorted(re.findall(r"python -m genestill .*", done.stdout.replace(str(installed), "")))


# What `snakedeploy deploy-workflow https://github.com/OWNER/genestill . --tag v0` writes for a repository on GitHub
# (snakedeploy 0.17, templates/use_module.smk.jinja), and the same with a repository on this machine.
DEPLOYED = """
from snakemake.utils import min_version

min_version("6.10.0")

configfile: "config/config.yaml"

module genestill:
    snakefile:
        {snakefile}
    config:
        config

use rule * from genestill
"""


@pytest.mark.parametrize("place", ["hosted", "local"])
def test_the_workflow_runs_as_a_module_from_a_git_repository_as_snakedeploy_writes_it(installed, tmp_path, place):
    source = installed.with_name("source")
    address = {
        "hosted": 'github("owner/genestill", path="workflow/Snakefile", tag="v0")',
        "local": f'"git+file://{source}/workflow/Snakefile@v0"',
    }
    for folder in ("config", "workflow"):
        (tmp_path / folder).mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(DEPLOYED.format(snakefile=address[place]))
    (tmp_path / "config" / "config.yaml").write_text((ROOT / "config" / "test.yaml").read_text())
    # Git uses the repository of this machine for the one on GitHub, and Snakemake keeps its clone in this folder.
    (tmp_path / "gitconfig").write_text(
        f'[url "{source}"]\n\tinsteadOf = https://github.com/owner/genestill\n[safe]\n\tdirectory = *\n'
    )
    environment = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    dry = ("-n", "-p", "--cores", "2")
    done = run_module(installed, tmp_path, "snakemake", *dry, environment=environment)
    (tmp_path / "usual").mkdir()
    usual = genestill(installed, tmp_path / "usual", "run", *dry, "--configfile", ROOT / "config" / "test.yaml")
    assert commands(done, installed) == commands(usual, installed)
    assert len(commands(done, installed)) > 10
