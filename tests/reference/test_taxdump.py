import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, format_lineage, parse_lineage
from genestill.core.table_schemas import TRUTH, rank_columns
from genestill.core.tables import write_table
from genestill.core.taxonomy_folder import read_lineages
from genestill.reference.genomes import read_genomes
from genestill.reference.taxdump import Taxdump, read_report, read_taxdump, taxdump_of_lineages
from genestill.reference.taxonomy import (
    check_truth,
    make_taxonomy,
    make_taxonomy_of_labels,
    make_taxonomy_of_taxdump,
)
from genestill.student.corrector.taxids import Taxids
from peak_memory import peak_megabytes

ONE = "d__Bacteria;p__A;c__B;o__C;f__D;g__E;s__E one"
TWO = "d__Bacteria;p__A;c__B;o__C;f__D;g__F;s__F two"

NODES = """1\t|\t1\t|\tno rank\t|
131567\t|\t1\t|\tcellular root\t|
2\t|\t131567\t|\tdomain\t|
10\t|\t2\t|\tphylum\t|
11\t|\t10\t|\tclass\t|
12\t|\t11\t|\tno rank\t|
13\t|\t12\t|\tfamily\t|
14\t|\t13\t|\tgenus\t|
15\t|\t14\t|\tspecies\t|
16\t|\t15\t|\tstrain\t|
17\t|\t14\t|\tspecies\t|
10239\t|\t1\t|\tacellular root\t|
20\t|\t10239\t|\trealm\t|
21\t|\t20\t|\tspecies\t|
"""
NAMES = "".join(
    f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n{taxid}\t|\tsynonym\t|\t\t|\tsynonym\t|\n"
    for taxid, name in {
        1: "root", 131567: "cellular organisms", 2: "Bacteria", 10: "P", 11: "C", 12: "group", 13: "F", 14: "G",
        15: "G one", 16: "G one K-12", 17: "G two", 10239: "Viruses", 20: "Riboviria", 21: "Virus x",
    }.items()
)  # fmt: skip


@pytest.fixture
def dump_folder(tmp_path):
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "nodes.dmp").write_text(NODES)
    (folder / "names.dmp").write_text(NAMES)
    (folder / "merged.dmp").write_text("99\t|\t98\t|\n98\t|\t15\t|\n")
    (folder / "delnodes.dmp").write_text("77\t|\n")
    return folder


def table(folder, rows, header="file\tlineage"):
    for name in "abc":
        (folder / f"{name}.fna").write_text(">x\nACGT\n")
    path = folder / "genomes.tsv"
    path.write_text(header + "\n" + "\n".join(rows) + "\n")
    return path


def test_gaps_are_filled_and_other_ranks_are_skipped(dump_folder):
    dump = read_taxdump(dump_folder)
    assert dump.lineage(16) == ("Bacteria", "P", "C", "C order incertae sedis", "F", "G", "G one")
    assert dump.lineage(16) == dump.lineage(15)
    assert dump.lineage(1) == (None,) * 7


def test_the_highest_node_of_viruses_is_their_domain(dump_folder):
    assert read_taxdump(dump_folder).lineage(21)[0] == "Viruses"
    assert read_taxdump(dump_folder).lineage(21)[6] == "Virus x"


def test_merged_taxids_are_followed_and_deleted_ones_recognised(dump_folder):
    dump = read_taxdump(dump_folder)
    assert dump.current(99) == 15
    assert dump.current(77) is None
    assert 77 in dump.deleted
    dump.merged = {5: 6, 6: 5}
    assert dump.current(5) is None


