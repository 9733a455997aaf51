import pandas as pd
import pytest

from genestill.cli import main
from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.label_tables import collect_labels
from genestill.core.lineage import NO_LINEAGE, common_lineage, format_lineage, parse_lineage
from genestill.core.tables import read_table, write_table
from genestill.core.taxonomy import Taxonomy, read_taxonomy
from genestill.labels.importers import import_labels

ONE = "d__Bacteria;p__A;c__B;o__C;f__D;g__E;s__E one"
TWO = "d__Bacteria;p__A;c__B;o__C;f__D;g__F;s__F two"


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "taxonomy"
    folder.mkdir()
    genus = ONE.rsplit(";", 1)[0]
    (folder / "lineages.tsv").write_text(f"taxid\tlineage\n1\t\n5\t{genus}\n8\t{ONE}\n9\t{TWO}\n")
    (folder / "merged.dmp").write_text("80\t|\t8\t|\n")
    (folder / "delnodes.dmp").write_text("77\t|\n")
    ids = ["c1", "c2", "c3", "c4"]
    index = pd.DataFrame({"id": ids, "length": 2000, "gc": 0.5, "sample": None, "checksum": "0" * 16})
    write_table(tmp_path / "index.parquet", index, table_schemas.INDEX)
    return tmp_path


def run(place, text, form="auto", taxonomy=True):
    (place / "given.tsv").write_text(text)
    import_labels(
        place / "given.tsv",
        form,
        place / "index.parquet",
        place / "taxonomy" if taxonomy else None,
        place / "labels.parquet",
        place / "labels.tsv",
        place / "summary.json",
    )
    table = read_table(place / "labels.parquet", table_schemas.LABELS)
    assert table["id"].tolist() == ["c1", "c2", "c3", "c4"]
    return table, table_schemas.lineages_of(table), read_json(place / "summary.json")["counts"]


def test_taxids_merged_deleted_unknown_and_missing_are_handled_and_counted(place):
    table, lineages, counts = run(
        place, "C\tc4\t9\t1\tx\nC\tc1\t80\t1\tx\nC\tc2\t77\t1\tx\nC\tc9\t5\t1\tx\nU\tc3\t0\t1\tx\n"
    )
    assert [format_lineage(lineage) for lineage in lineages] == [ONE, "", "", TWO]
    assert counts["taxids_merged"] == 1
    assert counts["taxids_deleted"] == 1
    assert counts["unlabelled"] == 2
    assert counts["rows_of_no_contig"] == 1
    assert counts["labelled_species"] == 2
    assert table["support"].isna().all()


def test_equally_good_taxids_are_assigned_to_their_common_ancestor(place):
    text = "readID\tseqID\ttaxID\nc1\ts\t8\nc1\ts\t9\nc2\ts\t8\nc3\ts\t9\n"
    table, lineages, _ = run(place, text)
    assert lineages[0] == common_lineage([parse_lineage(ONE), parse_lineage(TWO)])
    assert table["taxid"].tolist()[1:3] == [8, 9]


def test_lineages_given_by_name_get_their_taxid(place):
    table, lineages, counts = run(place, f"contigs\tpredictions\nc1\t{ONE}\nc2\t{TWO}\nc3\td__Archaea\nc4\t\n")
    assert table["taxid"].tolist() == [8, 9, 0, 0]
    assert lineages[2][0] == "Archaea"
    assert counts["lineages_outside_the_taxonomy"] == 1


def test_names_need_no_taxonomy_but_taxids_do(place):
    _, lineages, _ = run(place, f"contigs\tpredictions\nc1\t{ONE}\nc2\t{TWO}\n", taxonomy=False)
    assert lineages[1] == parse_lineage(TWO)
    with pytest.raises(InputError, match=r"labels are taxids .*reference\.taxdump"):
        run(place, "C\tc1\t8\t1\tx\nC\tc2\t9\t1\tx\n", taxonomy=False)


def test_taxid_takes_precedence_over_the_written_lineage(place):
    rows = [f"c1\t8\tspecies\tE one\t{TWO.replace('__', '_')}", "c2\t9\tspecies\tF two\td_X"]
    _, lineages, _ = run(place, "\n".join(rows))
    assert [format_lineage(lineage) for lineage in lineages[:2]] == [ONE, TWO]


def test_output_is_accepted_as_input_of_the_same_command(place):
    before, *_ = run(place, f"contigs\tpredictions\nc1\t{ONE}\nc2\t{TWO}\nc3\td__Bacteria\n")
    again, *_ = run(place, (place / "labels.tsv").read_text())
    pd.testing.assert_frame_equal(before, again)


def test_a_single_species_is_refused(place):
    with pytest.raises(InputError, match="at least 2"):
        run(place, f"contigs\tpredictions\nc1\t{ONE}\nc2\td__Bacteria\n")
    assert not (place / "labels.parquet").exists()


