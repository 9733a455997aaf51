from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.reference.genomes import read_genomes
from genestill.reference.settings import WindowSettings
from genestill.reference.windows import choose_clade, clade_test_genomes, cut_genome_windows, write_clade_task


@pytest.fixture
def genomes(tmp_path):
    generator = np.random.default_rng(1)
    rows = ["file\tlineage"]
    for name, phylum in (("a", "p__One"), ("b", "p__One"), ("c", "p__Oneida")):
        bases = "".join(generator.choice(list("ACGT"), 3000))
        write_fasta(tmp_path / f"{name}.fna", [("long", bases), ("gap", "N" * 900), ("short", "ACGT")])
        rows.append(f"{name}.fna\td__Bacteria;{phylum};c__;o__;f__;g__;s__")
    (tmp_path / "genomes.tsv").write_text("\n".join(rows) + "\n")
    return read_genomes(tmp_path / "genomes.tsv")


def test_windows_are_substrings_of_their_genomes_and_reproducible_by_seed(genomes, tmp_path):
    assert cut_genome_windows(genomes, WindowSettings(300, number=10), 1, tmp_path / "one.fna") == 10
    cut_genome_windows(genomes, WindowSettings(300, number=10), 1, tmp_path / "again.fna")
    windows = dict(read_fasta(tmp_path / "one.fna"))
    assert windows == dict(read_fasta(tmp_path / "again.fna"))
    assert {name.split("|")[0] for name in windows} == {"a", "b", "c"}
    whole = dict(read_fasta(genomes[0].path))["long"]
    for name, window in windows.items():
        genome, contig, start = name.split("|")
        assert contig == "long"
        assert len(window) == 300
        if genome == "a":
            assert whole[int(start) : int(start) + 300] == window


def test_regions_start_where_windows_do_and_end_with_the_contig(genomes, tmp_path):
    settings = WindowSettings(300, shortest=60, number=30, strands="both")
    cut_genome_windows(genomes, replace(settings, shortest=None, strands="one"), 1, tmp_path / "windows.fna")
    cut_genome_windows(genomes, settings, 1, tmp_path / "regions.fna", region_windows=4)
    windows, regions = (dict(read_fasta(tmp_path / f"{name}.fna")) for name in ("windows", "regions"))
    assert windows.keys() == regions.keys()
    for name, region in regions.items():
        assert region.startswith(windows[name])
        assert len(region) == min(1200, 3000 - int(name.split("|")[2]))


def test_a_clade_matches_whole_names_only(genomes):
    assert [genome.name for genome in choose_clade(genomes, "d__Bacteria;p__One")] == ["a", "b"]
    assert len(choose_clade(genomes, None)) == 3
    with pytest.raises(InputError, match="p__Two"):
        choose_clade(genomes, "d__Bacteria;p__Two")


def test_windows_have_the_requested_lengths_and_strands_at_the_same_positions(genomes, tmp_path):
    cut_genome_windows(genomes, WindowSettings(300, number=60), 1, tmp_path / "plain.fna")
    settings = WindowSettings(300, shortest=40, number=60, strands="both")
    cut_genome_windows(genomes, settings, 1, tmp_path / "varied.fna")
    plain, varied = (dict(read_fasta(tmp_path / f"{name}.fna")) for name in ("plain", "varied"))
    turned = {name.removesuffix("|-"): reverse_complement(varied[name]) for name in varied if name.endswith("|-")}
    assert 15 < len(turned) < 45
    assert {
        **{name: window for name, window in varied.items() if not name.endswith("|-")},
        **turned,
    }.keys() == plain.keys()
    assert all(plain[name].startswith(window) for name, window in turned.items())
    lengths = [len(window) for window in varied.values()]
    assert 40 <= min(lengths) < 100
    assert max(lengths) > 240
    with pytest.raises(InputError, match="shortest is 400"):
        WindowSettings(300, shortest=400)


def test_all_clades_of_a_rank_get_the_same_number_of_windows(genomes, tmp_path):
    cut_genome_windows(genomes, WindowSettings(300, number=12, evenly_by="phylum"), 1, tmp_path / "w.fna")
    names = [name.split("|")[0] for name, _ in read_fasta(tmp_path / "w.fna")]
    assert {name: names.count(name) for name in "abc"} == {"a": 3, "b": 3, "c": 6}


def test_windows_that_cannot_be_cut_are_refused(genomes, tmp_path):
    with pytest.raises(InputError, match="no window"):
        cut_genome_windows(genomes, WindowSettings(50_000, number=10), 1, tmp_path / "none.fna")


def test_a_clade_task_tests_on_genomes_that_are_not_in_training(genomes, tmp_path):
    with pytest.raises(InputError, match="1 clades"):
        write_clade_task(genomes, "phylum", 100, 40, 1, tmp_path / "task.tsv")
    twins = [*genomes, replace(genomes[2], name="d")]
    write_clade_task(twins, "phylum", 100, 80, 1, tmp_path / "task.tsv")
    table = pd.read_csv(tmp_path / "task.tsv", sep="\t")
    assert table.groupby(["label", "split"]).size().to_dict() == {
        (phylum, split): 20 for phylum in ("One", "Oneida") for split in ("train", "test")
    }
    tested = clade_test_genomes(twins, "phylum", 1)
    assert len(tested) == 2
    for genome in twins:  # test windows are only from genomes excluded from pretraining
        whole = "N".join(sequence for _, sequence in read_fasta(genome.path))
        if genome.name in "ab":  # c and d are one sequence under two names
            of_it = table[[window in whole for window in table["sequence"]]]
            assert set(of_it["split"]) == {"test" if genome.name in tested else "train"}
    one = dict(read_fasta(genomes[0].path))["long"]
    tested = table[(table["label"] == "One") & (table["split"] == "test")]["sequence"]
    assert len({window in one for window in tested}) == 1


def test_a_clade_without_windows_is_refused(genomes, tmp_path):
    pair = [genome for genome in genomes if genome.name != "b"]
    twins = [replace(genome, name=f"{genome.name}{number}") for genome in pair for number in (1, 2)]
    with pytest.raises(InputError, match="the class One has no train windows of 90000 bases"):
        write_clade_task(twins, "phylum", 90_000, 20, 1, tmp_path / "task.tsv")


def test_an_unknown_rank_is_refused_by_the_command_line(tmp_path, capsys):
    for command, option in (("clade-task", "--rank"), ("windows", "--without-tests-of")):
        with pytest.raises(SystemExit):
            main(["reference", command, "--genomes", "g.tsv", option, "tribe", "--output", "x"])
        assert "tribe" in capsys.readouterr().err
