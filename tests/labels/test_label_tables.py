import gzip
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.label_formats.registry import FORMATS
from genestill.core.label_tables import collect_labels, join_labels, read_label_table
from genestill.core.lineage import NO_LINEAGE, parse_lineage

WORDS = "d_Bacteria;-_group;p_P;c_C;o_O;f_F;g_G;s_G one"
LINEAGE = parse_lineage("Bacteria;P;C;O;F;G;G one")


def rows_of(table):
    """(id, taxids, lineage, support) of every row, with None for missing values."""
    return [
        (
            name,
            table.several.get(row, (int(table.taxid[row]),) if table.taxid[row] else ()),
            table.lineages[table.lineage[row]],
            None if np.isnan(table.support[row]) else round(float(table.support[row]), 4),
        )
        for row, name in enumerate(table.ids.to_pylist())
    ]


def row(name, taxids=(), lineage=NO_LINEAGE, support=None):
    return name, taxids, lineage, support


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a\t8\tspecies\tG one", row("a", (8,))),
        (f"a\t8\tspecies\tG one\t{WORDS}", row("a", (8,), LINEAGE)),
        ("a\t8\tspecies\tG one\t4\t4\t3\t0.750", row("a", (8,), NO_LINEAGE, 0.75)),
        (f"a\t8\tspecies\tG one\t4\t4\t3\t0.750\t{WORDS}", row("a", (8,), LINEAGE, 0.75)),
        (f"a\t8\tspecies\tG one\t4\t4\t3\t0.750\tG;F;uc_O\t{WORDS}", row("a", (8,), LINEAGE, 0.75)),
        ("a\t8\tspecies\tG one\t4\t4\t3\t0.750\t2;5;8", row("a", (8,), NO_LINEAGE, 0.75)),
        ("a\t0\tno rank\tunclassified\t0\t0\t0\t0.000\t-_root", row("a", (), NO_LINEAGE, 0.0)),
        ("a\t0\tno rank\tunclassified", row("a")),
        (f"a\t8\tspecies\tG one\t{WORDS.replace('d_', '-_')}", row("a", (8,), LINEAGE)),
        (f"a\t8\tspecies\tG one\t{WORDS.replace('d_', 'd_d__').replace('g_G', 'g_g__G')}", row("a", (8,), LINEAGE)),
        ("a b\t8\tspecies\tG one", row("a", (8,))),
        # --lca-ranks alone: names in any order, without information about their ranks.
        ("a\t8\tspecies\tG one\t4\t4\t3\t0.750\tG one;G;F;O;C;P;Bacteria", row("a", (8,), NO_LINEAGE, 0.75)),
        ("a\t8\tspecies\tG one\tBacteria;P;C;O;F;uc_F;unknown", row("a", (8,))),
        ("a\t8\tspecies\ts__G one\ts__G one;g__G;f__F", row("a", (8,))),
    ],
)
def test_mmseqs2_tables_of_every_width_are_read(line, expected):
    assert rows_of(collect_labels([line], "mmseqs2", "t")) == [expected]


