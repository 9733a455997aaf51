"""Eukaryotic DNA, downloaded from a local server and joined to regions without overlaps."""

import gzip
import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta
from genestill.reference.published_regions import merge_regions
from genestill.reference.sources import COLUMNS, read_sources
from local_server import serve
from snakemake_process import ROOT, run_snakemake

CHROMOSOME = "".join(np.random.default_rng(1).choice(list("ACGT"), 60))
INTERVALS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), min_size=1, max_size=12)


def regions(intervals):
    return {f"chr1_{start}_{start + size}": CHROMOSOME[start : start + size] for start, size in intervals}


@given(intervals=INTERVALS)
def test_merged_regions_contain_every_position_once(intervals):
    merged = merge_regions(regions(intervals))
    positions = []
    for name, sequence in merged.items():
        start, end = map(int, name.split("_")[1:])
        assert sequence == CHROMOSOME[start:end]
        positions += range(start, end)
    assert positions == sorted({place for start, size in intervals for place in range(start, start + size)})


def test_regions_of_different_chromosomes_are_not_joined():
    records = {"hg38_chr2_0_4": "ACGT", "hg38_chr1_2_6": "TTTT"}
    assert list(merge_regions(records).items()) == [("hg38_chr1_2_6", "TTTT"), ("hg38_chr2_0_4", "ACGT")]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"chr1_0_4": "ACGT", "chr1_2_6": "GAAA"}, "region chr1_2_6: differs from a region that it overlaps"),
        ({"chr1_0_5": "ACGT"}, "region chr1_0_5: has 4 bases"),
        ({"scaffold": "ACGT"}, "region scaffold: has 4 bases"),
    ],
)
def test_wrong_regions_are_refused_with_their_name(records, message):
    with pytest.raises(InputError, match=message):
        merge_regions(records)


@pytest.fixture
def served(tmp_path):
    with serve(tmp_path / "published") as address:
        yield tmp_path / "published", address


def test_the_table_of_genomes_is_written_beside_the_downloaded_files(served, tmp_path):
    folder, address = served
    files = {
        ("Yeast", "", "genome"): gzip.compress(b">chrI\nACGTACGT\n>chrM\nGG\n"),
        ("Human", "hg38/1", "regions"): b">chr1_2_6\nGTAC\n",
        ("Human", "hg38/2", "regions"): b">chr1_4_9\nACGGG\n>chr2_0_2\nTT\n",
    }
    lines = ["\t".join(COLUMNS)]
    for number, ((dataset, sample, role), content) in enumerate(files.items()):
        name = f"{number}.fa" + (".gz" if role == "genome" else "")
        (folder / name).write_bytes(content)
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        lines.append("\t".join([dataset, sample, role, f"{address}/{name}", checksum, "", "", "", "", "checked", ""]))
    (tmp_path / "sources.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "genomes.tsv").write_text(
        "file\torigin\n../corpora/Yeast.fa.gz\tyeast\n../corpora/Human.fa.gz\tmammal\n"
    )
    words = ["--sources", tmp_path / "sources.tsv", "--genomes", tmp_path / "genomes.tsv", "--downloads"]
    words += [tmp_path / "kept", "--output", tmp_path / "made" / "genomes.tsv"]
    assert main(["--quiet", "reference", "fetch-regions", *map(str, words)]) == 0
    table = pd.read_csv(tmp_path / "made" / "genomes.tsv", sep="\t")
    assert table.values.tolist() == [["Yeast.fa.gz", "yeast"], ["Human.fa.gz", "mammal"]]
    found = {name: list(read_fasta(tmp_path / "made" / name)) for name in table["file"]}
    assert found == {
        "Yeast.fa.gz": [("chrI", "ACGTACGT"), ("chrM", "GG")],
        "Human.fa.gz": [("hg38_chr1_2_9", "GTACGGG"), ("hg38_chr2_0_2", "TT")],
    }
    (tmp_path / "genomes.tsv").write_text("file\nFly.fa.gz\n")
    assert main(["--quiet", "reference", "fetch-regions", *map(str, words)]) == 2


def test_every_file_of_the_eukaryotic_table_has_an_address():
    table = pd.read_csv(ROOT / "config" / "eukaryotes.tsv", sep="\t")
    sources = read_sources(ROOT / "resources" / "regions.tsv")
    assert {file.rsplit("/", 1)[-1] for file in table["file"]} == {f"{source.dataset}.fa.gz" for source in sources}
    assert all(source.checksum and source.size for source in sources if source.role == "regions")


@pytest.mark.workflow
@pytest.mark.slow
def test_the_data_of_the_dna_results_are_downloaded_by_rules(tmp_path):
    both = [ROOT / "config" / name for name in ("had-real.yaml", "fetched/had.yaml")]
    done = run_snakemake("-n", "--cores", "1", "--configfile", *both, folder=tmp_path)
    for rule in ("fetch_regions", "fetch_sequence_task", "pretrain_teacher", "distil_dna_student"):
        assert f"rule {rule}:" in done.stdout, rule
    assert "shared/data" not in done.stdout
    downloads = run_snakemake("-n", "--cores", "1", "fetch", "--configfile", *both, folder=tmp_path).stdout
    assert "rule fetch_regions:" in downloads
    assert downloads.count("rule fetch_sequence_task:") == 8
