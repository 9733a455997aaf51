import json

import pytest

from genestill.cli import main
from genestill.core.files import sha256_of
from genestill.core.sequences import write_fasta
from genestill.core.shards import load_embeddings
from genestill.core.tables import read_metadata


def run(*words) -> int:
    return main(["--quiet", "teacher", *map(str, words)])


def test_pretrain_check_and_embed_run_in_sequence_on_the_command_line(tmp_path, contigs):
    fasta, index, records = contigs
    write_fasta(tmp_path / "genome.fna", [("one", "ACGTTGCATGCACCGTAGGCATCATTTGACGGAC" * 150)])
    (tmp_path / "genomes.tsv").write_text("file\ngenome.fna\n")
    small = "--hidden-size 16 --layers 2 --heads 2 --vocabulary 40 --context 32 --steps 60 --learning-rate 0.01"
    model, genomes = tmp_path / "model", tmp_path / "genomes.tsv"
    assert run("pretrain", "--genomes", genomes, *small.split(), "--device", "cpu", "-o", model) == 0
    checked = tmp_path / "check.json"
    assert run("check", "--model", model, "--genomes", genomes, "--windows", 8, "--device", "cpu", "-o", checked) == 0
    assert json.loads(checked.read_text())["kind"] == "causal"
    shards = [tmp_path / f"{number}.parquet" for number in range(2)]
    for number, shard in enumerate(shards):
        words = f"--layer -1 --window 40 --shard {number} --shards 2 --device cpu".split()
        assert run("embed", "--model", model, "--contigs", fasta, "--index", index, *words, "-o", shard) == 0
    assert load_embeddings(shards, [name for name, _ in records]).shape == (11, 16)
    assert read_metadata(shards[1])["layer"] == "2"
    # One record per result, with the teacher, its revision, and the genomes that the table only lists by name.
    described = json.loads((model / "teacher.json").read_text())
    known = {"teacher": described["name"], "revision": described["revision"]}
    genome = {str(tmp_path / "genome.fna"): sha256_of(tmp_path / "genome.fna")}
    for name in ("model", "check.json", "0.parquet", "1.parquet"):
        found = json.loads((tmp_path / "provenance" / f"{name}.json").read_text())["found"]
        assert known.items() <= found.items()
        if name in ("model", "check.json"):
            assert found["checksums"] == genome
    assert found["layer"] == "2"
    assert not (model / "provenance.json").exists()


def test_a_failed_check_has_a_separate_exit_code(tmp_path, causal_folder, capsys):
    write_fasta(tmp_path / "genome.fna", [("one", "ACGTTGCATGCACCGTAGGCATCATTTGACGGAC" * 50)])
    words = ["--genomes", tmp_path / "genome.fna", "--windows", 4, "--device", "cpu", "-o", tmp_path / "check.json"]
    assert run("check", "--model", causal_folder, *words) == 3
    assert "nats per token" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["absent/folder", "genomeocan-100m"])
def test_a_missing_model_is_reported_as_invalid_input(tmp_path, contigs, model):
    words = ["--contigs", contigs[0], "--index", contigs[1], "-o", tmp_path / "x.parquet"]
    assert run("embed", "--model", model, *words) == 2
    assert not (tmp_path / "x.parquet").exists()
