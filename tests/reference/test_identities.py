"""Sets of species by identity and the resulting statuses, on simulated genomes at the identities of known cases."""

import numpy as np
import pandas as pd
import pytest

from genestill.core.lineage import format_lineage, parse_lineage
from genestill.core.novelty import genome_statuses, species_sets, status_word
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import TRUTH
from genestill.core.tables import read_table, write_table
from genestill.reference.identities import genome_identities, read_identities, read_species_sets, write_species_sets
from genestill.reference.truth import Answer, grade_truth, truth_table


def lineage(genus, species, family="F"):
    return parse_lineage(f"d__B;p__P;c__C;o__O;f__{family};g__{genus};s__{genus} {species}")


def mutated(bases, share, generator):
    copy = bases.copy()
    changed = generator.random(len(copy)) < share
    copy[changed] = (copy[changed] + generator.integers(1, 4, changed.sum())) % 4
    return copy


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """Identities of real cases: Mycoplasma mycoides and capri .958, the Escherichia names .965 to .981."""
    folder, generator = tmp_path_factory.mktemp("genomes"), np.random.default_rng(1)
    mycoides, coli = generator.integers(0, 4, (2, 150_000))
    made = {
        "mycoides": (lineage("Mycoplasma", "mycoides"), mycoides),
        "capri": (lineage("Mycoplasma", "capri"), mutated(mycoides, 0.042, generator)),
        "coli": (lineage("Escherichia", "coli"), coli),
        "flexneri": (lineage("Escherichia", "flexneri"), mutated(coli, 0.019, generator)),
        "dysenteriae": (lineage("Escherichia", "dysenteriae"), mutated(coli, 0.025, generator)),
        # A plasmid: identical to a part of another genus, covering a tenth of it.
        "other": (lineage("Klebsiella", "other"), np.r_[coli[:15_000], generator.integers(0, 4, 135_000)]),
    }
    letters = np.array(list("ACGT"))
    for name, (_, bases) in made.items():
        write_fasta(folder / f"{name}.fna", [(name, "".join(letters[bases]))])
    lines = ["file\tlineage", *(f"{name}.fna\t{format_lineage(path)}" for name, (path, _) in made.items())]
    (folder / "genomes.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def sets(genomes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_species_sets(genomes / "genomes.tsv", None, None, folder / "sets.tsv", folder / "identities.tsv")
    return read_species_sets(folder / "sets.tsv"), read_identities(folder / "identities.tsv")


def test_species_within_the_radius_form_one_set_and_those_beyond_it_remain_separate(sets):
    of_species, identities = sets
    coli = lineage("Escherichia", "coli")
    assert [species[-1] for species, of in of_species.items() if of == coli] == [
        "Escherichia coli", "Escherichia flexneri", "Escherichia dysenteriae",
    ]  # fmt: skip
    for name in ("mycoides", "capri"):
        assert of_species[lineage("Mycoplasma", name)] == lineage("Mycoplasma", name)
    pair = identities.set_index(["genome", "other"])["identity"]
    assert pair["mycoides.fna", "capri.fna"] == pytest.approx(0.958, abs=0.004)
    assert 0.965 < pair["coli.fna", "dysenteriae.fna"] < 0.981


def test_linkage_is_single_and_requires_one_genus_and_half_of_the_smaller_genome_aligned():
    names = ["G a", "G b", "G c", "G d", "H e"]
    species = {parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__{name[0]};s__{name}"): name for name in names}
    pairs = [
        ("G a", "G b", 0.97, 0.9, 0.9),
        ("G b", "G c", 0.965, 0.2, 0.5),  # half of the smaller genome
        ("G a", "G d", 0.99, 0.4, 0.4),
        ("G a", "H e", 0.99, 0.9, 0.9),
    ]
    identities = pd.DataFrame(pairs, columns=["genome", "other", "identity", "aligned", "aligned_other"])
    found = {one[-1]: of[-1] for one, of in species_sets(species, identities).items()}
    assert found == {"G a": "G a", "G b": "G a", "G c": "G a", "G d": "G d", "H e": "H e"}


def test_a_status_gives_the_absent_rank_and_the_identity_of_the_nearest_relative(sets):
    of_species, identities = sets
    reference = {"coli.fna": lineage("Escherichia", "coli"), "mycoides.fna": lineage("Mycoplasma", "mycoides")}
    sources = reference | {
        "flexneri.fna": lineage("Escherichia", "flexneri"),
        "capri.fna": lineage("Mycoplasma", "capri"),
        "other.fna": lineage("Klebsiella", "other"),
        "far.fna": lineage("Far", "far", family="Far"),
    }
    found = genome_statuses(sources, reference, of_species, identities)
    assert {genome: status for genome, (status, _) in found.items()} == {
        "coli.fna": "exact copy",
        "mycoides.fna": "exact copy",
        "flexneri.fna": "other strain",
        "capri.fna": "absent species",
        "other.fna": "absent genus",
        "far.fna": "absent family",
    }
    assert found["capri.fna"][1] == pytest.approx(0.958, abs=0.004)
    assert found["far.fna"][1] is None


def test_true_lineages_get_the_status_of_their_genome_and_the_other_names_of_its_set(sets, tmp_path):
    answers = [
        Answer(lineage("Escherichia", "flexneri"), "flexneri.fna", 2000, "absent species"),
        Answer(lineage("Escherichia", "flexneri"), "a genome without a file", 2000, "absent species"),
        Answer(parse_lineage(""), "plasmid", 2000, "no prokaryotic chromosome", False),
    ]
    reference = {"coli.fna": lineage("Escherichia", "coli")}
    table = grade_truth(truth_table(["a", "b", "c"], answers), reference, *sets)
    write_table(tmp_path / "truth.parquet", table, TRUTH)
    read = read_table(tmp_path / "truth.parquet", TRUTH)
    assert read["status"].tolist() == ["other strain", "absent species", "no prokaryotic chromosome"]
    assert read["identity"].notna().tolist() == [True, False, False]
    assert list(read["same_species"][0]) == ["Escherichia coli", "Escherichia dysenteriae"]
    assert read["same_species"][2] is None


def test_identities_are_measured_once_per_pair(genomes):
    table = genome_identities({name: genomes / f"{name}.fna" for name in ("coli", "flexneri")})
    assert table[["genome", "other"]].to_numpy().tolist() == [
        ["coli", "coli"], ["coli", "flexneri"], ["flexneri", "flexneri"],
    ]  # fmt: skip


def test_short_status_names_of_older_tables_are_read():
    assert [status_word(word) for word in ("exact", "known", "genus", "absent order")] == [
        "exact copy", "other strain", "absent genus", "absent order",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="new"):
        status_word("new")
