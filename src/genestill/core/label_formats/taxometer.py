"""Taxometer: its input, its output (VAMB's ``results_taxometer.tsv``), and the ``labels.tsv`` of genestill.

Header (github.com/RasmussenLab/vamb, "Taxometer"): contigs, predictions (lineage as text), scores (one per rank); some
releases of VAMB 4 have the lengths of the contigs in between.
"""

from genestill.core.errors import InputError
from genestill.core.label_formats.row import LabelFormat, LabelRow, ReadRow, first_word, share


def _start() -> ReadRow:
    header: list[str] = []

    def read(cells: list[str]) -> LabelRow | None:
        if not header:
            if not _is_header(cells):
                raise InputError("no header before it; expected the header contigs<TAB>predictions")
            header[:] = cells
            return None
        if any(cells[max(3, len(header)) :]):
            raise InputError(f"{len(cells)} columns; expected {len(header)}, as the header has")
        column = header.index("scores") if "scores" in header else 2
        scores = tuple(cells[column].split(";")) if len(cells) > column and cells[column] else ()
        lineage = cells[1] if len(cells) > 1 else ""
        support = share(scores[-1]) if scores else None
        return LabelRow(first_word(cells[0]), (), lineage, support, scores=scores if "scores" in header else None)

    return read


def _is_header(cells: list[str]) -> bool:
    return cells[:2] == ["contigs", "predictions"]


TAXOMETER = LabelFormat("taxometer", _is_header, _start)