FILES = {
    "kraken2": (
        "C\ta\t15\t100\t15:60 0:3\nU\tb\t0\t100\t0:66\nC\tc\tG one (taxid 15)\t100|98\t15:60 |:| 0:5 A:31\n"
        "U\td\tunclassified (taxid 0)\t100\t0:66\nC\te\troot (taxid 1)\t100\t1:66\n",
        [row("a", (15,)), row("b"), row("c", (15,)), row("d"), row("e")],
    ),
    "centrifuge": (
        "readID\tseqID\ttaxID\tscore\t2ndBestScore\thitLength\tqueryLength\tnumMatches\n"
        "a\ts1\t15\t9\t9\t60\t100\t2\na\ts2\t17\t9\t9\t60\t100\t2\nb\tunclassified\t0\t0\t0\t0\t100\t1\n",
        [row("a", (15, 17)), row("b")],
    ),
    "kaiju": (
        "C\ta\t15\nU\tb\t0\nC\tc\t17\t310\t17,15,\tWP_1.1,WP_2.1,\tMKV,MKL,\nU\td\t0\n"
        "C\te\t15\tG one\nC\tf\t15\t310\t15,\tWP_1.1,\tMKV,\tBacteria; P; NA; O; F; G; G one; \n",
        [row("a", (15,)), row("b"), row("c", (17,)), row("d"), row("e", (15,)), row("f", (15,))],
    ),
    "cat": (
        "# contig\tclassification\treason\tlineage\tlineage scores (f: 0.30)\n"
        "a\ttaxid assigned\tbased on 14/15 ORFs\t1;131567;2;15\t1.00;1.00;1.00;0.78\n"
        "b\tno taxid assigned\tno ORFs found\n"
        "c\ttaxid assigned (1/2)\tbased on 10/10 ORFs\t1;131567;2;15*\t1.00;1.00;1.00;0.40\n"
        "c\ttaxid assigned (2/2)\tbased on 10/10 ORFs\t1;131567;2;17\t1.00;1.00;1.00;0.35\n"
        "d\tno taxid assigned\tno hits to database\n",
        [row("a", (15,), NO_LINEAGE, 0.78), row("b"), row("c", (15, 17), NO_LINEAGE, 0.4), row("d")],
    ),
    "diamond": (
        "a\t15\t1.6e-77\nb\t0\t0\nc x\t17\t3e-05\n",
        [row("a", (15,)), row("b"), row("c", (17,))],
    ),
    "megan": (
        '"a"\t[D] Bacteria; [P] P; [C] unknown; [O] O;\nb\t"NCBI;cellular organisms;Bacteria;"\n'
        "c\tNot assigned\nd\t15\ne\t-2\n",
        [
            row("a", (), parse_lineage("d__Bacteria;p__P;o__O")),
            row("b", (), parse_lineage("d__Bacteria")),
            row("c"),
            row("d", (15,)),
            row("e"),
        ],
    ),
    "cami": (
        "# made by hand\n@Version:0.9.1\n@SampleID:one\n\n@@SEQUENCEID\tTAXID\tBINID\t_LENGTH\n"
        "a\t15\tx\t30\nb\t\ty\t9\n"
        "@SampleID:two\n@Version:0.9.1\n@@SEQUENCEID\tBINID\tTAXID\nc\tx\t17.2\nd\tx\t-2\ne\ty\t1\n",
        [row("a", (15,)), row("b"), row("c", (17,)), row("d"), row("e")],
    ),
    "metabuli": (
        "#is_classified\tname\ttaxID\tquery_length\tscore\trank\ttaxID:match_count\n"
        "1\ta\t15\t294\t0.625\tspecies\t15:65\n0\tb\t0\t294\t0\tno rank\t\n1\tc\t17\t294\t0.5\tspecies\n",
        [row("a", (15,), NO_LINEAGE, 0.625), row("b", (), NO_LINEAGE, 0.0), row("c", (17,), NO_LINEAGE, 0.5)],
    ),
    "taxometer": (
        "contigs\tpredictions\tlengths\tscores\na\tBacteria;P\t3000\t0.99;0.75\nb\t\t2000\t\nc\td__Bacteria\t2000\t0.9\n",
        [row("a", (), parse_lineage("Bacteria;P"), 0.75), row("b"), row("c", (), parse_lineage("Bacteria"), 0.9)],
    ),
    "mmseqs2": (
        f"a\t8\tspecies\tG one\t4\t4\t3\t0.750\t{WORDS}\nb\t0\tno rank\tunclassified\t0\t0\t0\t0\t\n",
        [row("a", (8,), LINEAGE, 0.75), row("b", (), NO_LINEAGE, 0.0)],
    ),
}


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "auto"])
@pytest.mark.parametrize("told", [True, False], ids=["named", "auto"])
def test_a_file_of_every_format_is_recognised_and_read(tmp_path, form, told):
    text, expected = FILES[form]
    (tmp_path / "l.tsv.gz").write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    assert rows_of(read_label_table(tmp_path / "l.tsv.gz", form if told else "auto")) == expected


