from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.reference.genomes import Genome
from genestill.reference.origin import _split_by_genus, write_origin_task
from genestill.reference.settings import OriginTaskSettings

SEED = 1


@pytest.fixture
def genomes(tmp_path):
    """Five bacteria of five genera, each with a plasmid; a yeast in three chromosomes."""
    generator = np.random.default_rng(SEED)

    def dna(length: int) -> str:
        return "".join(generator.choice(list("ACGT"), length))

    found, rows = {}, ["file\tlineage\torigin\ttested"]
    for number in range(5):
        found[f"g{number}"] = {f"chr{number} whole genome": dna(3000), f"p{number} strain, plasmid pX": dna(800)}
        rows.append(f"g{number}.fna\td__Bacteria;p__P;c__C;o__O;f__F;g__G{number};s__G{number} s\t\t")
    found["y"] = {f"chr{name}": dna(1500) for name in ("I", "II", "III")}
    rows.append("y.fna\td__Eukaryota;p__A;c__B;o__C;f__D;g__E;s__E f\tYeast\t^chrIII$")
    for name, records in found.items():
        write_fasta(tmp_path / f"{name}.fna", records.items())
    (tmp_path / "genomes.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "genomes.tsv", found


def records_of(window: str, found: dict) -> set[tuple[str, str]]:
    return {
        (genome, name.split()[0])
        for genome, records in found.items()
        for name, sequence in records.items()
        if window in sequence or window in reverse_complement(sequence)
    }


def test_plasmids_and_chromosomes_are_from_the_same_genomes_and_a_genus_is_in_one_split(genomes, tmp_path):
    table, found = genomes
    write_origin_task([table], None, OriginTaskSettings("plasmid", 100, 80), SEED, tmp_path / "task.tsv")
    task = pd.read_csv(tmp_path / "task.tsv", sep="\t")
    assert set(task["label"]) == {"plasmid", "chromosome"}
    splits: dict[str, set[str]] = {}
    for row in task.itertuples():
        ((genome, record),) = records_of(row.sequence, found)
        assert record.startswith("p" if row.label == "plasmid" else "chr")
        assert row.group == genome.upper()  # the genus
        splits.setdefault(genome, set()).add(row.split)
    assert set(splits) == {f"g{number}" for number in range(5)}
    assert all(len(one) == 1 for one in splits.values())
    assert {name for one in splits.values() for name in one} == {"train", "test"}


def test_kingdoms_are_split_by_genus_or_by_the_records_that_the_table_names(genomes, tmp_path):
    table, found = genomes
    write_origin_task([table], None, OriginTaskSettings("kingdom", 100, 80), SEED, tmp_path / "task.tsv")
    task = pd.read_csv(tmp_path / "task.tsv", sep="\t")
    assert set(task["label"]) == {"bacteria", "yeast"}
    for row in task[task["label"] == "yeast"].itertuples():
        ((_, record),) = records_of(row.sequence, found)
        assert (record == "chrIII") == (row.split == "test")
        assert row.group == f"y|{record}"
    counts = task.groupby(["label", "split"]).size()
    assert counts["yeast"].to_dict() == {"test": 16, "train": 24}


def test_groups_have_equal_numbers_of_windows_independent_of_their_numbers_of_genomes(genomes, tmp_path):
    table, _ = genomes
    (tmp_path / "again.fna").write_text((tmp_path / "g1.fna").read_text())
    text = table.read_text()
    table.write_text(
        text + next(line for line in text.splitlines() if line.startswith("g1.")).replace("g1.fna", "again.fna") + "\n"
    )
    write_origin_task([table], None, OriginTaskSettings("plasmid", 100, 120), SEED, tmp_path / "task.tsv")
    counts = pd.read_csv(tmp_path / "task.tsv", sep="\t").groupby(["split", "group"]).size()
    assert all(counts[split].max() - counts[split].min() <= 2 for split in ("train", "test"))
    assert "G1" in counts.index.get_level_values("group")


def test_an_origin_task_that_cannot_be_made_is_refused(genomes, tmp_path):
    table, _ = genomes
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:6]) + "\n")
    with pytest.raises(InputError, match="1 classes"):
        write_origin_task([table], None, OriginTaskSettings("kingdom", 100, 80), SEED, tmp_path / "task.tsv")
    table.write_text("\n".join([lines[0], *lines[5:]]).replace("^chrIII$", "^chr") + "\n")
    with pytest.raises(InputError, match="all genomes of the class"):
        write_origin_task([table], None, OriginTaskSettings("kingdom", 100, 80), SEED, tmp_path / "task.tsv")
    table.write_text("\n".join(lines).replace("^chrIII$", "(") + "\n")
    with pytest.raises(InputError, match="not a regular expression"):
        write_origin_task([table], None, OriginTaskSettings("kingdom", 100, 80), SEED, tmp_path / "task.tsv")


def test_a_class_whose_sequences_are_too_short_for_a_window_is_refused(genomes, tmp_path):
    table, _ = genomes
    with pytest.raises(InputError, match="the class plasmid has no train windows of 2000 bases"):
        write_origin_task([table], None, OriginTaskSettings("plasmid", 2000, 80), SEED, tmp_path / "task.tsv")


def test_a_genome_in_two_tables_is_refused_with_both_tables(genomes, tmp_path):
    table, _ = genomes
    (tmp_path / "more.tsv").write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(InputError, match=r"more.tsv: the genome 'g0' is also in .*genomes.tsv"):
        write_origin_task([table, tmp_path / "more.tsv"], None, OriginTaskSettings("kingdom", 100, 80), SEED,
                          tmp_path / "task.tsv")  # fmt: skip


@pytest.mark.parametrize(("genera", "tested"), [(2, 1), (5, 2), (12, 6), (30, 10), (60, 15)])
def test_a_quarter_of_the_genera_is_tested_but_ten_or_half_if_there_are_few(genera, tested):
    lineage = ("d__B", "p__P", "c__C", "o__O", "f__F")
    genomes = [
        Genome(f"g{genus}.{copy}", "f", Path("f"), (*lineage, f"g__{genus}", f"s__{genus}"), None, "t.tsv")
        for genus in range(genera) for copy in "ab"
    ]  # fmt: skip
    split, group = _split_by_genus(genomes, np.random.default_rng(1))
    held = {group[name] for name, part in split.items() if part == "test"}
    assert len(held) == (tested if genera >= 4 else 2)
    assert all(split[name] == ("test" if group[name] in held else "train") for name in split)
