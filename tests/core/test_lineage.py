import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.lineage import (
    NO_LINEAGE,
    RANKS,
    clean_name,
    common_lineage,
    count_unknown_names,
    depth,
    fill_gaps,
    format_lineage,
    is_named,
    lineage_of_ranks,
    name_gaps,
    parse_lineage,
    read_formatted,
    refuse_two_parents,
    settle_parents,
)

names = st.text(alphabet="abcdefgh XYZ", min_size=1, max_size=8).map(str.strip).filter(bool)
lineages = st.lists(names, min_size=1, max_size=7).map(lambda path: tuple(path + [None] * (7 - len(path))))


@given(lineages)
def test_a_formatted_lineage_is_read_back(lineage):
    assert parse_lineage(format_lineage(lineage)) == lineage


@given(lineages)
def test_a_formatted_lineage_is_read_back_word_for_word(lineage):
    odd = tuple("uncultured" if name == "a" else name for name in lineage)
    assert read_formatted(format_lineage(odd)) == odd


@pytest.mark.parametrize("text", ["Bacteria", "d__Bacteria;c__X", "d__Bacteria;p__", "d__;p__X", ";"])
def test_text_not_written_by_the_formatter_is_not_a_formatted_lineage(text):
    with pytest.raises(InputError, match="expected d__"):
        read_formatted(text)


@given(st.text(max_size=60))
def test_no_text_crashes_the_parser_and_paths_have_no_gaps(text):
    try:
        lineage = parse_lineage(text)
    except InputError:
        return
    assert len(lineage) == len(RANKS)
    assert all(name is None for name in lineage[depth(lineage) :])


@given(st.lists(st.one_of(st.none(), names), min_size=7, max_size=7))
def test_filling_gaps_keeps_the_names_and_the_depth(path):
    filled = fill_gaps(path)
    deepest = max((rank for rank, name in enumerate(path) if name), default=-1)
    assert depth(filled) == deepest + 1
    assert all(filled[rank] == name for rank, name in enumerate(path[: deepest + 1]) if name)


odd_words = st.sampled_from(["s__X", "a;b", "a|b", '"q"', "uc_a", "NA", "d__d__B", "A_A", "a\tb", "p__", "Fungi"])


@given(st.lists(st.one_of(names, odd_words), max_size=7))
def test_a_lineage_of_any_names_is_written_and_read_back(words):
    lineage = lineage_of_ranks([*words, *[""] * (7 - len(words))])
    assert parse_lineage(format_lineage(lineage)) == lineage


@pytest.mark.parametrize(
    "text",
    [
        *("", None, "root", "unclassified", "-_root", "NA", "nan", "Unassigned", "root;cellular organisms", "d__;p__"),
        *("uncultured", "No hits", "unknown;unknown", "d__Unassigned", "NCBI;", "-_root;-_cellular organisms"),
    ],
)
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
        "k__Bacteria;p__Bacillota",
        "sk__Bacteria;p__Bacillota",
        "D_0__Bacteria;D_1__Bacillota;D_2__uncultured",
        "root;d__Bacteria;p__Bacillota",
        "root;cellular organisms;Bacteria;Bacillota",
        "NCBI;cellular organisms;Bacteria;Bacillota;",
        "[D] Bacteria; [P] Bacillota; [C] unknown;",
        "[SK] Bacteria; [P] Bacillota;",
        "d__Bacteria;k__Bacillati;p__Bacillota",
        "k__Bacillati;p__Bacillota",
        "-_cellular organisms;-_Bacteria;k_Bacillati;p_Bacillota;c_uc_Bacillota",
        "d_d__Bacteria;p_p__Bacillota",
        "d__d__Bacteria;p__p__Bacillota",
        "d__Bacteria|p__Bacillota",
        "Bacteria|Bacillota",
        "Bacteria;Bacillota;NA;nan;Unassigned;unclassified;uncultured",
        "d__Bacteria;p__Bacillota;c__Bacillota_unclassified;o__uncultured bacterium",
        "d__Bacteria;p__Bacillota;NA;NA",
        '"d__Bacteria;p__Bacillota"',
    ],
)
def test_all_spellings_of_a_lineage_are_one_lineage(text):
    assert parse_lineage(text) == ("Bacteria", "Bacillota", None, None, None, None, None)


def test_a_gap_is_named_after_the_rank_above_it_independent_of_the_ranks_below():
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
        ("Bacteria;Bacillati;Bacillota", "'Bacillati', which is not one of the ranks"),
        ("cellular organisms;Bacteria;Terrabacteria group;Bacillota", "'Terrabacteria group', which is not one of the"),
    ],
)
def test_invalid_lineages_are_refused(text, sentence):
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


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("r__Riboviria;k__Orthornavirae;p__Pisuviricota", "Viruses"),
        ("-_Viruses;r_Riboviria;k_Orthornavirae;p_Pisuviricota", "Viruses"),
        ("r__Nova;p__P", "Nova"),
        ("k__Fungi;p__Ascomycota", "Eukaryota"),
        ("Fungi;Ascomycota", "Eukaryota"),
        ("k__Methanobacteriati;p__Methanobacteriota", "Archaea"),
        ("d__Bacteria;k__Pseudomonadati;p__Pseudomonadota", "Bacteria"),
    ],
)
def test_kingdoms_and_realms_are_assigned_to_their_domain(text, domain):
    assert parse_lineage(text)[0] == domain
    assert depth(parse_lineage(text)) == 2


