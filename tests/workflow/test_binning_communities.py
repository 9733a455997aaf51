"""Communities of only gold standards and predictions give one table, without contigs, reference or student."""

import gzip
import re

import pandas as pd
import pytest
import yaml

from snakemake_process import run_snakemake

pytestmark = pytest.mark.workflow
RANKS = ("superkingdom", "phylum", "class", "order", "family", "genus", "species")
GOLD = "@Version:0.9.1\n@SampleID:x\n@@SEQUENCEID\tBINID\tTAXID\tLENGTH\n"
TOOL = "@Version:0.9.1\n@SampleID:x\n@@SEQUENCEID\tTAXID\n"


@pytest.fixture
def case(tmp_path):
    (tmp_path / "dump").mkdir()
    nodes = [(1, 1, "no rank"), *((n, n - 1, rank) for n, rank in enumerate(RANKS, 2)), (9, 7, "species")]
    lines = "".join(f"{taxid}\t|\t{parent}\t|\t{rank}\t|\n" for taxid, parent, rank in nodes)
    (tmp_path / "dump" / "nodes.dmp.gz").write_bytes(gzip.compress(lines.encode()))
    names = "".join(f"{taxid}\t|\tname {taxid}\t|\t\t|\tscientific name\t|\n" for taxid, *_ in nodes)
    (tmp_path / "dump" / "names.dmp.gz").write_bytes(gzip.compress(names.encode()))
    (tmp_path / "one.binning").write_text(f"{GOLD}a\tg\t8\t300\nb\tg\t9\t100\n")
    (tmp_path / "two.binning").write_text(f"{GOLD}c\tg\t8\t600\n")
    (tmp_path / "tool.binning").write_text(f"{TOOL}a\t8\nb\t8\nc\t7\n")
    (tmp_path / "part.binning").write_text(f"{TOOL}c\t8\n")
    return tmp_path


def configuration(amber):
    return {
        "recipe": "taxdistill",
        "dataset": {"name": "mine"},
        "reference": {"taxdump": "dump"},
        "evaluation": {"binning": True, "amber": amber},
        "benchmark": {
            "communities": {
                "all": {
                    "dataset": {"truth": ["one.binning", "two.binning"]},
                    "evaluation": {"predictions": {"Tool": "tool.binning"}},
                },
                "part": {
                    "dataset": {"truth": "two.binning"},
                    "evaluation": {"predictions": {"Tool": "part.binning"}},
                },
            }
        },
    }


def snakemake(case, amber, *arguments):
    (case / "c.yaml").write_text(yaml.safe_dump(configuration(amber)))
    return run_in(case, *arguments)


def run_in(case, *arguments):
    return run_snakemake("--cores", 2, *arguments, "--configfile", "c.yaml", folder=case)


def test_only_the_scores_are_planned_and_amber_reads_the_same_files(case):
    done = snakemake(case, True, "-n", "-p")
    planned = set(re.findall(r"^rule (?:all_|part_)?(\w+):", done.stdout, re.MULTILINE))
    assert planned == {
        *("make_taxonomy", "read_truth", "import_predictions", "score_binning", "write_binning_amber_input"),
        *("peer_environment", "run_amber_on_binnings", "benchmark_binning", "all"),
    }
    assert "--truth one.binning two.binning" in done.stdout
    assert "-l Tool --ncbi_dir" in done.stdout


@pytest.mark.slow
def test_two_communities_are_combined_in_one_table(case):
    snakemake(case, False)
    table = pd.read_csv(case / "results/taxdistill/mine/evaluation/binning_comparison.tsv", sep="\t")
    assert len(table) == 2 * 7 * 52
    values = table.set_index(["table", "rank", "metric"])["ours"]
    assert values["all", "species", "Accuracy (bp)"] == pytest.approx(0.3)
    assert values["all", "genus", "Accuracy (bp)"] == 1
    assert values["part", "species", "Purity (seq)"] == 1


def test_a_single_run_makes_the_same_table(case):
    alone = {
        "dataset": {"name": "one", "truth": "two.binning"},
        "recipe": "taxdistill",
        "reference": {"taxdump": "dump"},
    }
    alone["evaluation"] = {"binning": True, "predictions": {"Tool": "part.binning"}}
    (case / "c.yaml").write_text(yaml.safe_dump(alone))
    done = run_in(case, "-n", "-p", "results/taxdistill/one/evaluation/imported/binning_comparison.tsv")
    planned = set(re.findall(r"^rule (\w+):", done.stdout, re.MULTILINE))
    assert planned == {"make_taxonomy", "read_truth", "import_predictions", "score_binning", "compare_binning"}