def test_homonyms_are_distinguished_by_their_number():
    bird = parse_lineage("d__Eukaryota;p__Chordata;c__A;o__S;f__S;g__Morus")
    tree = parse_lineage("d__Eukaryota;p__Streptophyta;c__M;o__R;f__M;g__Morus")
    names = Taxonomy({1: NO_LINEAGE, 2: bird, 3: tree})
    assert names.lineages_of(collect_labels(["c\t3\tgenus\tMorus"], "mmseqs2", "t")) == [tree]
    assert names.taxid_of(bird) == 2


def test_folder_that_is_not_a_taxonomy_is_refused_with_a_clear_message(tmp_path):
    with pytest.raises(InputError, match="reference taxonomy"):
        read_taxonomy(tmp_path)
    (tmp_path / "lineages.tsv").write_text("taxid\tlineage\nx\td__B\n")
    with pytest.raises(InputError, match="line 2"):
        read_taxonomy(tmp_path)


def test_command_imports_labels(place):
    (place / "given.tsv").write_text(f"contigs\tpredictions\nc1\t{ONE}\nc2\t{TWO}\n")
    words = ["labels", "import", "--labels", place / "given.tsv", "--index", place / "index.parquet"]
    words += [
        "--output-labels",
        place / "l.parquet",
        "--output-tsv",
        place / "l.tsv",
        "--output-summary",
        place / "s.json",
    ]
    assert main([str(word) for word in words]) == 0
    assert len(read_table(place / "l.parquet", table_schemas.LABELS)) == 4


def test_a_single_name_is_looked_up_and_homonyms_remain_unlabelled(place):
    _, lineages, counts = run(place, "c1,E one\nc2,F two\nc3,E\nc4,nothing known\n")
    assert [format_lineage(lineage) for lineage in lineages] == [ONE, TWO, ONE.rsplit(";", 1)[0], ""]
    assert counts["names_unknown_or_ambiguous"] == 1
    bird = parse_lineage("d__Eukaryota;p__Chordata;c__A;o__S;f__S;g__Morus")
    tree = parse_lineage("d__Eukaryota;p__Streptophyta;c__M;o__R;f__M;g__Morus")
    names = Taxonomy({1: NO_LINEAGE, 2: bird, 3: tree})
    assert names.lineages_of(collect_labels(["c,Morus"], "megan", "t")) == [NO_LINEAGE]
    with pytest.raises(InputError, match=r"labels are names of taxa \(first: 'X'\), none of which is in the taxonomy"):
        run(place, "c1,X\nc2,Y\n")


def test_the_last_name_of_a_whole_path_without_ranks_is_looked_up(place):
    path = "NCBI;cellular organisms;Bacteria;Terrabacteria group;A;B;C;D;"
    text = f'c1,"{path}E;E one;"\nc2,"{path}F;F two;"\nc3,"NCBI;cellular organisms;"\nc4,"{path}E;strange;"\n'
    _, lineages, counts = run(place, text)
    assert [format_lineage(lineage) for lineage in lineages] == [ONE, TWO, "", ""]
    assert counts["names_unknown_or_ambiguous"] == 1


def test_labels_use_the_spelling_of_the_taxonomy(place):
    one, two = "d__Bacteria;p__Bacillota_A;c__X;o__Y;f__Z;g__E_C;s__E_C coli_B", "d__Bacteria;p__Q"
    (place / "taxonomy" / "lineages.tsv").write_text(f"taxid\tlineage\n1\t\n8\t{one}\n9\t{TWO}\n10\t{two}\n")
    text = f"contigs\tpredictions\nc1\t{one.replace('_A', ' A').replace('_C', ' C').replace('_B', ' B')}\nc2\t{TWO}\n"
    _, lineages, counts = run(place, f"{text}c3\td__Bacteria;p__Bacillota A;c__New\n")
    assert [format_lineage(lineage) for lineage in lineages[:3]] == [one, TWO, "d__Bacteria;p__Bacillota_A;c__New"]
    assert counts["lineages_outside_the_taxonomy"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "@SampleID:x\n@@SEQUENCEID\tTAXID\nc1\t8\nc2\t9\n",
        "c1\t8\t1e-9\nc2\t9\t1e-9\n",
        "# contig\tclassification\treason\tlineage\tlineage scores\n"
        "c1\ttaxid assigned\tx\t1;8\t1;1\nc2\ttaxid assigned\tx\t1;9*\t1;1\n",
        "1\tc1\t8\t90\t0.9\tspecies\t8:9\n1\tc2\t9\t90\t0.9\tspecies\t9:9\n",
        "C\tc1\t8\nC\tc2\t9\n",
    ],
    ids=["cami", "diamond", "cat", "metabuli", "kaiju"],
)
def test_every_format_gives_the_same_labels(place, text):
    table, lineages, _ = run(place, text)
    assert [format_lineage(lineage) for lineage in lineages] == [ONE, TWO, "", ""]
    assert table["taxid"].tolist() == [8, 9, 0, 0]
