"""Standard input and pipes can be used like files: they are read to the end once, for every command."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.streams import streams_as_files

FASTA = b">c1 words\nACGTACGT\n>c2\nGGCCGGCC\n"
FASTQ = b"@c1\nACGTACGT\n+\nIIIIIIII\n@c2\nGGCCGGCC\n+\nIIIIIIII\n"
TABLE = b"contigname\tlake\nc1\t1.5\nc2\t2\n"


@pytest.fixture
def standard_input(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def outputs(folder):
    return ["--output-index", str(folder / "i.parquet"), "--output-abundance", str(folder / "a.parquet")]


@pytest.mark.parametrize("content", [FASTA, FASTQ, gzip.compress(FASTA)], ids=["FASTA", "FASTQ", "gzip"])
def test_a_command_reads_sequences_from_standard_input(tmp_path, standard_input, content):
    standard_input(content)
    assert main(["reference", "contigs", "--contigs", "-", "--minimum-length", "1", *outputs(tmp_path)]) == 0
    assert pd.read_parquet(tmp_path / "i.parquet")["id"].tolist() == ["c1", "c2"]
    record = json.loads((tmp_path / "provenance" / "i.parquet.json").read_text())
    assert record["command"][3:5] == ["--contigs", "-"]
    assert len(record["inputs"]["contigs"]["sha256"]) == 64


def test_a_command_reads_pipes_of_the_shell(tmp_path):
    (tmp_path / "contigs.fna.gz").write_bytes(gzip.compress(FASTA))
    (tmp_path / "depths.tsv").write_bytes(TABLE)
    command = (
        '"$0" -m genestill reference contigs --contigs <(gzip -dc contigs.fna.gz) --abundance /dev/stdin'
        " --minimum-length 1 --output-index i.parquet --output-abundance a.parquet < <(cat depths.tsv)"
    )
    subprocess.run(["bash", "-c", command, sys.executable], cwd=tmp_path, check=True)
    assert pd.read_parquet(tmp_path / "a.parquet")["lake"].tolist() == [1.5, 2]


def test_temporary_files_of_streams_are_named_in_messages_and_removed(tmp_path, standard_input, capsys):
    standard_input(b"no sequences\n")
    assert main(["reference", "contigs", "--contigs", "-", *outputs(tmp_path)]) == 2
    assert "standard-input: not a FASTA file" in capsys.readouterr().err
    standard_input(FASTA)
    options = {"sequences": ["-", str(tmp_path)], "output": "-", "number": 3}
    with streams_as_files(options):
        file = Path(options["sequences"][0])
        assert file.read_bytes() == FASTA
        assert options["sequences"][1:] == [str(tmp_path)]
        assert options["output"] == "-"
    assert not file.exists()


def test_standard_input_cannot_be_given_twice(standard_input):
    standard_input(FASTA)
    with pytest.raises(InputError, match="a stream can be read only once"), streams_as_files({"a": "-", "b": "-"}):
        pass
