import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, parse_lineage
from genestill.reference.gtdb import gtdb_names
from genestill.reference.taxdump import Taxdump

ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F"
DUMP = Taxdump(
    {1: 1, 2: 1, 561: 2, 562: 561, 83333: 562, 624: 2, 9: 2},
    {1: "no rank", 2: "superkingdom", 561: "genus", 562: "species", 83333: "strain", 624: "species", 9: "species"},
    {taxid: str(taxid) for taxid in (1, 2, 561, 562, 83333, 624, 9)},
)


def metadata(path, *rows):
    """A table of metadata with rows (lineage below the family, taxid, species taxid)."""
    lines = ["accession\tgtdb_taxonomy\tncbi_taxid\tncbi_species_taxid"]
    lines += [f"G{number}\t{ABOVE};{below}\t{taxid}\t{species}" for number, (below, taxid, species) in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


COLI, OTHER = "g__Escherichia;s__Escherichia coli", "g__Escherichia;s__Escherichia fergusonii"


def test_a_taxid_gets_the_names_that_most_of_its_genomes_have_in_gtdb(tmp_path):
    rows = [(COLI, 562, 562), (COLI, 83333, 562), (OTHER, 562, 562), (COLI, 624, 624), (OTHER, 624, 624)]
    names = gtdb_names([metadata(tmp_path / "bac.tsv", *rows)], DUMP)
    assert names(562) == parse_lineage(f"{ABOVE};{COLI}")
    assert names(624) == parse_lineage(f"{ABOVE};g__Escherichia")


def test_a_strain_without_genomes_gets_the_names_of_its_species_and_a_species_without_any_gets_none(tmp_path):
    names = gtdb_names([metadata(tmp_path / "bac.tsv", (COLI, 562, 562), ("g__X;s__X y", 561, 561))], DUMP)
    assert names(83333) == parse_lineage(f"{ABOVE};{COLI}")
    assert names(9) == NO_LINEAGE


def test_a_table_that_is_not_from_gtdb_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("accession\ttaxonomy\n")
    with pytest.raises(InputError, match="no column 'gtdb_taxonomy'"):
        gtdb_names([tmp_path / "t.tsv"], DUMP)
    path = metadata(tmp_path / "bac.tsv")
    path.write_text(path.read_text() + "G1\tx\n")
    with pytest.raises(InputError, match="line 2 has 2 columns"):
        gtdb_names([path], DUMP)