def test_superkingdom_and_domain_are_the_same_rank(dump_folder):
    new = read_taxdump(dump_folder).lineage(15)
    (dump_folder / "nodes.dmp").write_text(NODES.replace("domain", "superkingdom"))
    assert read_taxdump(dump_folder).lineage(15) == new


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("nodes.dmp", NODES, "", "has no nodes"),
        ("nodes.dmp", "10\t|\t2\t", "10\t|\ttwo\t", "line 4: taxid 'two'"),
        ("nodes.dmp", "10\t|\t2\t|\tphylum\t|", "10", "line 4 has 1 fields"),
        ("nodes.dmp", "10\t|\t2\t", "10\t|\t11\t", "cycle"),
        ("nodes.dmp", "10\t|\t2\t", "10\t|\t5\t", "has the parent 5, which is not in the file"),
        ("nodes.dmp", "11\t|\t10\t|", "10\t|\t10\t|", "the taxid 10 occurs twice"),
        ("nodes.dmp", "1\t|\t1\t|\tno rank\t|\n", "1\t|\t2\t|\tno rank\t|\n", "no root"),
        ("names.dmp", "Bacteria", "", "no scientific name for taxid 2"),
        ("merged.dmp", "15", "x", "merged.dmp: line 2"),
    ],
)
def test_invalid_dump_is_refused_with_a_clear_message(dump_folder, file, old, new, words):
    path = dump_folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_taxdump(dump_folder)
    assert words in str(caught.value)
    assert file in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(nodes=st.text("12\t|no rank\n", max_size=60), names=st.binary(max_size=40))
def test_any_bytes_as_a_dump_give_a_dump_or_a_clear_error(tmp_path_factory, nodes, names):
    folder = tmp_path_factory.mktemp("dump")
    (folder / "nodes.dmp").write_text(nodes)
    (folder / "names.dmp").write_bytes(names)
    try:
        dump = read_taxdump(folder)
    except InputError:
        return
    assert all(len(dump.lineage(taxid)) == len(RANKS) for taxid in dump.parent)


names_of_ranks = st.lists(st.text("ab ", min_size=1, max_size=3).filter(str.strip), min_size=1, max_size=7)
some_lineages = st.lists(names_of_ranks.map(lambda names: (*names, *[None] * (7 - len(names)))), min_size=1, max_size=8)


@given(lineages=some_lineages)
def test_taxids_are_converted_back_to_the_lineage(lineages):
    dump = taxdump_of_lineages(lineages)
    found = {dump.lineage(taxid) for taxid in dump.parent}
    assert set(lineages) <= found
    assert len(found) == len(dump.parent)
    assert all(0 < taxid < 1 << 24 for taxid in dump.parent)


@given(lineages=some_lineages)
def test_the_taxid_of_a_path_does_not_depend_on_other_paths(lineages):
    alone = taxdump_of_lineages(lineages[:1])
    together = taxdump_of_lineages(lineages)
    assert set(alone.parent) <= set(together.parent)


def test_colliding_taxids_are_distinguished(monkeypatch):
    monkeypatch.setattr("genestill.reference.taxdump._HASHED", 4)
    lineages = [parse_lineage(f"d__B;p__{name}") for name in "abc"]
    dump = taxdump_of_lineages(lineages)
    assert len(dump.parent) == 5
    assert {dump.lineage(taxid) for taxid in dump.parent} >= set(lineages)


def test_folder_contains_the_files_that_mmseqs_needs(tmp_path):
    genomes = read_genomes(table(tmp_path, [f"a.fna\t{ONE}", f"b.fna\t{TWO}"]))
    make_taxonomy(genomes, None, tmp_path / "taxonomy")
    made = tmp_path / "taxonomy"
    assert "\t|\tsuperkingdom\t|" in (made / "nodes.dmp").read_text()
    assert "domain" not in (made / "nodes.dmp").read_text()
    assert (made / "merged.dmp").read_text() == ""
    assert (made / "delnodes.dmp").is_file()
    again = read_taxdump(made)
    taxids = dict(line.split("\t") for line in (made / "genomes.tsv").read_text().splitlines()[1:])
    assert again.lineage(int(taxids["a"])) == parse_lineage(ONE)
    lineages = dict(line.split("\t") for line in (made / "lineages.tsv").read_text().splitlines()[1:])
    assert lineages[taxids["b"]] == TWO
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    make_taxonomy(genomes, None, made)
    assert before == {path.name: path.read_bytes() for path in made.iterdir()}