def in_quotes(line):
    """A line as R writes it: cells in double quotes, except numbers."""
    cells = [cell if re.fullmatch('[0-9.e-]+|".*"', cell) else f'"{cell}"' for cell in line.split("\t")]
    return "\t".join(cells) if len(cells) > 1 else line


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "auto"])
def test_a_file_of_every_format_is_recognised_and_read_with_cells_in_quotes(form):
    text, expected = FILES[form]
    assert rows_of(collect_labels(map(in_quotes, text.split("\n")), "auto", "t")) == expected


def test_names_added_by_cat_are_read_as_a_lineage():
    header = "# contig\tclassification\treason\tlineage\tlineage scores"
    start = "\ttaxid assigned\tbased on 2/2 ORFs\t1;2;9;15*\t1.00;1.00;0.9;0.9\t"
    official = [f"{header}\tsuperkingdom\tphylum\tclass\torder\tfamily\tgenus\tspecies"]
    official += [f"a{start}Bacteria: 1.00\tNA\tC: 0.90\tO*: 0.90\tno support\tno support\tno support"]
    full = [f"{header}\tfull lineage names"]
    full += [f"a{start}root (no rank): 1.00\tBacteria (superkingdom): 1.00\tC (class): 0.90\tO* (order): 0.90"]
    expected = row("a", (15,), parse_lineage("d__Bacteria;c__C;o__O"), 0.9)
    assert rows_of(collect_labels(official, "auto", "t")) == [expected]
    assert rows_of(collect_labels(full, "auto", "t")) == [expected]
    gtdb = [header, "a\ttaxid assigned\tbased on 1/1 ORFs\troot;d__Bacteria;p__Bacillota_A*\t1.00;1.00;0.80"]
    assert rows_of(collect_labels(gtdb, "auto", "t")) == [
        row("a", (), parse_lineage("d__Bacteria;p__Bacillota_A"), 0.8)
    ]


