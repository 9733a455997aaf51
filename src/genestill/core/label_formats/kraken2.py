"""Kraken 2 (also Kraken 1 and KrakenUniq): the standard output, for contigs or pairs, with or without ``--use-names``.

Columns (github.com/DerrickWood/kraken2/wiki/Manual, "Standard Kraken Output Format"): C or U, id, taxid (with
``--use-names``: name and "(taxid N)"), length (for pairs two lengths, separated by "|"), taxids of the k-mers.
"""

import re

from genestill.core.errors import InputError
from genestill.core.label_formats.row import LabelFormat, LabelRow, first_word, require_columns, row_by_row, taxid_of

_NAMED = re.compile(r"\(taxid (\d+)\)$")
_TAXID = re.compile(r"\d+|.*\(taxid \d+\)")
_LENGTH = re.compile(r"\d+(\|\d+)?")
_BEST_MATCHES = re.compile(r"\d+,")  # the fifth column of Kaiju's output


def _read(cells: list[str]) -> LabelRow:
    if cells[0] not in ("C", "U"):
        raise InputError(f"column 1 is {cells[0][:20]!r}; expected C or U (Kraken 2 output)")
    require_columns(cells, 3, "5 (Kraken 2 output)")
    named = _NAMED.search(cells[2])
    taxid = taxid_of(named.group(1) if named else cells[2])
    return LabelRow(first_word(cells[1]), taxid if cells[0] == "C" else ())


def _fits(cells: list[str]) -> bool:
    return (
        len(cells) in (4, 5)
        and cells[0] in ("C", "U")
        and bool(_TAXID.fullmatch(cells[2]) and _LENGTH.fullmatch(cells[3]))
        and (len(cells) == 4 or not _BEST_MATCHES.match(cells[4]))
    )


# Only the first four columns are read: the fifth, with the k-mers, is most of the file.
KRAKEN2 = LabelFormat("kraken2", _fits, row_by_row(_read), split=lambda line: line.split("\t", 4))
