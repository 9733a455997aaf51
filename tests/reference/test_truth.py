import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.table_schemas import TRUTH
from genestill.core.tables import read_table
from genestill.reference.truth import write_truth

NAMES = "d__D;p__P;c__C;o__O;f__F;g__G"


@pytest.fixture
def taxonomy(tmp_path):
    folder = tmp_path / "taxonomy"
    folder.mkdir()
    rows = ["taxid\tlineage", "1\t", f"7\t{NAMES}", f"8\t{NAMES};s__G one", f"9\t{NAMES};s__G two", ""]
    (folder / "lineages.tsv").write_text("\n".join(rows))
    (folder / "merged.dmp").write_text("80\t|\t8\t|\n")
    return folder


def write(folder, text):
    (folder / "truth").write_text(text)
    return folder / "truth"


def test_a_gold_standard_of_cami_gives_contig_lengths_without_the_contigs(tmp_path, taxonomy):
    text = "@Version:0.9.1\n@SampleID:s\n@@SEQUENCEID\tBINID\tTAXID\t_LENGTH\nc2\tA\t80\t900\nc1\tB\t9\t1200\n"
    arguments = ["--truth", str(write(tmp_path, text)), "--taxonomy", str(taxonomy)]
    assert main(["reference", "truth", *arguments, "--output", str(tmp_path / "truth.parquet")]) == 0
    table = read_table(tmp_path / "truth.parquet", TRUTH)
    assert table["id"].tolist() == ["c2", "c1"]
    assert table["genome"].tolist() == ["A", "B"]
    assert table["length"].tolist() == [900, 1200]
    assert table["species"].tolist() == ["G one", "G two"]


def test_a_contig_of_several_genomes_gets_their_common_lineage(tmp_path, taxonomy):
    text = "#anonymous_contig_id\tgenome_id\ttax_id\nc1\tA\t8\nc1\tB\t9\n"
    write_truth([write(tmp_path, text)], taxonomy, tmp_path / "truth.parquet")
    table = read_table(tmp_path / "truth.parquet", TRUTH)
    assert table.loc[0, ["genus", "species", "genome"]].fillna("").tolist() == ["G", "", ""]


def test_a_table_of_lineages_given_by_name_needs_no_taxonomy(tmp_path):
    text = f"contig\tlineage\tlength\nc1\t{NAMES}\t50\nc2\t\t\n"
    write_truth([write(tmp_path, text)], None, tmp_path / "truth.parquet")
    table = read_table(tmp_path / "truth.parquet", TRUTH)
    assert table["genus"].fillna("").tolist() == ["G", ""]
    assert table["length"].fillna(0).tolist() == [50, 0]


@pytest.mark.parametrize(
    "text",
    [
        f'"contig"\t"lineage"\t"length"\n"c1"\t"{NAMES}"\t1200\n',
        f"\ncontig\tlineage\tlength\nc1\t{NAMES}\t1200\n",
        f"# made by a program\ncontig\tlineage\tlength\nc1\t{NAMES}\t1200\n",
        f"contig\tlineage\tlength\t\nc1\t{NAMES}\t1200\t\n",
        f"contig\tlineage\tlength\t\nc1\t{NAMES}\t1200\n",
        f"contig\tlineage\tlength\tstatus\tchimera\nc1\t{NAMES}\t1200.0\tNA\tNA\n",
    ],
    ids=["quotes", "empty line", "comment", "tab at the end", "tab at the end of the header", "numbers of pandas"],
)
def test_a_ground_truth_is_read_as_spreadsheets_and_programs_write_it(tmp_path, text):
    write_truth([write(tmp_path, text)], None, tmp_path / "truth.parquet")
    table = read_table(tmp_path / "truth.parquet", TRUTH)
    assert table[["id", "genus", "length"]].to_numpy().tolist() == [["c1", "G", 1200]]
    assert table[["status", "chimera"]].isna().all(axis=None)


def test_rows_of_a_ground_truth_that_contradict_most_others_have_no_true_lineage(tmp_path, caplog):
    rows = [f"c{number}\t{NAMES};s__G {number}" for number in range(8)]
    rows += ["gap\td__D;p__P;o__O", "other\td__D;p__P;c__C;o__X;f__F"]
    path = write(tmp_path, "\n".join(["contig\tlineage", *rows, ""]))
    write_truth([path], None, tmp_path / "truth.parquet")
    table = read_table(tmp_path / "truth.parquet", TRUTH).set_index("id")
    assert table.loc["gap", "class"] == "C"
    assert table["domain"].isna().tolist() == [False] * 9 + [True]
    assert "line 11: the family 'F' has two parents" in caplog.text


@pytest.mark.parametrize(
    ("text", "known", "sentence"),
    [
        ("@@SEQUENCEID\tTAXID\nc1\t8\n", False, "give the taxonomy dump from which it was made as reference.taxdump"),
        ("@@SEQUENCEID\tTAXID\nc1\t4\n", True, "none of its 1 contigs has a true lineage"),
        ("contig\tgenome\nc1\tA\n", False, "no column 'lineage'; found contig, genome"),
    ],
)
def test_a_ground_truth_without_lineages_is_refused(tmp_path, taxonomy, text, known, sentence):
    with pytest.raises(InputError, match=sentence):
        write_truth([write(tmp_path, text)], taxonomy if known else None, tmp_path / "truth.parquet")
    assert not (tmp_path / "truth.parquet").exists()
