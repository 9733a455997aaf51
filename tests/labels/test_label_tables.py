import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.ground.errors import InputError
from genestill.ground.label_tables import (
    FORMATS,
    Label,
    join_labels,
    read_kraken2,
    read_label_table,
    read_mmseqs2,
    read_taxometer,
)
from genestill.ground.lineage import NO_LINEAGE, parse_lineage

WORDS = "d_Bacteria;-_group;p_P;c_C;o_O;f_F;g_G;s_G one"
LINEAGE = parse_lineage("Bacteria;P;C;O;F;G;G one")


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("a\t8\tspecies\tG one", Label("a", (8,))),
        (f"a\t8\tspecies\tG one\t{WORDS}", Label("a", (8,), LINEAGE)),
        ("a\t8\tspecies\tG one\t4\t4\t3\t0.750", Label("a", (8,), NO_LINEAGE, 0.75)),
        (f"a\t8\tspecies\tG one\t4\t4\t3\t0.750\t{WORDS}", Label("a", (8,), LINEAGE, 0.75)),
        (f"a\t8\tspecies\tG one\t4\t4\t3\t0.750\tG;F;uc_O\t{WORDS}", Label("a", (8,), LINEAGE, 0.75)),
        ("a\t8\tspecies\tG one\t4\t4\t3\t0.750\t2;5;8", Label("a", (8,), NO_LINEAGE, 0.75)),
        ("a\t0\tno rank\tunclassified\t0\t0\t0\t0.000\t-_root", Label("a", (), NO_LINEAGE, 0.0)),
        ("a\t0\tno rank\tunclassified", Label("a")),
        (f"a\t8\tspecies\tG one\t{WORDS.replace('d_', '-_')}", Label("a", (8,), LINEAGE)),
        ("a b\t8\tspecies\tG one", Label("a", (8,))),
    ],
)
def test_mmseqs2_tables_of_every_width(line, label):
    assert read_mmseqs2([line], "t") == [label]


def test_kraken2_with_and_without_names():
    lines = ["C\ta\t15\t100\t15:60 0:3", "U\tb\t0\t100\t0:66", "C\tc\tG one (taxid 15)\t100\t15:60"]
    assert read_kraken2(lines, "t") == [Label("a", (15,)), Label("b"), Label("c", (15,))]


def test_taxometer_with_and_without_scores():
    lines = ["contigs\tpredictions\tscores", "a\tBacteria;P\t0.99;0.75", "b\t\t"]
    assert read_taxometer(lines, "t") == [Label("a", (), parse_lineage("Bacteria;P"), 0.75), Label("b")]


def test_centrifuge_rows_of_one_contig_stay_together(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text(
        "readID\tseqID\ttaxID\tscore\t2ndBestScore\thitLength\tqueryLength\tnumMatches\n"
        "a\ts1\t15\t9\t9\t60\t100\t2\na\ts2\t17\t9\t9\t60\t100\t2\nb\tunclassified\t0\t0\t0\t0\t100\t1\n"
    )
    assert read_label_table(path) == [Label("a", (15, 17)), Label("b")]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("contigs\tpredictions\na\tBacteria\n", [Label("a", (), parse_lineage("Bacteria"))]),
        ("C\ta\t15\t100\t15:6\n", [Label("a", (15,))]),
        ("a\t15\tspecies\tG one\n", [Label("a", (15,))]),
        ("\nC\t15\tspecies\tG one\n", [Label("C", (15,))]),
    ],
)
def test_format_is_told_by_the_first_line(tmp_path, text, labels):
    (tmp_path / "l.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert read_label_table(tmp_path / "l.tsv.gz") == labels


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("auto", "", "empty"),
        ("auto", "a,b,c\n", "line 1 is 'a,b,c'; not recognised"),
        ("auto", "contigs\tpredictions\n", "holds a header but no contig"),
        ("auto", "contigs\tpredictions\na\td__B\na\td__B\n", "line 3: the contig 'a' is also in line 2"),
        ("auto", "contigs\tpredictions\na\td__B\tsure\n", "line 2: support 'sure'"),
        ("mmseqs2", "a\t1\n", "line 1 has 2 columns; expected 4, 5, 8 or 9"),
        ("mmseqs2", "a\t-1\tspecies\tx\n", "line 1: taxid '-1'"),
        ("mmseqs2", f"a\t{1 << 33}\tspecies\tx\n", "taxid"),
        ("mmseqs2", "\t1\tspecies\tx\n", "line 1 has no contig id"),
        ("mmseqs2", "a\t1\tspecies\tx\t1\t1\t1\t7.5\n", "support '7.5'"),
        ("kraken2", "X\ta\t1\t1\t1\n", "expected C or U"),
        ("centrifuge", "a\tb\n", "line 1 has 2 columns"),
        ("taxometer", "a\tb\n", "expected the header"),
        ("krona", "a\tb\n", "unknown format 'krona'"),
        ("mmseqs2", "a\t1\tspecies\tx\td_A;g_G;s_S\nb\t2\tspecies\ty\td_A;f_F;g_H;s_S\n", "two parents"),
    ],
)
def test_bad_table_gets_a_sentence(tmp_path, form, text, words):
    (tmp_path / "l.tsv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path / "l.tsv", form)
    assert words in str(caught.value)
    assert "l.tsv" in str(caught.value)


lines = st.lists(st.text("CU0123ab\t;_.: \"'\x0b", max_size=25), max_size=6).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=150), lines.map(str.encode)), form=st.sampled_from(FORMATS), header=st.booleans()
)
def test_any_bytes_give_labels_or_a_sentence(tmp_path_factory, data, form, header):
    path = tmp_path_factory.mktemp("any") / "l.tsv"
    path.write_bytes((b"contigs\tpredictions\n" if header else b"") + data)
    try:
        labels = read_label_table(path, form)
    except InputError:
        return
    assert labels
    assert len({label.id for label in labels}) == len(labels)
    assert all(label.support is None or 0 <= label.support <= 1 for label in labels)


def test_labels_are_joined_by_id_and_counted():
    labels = [Label("b", (1,)), Label("x", (2,)), Label("c", (3,))]
    joined, counts = join_labels(labels, ["a", "b", "c"], {"a", "b", "c", "short"}, "t")
    assert [label.taxids for label in joined] == [(), (1,), (3,)]
    assert counts == {"rows_of_no_contig": 1, "contigs_without_row": 1}