def test_genomes_with_taxids_use_the_dump(tmp_path, dump_folder):
    path = table(tmp_path, ["a.fna\t99", "b.fna\t17"], "file\ttaxid")
    make_taxonomy(read_genomes(path), dump_folder, tmp_path / "taxonomy")
    assert "a\t15\n" in (tmp_path / "taxonomy" / "genomes.tsv").read_text()
    assert set(read_taxdump(tmp_path / "taxonomy").parent) == {1, 131567, 2, 10, 11, 12, 13, 14, 15, 17}
    assert read_taxdump(tmp_path / "taxonomy").merged == {99: 15, 98: 15}
    assert '"taxids_merged": 1' in (tmp_path / "taxonomy" / "summary.json").read_text()


@pytest.mark.parametrize(("taxid", "words"), [("77", "is deleted in"), ("555", "is not in")])
def test_genome_with_a_deleted_or_unknown_taxid_is_refused_with_a_clear_message(tmp_path, dump_folder, taxid, words):
    path = table(tmp_path, [f"a.fna\t{taxid}", "b.fna\t17"], "file\ttaxid")
    with pytest.raises(InputError, match=f"the taxid {taxid} of a {words}"):
        make_taxonomy(read_genomes(path), dump_folder, tmp_path / "taxonomy")


def test_a_single_species_is_refused(tmp_path):
    path = table(tmp_path, [f"a.fna\t{ONE}", f"b.fna\t{ONE}"])
    with pytest.raises(InputError, match="1 species among its lineages"):
        make_taxonomy(read_genomes(path), None, tmp_path / "taxonomy")
    assert not (tmp_path / "taxonomy").exists()


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([f"a.fna\t{ONE}"], "path\tlineage", "line 1 has the columns path, lineage"),
        ([f"z.fna\t{ONE}"], "file\tlineage", "line 2: no such file"),
        ([f"a.fna\t{ONE}", f"a.fna\t{TWO}"], "file\tlineage", "line 3: the genome 'a' is also in line 2"),
        (["a.fna\tBacteria;P;C"], "file\tlineage", "has 3 ranks; expected 7"),
        (["a.fna\td__B;p__x;p__y"], "file\tlineage", "gives phylum twice"),
        (["a.fna\t"], "file\tlineage", "neither lineage nor taxid"),
        (["a.fna"], "file\tlineage", "line 2 has 1 columns"),
        (["a.fna\tx"], "file\ttaxid", "taxid 'x'"),
        ([], "file\tlineage", "contains no genomes"),
        ([f"a.fna\t{ONE}", f"b.fna\t{TWO.replace('g__F', 'g__E').replace('f__D', 'f__X')}"], "file\tlineage",
         "the genus 'E' has two parents"),
    ],
)  # fmt: skip
def test_invalid_genome_table_is_refused_with_a_clear_message(tmp_path, rows, header, words):
    with pytest.raises(InputError) as caught:
        read_genomes(table(tmp_path, rows, header))
    assert words in str(caught.value)
    assert "genomes.tsv" in str(caught.value)


def test_homonyms_in_two_phyla_are_accepted(tmp_path):
    bird = "d__Eukaryota;p__Chordata;c__Aves;o__S;f__Sulidae;g__Morus;s__Morus bassanus"
    tree = "d__Eukaryota;p__Streptophyta;c__M;o__R;f__Moraceae;g__Morus;s__Morus alba"
    genomes = read_genomes(table(tmp_path, [f"a.fna\t{bird}", f"b.fna\t{tree}"]))
    dump = taxdump_of_lineages(genome.lineage for genome in genomes)
    assert sorted(dump.name.values()).count("Morus") == 2