def test_a_single_name_is_kept_for_a_later_lookup_in_the_taxonomy():
    table = collect_labels(["a,Escherichia coli", 'b,"Not assigned"', "c,Escherichia coli"], "auto", "t")
    assert [table.names[number] for number in table.name] == ["Escherichia coli", "", "Escherichia coli"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contigs\tpredictions\na\tBacteria\n", [row("a", (), parse_lineage("Bacteria"))]),
        ("C\ta\t15\t100\t15:6\n", [row("a", (15,))]),
        ("a\t15\tspecies\tG one\n", [row("a", (15,))]),
        ("\nC\t15\tspecies\tG one\n", [row("C", (15,))]),
        ("U\ta\t0\n", [row("a")]),
        ("1\t15\tspecies\tG one\n", [row("1", (15,))]),
    ],
)
def test_format_is_recognised_by_the_first_lines(tmp_path, text, expected):
    (tmp_path / "l.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert rows_of(read_label_table(tmp_path / "l.tsv.gz")) == expected


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("auto", "", "empty"),
        ("auto", "a,b,c\n", "line 1 is 'a,b,c'; not recognised"),
        ("auto", " 50.00\t5\t5\tS\t562\t  Escherichia coli\n", "a report (counts of contigs per taxon)"),
        ("auto", "contigs\tpredictions\n", "has a header but no contigs"),
        ("auto", "contigs\tpredictions\na\td__B\na\td__A\n", "line 3: the contig 'a' is also in line 2"),
        ("auto", "contigs\tpredictions\na\td__B\tsure\n", "line 2: support 'sure'"),
        ("mmseqs2", "a\t1\n", "line 1: 2 columns; expected 4, 5,"),
        ("mmseqs2", "a\t-1\tspecies\tx\n", "line 1: taxid '-1'"),
        ("mmseqs2", f"a\t{1 << 33}\tspecies\tx\n", "taxid"),
        ("mmseqs2", "\t1\tspecies\tx\n", "line 1: no contig id"),
        ("mmseqs2", "a\t1\tspecies\tx\t1\t1\t1\t7.5\n", "support '7.5'"),
        ("kraken2", "X\ta\t1\t1\t1\n", "expected C or U"),
        ("kaiju", "X\ta\t1\n", "expected C or U"),
        ("cat", "a\ttaxid assigned\n", "expected '# contig'"),
        ("cami", "a\t5\n", "expected @@SEQUENCEID"),
        ("cami", "@@SEQUENCEID\tBINID\na\t5\n", "line 1: no column TAXID"),
        ("cami", "@@SEQUENCEID\tTAXID\na\t5\nb\n", "line 3: 1 columns; expected 2"),
        ("centrifuge", "a\tb\n", "line 1: 2 columns"),
        ("taxometer", "a\tb\n", "expected the header"),
        ("krona", "a\tb\n", "unknown format 'krona'"),
        ("mmseqs2", "a\t8\tspecies\tx\td_A;g_G;s_S\nb\t9\tspecies\ty\td_A;f_F;g_H;s_S\n", "two parents"),
    ],
)
def test_invalid_table_is_refused_with_a_clear_message(tmp_path, form, text, words):
    (tmp_path / "l.tsv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path / "l.tsv", form)
    assert words in str(caught.value)
    assert "l.tsv" in str(caught.value)


def test_a_table_that_matches_two_formats_is_refused_with_both_names(monkeypatch):
    from genestill.core.label_formats import registry
    from genestill.core.label_formats.row import LabelFormat

    twin = LabelFormat("twin", registry.DIAMOND.fits, registry.DIAMOND.start)
    monkeypatch.setattr(registry, "_ALL", (*registry._ALL, twin))
    with pytest.raises(InputError, match=r"may be diamond or twin; choose one with labels\.format"):
        collect_labels(["a\t15\t1e-5"], "auto", "t")


def test_an_invalid_row_is_skipped_counted_and_named(caplog):
    lines = [f"c{number}\t15\tspecies\tG one" for number in range(9)] + ["c9\t15"]
    table = collect_labels(lines, "auto", "the table")
    assert len(table) == 9
    assert table.met == {"label_rows_left_out": 1}
    assert "the table: line 10: 2 columns" in caplog.text


def test_identical_rows_are_merged():
    table = collect_labels(["C\ta\t15\t9\t15:9"] * 2 + ["C\tb\t17\t9\t17:9"], "auto", "t")
    assert rows_of(table) == [row("a", (15,)), row("b", (17,))]


def test_an_invalid_lineage_is_ignored_if_there_is_a_taxid():
    table = collect_labels(["a\t8\tspecies\tG one\td_A;p_P;d_B", "b\t9\tspecies\tG two\td_A"], "auto", "t")
    assert rows_of(table) == [row("a", (8,)), row("b", (9,), parse_lineage("d__A"))]


lines = st.lists(st.text("CU0123ab\t;_.: \"'\x0b", max_size=25), max_size=6).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=150), lines.map(str.encode)), form=st.sampled_from(FORMATS), header=st.booleans()
)
def test_any_bytes_give_labels_or_a_clear_error(tmp_path_factory, data, form, header):
    path = tmp_path_factory.mktemp("any") / "l.tsv"
    path.write_bytes((b"contigs\tpredictions\n" if header else b"") + data)
    try:
        table = read_label_table(path, form)
    except InputError:
        return
    assert len(table)
    assert len(set(table.ids.to_pylist())) == len(table)
    assert all(np.isnan(table.support) | ((table.support >= 0) & (table.support <= 1)))


