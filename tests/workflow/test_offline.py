"""Once everything is fetched, the workflow needs no network."""

import subprocess
import sys

import pytest
import yaml

from snakemake_process import ROOT, run_snakemake

CUT = ("unshare", "--net")

pytestmark = pytest.mark.workflow


def fetched(configuration, folder):
    """Rules that ``snakemake fetch`` would run."""
    (folder / "c.yaml").write_text(yaml.safe_dump(configuration))
    done = run_snakemake("fetch", "-n", "--cores", "1", "--configfile", folder / "c.yaml", folder=folder)
    return {
        line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith(("rule ", "localrule "))
    }


def test_fetch_downloads_external_files_and_nothing_else(tmp_path):
    cami2 = "resources/downloads/cami2/marine"
    configuration = {
        "recipe": "taxdistill",
        "dataset": {
            "name": "x",
            "contigs": f"{cami2}/community/contigs.fna.gz",
            "truth": f"{cami2}/community/truth.tsv",
        },
        "reference": {"database": "GTDB", "taxdump": f"{cami2}/taxonomy"},
        "teacher": {"model": "genomeocean-100m"},
        "evaluation": {"amber": True},
    }
    assert fetched(configuration, tmp_path) == {
        "fetch", "fetch_cami2", "unpack_cami2_contigs", "unpack_cami2_taxonomy", "gather_cami2", "fetch_teacher",
        "peer_environment", "make_database",
    }  # fmt: skip


def test_fetch_downloads_the_genomes_of_corpora_and_tasks_and_the_files_of_lists(tmp_path):
    regions = "resources/downloads/regions/eukaryotes.tsv"
    configuration = {
        "recipe": "seqlens",
        "dataset": {"name": "x"},
        "dna": {
            "corpora": {"mine": {"genomes": ["resources/downloads/genomes/genomes.tsv"]}},
            "origin_tasks": {"origin/kingdom": {"classes": "kingdom", "genomes": [regions]}},
            "students": {"pretrained": {"method": "pretrain", "corpus": "mine"}},
        },
    }
    assert fetched(configuration, tmp_path) == {"fetch", "fetch_genomes", "fetch_regions"}


@pytest.mark.slow
def test_a_benchmark_downloads_genomes_once_for_all_communities(tmp_path):
    configuration = {
        "recipe": "taxdistill",
        "dataset": {"name": "x"},
        "reference": {"genomes": "resources/downloads/genomes/genomes.tsv"},
        "evaluation": {"benchmark": {"corrector": 1}},
        "benchmark": {"communities": {"one": {}, "two": {}}},
    }
    assert fetched(configuration, tmp_path) == {"fetch", "fetch_genomes"}


def test_a_run_that_simulates_everything_fetches_nothing(tmp_path):
    demo = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    assert fetched(demo, tmp_path) == {"fetch"}


@pytest.mark.slow
def test_only_a_submission_limit_set_by_the_user_is_kept(tmp_path):
    """With a limit, Snakemake 9.27 plans once per timespan for every job that has finished."""
    for options, limit in (((), sys.maxsize), (("--max-jobs-per-timespan", "50/1s"), 50)):
        words = ("fetch", "--cores", "1", "--verbose", *options, "--configfile", ROOT / "config" / "test.yaml")
        done = run_snakemake(*words, folder=tmp_path)
        (after,) = [line for line in done.stderr.splitlines() if line.startswith("Resources after job selection")]
        assert f"'_job_count': {limit}}}" in after


def test_a_benchmark_fetches_what_its_communities_need(tmp_path):
    (tmp_path / "genomes.tsv").write_text("file\tlineage\n")
    configuration = {
        "recipe": "taxdistill",
        "dataset": {"name": "x"},
        "reference": {"genomes": "genomes.tsv"},
        "evaluation": {"benchmark": {"corrector": 1, "taxometer": 1}},
        "benchmark": {"communities": {"one": {"teacher": {"model": "genomeocean-100m"}}, "two": {}}},
    }
    assert fetched(configuration, tmp_path) >= {"fetch", "one_fetch_teacher", "peer_environment"}


@pytest.mark.slow
def test_the_demo_runs_without_network_access(tmp_path):
    tried = subprocess.run([*CUT, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no network namespace of our own can be made here: {tried.stderr.strip()}")
    reach = "import socket; socket.create_connection(('127.0.0.1', 9))"
    unreachable = subprocess.run([*CUT, sys.executable, "-c", reach], capture_output=True, text=True)
    assert "unreachable" in unreachable.stderr, "the network is not cut"
    run_snakemake("--cores", "2", "--configfile", ROOT / "config" / "test.yaml", folder=tmp_path, before=CUT)
    assert (tmp_path / "results/taxdistill/test/evaluation/corrector/table.txt").stat().st_size > 100