def test_report_of_a_database_gives_its_taxonomy():
    rows = [("no rank", 1, "root"), ("superkingdom", 2, "  Bacteria"), ("phylum", 3, "    P"), ("phylum", 4, "    Q")]
    lines = ["0.1\t1\t1\tno rank\t0\tunclassified"]
    lines += [f"99.0\t5\t0\t{rank}\t{taxid}\t{name}" for rank, taxid, name in rows]
    dump = read_report(lines, "report")
    assert dump.parent == {1: 1, 2: 1, 3: 2, 4: 2}
    assert dump.lineage(4)[:2] == ("Bacteria", "Q")
    with pytest.raises(InputError, match="line 1"):
        read_report(["what?"], "report")
    with pytest.raises(InputError, match="indented by 3"):
        read_report([lines[1], lines[3].replace("    P", "      P")], "report")


def test_taxonomy_of_labels_and_of_a_whole_dump(tmp_path, dump_folder):
    labels = tmp_path / "labels.tsv"
    labels.write_text(f"contigs\tpredictions\na\t{ONE}\nb\t{TWO}\n")
    make_taxonomy_of_labels(labels, "auto", tmp_path / "one")
    assert TWO in (tmp_path / "one" / "lineages.tsv").read_text()
    make_taxonomy_of_taxdump(dump_folder, tmp_path / "two")
    assert isinstance(read_taxdump(tmp_path / "two"), Taxdump)
    labels.write_text("C\tb\t15\t100\t15:1\n")
    with pytest.raises(InputError, match="labels without written lineages"):
        make_taxonomy_of_labels(labels, "auto", tmp_path / "three")


NCBI_2025 = [
    ("1", "1", "no rank", "root"),
    ("131567", "1", "cellular root", "cellular organisms"),
    ("2", "131567", "domain", "Bacteria"),
    ("3379134", "2", "kingdom", "Pseudomonadati"),
    ("1224", "3379134", "phylum", "Pseudomonadota"),
    ("10239", "1", "acellular root", "Viruses"),
    ("2559587", "10239", "realm", "Riboviria"),
    ("2732396", "2559587", "kingdom", "Orthornavirae"),
    ("2732408", "2732396", "phylum", "Pisuviricota"),
    ("2731341", "10239", "realm", "Duplodnaviria"),
    ("2731618", "2731341", "phylum", "Uroviricota"),
    ("99999", "10239", "species", "Phage; of 3|5"),
    ("88888", "1224", "species", "uncultured bacterium"),
    ("77777", "1224", "species", "One"),
]


