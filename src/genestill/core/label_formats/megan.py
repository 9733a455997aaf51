"""MEGAN: one taxon per contig, as written by ``File > Export > CSV``, ``rma2info -r2c`` and ``daa2info -r2c``.

Columns (MEGAN 6 manual, "Export"; separated by tabs or commas): contig, then a taxid (readName_to_taxonId; below 1: not
assigned), a name (readName_to_taxonName) or a path (readName_to_taxonPath, or ``-p``); with ``-r``, a letter for the
rank between them. Paths have either the seven ranks, with ``[P]`` before each name, or all ranks of NCBI.
"""

import csv
import re

from genestill.core.label_formats.row import (
    LabelFormat,
    LabelRow,
    first_word,
    require_columns,
    row_by_row,
    taxid_of,
)
from genestill.core.lineage import clean_name, is_named

_ABOVE = ("root", "ncbi", "cellular organisms")
_LETTER = re.compile(r"[A-Z-]")
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.0)?")


def _read(cells: list[str]) -> LabelRow:
    require_columns(cells, 2, "contig and taxon (MEGAN)")
    name, taxon = first_word(cells[0]), cells[-1]
    if number := _NUMBER.fullmatch(taxon):
        return LabelRow(name, () if number[1] else taxid_of(number[2]))
    if ";" in taxon or taxon.startswith("["):
        # The names of a whole path of NCBI may have any rank; the last name is the most specific.
        last = taxon.strip("; ").split(";")[-1]
        return LabelRow(name, (), taxon, None, "" if taxon.startswith("[") else _named(last))
    return LabelRow(name, name=_named(taxon))


def _named(taxon: str) -> str:
    name = clean_name(taxon)
    return name if is_named(name) and name.lower() not in _ABOVE else ""


def _split(line: str) -> list[str]:
    if "\t" in line:
        return line.split("\t")
    try:
        return next(csv.reader([line]), [line])
    except csv.Error:
        return [line]


def _fits(cells: list[str]) -> bool:
    if len(cells) < 2 or not cells[0] or not (_NUMBER.fullmatch(cells[-1]) or re.search("[A-Za-z]", cells[-1])):
        return False
    return len(cells) == 2 or (len(cells) == 3 and bool(_LETTER.fullmatch(cells[1])))


MEGAN = LabelFormat("megan", _fits, row_by_row(_read), comments=("#",), split=_split)
