import gzip
import os

import pytest

from genestill.core.errors import InputError
from genestill.reference.coverage_tables import read_abundance_table
from genestill.reference.sample_depths import measure_depth, merge_depths

# Output of `strobealign --aemb`: a row per contig, no header, depths with few digits.
STROBEALIGN = """#!/bin/sh
set -e
test "$1 $2 $3" = "--aemb --interleaved -t"
gzip -cd "$6" | grep -q '^@r1'
grep '>' "$5" | tr -d '>' | while read -r name; do printf '%s\\t2.5\\n' "$name"; done
"""


@pytest.fixture
def strobealign(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "strobealign"
    program.parent.mkdir()
    program.write_text(STROBEALIGN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "contigs.fna.gz").write_bytes(gzip.compress(b">S0C0\nACGT\n>S1C0\nACG\n"))
    folder = tmp_path / "reads" / "2018_sample_3" / "reads"
    folder.mkdir(parents=True)
    (folder / "anonymous_reads.fq.gz").write_bytes(gzip.compress(b"@r1/1\nA\n+\nI\n@r1/2\nC\n+\nI\n"))
    return tmp_path / "contigs.fna.gz", tmp_path / "reads"


def test_the_depths_of_samples_become_one_table_of_abundances(tmp_path, strobealign, sample):
    measure_depth(*sample, 1, tmp_path / "sample_3.tsv")
    (tmp_path / "sample_10.tsv").write_text("S1C0\t0\nS0C0\t7\n")
    merge_depths([tmp_path / "sample_3.tsv", tmp_path / "sample_10.tsv"], tmp_path / "abundance.tsv")
    table = read_abundance_table(tmp_path / "abundance.tsv", {"S0C0": 4, "S1C0": 3})
    assert table.columns.tolist() == ["sample_3", "sample_10"]
    assert table.loc["S0C0"].tolist() == [2.5, 7]
    assert table.loc["S1C0"].tolist() == [2.5, 0]


def test_depths_of_other_contigs_and_a_folder_without_reads_are_refused(tmp_path, strobealign, sample):
    contigs, reads = sample
    strobealign.write_text(STROBEALIGN.replace("grep '>' \"$5\"", "echo S9C9"))
    with pytest.raises(InputError, match=r"depths of 1 of 2 contigs .first: 'S0C0'"):
        measure_depth(contigs, reads, 1, tmp_path / "out.tsv")
    with pytest.raises(InputError, match="contains 0 files named anonymous_reads"):
        measure_depth(contigs, tmp_path / "bin", 1, tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ("a\t1\n", "not the contigs of"),
        ("a\t1\nb\t-1\n", "line 2: .*expected each contig once"),
        ("a\t1\na\t2\n", "line 2"),
        ("a\tnan\nb\t2\n", "line 1"),
        ("a 1\n", "line 1"),
    ],
)
def test_tables_that_are_not_depths_of_the_same_contigs_are_refused(tmp_path, second, sentence):
    (tmp_path / "one.tsv").write_text("a\t1\nb\t2\n")
    (tmp_path / "two.tsv").write_text(second)
    with pytest.raises(InputError, match=sentence):
        merge_depths([tmp_path / "one.tsv", tmp_path / "two.tsv"], tmp_path / "out.tsv")
    (tmp_path / "one.txt").write_text("a\t1\nb\t2\n")
    with pytest.raises(InputError, match="two tables are called one"):
        merge_depths([tmp_path / "one.tsv", tmp_path / "one.txt"], tmp_path / "out.tsv")
