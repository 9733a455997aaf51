import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.ground.errors import InputError
from genestill.ground.lineage import (
    NO_LINEAGE,
    RANKS,
    common_lineage,
    depth,
    fill_gaps,
    format_lineage,
    parse_lineage,
    refuse_two_parents,
)

names = st.text(alphabet="abcdefgh XYZ", min_size=1, max_size=8).map(str.strip).filter(bool)
lineages = st.lists(names, min_size=1, max_size=7).map(lambda path: tuple(path + [None] * (7 - len(path))))


@given(lineages)
def test_a_formatted_lineage_is_read_back(lineage):
    assert parse_lineage(format_lineage(lineage)) == lineage


@given(st.text(max_size=60))
def test_no_text_crashes_the_parser_and_paths_have_no_holes(text):
    try:
        lineage = parse_lineage(text)
    except InputError:
        return
    assert len(lineage) == len(RANKS)
    assert all(name is None for name in lineage[depth(lineage) :])


@given(st.lists(st.one_of(st.none(), names), min_size=7, max_size=7))
def test_filled_gaps_keep_the_names_and_the_depth(path):
    filled = fill_gaps(path)
    deepest = max((rank for rank, name in enumerate(path) if name), default=-1)
    assert depth(filled) == deepest + 1
    assert all(filled[rank] == name for rank, name in enumerate(path[: deepest + 1]) if name)


@pytest.mark.parametrize("text", ["", None, "root", "unclassified", "-_root"])
def test_unclassified_is_the_empty_lineage(text):
    assert parse_lineage(text) == NO_LINEAGE


@pytest.mark.parametrize(
    "text",
    [
        "d__Bacteria;p__Bacillota",
        "d_Bacteria;-_Terrabacteria;p_Bacillota",
        "-_cellular organisms;d_Bacteria;p_Bacillota;-_x",
        "Bacteria;Bacillota",
        "Bacteria;Bacillota;",
    ],
)
def test_all_spellings_of_a_lineage_are_one_lineage(text):
    assert parse_lineage(text) == ("Bacteria", "Bacillota", None, None, None, None, None)


def test_a_gap_is_named_after_what_stands_above_it_whatever_lies_below():
    first = parse_lineage("d__B;p__P;c__Gamma;f__One")
    second = parse_lineage("d__B;p__P;c__Gamma;f__Two")
    assert first[3] == second[3] == "Gamma order incertae sedis"
    assert parse_lineage("d__B;p__P;c__Gamma;g__X")[4] == "Gamma family incertae sedis"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a;b;c;d;e;f;g;h", "has 8 ranks"),
        ("p__X;d__Y", "twice or out of order"),
        ("d__X;d__Y", "twice or out of order"),
        ("d__X;Y", "mixes prefixed and plain names"),
    ],
)
def test_lineages_that_are_none_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_lineage(text)


@given(lineages, lineages)
def test_the_common_lineage_is_a_prefix_of_both(left, right):
    shared = common_lineage([left, right])
    assert left[: depth(shared)] == right[: depth(shared)] == shared[: depth(shared)]


def test_a_name_under_two_parents_is_refused():
    one, two = parse_lineage("d__A;p__P;c__X"), parse_lineage("d__A;p__Q;c__X")
    with pytest.raises(InputError, match=r"table: the class 'X' has two parents: d__A;p__P;c__X and d__A;p__Q;c__X"):
        refuse_two_parents([one, two], "table")
    assert refuse_two_parents([one, one], "table") == 0


def test_a_genus_may_have_a_homonym_in_another_phylum_only():
    bird = parse_lineage("d__Eukaryota;p__Chordata;c__A;o__S;f__S;g__Morus")
    tree = parse_lineage("d__Eukaryota;p__Streptophyta;c__M;o__R;f__M;g__Morus")
    other_bird = parse_lineage("d__Eukaryota;p__Chordata;c__A;o__S;f__T;g__Morus")
    assert refuse_two_parents([bird, tree], "table") == 1
    with pytest.raises(InputError, match="genus 'Morus' has two parents"):
        refuse_two_parents([bird, tree, other_bird], "table")
