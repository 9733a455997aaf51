"""Compressed sequences for external programs, which read plain text and gzip only."""

import bz2
import gzip
import lzma
import os

import pandas as pd
import pytest
from xopen import zstd

from genestill.core.label_tables import read_label_table
from genestill.core.sequences import read_fasta
from genestill.core.table_schemas import ALIGNMENTS, INDEX, KRAKEN2_CALLS
from genestill.core.tables import read_table, write_table
from genestill.evaluation.contig_peers.kraken2 import run_kraken2
from genestill.evaluation.contig_peers.metabuli import run_metabuli
from genestill.labels.alignments import align_contigs
from genestill.reference import assembly
from genestill.reference.sample_depths import measure_depth

COMPRESS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd.compress}
CONTIGS = b">a\nACGTACGT\n>other\nACGT\n>b\nACGT\n"

# Each program reads its sequences as the real one: plain or gzipped, and nothing in any other file.
READ = """#!/bin/sh
names() { { gzip -cdf "$1" || true; } | tr -d '\\0' | grep -a "^$2" | cut -c2-; }
"""
PROGRAMS = {
    "minimap2": """
if test "$1" = -a; then
    for file in "$8" "$9" "${10}"; do names "$file" "[>@]"; done > "$7"
else
    for last; do :; done
    names "$last" ">" | while read -r name; do
        printf '%s\\t8\\t0\\t8\\t+\\tg|r\\t8\\t0\\t8\\t8\\t8\\t60\\ttp:A:P\\tde:f:0\\n' "$name"
    done
fi
""",
    "samtools": 'test "$1" = coverage && cat "$2" || cp "$6" "$5"\n',
    "megahit": 'mkdir "${14}"; names "$2" @ | grep -q r1 && printf ">k1\\nACGT\\n" > "${14}/final.contigs.fa"\n',
    "kraken2-build": "",
    "kraken2": """
for last; do :; done
names "$last" ">" | while read -r name; do printf 'C\\t%s\\t7\\t8\\t7:1\\n' "$name"; done > "$8"
""",
    "metabuli": """
test "$1" = build && exit
said="$6/$7_classifications.tsv"
names "$4" ">" | while read -r name; do printf '1\\t%s\\t7\\t8\\t0.9\\tspecies\\t7:1\\n' "$name"; done > "$said"
""",
    "strobealign": """
names "$6" @ | grep -q r1 || exit 1
names "$5" ">" | while read -r name; do printf '%s\\t2.5\\n' "$name"; done
""",
}


@pytest.fixture(params=COMPRESS)
def compress(request):
    return COMPRESS[request.param]


@pytest.fixture
def given(tmp_path, monkeypatch, compress):
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(READ + text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "contigs").write_bytes(compress(CONTIGS))
    (tmp_path / "g.fna").write_bytes(compress(b">r\nACGTACGT\n"))
    (tmp_path / "genomes.tsv").write_text("file\ng.fna\n")
    taxonomy = tmp_path / "taxonomy"
    taxonomy.mkdir()
    (taxonomy / "genomes.tsv").write_text("genome\ttaxid\ng\t7\n")
    for name in ("nodes.dmp", "names.dmp"):
        (taxonomy / name).write_text("")
    index = {"id": ["a", "b"], "length": [8, 4], "gc": 0.5, "sample": None, "checksum": ""}
    write_table(tmp_path / "index.parquet", pd.DataFrame(index), INDEX)
    return tmp_path


def test_minimap2_aligns_contigs_of_every_compression(given):
    output = given / "out.parquet"
    align_contigs(given / "contigs", given / "index.parquet", given / "genomes.tsv", given, 1, output)
    assert read_table(output, ALIGNMENTS)["id"].tolist() == ["a", "b"]


def test_kraken2_classifies_contigs_of_every_compression(given):
    where = (given / "index.parquet", given / "genomes.tsv", given, given / "taxonomy")
    run_kraken2(given / "contigs", *where, [0.1], 1, given / "out.parquet")
    assert read_table(given / "out.parquet", KRAKEN2_CALLS)["taxid"].tolist() == [7, 7]


def test_metabuli_classifies_contigs_of_every_compression(given):
    run_metabuli(given / "contigs", given / "genomes.tsv", given, given / "taxonomy", 1, given / "out.tsv")
    assert read_label_table(given / "out.tsv", "metabuli").ids.to_pylist() == ["a", "other", "b"]


def test_reads_of_every_compression_are_mapped_and_assembled(given, compress, monkeypatch):
    monkeypatch.setattr(assembly, "has_program", lambda name: True)
    for number in (1, 2):
        folder = given / f"reads{number}"
        folder.mkdir()
        (folder / "same.fq").write_bytes(compress(b"@r%d\nA\n+\nI\n" % number))
    reads = [given / "reads1" / "same.fq", given / "reads2" / "same.fq"]
    assembly.map_reads(given / "contigs", *reads, 1, given / "out.tsv")
    assert (given / "out.tsv").read_text().split() == ["a", "other", "b", "r1", "r2"]
    assembly.assemble(reads[:1], reads[1:], 1, given / "assembly.fna")
    assert dict(read_fasta(given / "assembly.fna")) == {"k1": "ACGT"}
    measure_depth(given / "contigs", reads[0], 1, given / "depths.tsv")
    assert (given / "depths.tsv").read_text() == "a\t2.5\nother\t2.5\nb\t2.5\n"
