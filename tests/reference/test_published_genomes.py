"""Genomes by accession, downloaded from a local server."""

import csv
import gzip
import zipfile
from pathlib import Path

import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.tables import read_tsv
from genestill.reference.genomes import read_genomes
from genestill.reference.published_genomes import COLUMNS, checksum_of_sequences, fetch_genomes
from local_server import FolderRequests, serve

ROOT = Path(__file__).parents[2]


MADE: list[str] = []


class Requests(FolderRequests):
    def do_GET(self):
        MADE.append(self.path)
        super().do_GET()


@pytest.fixture
def table(tmp_path):
    """A table of two genomes whose archives are on a local server, in the format of NCBI Datasets."""
    folder = tmp_path / "published"
    MADE.clear()
    with serve(folder, Requests) as address:
        lines = []
        for name, records in (("one", ">x first\nACGT\nAC\n>y\nGG\n"), ("two", ">z\nTTTT\n")):
            (tmp_path / f"{name}.fa").write_text(records)
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr("README.md", "about")
                archive.writestr(f"ncbi_dataset/data/GCF_{name}/GCF_{name}_asm_genomic.fna", records)
            lineage = f"d__B;p__P;c__C;o__O;f__F;g__G;s__G {name}"
            checksum = checksum_of_sequences(tmp_path / f"{name}.fa")
            lines.append((f"{name}.fna.gz", name, lineage, checksum, f"{address}/{name}"))
        with open(tmp_path / "genomes.tsv", "w", newline="") as handle:
            csv.writer(handle, delimiter="\t").writerows([COLUMNS, *lines])
        yield tmp_path / "genomes.tsv"


def test_genomes_are_downloaded_once_with_a_table_that_a_run_can_read(table, tmp_path):
    words = ["--table", str(table), "--output", str(tmp_path / "downloads" / "genomes.tsv")]
    assert main(["--quiet", "reference", "fetch-genomes", *words]) == 0
    genomes = read_genomes(tmp_path / "downloads" / "genomes.tsv")
    assert [genome.file for genome in genomes] == ["one.fna.gz", "two.fna.gz"]
    assert gzip.decompress(genomes[0].path.read_bytes()).decode() == ">x first\nACGT\nAC\n>y\nGG\n"
    asked = len(MADE)
    assert main(["--quiet", "reference", "fetch-genomes", *words]) == 0
    assert len(MADE) == asked
    assert {path.name for path in (tmp_path / "downloads").glob("*") if path.is_file()} == {
        "genomes.tsv", "one.fna.gz", "two.fna.gz"
    }  # fmt: skip


def test_a_genome_with_other_sequences_is_refused(table, tmp_path):
    rows = read_tsv(table)
    rows.loc[rows.index[1], "sequences_sha256"] = "0" * 64
    rows.to_csv(table, sep="\t", index=False)
    with pytest.raises(InputError, match=r"the sequences of two have the SHA-256 .* expected 0000"):
        fetch_genomes(table, tmp_path / "downloads" / "genomes.tsv")
    assert not (tmp_path / "downloads" / "genomes.tsv").exists()


def test_the_checksum_depends_only_on_sequences(tmp_path):
    (tmp_path / "a.fa").write_text(">x\nACgt\n>y\nGG\n")
    (tmp_path / "b.fa").write_text(">other words\nGG\n>z\nAC\nGT\n")
    (tmp_path / "c.fa").write_text(">x\nACGT\n>y\nGC\n")
    same, again, other = (checksum_of_sequences(tmp_path / f"{name}.fa") for name in "abc")
    assert same == again != other


def test_every_genome_of_the_table_has_an_accession_an_address_and_a_checksum():
    rows = read_tsv(ROOT / "resources" / "genomes.tsv", (*COLUMNS, "copy", "licence", "state"))
    assert rows["file"].is_unique
    assert rows["accession"].str.fullmatch(r"GC[AF]_\d{9}(\.\d+)?").all()
    assert rows["sequences_sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert all(row.accession in row.url for row in rows.itertuples())
    assert set(rows["state"]) <= {"checked", "unchecked"}