ids = st.lists(st.text("abcXYZ_.|:-019", min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
taxids = st.integers(0, 1 << 31)


@given(ids=ids, data=st.data())
def test_labels_written_in_a_format_are_read_back(ids, data):
    numbers = [data.draw(taxids) for _ in ids]
    writers = {
        "kraken2": lambda name, taxid: f"{'C' if taxid else 'U'}\t{name}\t{taxid}\t90\t{taxid}:9",
        "kaiju": lambda name, taxid: f"{'C' if taxid else 'U'}\t{name}\t{taxid}",
        "diamond": lambda name, taxid: f"{name}\t{taxid}\t{1e-9 if taxid else 0}",
        "metabuli": lambda name, taxid: f"{int(bool(taxid))}\t{name}\t{taxid}\t90\t0.5\tspecies\t{taxid}:9",
        "mmseqs2": lambda name, taxid: f"{name}\t{taxid}\tspecies\tG one",
        "cami": lambda name, taxid: f"{name}\t{taxid}",
    }
    for form, write in writers.items():
        lines = [*(["@@SEQUENCEID\tTAXID"] if form == "cami" else []), *map(write, ids, numbers)]
        table = collect_labels(lines, form, "t")
        expected = [(taxid,) if taxid > 1 else () for taxid in numbers]
        assert [found[:2] for found in rows_of(table)] == list(zip(ids, expected, strict=True))


def test_labels_are_joined_by_id_and_counted():
    table = collect_labels(["C\tb\t11\t9\t", "C\tx\t12\t9\t", "C\tc\t13\t9\t"], "kraken2", "t")
    joined, counts = join_labels(table, ["a", "b", "c"], {"a", "b", "c", "short"}, "t")
    assert joined.taxid.tolist() == [0, 11, 13]
    assert joined.ids.to_pylist() == ["a", "b", "c"]
    assert counts == {"rows_of_no_contig": 1, "contigs_without_row": 1}


def test_a_million_rows_are_stored_as_columns_and_not_as_objects():
    import tracemalloc

    lines = (f"C\tcontig_{number}\t{number % 999 + 2}\t1000\t5:9 0:7" for number in range(100_000))
    tracemalloc.start()
    table = collect_labels(lines, "kraken2", "t")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 100_000
    assert held < 100 * len(table)


def test_a_row_with_a_missing_rank_does_not_refuse_the_table():
    full = "d__Bacteria;p__P;c__C;o__O;f__F;g__G;s__G"
    lines = ["contigs\tpredictions", *(f"c{number}\t{full} {number}" for number in range(19))]
    table = collect_labels([*lines, "c19\td__Bacteria;p__P;o__O"], "auto", "the table")
    assert table.lineages[table.lineage[19]] == parse_lineage("d__Bacteria;p__P;c__C;o__O")
    assert table.met == {}


def test_a_row_whose_lineage_contradicts_most_rows_loses_it_and_is_counted_and_named(caplog):
    full = "d__Bacteria;p__P;c__C;o__O;f__F;g__G;s__G"
    lines = [
        "contigs\tpredictions",
        "c0\td__Bacteria;p__P;c__C;o__X;f__F",
        *(f"c{n}\t{full} {n}" for n in range(1, 20)),
    ]
    table = collect_labels(lines, "auto", "the table")
    assert len(table) == 20
    assert table.lineages[table.lineage[0]] == NO_LINEAGE
    assert table.lineages[table.lineage[19]] == parse_lineage(f"{full} 19")
    assert table.met == {"label_lineages_left_out": 1}
    assert "the table: line 2: the family 'F' has two parents" in caplog.text


def test_a_row_whose_lineage_contradicts_most_rows_keeps_its_taxid():
    rows = [f"c{number}\t7\tfamily\tF\td_B;p_P;c_C;o_O;f_F" for number in range(9)]
    table = collect_labels([*rows, "c9\t7\tfamily\tF\td_B;p_P;c_C;o_X;f_F"], "mmseqs2", "the table")
    assert table.taxid.tolist() == [7] * 10
    assert table.lineages[table.lineage[9]] == NO_LINEAGE
