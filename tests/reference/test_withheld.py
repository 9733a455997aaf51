import itertools

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.virtual_references import HALVES
from genestill.reference.settings import WithheldSettings
from genestill.reference.withheld import choose_withheld, split_families


def lineage(family, genus, species):
    names = ("d", "p", "c", f"o{family // 3}", f"f{family}", f"g{family}.{genus}", f"s{family}.{genus}.{species}")
    return parse_lineage(";".join(f"{letter}__{name}" for letter, name in zip("dpcofgs", names, strict=True)))


TAXA = [lineage(*numbers) for numbers in itertools.product(range(7), range(3), range(3))]
REFERENCES = st.dictionaries(
    st.sampled_from(["one", "two", "three"]), st.lists(st.sampled_from(TAXA), min_size=2, max_size=40), min_size=1
)


def clade_of(row):
    return parse_lineage(row.clade)[: RANKS.index(row.rank) + 1]


@given(REFERENCES, st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_clade_is_never_in_both_halves(reference, seed, share):
    table = choose_withheld(reference, WithheldSettings(number=6, families=share, genera=share, species=share), seed)
    families = {
        half: {parse_lineage(clade)[:5] for clade in table.loc[table["half"] == half, "clade"]} for half in HALVES
    }
    assert not families["fitting"] & families["judging"]


@given(REFERENCES, st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_withheld_clades_were_in_the_reference_and_a_relative_remains(reference, seed, share):
    table = choose_withheld(reference, WithheldSettings(number=4, families=share, genera=share, species=share), seed)
    for (community, _), rows in table.groupby(["community", "reference"]):
        clades = [clade_of(row) for row in rows.itertuples()]
        held = set(reference[community])
        left = {taxon for taxon in held if not any(taxon[: len(clade)] == clade for clade in clades)}
        assert left
        for clade in clades:
            assert any(taxon[: len(clade)] == clade for taxon in held)
            assert any(taxon[: len(clade) - 1] == clade[:-1] for taxon in left)


def test_references_are_reproducible_by_seed_and_assigned_to_the_communities_in_turn():
    reference, chosen = {"one": TAXA, "two": TAXA[:30]}, WithheldSettings(number=4)
    table = choose_withheld(reference, chosen, 3)
    pd.testing.assert_frame_equal(table, choose_withheld(reference, chosen, 3))
    assert not table.equals(choose_withheld(reference, chosen, 4))
    dealt = table.drop_duplicates(["half", "reference"])[["half", "reference", "community"]].to_numpy().tolist()
    assert dealt == [
        [half, f"{half}-{number:03d}", "one" if number % 2 else "two"] for half in HALVES for number in range(1, 5)
    ]


def test_a_user_can_make_the_table_for_their_own_genomes(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.fna").write_text(">a\nACGT\n")
    rows = "".join(f"{number}.fna\t{';'.join(taxon)}\n" for number, taxon in enumerate(TAXA[:9]))
    (tmp_path / "genomes.tsv").write_text("file\tlineage\n" + rows)
    words = ["reference", "withheld", "--genomes", f"mine={tmp_path / 'genomes.tsv'}", "--number", "2"]
    assert main([*words, "--output", str(tmp_path / "withheld.tsv")]) == 0
    table = pd.read_csv(tmp_path / "withheld.tsv", sep="\t")
    assert set(table["community"]) == {"mine"}
    assert set(table["rank"]) <= {"species", "genus", "family"}


def test_a_reference_without_relatives_is_refused(tmp_path, capsys):
    rows = ""
    for number, name in enumerate("ab"):
        (tmp_path / f"{number}.fna").write_text(">a\nACGT\n")
        rows += f"{number}.fna\td__{name};p__{name};c__{name};o__{name};f__{name};g__{name};s__{name} x\n"
    (tmp_path / "genomes.tsv").write_text("file\tlineage\n" + rows)
    words = [
        "reference",
        "withheld",
        "--genomes",
        f"mine={tmp_path / 'genomes.tsv'}",
        "--output",
        str(tmp_path / "w.tsv"),
    ]
    assert main(words) == 2
    assert "no clade can be withheld" in capsys.readouterr().err


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_species_with_siblings_are_in_both_halves(seed):
    """Two of eight families have genera of several species: a split by genomes alone often puts both in one half."""
    few = [lineage(family, 0, species) for family in (0, 1) for species in range(2)]
    half_of = split_families(few + [lineage(family, 0, 0) for family in range(2, 8)], np.random.default_rng(seed))
    assert {half_of[few[0][:5]], half_of[few[2][:5]]} == set(HALVES)
