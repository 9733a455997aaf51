"""Proteins of genomes with their genetic code: from the table or Pyrodigal, and a warning if 11 is wrong."""

import random
import subprocess

import pytest

from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.programs import find_program
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.reference.genomes import TRANSLATION_TABLES, read_genomes
from genestill.reference.proteins import predict_proteins

LINEAGE = "d__B;p__P;c__C;o__O;f__F;g__G;s__G "


def _genome(tryptophan, genes=36, seed=5):
    """A genome whose proteins have 4 % tryptophans, encoded as ``tryptophan``."""
    generator = random.Random(seed)
    codons = [first + second + third for first in "ACGT" for second in "ACGT" for third in "AT"]
    codons = [codon for codon in codons if codon not in ("TAA", "TGA", "TAG")]
    usage = [generator.random() ** 2 for _ in codons]
    pieces = []
    for gene in range(genes):
        body = generator.choices(codons, usage, k=280)
        for place in range(5, 280, 25):
            body[place] = tryptophan
        text = "AGGAGGTAACATATG" + "".join(body) + "TAA"
        pieces += ["".join(generator.choices("ACGT", k=40)), text if gene % 2 else reverse_complement(text)]
    return "".join(pieces)


def _table(folder, codes):
    """A table of genomes by name: the codon of tryptophan and the value of the column."""
    lines = ["file\tlineage\ttranslation_table"]
    for name, (tryptophan, code) in codes.items():
        write_fasta(folder / f"{name}.fna", [(name, _genome(tryptophan))])
        lines.append(f"{name}.fna\t{LINEAGE}{name}\t{code}")
    (folder / "genomes.tsv").write_text("\n".join(lines) + "\n")
    return read_genomes(folder / "genomes.tsv")


def _mean_length(path):
    lines = path.read_text().splitlines()
    return sum(len(line) for line in lines if line[0] != ">") / sum(line[0] == ">" for line in lines)


def test_a_genome_is_translated_with_its_genetic_code_and_a_wrong_code_is_reported(tmp_path, caplog):
    genomes = _table(tmp_path, {"standard": ("TGG", ""), "silent": ("TGA", ""), "told": ("TGA", 4)})
    predict_proteins(genomes, 2, tmp_path / "proteins")
    mean = {name: _mean_length(tmp_path / "proteins" / f"{name}.faa") for name in ("standard", "silent", "told")}
    assert mean["told"] == pytest.approx(mean["standard"], rel=0.05)
    assert mean["silent"] < 0.6 * mean["standard"]
    assert read_json(tmp_path / "proteins" / "summary.json")["other_genetic_code"] == ["silent"]
    assert "silent: genetic code 11 seems wrong" in caplog.text
    assert "standard: genetic" not in caplog.text
    assert read_json(tmp_path / "proteins" / "told.json")["translation_table"] == 4


def test_proteins_are_predicted_again_only_if_the_genetic_code_changed(tmp_path, caplog):
    caplog.set_level("INFO")
    predict_proteins(_table(tmp_path, {"a": ("TGA", "")}), 1, tmp_path / "proteins")
    short = _mean_length(tmp_path / "proteins" / "a.faa")
    predict_proteins(_table(tmp_path, {"a": ("TGA", "")}), 1, tmp_path / "proteins")
    assert "1 of them made before" in caplog.text
    assert caplog.text.count("a: genetic code 11 seems wrong") == 2
    predict_proteins(_table(tmp_path, {"a": ("TGA", 25)}), 1, tmp_path / "proteins")
    assert _mean_length(tmp_path / "proteins" / "a.faa") > 2 * short


def test_a_short_genome_is_predicted_with_the_metagenomic_models(tmp_path):
    write_fasta(tmp_path / "a.fna", [("a", _genome("TGG")[:15_000])])
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\ttranslation_table\na.fna\t{LINEAGE}a\t4\n")
    predict_proteins(read_genomes(tmp_path / "genomes.tsv"), 1, tmp_path / "proteins")
    assert read_json(tmp_path / "proteins" / "a.json")["mode"] == "meta"


@pytest.mark.parametrize(("cell", "code"), [("4", 4), ("25", 25), ("11.0", 11), ("", None), ("NA", None)])
def test_the_table_of_genomes_may_give_genetic_codes(tmp_path, cell, code):
    write_fasta(tmp_path / "a.fna", [("a", "ACGT")])
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\ttranslation_table\na.fna\t{LINEAGE}a\t{cell}\n")
    assert read_genomes(tmp_path / "genomes.tsv")[0].translation_table == code


def test_a_column_of_genetic_codes_with_another_name_is_reported(tmp_path, caplog):
    write_fasta(tmp_path / "a.fna", [("a", "ACGT")])
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\tgenetic_code\na.fna\t{LINEAGE}a\t4\n")
    assert read_genomes(tmp_path / "genomes.tsv")[0].translation_table is None
    assert "the column 'genetic_code' is not read" in caplog.text


@pytest.mark.parametrize("cell", ["7", "0", "eleven", "4.5"])
def test_genetic_codes_that_do_not_exist_are_refused_with_the_line(tmp_path, cell):
    write_fasta(tmp_path / "a.fna", [("a", "ACGT")])
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\ttranslation_table\na.fna\t{LINEAGE}a\t{cell}\n")
    with pytest.raises(InputError, match=r"genomes.tsv: line 2: translation_table"):
        read_genomes(tmp_path / "genomes.tsv")


def test_the_genetic_codes_are_those_that_pyrodigal_supports():
    said = subprocess.run([find_program("pyrodigal"), "-g", "7", "-i", "none"], capture_output=True, text=True).stderr
    assert {int(word) for word in said.rpartition("choose from")[2].strip(" )\n").replace("'", "").split(",")} == set(
        TRANSLATION_TABLES
    )
