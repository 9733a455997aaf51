import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.core.table_schemas import ALIGNMENTS, INDEX
from genestill.core.tables import read_table, write_table
from genestill.labels.alignments import align_contigs, summarise_alignments


def paf(contig, genome, start, stop, matches, divergence, length=1000):
    columns = [contig, length, start, stop, "+", f"{genome}|chromosome", 9999, 0, 9, matches, stop - start, 60]
    return "\t".join(map(str, [*columns, "tp:A:P", f"de:f:{divergence}"]))


def test_identity_is_gap_compressed_and_averages_alignments_weighted_by_columns():
    """450 matches in 500 columns and 396 in 400: 846 of 900; matches per length (846 of 1,000) are not used."""
    table = summarise_alignments([paf("a", "g", 0, 550, 450, 0.1), paf("a", "g", 550, 1000, 396, 0.01)], ["a"])
    assert table[["id", "genome", "matches"]].to_numpy().tolist() == [["a", "g", 846]]
    assert table["identity"].item() == pytest.approx(846 / 900)
    assert table["aligned"].item() == pytest.approx(1.0)


def test_copies_of_the_same_bases_count_once():
    copies = [paf("a", "g", 100, 300, 190, 0.05), paf("a", "g", 110, 310, 200, 0.0), paf("a", "g", 100, 300, 150, 0.2)]
    table = summarise_alignments(copies, ["a"])
    assert (table["matches"].item(), table["identity"].item(), table["aligned"].item()) == (200, 1.0, 0.2)


def test_genomes_are_sorted_by_matches_and_contigs_by_the_order_of_the_index():
    lines = [paf("b", "g", 0, 500, 400, 0.1), paf("a", "h", 0, 500, 300, 0.1), paf("a", "g", 0, 500, 400, 0.1)]
    table = summarise_alignments([*lines, paf("unknown", "g", 0, 500, 400, 0.1)], ["a", "b"])
    assert table[["id", "genome"]].to_numpy().tolist() == [["a", "g"], ["a", "h"], ["b", "g"]]


def test_alignments_of_a_contig_may_be_in_several_parts_of_the_output():
    """minimap2 splits the index of a large reference; a genome at the end of a part is also in the next."""
    parts = [paf("a", "g", 0, 500, 400, 0.2), paf("b", "g", 0, 900, 900, 0.0), paf("a", "g", 500, 1000, 500, 0.0)]
    table = summarise_alignments(parts, ["a", "b"])
    assert table[["id", "matches", "aligned"]].to_numpy().tolist() == [["a", 900, 1.0], ["b", 900, 0.9]]


def _places():
    return st.lists(
        st.tuples(
            *(st.sampled_from("abx"), st.sampled_from("ghi"), st.integers(0, 40), st.integers(1, 20)),
            *(st.integers(1, 9), st.sampled_from([0.0, 0.0312, 0.1, 0.2])),
        ),
        max_size=25,
    )


@given(_places())
def test_the_summary_equals_that_of_a_mask_of_the_bases_of_each_contig(places):
    pairs = {}
    for contig, genome, start, size, matches, divergence in places:
        pairs.setdefault((contig, genome), []).append((matches, start, start + size, divergence))
    expected = []
    for (contig, genome), some in pairs.items():
        covered, matches, columns = np.zeros(60, dtype=bool), 0, 0.0
        for matching, start, stop, divergence in sorted(some, reverse=True):
            if covered[start:stop].sum() <= 0.5 * (stop - start):
                covered[start:stop] = True
                matches += matching
                columns += matching / (1 - divergence)
        if contig != "x":
            expected.append((contig, genome, matches / columns, matches, covered.mean()))
    lines = [
        paf(contig, genome, start, start + size, *rest, length=60) for contig, genome, start, size, *rest in places
    ]
    table = summarise_alignments(lines, ["b", "a"])
    columns = ["id", "genome", "identity", "matches", "aligned"]
    expected.sort(key=lambda row: ("ba".index(row[0]), -row[3], row[1]))
    assert table[columns].to_numpy().tolist() == [list(row) for row in expected]


def test_output_without_the_divergence_is_refused():
    with pytest.raises(InputError, match="line 1 of its output has no tag de:f:"):
        summarise_alignments(["a\t10\t0\t10\t+\tg|c\t10\t0\t10\t10\t10\t60\ttp:A:P"], ["a"])


@pytest.mark.skipif(shutil.which("minimap2") is None, reason="minimap2 is not on PATH")
def test_minimap2_finds_the_strain_and_also_reports_its_sibling(tmp_path):
    rng = np.random.default_rng(7)

    def drift(sequence, share):
        letters = np.array(list(sequence))
        places = rng.random(len(letters)) < share
        letters[places] = rng.choice(list("ACGT"), places.sum())
        return "".join(letters)

    genome = "".join(rng.choice(list("ACGT"), 20_000))
    write_fasta(tmp_path / "same.fna.gz", [("x", genome)])
    write_fasta(tmp_path / "sibling.fna", [("x", drift(genome, 0.12))])
    write_fasta(tmp_path / "contigs.fna", [("c", reverse_complement(drift(genome[5000:9000], 0.02)))])
    (tmp_path / "genomes.tsv").write_text("file\tlineage\nsame.fna.gz\tx\nsibling.fna\tx\n")
    row = {"id": "c", "length": 4000, "gc": 0.5, "sample": None, "checksum": ""}
    write_table(tmp_path / "index.parquet", pd.DataFrame([row]), INDEX)
    places = (tmp_path / "contigs.fna", tmp_path / "index.parquet", tmp_path / "genomes.tsv", tmp_path)
    align_contigs(*places, 1, tmp_path / "alignments.parquet")
    table = read_table(tmp_path / "alignments.parquet", ALIGNMENTS)
    assert table["genome"].tolist() == ["same", "sibling"]
    assert table["identity"].to_numpy() == pytest.approx([0.985, 0.9], abs=0.02)
    assert table["aligned"].min() > 0.95
