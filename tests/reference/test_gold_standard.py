import gzip
import json
from pathlib import Path

import pytest

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta
from genestill.reference.gold_standard import lineages_of_contigs, read_mapping, write_gold_standard
from genestill.reference.sources import read_sources
from genestill.reference.taxdump import read_taxdump

TABLE = Path(__file__).resolve().parents[2] / "resources" / "cami2.tsv"
NODES = """1 1 no rank
2 1 superkingdom
10 2 phylum
11 10 class
12 11 order
13 12 family
14 13 genus
15 14 species
16 14 species
17 16 strain"""
NAMES = ["root", "Bacteria", "P", "C", "O", "F", "G", "Ga", "Gb", "Gb-1"]
MAPPING = "#anonymous_contig_id\tgenome_id\ttax_id\tcontig_id\tnumber_reads\tstart_position\tend_position\n"


@pytest.fixture
def taxdump(tmp_path):
    folder = tmp_path / "taxdump"
    folder.mkdir()
    rows = [line.split(maxsplit=2) for line in NODES.splitlines()]
    (folder / "nodes.dmp").write_text("".join("\t|\t".join(row) + "\t|\n" for row in rows))
    names = (f"{row[0]}\t|\t{name}\t|\t\t|\tscientific name\t|\n" for row, name in zip(rows, NAMES, strict=True))
    (folder / "names.dmp").write_text("".join(names))
    (folder / "merged.dmp").write_text("99\t|\t15\t|\n")
    return folder


def write_mapping(path, rows):
    with gzip.open(path, "wt") as handle:
        handle.write(MAPPING + "".join(f"{c}\t{g}\t{t}\tx\t7\t0\t9\n" for c, g, t in rows))
    return path


def test_taxids_are_converted_to_lineages_merged_ones_followed_and_unknown_ones_counted(tmp_path, taxdump):
    rows = [("S0C0", "A", "15"), ("S0C1", "B", "17"), ("S0C2", "A", "99"), ("S0C3", "Z", "12345"), ("S0C4", "G", "14")]
    path = write_mapping(tmp_path / "m.tsv.gz", rows)
    found, counts = lineages_of_contigs([path], read_taxdump(taxdump))
    assert found["S0C0"] == (("Bacteria", "P", "C", "O", "F", "G", "Ga"), "A")
    assert found["S0C1"][0][6] == "Gb", "a strain's lineage ends at its species"
    assert found["S0C2"] == found["S0C0"]
    assert found["S0C3"] == ((None,) * 7, "Z")
    assert found["S0C4"][0] == ("Bacteria", "P", "C", "O", "F", "G", None)
    assert counts == {"contigs": 5, "taxids_merged": 1, "taxids_unknown": 1, "contigs_of_several_genomes": 0}


def test_a_contig_of_several_genomes_gets_their_common_lineage(tmp_path, taxdump):
    rows = [("P0", "A", "15"), ("P0", "B", "16"), ("P0", "A", "15"), ("P1", "A", "15"), ("P1", "A", "15")]
    found, counts = lineages_of_contigs([write_mapping(tmp_path / "m.gz", rows)], read_taxdump(taxdump))
    assert found["P0"] == (("Bacteria", "P", "C", "O", "F", "G", None), None)
    assert found["P1"] == (("Bacteria", "P", "C", "O", "F", "G", "Ga"), "A")
    assert counts["contigs_of_several_genomes"] == 1


def test_the_binning_format_is_read_with_strain_numbers_and_several_samples(tmp_path):
    path = tmp_path / "gold.binning"
    block = "#CAMI\n@Version:0.9.1\n@SampleID:{0}\n\n@@SEQUENCEID\tBINID\tTAXID\tLENGTH\n{0}C1\tA\t15.3\t500\n"
    path.write_text(block.format("S0") + block.format("S1").removeprefix("#CAMI\n@Version:0.9.1\n"))
    assert list(read_mapping(path)) == [("S0C1", "A", 15), ("S1C1", "A", 15)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contig\tgenome\n", "line 1: no header before it; expected @@SEQUENCEID"),
        ("#anonymous_contig_id\tgenome_id\nc\tg\n", "no column tax_id"),
        (MAPPING + "c\tg\n", "line 2: 2 columns; expected 7"),
        (MAPPING + "c\tg\tx1\tx\t7\t0\t9\n", "line 2: contig 'c', taxid 'x1'"),
    ],
)
def test_a_table_in_another_format_is_refused(tmp_path, text, says):
    (tmp_path / "m.tsv").write_text(text)
    with pytest.raises(InputError, match=says):
        list(read_mapping(tmp_path / "m.tsv"))


