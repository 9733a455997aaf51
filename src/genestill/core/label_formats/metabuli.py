"""Metabuli: ``…_classifications.tsv``.

Columns (github.com/steineggerlab/Metabuli, "JobID_classifications.tsv"): 1 or 0 (classified or not), id, taxid, length,
score (identity of the DNA, 0 to 1), rank, taxids of the matches; newer releases add a header and, with ``--lineage``,
the lineage. Older ones have no rank.
"""

from genestill.core.label_formats.row import (
    LabelFormat,
    LabelRow,
    first_word,
    is_number,
    require_columns,
    row_by_row,
    share,
    taxid_of,
)


def _read(cells: list[str]) -> LabelRow | None:
    require_columns(cells, 5, "classified, id, taxid, length, score, … (Metabuli)")
    return LabelRow(first_word(cells[1]), taxid_of(cells[2]) if cells[0] == "1" else (), "", share(cells[4]))


def _fits(cells: list[str]) -> bool:
    if cells[0].startswith("#is_classified"):
        return True
    return len(cells) >= 5 and cells[0] in ("0", "1") and is_number(cells[2]) and is_number(cells[3])


METABULI = LabelFormat("metabuli", _fits, row_by_row(_read), comments=("#",))
