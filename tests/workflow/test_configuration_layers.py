"""The same configuration gives the same jobs from any folder and for any way of starting the workflow."""

import gzip
import re

import pytest

from snakemake_process import ROOT, run_snakemake

pytestmark = pytest.mark.workflow

# The example on the front page.
MINE = re.search(r"```yaml\n(# config/mine.yaml\n.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[
    1
]


@pytest.fixture
def folder(tmp_path):
    """A user's folder outside the checkout, with a configuration and the files that it names."""
    (tmp_path / "contigs.fna.gz").write_bytes(gzip.compress(b">a\nACGT\n"))
    (tmp_path / "abundance.tsv").write_text("contig\ts1\na\t1.5\n")
    (tmp_path / "genomes.tsv").write_text("file\tlineage\ng.fna\td__Bacteria;p__P;c__C;o__O;f__F;g__G;s__G s\n")
    (tmp_path / "g.fna").write_text(">g\nACGT\n")
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path


def shell_commands(folder, *arguments) -> list[str]:
    """Commands of a dry run in ``folder``, sorted, without the path of the checkout."""
    done = run_snakemake("-n", "-p", "--cores", "2", *arguments, folder=folder, snakefile=None)
    printed = done.stdout.replace(str(ROOT), "").replace(str(folder), "")
    return sorted(re.findall(r"python -m genestill .*", printed))


@pytest.mark.slow
def test_a_configuration_gives_the_same_commands_by_path_and_as_a_module(folder):
    by_path = shell_commands(folder, "-s", ROOT / "Snakefile", "--configfile", "mine.yaml")
    (folder / "outer").write_text(
        f"""
configfile: "mine.yaml"
module genestill:
    snakefile: {str(ROOT / "Snakefile")!r}
    config: config
use rule * from genestill as genestill_*
rule all:
    default_target: True
    input: rules.genestill_all.input
"""
    )
    as_module = shell_commands(folder, "-s", "outer")
    assert as_module == by_path
    search = next(command for command in by_path if "labels search" in command)
    assert "--kmer 0 " in search
    assert "--orf-filter 1 " in search


def test_a_checkout_with_the_demo_adds_nothing_to_a_configuration(folder):
    elsewhere = shell_commands(folder, "-s", ROOT / "Snakefile", "--configfile", "mine.yaml")
    for part in ("workflow", "config", "envs", "resources", "src", "Snakefile"):
        (folder / part).symlink_to(ROOT / part)
    assert shell_commands(folder, "--configfile", "mine.yaml") == elsewhere


def test_without_a_configuration_the_demo_runs_from_any_folder(tmp_path):
    commands = shell_commands(tmp_path, "-s", ROOT / "Snakefile")
    assert any("results/taxdistill/demo/" in command for command in commands)
    assert any("--kmer 5 " in command for command in commands)


def test_a_target_of_another_recipe_is_refused(tmp_path):
    configuration = ROOT / "config" / "mrna-demo.yaml"
    done = run_snakemake("-n", "--cores", "2", "had", "--configfile", configuration, folder=tmp_path, check=False)
    assert done.returncode == 1
    assert "target had: the configuration is of the recipe mrna" in done.stdout + done.stderr
