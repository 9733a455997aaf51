"""Text tables: every cell is text, and rows keep their line number."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.tables import read_tsv, write_tsv

CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters='"\ufeff'), max_size=6
)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_every_cell_is_read_as_text_with_its_line(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "t.tsv"
    path.write_text("a\tb\n" + "".join(f"x{one}\t{two}\n" for one, two in rows), newline="")
    table = read_tsv(path, ["a", "b"])
    assert table.index.tolist() == list(range(2, len(rows) + 2))
    assert [tuple(row) for row in table.to_numpy()] == [(f"x{one}".strip(), two.strip()) for one, two in rows]


def test_no_cell_is_converted_to_missing_or_to_a_number(tmp_path):
    (tmp_path / "t.tsv").write_text("id\tgene\n007\tNA\n1e5\t\nTrue\tnan\n")
    table = read_tsv(tmp_path / "t.tsv")
    assert table["id"].tolist() == ["007", "1e5", "True"]
    assert table["gene"].tolist() == ["NA", "", "nan"]


def test_quotes_of_spreadsheets_are_removed_and_an_unpaired_quote_is_harmless(tmp_path):
    (tmp_path / "t.tsv").write_text('a\tb\n"1,204.3"\t"say ""x"""\n5" end\t"open\n3\t4\n')
    table = read_tsv(tmp_path / "t.tsv")
    assert table.to_numpy().tolist() == [["1,204.3", 'say "x"'], ['5" end', '"open'], ["3", "4"]]


def test_a_cell_that_only_starts_and_ends_with_quoted_words_is_kept(tmp_path):
    (tmp_path / "t.tsv").write_text('a\n"one" and "two"\n')
    assert read_tsv(tmp_path / "t.tsv")["a"].tolist() == ['"one" and "two"']


def test_comments_before_the_header_and_empty_cells_after_the_last_column_are_skipped(tmp_path):
    (tmp_path / "t.tsv").write_text("# made by a program\n\n#a\tb\t\n1\t2\t\t\n#3\t\n")
    table = read_tsv(tmp_path / "t.tsv")
    assert table.columns.tolist() == ["#a", "b"]
    assert table.to_numpy().tolist() == [["1", "2"], ["#3", ""]]
    assert table.index.tolist() == [4, 5]


def test_a_column_without_a_name_is_kept_if_it_has_content(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\t\n1\t2\t3\n")
    assert read_tsv(tmp_path / "t.tsv").columns.tolist() == ["a", "b", "column 3"]


def test_a_table_without_header_has_numbered_columns_and_empty_lines_are_skipped(tmp_path):
    with gzip.open(tmp_path / "t.tsv.gz", "wt") as handle:
        handle.write("ACGT\t1\n\nACGA\t2\n\n")
    table = read_tsv(tmp_path / "t.tsv.gz", ["2"], header=False)
    assert table["2"].tolist() == ["1", "2"]
    assert table.index.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\tb\n1\n", "line 2 has 1 columns; expected 2,"),
        ("a\tb\n1\t2\n1\t2\t3\n", "line 3 has 3 columns"),
        ("a\ta\n1\t2\n", "two columns are called 'a'"),
        ("b\n1\n", "no column 'a'"),
        ("\n", "it is empty"),
    ],
)
def test_tables_in_another_format_are_refused_with_the_line(tmp_path, text, sentence):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_tsv(tmp_path / "t.tsv", ["a"])


def test_numbers_are_written_with_six_digits_and_integers_in_full(tmp_path):
    values = [1 / 3, 12345678.0, 0.0, np.nan, np.inf, -1e-9]
    write_tsv(tmp_path / "t.tsv", pd.DataFrame({"name": list("abcdef"), "value": values}))
    text = (tmp_path / "t.tsv").read_bytes().decode()
    assert text == "name\tvalue\na\t0.333333\nb\t12345678\nc\t0\nd\t\ne\tinf\nf\t-1e-09\n"