def write_dump(folder, nodes):
    folder.mkdir()
    (folder / "nodes.dmp").write_text("".join(f"{a}\t|\t{b}\t|\t{rank}\t|\t\t|\n" for a, b, rank, _ in nodes))
    names = (f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n" for taxid, _, _, name in nodes)
    (folder / "names.dmp").write_text("".join(names))
    return folder


def test_ncbi_taxonomy_of_2025_has_viruses_as_a_domain_in_lineages_and_taxids(tmp_path):
    make_taxonomy_of_taxdump(write_dump(tmp_path / "dump", NCBI_2025), tmp_path / "made")
    lineages = dict(line.split("\t") for line in (tmp_path / "made" / "lineages.tsv").read_text().splitlines()[1:])
    assert lineages["1224"] == "d__Bacteria;p__Pseudomonadota"
    assert lineages["2732408"] == "d__Viruses;p__Pisuviricota"
    assert lineages["2559587"] == lineages["10239"] == "d__Viruses"
    assert "10239\t|\t1\t|\tsuperkingdom" in (tmp_path / "made" / "nodes.dmp").read_text()
    taxids = Taxids.read(tmp_path / "made")
    assert taxids.of(parse_lineage("d__Viruses")) == 10239
    assert taxids.of(parse_lineage("d__Viruses;p__Uroviricota")) == 2731618
    assert taxids.of(parse_lineage("d__Bacteria")) == 2


def test_names_with_separators_and_placeholder_names_do_not_corrupt_the_folder(tmp_path):
    make_taxonomy_of_taxdump(write_dump(tmp_path / "dump", NCBI_2025), tmp_path / "made")
    found = read_lineages(tmp_path / "made")
    assert found[99999][6] == "Phage, of 3/5"
    assert found[88888][6] == "uncultured bacterium"
    assert {taxid: read_taxdump(tmp_path / "made").lineage(taxid) for taxid in found} == found


def test_rank_prefixes_of_gtdb_dumps_are_removed_from_the_names(tmp_path):
    ranks = ("superkingdom", "phylum", "class", "order", "family", "genus")
    nodes = [("1", "1", "no rank", "root")]
    nodes += [(str(n), str(n - 1), rank, f"{rank[0].replace('s', 'd')}__X{n}_A") for n, rank in enumerate(ranks, 2)]
    nodes += [("20", "7", "species", "s__X7_A coli_B"), ("21", "7", "species", "s__X7_A rara")]
    make_taxonomy_of_taxdump(write_dump(tmp_path / "dump", nodes), tmp_path / "made")
    lineage = read_lineages(tmp_path / "made")[20]
    assert format_lineage(lineage) == "d__X2_A;p__X3_A;c__X4_A;o__X5_A;f__X6_A;g__X7_A;s__X7_A coli_B"
    assert "__" not in (tmp_path / "made" / "names.dmp").read_text()


def test_a_genome_table_with_a_column_per_rank_may_contain_kingdom_and_na(tmp_path):
    rows = ["a.fna\tBacteria\tp__P\tNA\tO\tF\tG\tG one", "b.fna\tFungi\tQ\tC\tO2\tF2\tH\tH two"]
    header = "file\tkingdom\tphylum\tclass\torder\tfamily\tgenus\tspecies"
    one, two = read_genomes(table(tmp_path, rows, header))
    assert one.lineage == parse_lineage("d__Bacteria;p__P;o__O;f__F;g__G;s__G one")
    assert two.lineage[0] == "Eukaryota"


def test_truth_with_names_of_another_taxonomy_is_refused_and_unknown_names_are_counted(tmp_path):
    make_taxonomy_of_taxdump(write_dump(tmp_path / "dump", NCBI_2025), tmp_path / "made")
    for lineages, unknown in [(["d__Bacteria;p__Pseudomonadota", "d__Bacteria;p__Novum"], 1), (["d__A;p__X"], None)]:
        parsed = [parse_lineage(text) for text in lineages]
        answers = pd.DataFrame({"id": [str(row) for row in range(len(parsed))], **rank_columns(parsed)})
        nothing = dict.fromkeys(("genome", "length", "status", "chimera", "identity", "same_species"))
        write_table(tmp_path / "truth.parquet", answers.assign(**nothing), TRUTH)
        if unknown is not None:
            assert check_truth(tmp_path / "truth.parquet", tmp_path / "made") == unknown
            continue
        with pytest.raises(InputError, match=r"truth\.parquet: none of its 1 names below the domain"):
            check_truth(tmp_path / "truth.parquet", tmp_path / "made")


@pytest.mark.slow
def test_a_dump_as_large_as_that_of_ncbi_is_read_in_1500_megabytes(tmp_path):
    """As many nodes as NCBI has, two million of them species; the peak memory of a separate process is measured."""
    (tmp_path / "dump").mkdir()
    genera, species = 100_000, 2_200_000
    upper = ("superkingdom", "phylum", "class", "order", "family")
    with (
        open(tmp_path / "dump" / "nodes.dmp", "w") as nodes,
        open(tmp_path / "dump" / "names.dmp", "w") as names,
    ):

        def add(taxid, parent, rank, name):
            nodes.write(f"{taxid}\t|\t{parent}\t|\t{rank}\t|\t\t|\t0\t|\t1\t|\t11\t|\n")
            names.write(f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n")

        add(1, 1, "no rank", "root")
        for number, rank in enumerate(upper, 2):
            add(number, number - 1, rank, f"name of {rank}")
        for number in range(genera):
            add(10 + number, 6, "genus", f"Genus{number}")
        for number in range(species):
            genus = number % genera
            add(10 + genera + number, 10 + genus, "species", f"Genus{genus} species{number}")
    words = ("reference", "taxonomy", "--taxdump", tmp_path / "dump", "--output", tmp_path / "made")
    assert peak_megabytes(*words) < 1_500