def test_samples_are_combined_with_truth_in_the_order_of_the_contigs(tmp_path, taxdump):
    (tmp_path / "0.fna").write_text(">S0C0\nACGT\n>S0C9\nACGTACGT\n")
    (tmp_path / "1.fna").write_text(">S1C0\nACG\n")
    zero = write_mapping(tmp_path / "0.gz", [("S0C0", "A", "15")])
    one = write_mapping(tmp_path / "1.gz", [("S1C0", "B", "16")])
    write_gold_standard([tmp_path / "0.fna", tmp_path / "1.fna"], [zero, one], taxdump, tmp_path / "out")
    assert [name for name, _ in read_fasta(tmp_path / "out/contigs.fna.gz")] == ["S0C0", "S0C9", "S1C0"]
    assert (tmp_path / "out/truth.tsv").read_text().splitlines() == [
        "contig\tlineage\tgenome\tlength",
        "S0C0\td__Bacteria;p__P;c__C;o__O;f__F;g__G;s__Ga\tA\t4",
        "S0C9\t\t\t8",
        "S1C0\td__Bacteria;p__P;c__C;o__O;f__F;g__G;s__Gb\tB\t3",
    ]
    assert json.loads((tmp_path / "out/summary.json").read_text())["contigs_without_answer"] == 1


def test_ids_in_two_samples_and_the_gold_standard_of_other_contigs_are_refused(tmp_path, taxdump):
    (tmp_path / "0.fna").write_text(">S0C0\nACGT\n")
    (tmp_path / "1.fna").write_text(">S0C0\nACG\n")
    zero = write_mapping(tmp_path / "0.gz", [("S0C0", "A", "15")])
    with pytest.raises(InputError, match=r"'S0C0' is also in .*0\.fna"):
        write_gold_standard([tmp_path / "0.fna", tmp_path / "1.fna"], [zero], taxdump, tmp_path / "out")
    other = write_mapping(tmp_path / "other.gz", [("S7C7", "A", "15")])
    with pytest.raises(InputError, match="gold standard belong to other contigs"):
        write_gold_standard([tmp_path / "0.fna"], [other], taxdump, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_of_cami2_lists_all_seven_data_sets_with_the_files_of_each():
    sources = read_sources(TABLE)
    datasets = {source.dataset for source in sources}
    assert datasets == {"Airways", "Gastrointestinal", "Oral", "Skin", "Urogenital", "Marine", "Rhizosphere"}
    for dataset in datasets:
        mine = [source for source in sources if source.dataset == dataset]
        assert {"page", "taxonomy", "contigs"} <= {source.role for source in mine}
        assert all(source.version and source.licence and source.holds for source in mine)
    samples = {name: sum(s.dataset == name and s.role == "contigs" for s in sources) for name in datasets}
    assert samples == {
        "Airways": 10, "Gastrointestinal": 10, "Oral": 10, "Skin": 10, "Urogenital": 9, "Marine": 10, "Rhizosphere": 21,
    }  # fmt: skip
    assert all(source.role == "page" for source in sources if source.state == "landing")


def test_an_invalid_row_of_sources_is_reported(tmp_path):
    lines = TABLE.read_text().splitlines()
    for bad, says in [
        (lines[7].replace("unchecked", "sure"), "state 'sure'"),
        (lines[7].replace("https://", "ftp://"), "the url is 'ftp"),
        (lines[7] + "\tmore", "has 12 columns"),
        (lines[7] + "\n" + lines[7], "repeats"),
    ]:
        (tmp_path / "t.tsv").write_text("\n".join([lines[5], bad]))
        with pytest.raises(InputError, match=says):
            read_sources(tmp_path / "t.tsv")
