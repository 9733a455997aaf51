"""Centrifuge and Centrifuger: output with one row per contig and hit, where several hits have the same score.

Header (ccb.jhu.edu/software/centrifuge/manual.shtml, "Centrifuge classification output"): readID, seqID, taxID, score,
2ndBestScore, hitLength, queryLength, numMatches.
"""

from genestill.core.label_formats.row import LabelFormat, LabelRow, first_word, require_columns, row_by_row, taxid_of

_HEADER = ["readid", "seqid", "taxid"]


def _read(cells: list[str]) -> LabelRow | None:
    require_columns(cells, 3, "readID, seqID, taxID, … (Centrifuge)")
    if _is_header(cells):
        return None
    return LabelRow(first_word(cells[0]), taxid_of(cells[2]))


def _is_header(cells: list[str]) -> bool:
    return [cell.lower() for cell in cells[:3]] == _HEADER


CENTRIFUGE = LabelFormat("centrifuge", _is_header, row_by_row(_read), several=True)
