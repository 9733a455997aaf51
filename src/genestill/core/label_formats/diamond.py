"""DIAMOND's taxonomic classification: ``--outfmt 102``.

Columns (github.com/bbuchfink/diamond/wiki, "Output options"): query, taxid (0 if unclassified), E-value of the best
alignment; with ``--include-lineage`` the names of the whole path.
"""

from genestill.core.label_formats.row import (
    LabelFormat,
    LabelRow,
    first_word,
    is_number,
    require_columns,
    row_by_row,
    taxid_of,
)


def _read(cells: list[str]) -> LabelRow:
    require_columns(cells, 3, "query, taxid, E-value (DIAMOND, format 102)")
    return LabelRow(first_word(cells[0]), taxid_of(cells[1]))


def _fits(cells: list[str]) -> bool:
    return len(cells) in (3, 4) and cells[0] not in ("C", "U") and is_number(cells[1]) and _is_evalue(cells[2])


def _is_evalue(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


DIAMOND = LabelFormat("diamond", _fits, row_by_row(_read))