def test_a_placeholder_instead_of_a_name_leaves_a_gap():
    assert parse_lineage("Bacteria;NA;Bacilli")[1] == "Bacteria phylum incertae sedis"
    cells = ["Bacteria", "unclassified", "c__Bacilli", "", "nan", "", ""]
    assert lineage_of_ranks(cells) == parse_lineage("d__Bacteria;c__Bacilli")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Salmonella; serovar 1,4,[5],12", "Salmonella, serovar 1,4,[5],12"),
        ("A|B/C", "A/B/C"),
        ('"Escherichia coli"', "Escherichia coli"),
        ("'Nostoc azollae' 0708", "'Nostoc azollae' 0708"),
        ('"Bacillus" x "y"', '"Bacillus" x "y"'),
        ("s__Escherichia coli_A", "Escherichia coli_A"),
        ("g__Escherichia", "g__Escherichia"),
    ],
)
def test_separators_surrounding_quotes_and_rank_prefixes_are_removed_from_names(name, clean):
    assert clean_name(name, 6) == clean
    assert clean_name(clean, 6) == clean


def test_names_that_only_resemble_placeholders_are_kept():
    for name in ("UC5-1-2E3", "Nanopusillus", "Uncultivatus", "uncultured Thiohalocapsa sp. PB-PSB1", "Unknownia"):
        assert is_named(name)


def test_names_missing_from_the_reference_are_counted_and_other_taxonomies_are_refused():
    known = [parse_lineage("d__Bacteria;p__Bacillota A;c__Bacilli"), parse_lineage("d__Bacteria;p__Q")]
    answers = [parse_lineage("d__Bacteria;p__Bacillota_A;c__Novum"), NO_LINEAGE]
    assert count_unknown_names(answers, known, "truth", "the reference") == 1
    strange = [parse_lineage("d__Bacteria;p__Firmicutes;c__Clostridia")]
    with pytest.raises(InputError, match=r"truth: none of its 2 names below the domain \(first: 'Firmicutes'\)"):
        count_unknown_names(strange, known, "truth", "the reference")
    assert count_unknown_names([parse_lineage("d__Bacteria")], known, "truth", "the reference") == 0


FULL, GAP = "d__A;p__P;c__C;o__O;f__F;g__G;s__S", "d__A;p__P;o__O"


def test_a_missing_rank_gets_the_name_that_other_lineages_have_there():
    lineages = [*map(parse_lineage, (GAP, FULL, "d__A;p__P;f__F", "d__A;p__P;c__;o__;f__;g__G;s__T", "d__A;p__P;f__X"))]
    settled = name_gaps(lineages)
    expected = ("d__A;p__P;c__C;o__O", FULL, "d__A;p__P;c__C;o__O;f__F", "d__A;p__P;c__C;o__O;f__F;g__G;s__T")
    assert settled[:4] == [*map(parse_lineage, expected)]
    assert settled[4] == lineages[4]


def test_lineages_with_different_missing_ranks_complete_each_other():
    lineages = [*map(parse_lineage, ("d__A;p__P;c__C;f__F", "d__A;p__P;o__O;f__F", "d__A;p__P;o__O"))]
    complete = parse_lineage("d__A;p__P;c__C;o__O;f__F")
    assert name_gaps(lineages) == [complete, complete, parse_lineage("d__A;p__P;c__C;o__O")]


def test_a_missing_rank_with_two_possible_names_remains():
    lineages = [*map(parse_lineage, ("d__A;o__O", "d__A;p__P;c__C;o__O", "d__A;p__Q;c__D;o__O"))]
    assert name_gaps(lineages) == lineages


def test_the_parent_of_most_rows_is_kept_and_only_lineages_with_another_are_named():
    texts = ("d__A;p__P;c__C;o__X;f__F", FULL, GAP, FULL.replace("G", "H").replace("S", "T"))
    settled, odd = settle_parents([*map(parse_lineage, texts)], [2, 2, 5, 1])
    assert odd == {0: "the family 'F' has two parents: d__A;p__P;c__C;o__O;f__F and d__A;p__P;c__C;o__X;f__F"}
    assert settled[2] == parse_lineage("d__A;p__P;c__C;o__O")
    assert refuse_two_parents(settled[1:], "table") == 0


def test_rows_below_a_wrong_parent_do_not_outvote_the_right_one():
    """The class of O is wrong in one row, which has most of the rows of F: F keeps the parent of the other row."""
    texts = ("d__A;p__P;c__C;o__O", "d__A;p__P;c__D;o__O;f__F", FULL)
    _, odd = settle_parents([*map(parse_lineage, texts)], [5, 2, 1])
    assert list(odd) == [1]


@given(st.lists(st.lists(st.sampled_from([None, "a", "b"]), min_size=7, max_size=7).map(fill_gaps), max_size=12))
def test_settled_lineages_are_never_refused(some):
    settled, odd = settle_parents(some, [1] * len(some))
    refuse_two_parents([one for place, one in enumerate(settled) if place not in odd], "table")
