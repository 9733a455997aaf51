"""Kaiju: standard output, output with ``-v``, and output of ``kaiju-addTaxonNames``.

Columns (github.com/bioinformatics-centre/kaiju, "Output format"): C or U, id, taxid; with ``-v`` also score, taxids,
accessions and fragments of the best matches; after ``kaiju-addTaxonNames`` also the name, the whole path (``-p``) or
the names at the requested ranks (``-r``). Rows of unclassified sequences end after the third column.
"""

from genestill.core.errors import InputError
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
    if cells[0] not in ("C", "U"):
        raise InputError(f"column 1 is {cells[0][:20]!r}; expected C or U (Kaiju output)")
    require_columns(cells, 3, "3 or more (Kaiju output)")
    taxid = taxid_of(cells[2])
    return LabelRow(first_word(cells[1]), taxid if cells[0] == "C" else ())


def _fits(cells: list[str]) -> bool:
    if len(cells) < 3 or cells[0] not in ("C", "U") or not is_number(cells[2]):
        return False
    return len(cells) == 3 or len(cells) > 5 or (len(cells) == 4 and not is_number(cells[3].replace("|", "")))


KAIJU = LabelFormat("kaiju", _fits, row_by_row(_read))
