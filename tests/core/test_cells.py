import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.cells import LeftOut, is_missing, read_name, read_number, whole_number
from genestill.core.errors import InputError


@pytest.mark.parametrize(
    "cell", ["1,204.3", "0,5", ">24", "1_000", "١", "n.d.", "", "inf", "nan", "1e999", "1 2", "0x1"]
)
def test_a_cell_that_is_not_a_plain_decimal_number_gives_none(cell):
    assert read_number(cell) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_written_by_python_are_read_back(number):
    assert read_number(repr(number)) == number


@given(st.integers(-(10**15), 10**15), st.sampled_from(["{}", "{}.0", " {} ", "{}.000"]))
def test_an_integer_may_have_a_decimal_point_and_zeros(number, form):
    assert whole_number(form.format(number), "here") == number


@given(st.text(max_size=8))
def test_a_cell_is_an_integer_or_is_refused_with_its_position(cell):
    number = read_number(cell)
    if number is not None and number == math.floor(number):
        assert whole_number(cell, "line 3: start") == number
    else:
        with pytest.raises(InputError, match="line 3: start is "):
            whole_number(cell, "line 3: start")


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("NA", "NA"),
        ("nan", "nan"),
        ("007", "007"),
        ("7157.0", "7157"),
        ("", ""),
        ("-", ""),
        (".", ""),
        ("g1.0", "g1.0"),
    ],
)
def test_names_remain_text_and_only_empty_cells_are_missing(cell, name):
    assert read_name(cell) == name


def test_placeholders_for_missing_values_are_missing_and_numbers_are_not():
    assert all(map(is_missing, ["", "NA", "nan", "NaN", "null", "#N/A", " ", "-"]))
    assert not any(map(is_missing, ["0", "n.d.", ">24", "-1"]))


def test_skipped_rows_are_counted_and_named_and_too_many_are_refused(caplog):
    left_out = LeftOut()
    left_out.report("t.tsv", 10, "rows")
    assert not caplog.text
    for line in range(4):
        left_out.add("without a target", f"line {line}")
    left_out.report("t.tsv", 20, "rows", 0.2)
    assert "t.tsv: 4 of 20 rows are left out: 4 without a target (line 0, line 1, line 2, …)" in caplog.text
    with pytest.raises(InputError, match="At most 20%"):
        left_out.report("t.tsv", 19, "rows", 0.2)
    with pytest.raises(InputError, match="4 of 4"):
        left_out.report("t.tsv", 4, "rows")
