"""Contigs of a published community, extracted again from its genomes."""

import gzip

import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, reverse_complement, sequence_checksum
from genestill.core.tables import read_tsv
from genestill.reference.published_contigs import COLUMNS, cut_contigs
from snakemake_process import ROOT, run_snakemake

SEQUENCE, PLASMID = "ACGTTGCAAC" * 3, "GGGTTTACCA"
ROWS = [
    ("contig_2", "one.fna.gz", sequence_checksum(SEQUENCE), "3", "9", "+", "exact", "1.50", "0.00"),
    ("contig_1", "two.fna", sequence_checksum(PLASMID), "0", "10", "-", "genus", "2.25", "7.00"),
    ("contig_3", "one.fna.gz", sequence_checksum(SEQUENCE), "0", "30", "-", "exact", "0.10", "0.30"),
]


@pytest.fixture
def community(tmp_path):
    """Positions of three contigs in two genomes; names and case of the records differ from the published ones."""
    folder = tmp_path / "genomes"
    folder.mkdir()
    with gzip.open(folder / "one.fna.gz", "wt") as handle:
        handle.write(f">NC_9\n{PLASMID[::-1]}\n>NC_1 chromosome\n{SEQUENCE[:11]}\n{SEQUENCE[11:].lower()}\n")
    (folder / "two.fna").write_text(f">NC_2\n{PLASMID}\n")
    (folder / "genomes.tsv").write_text(
        "file\tlineage\none.fna.gz\td__B;p__P\ntwo.fna\td__B;p__Q\nnot_used.fna\td__A\n"
    )
    (tmp_path / "held.tsv").write_text("file\nnot_used.fna\none.fna.gz\n")
    return tmp_path


def cut(folder, rows=ROWS):
    pd.DataFrame(rows, columns=[*COLUMNS, "S1", "S2"]).to_csv(folder / "positions.tsv", sep="\t", index=False)
    cut_contigs(folder / "positions.tsv", folder / "genomes" / "genomes.tsv", folder / "held.tsv", folder / "made")


def test_contigs_are_cut_at_their_positions_in_the_order_of_the_table(community):
    cut(community)
    assert list(read_fasta(community / "made" / "contigs.fna.gz")) == [
        ("contig_2", SEQUENCE[3:9]),
        ("contig_1", reverse_complement(PLASMID)),
        ("contig_3", reverse_complement(SEQUENCE)),
    ]
    assert (community / "made" / "truth.tsv").read_text().splitlines() == [
        "contig\tlineage\tgenome\tlength\tstatus",
        "contig_2\td__B;p__P\tone.fna.gz\t6\texact",
        "contig_1\td__B;p__Q\ttwo.fna\t10\tgenus",
        "contig_3\td__B;p__P\tone.fna.gz\t30\texact",
    ]
    assert (community / "made" / "abundance.tsv").read_text().splitlines()[:2] == [
        "contigname\tS1\tS2", "contig_2\t1.50\t0.00",
    ]  # fmt: skip
    assert (
        community / "made" / "reference.tsv"
    ).read_text() == "file\tlineage\nnot_used.fna\td__A\none.fna.gz\td__B;p__P\n"


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("genome", "three.fna", "no genome 'three.fna'"),
        ("record", "0" * 16, r"two\.fna has no sequence with the SHA-256 0{16}….* another version"),
        ("start", "-1", "-1 to 10 is not within the 10 bases"),
        ("end", "11", "0 to 11 is not within the 10 bases"),
        ("end", "0", "0 to 0 is not within"),
        ("end", "ten", "end is 'ten'; expected a whole number"),
        ("strand", "", r"strand is ''; expected \+ or -"),
        ("contig", "contig_2", "the contig 'contig_2' occurs twice"),
    ],
)
def test_a_row_that_does_not_match_the_genomes_is_reported_and_nothing_is_written(community, column, value, sentence):
    rows = [list(row) for row in ROWS]
    rows[1][COLUMNS.index(column)] = value
    with pytest.raises(InputError, match=sentence):
        cut(community, rows)
    assert not (community / "made").exists()


def test_the_published_positions_are_in_published_genomes():
    genomes = read_tsv(ROOT / "resources" / "genomes.tsv").set_index("file")
    rows = read_tsv(ROOT / "resources" / "community" / "contigs.tsv.gz", COLUMNS)
    held = read_tsv(ROOT / "resources" / "community" / "reference.tsv", ["file"])["file"]
    assert (len(rows), rows["genome"].nunique(), len(held)) == (5575, 45, 47)
    assert set(rows["genome"]) | set(held) <= set(genomes.index)
    bases = rows["genome"].map(genomes["bases"]).astype(int)
    assert ((rows["start"].astype(int) < rows["end"].astype(int)) & (rows["end"].astype(int) <= bases)).all()
    # A genome is in the reference if and only if its contigs are exact copies.
    assert set(rows.loc[rows["status"] == "exact", "genome"]) == set(held) & set(rows["genome"])


def test_the_command_needs_only_its_tables(community):
    cut(community)
    made = {path.name: path.read_bytes() for path in (community / "made").iterdir()}
    words = ["--positions", community / "positions.tsv", "--genomes", community / "genomes" / "genomes.tsv"]
    words += ["--held", community / "held.tsv", "--output", community / "again"]
    assert main(["--quiet", "reference", "cut-contigs", *words]) == 0
    assert {path.name: path.read_bytes() for path in (community / "again").iterdir()} == made


@pytest.mark.workflow
def test_the_community_of_the_results_can_be_made_from_public_files_only(tmp_path):
    files = [ROOT / "config" / name for name in ("community.yaml", "fetched/community.yaml")]
    done = run_snakemake("-n", "--cores", "1", "--configfile", *files, folder=tmp_path)
    for rule in ("fetch_genomes", "cut_published_contigs", "search_contigs", "report_novelty"):
        assert f"rule {rule}:" in done.stdout, rule
    assert "shared/data" not in done.stdout
