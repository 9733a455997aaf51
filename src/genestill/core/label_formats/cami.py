"""CAMI's binning format, which most classifiers can be converted to (github.com/bioboxes/rfc, data-format/binning).

Lines ``@Version`` and ``@SampleID``, then a header with ``@@SEQUENCEID``, ``TAXID`` and optionally ``BINID`` and
``LENGTH`` in any order, then one row per contig. A file may contain several samples, each with a header.
"""

from collections.abc import Callable
from typing import NamedTuple

from genestill.core.errors import InputError
from genestill.core.label_formats.row import LabelFormat, LabelRow, ReadRow, is_number, taxid_of
from genestill.core.text import blanks_for_tabs


class BinningRow(NamedTuple):
    """One contig with its bin ("" without the column), taxid and length (None if missing)."""

    id: str
    bin: str
    taxid: int | None
    length: int | None


def binning_rows() -> Callable[[list[str]], BinningRow | None]:
    """Make a function that reads the cells of each line of a file, in order; it returns None for lines without a row.

    The function raises `InputError` for a row before the header, a header without ``TAXID`` and a row that does not
    match its header. A taxid below 1 or an empty cell counts as missing. In ``1234.5``, CAMI's numbering of strains,
    the part before the dot is the taxid of NCBI.
    """
    header: dict[str, int] = {}

    def read(cells: list[str]) -> BinningRow | None:
        first = cells[0].strip()
        if first.upper() == "@@SEQUENCEID":
            header.clear()
            found = {cell.strip().upper().removeprefix("_"): column for column, cell in enumerate(cells)}
            if "TAXID" not in found:
                raise InputError(f"no column TAXID; found {', '.join(cells)}")
            header.update(found)
            return None
        if first.upper().startswith("@@SEQUENCEID"):
            raise InputError(f"a header {first[:60]!r}{blanks_for_tabs(first)}")
        if first.startswith("@"):
            if first.upper().startswith("@SAMPLEID"):
                header.clear()
            return None
        if not header:
            raise InputError("no header before it; expected @@SEQUENCEID, TAXID, …")
        if len(cells) != len(header):
            raise InputError(f"{len(cells)} columns; expected {len(header)}")
        if not first:
            raise InputError("no contig id")
        taxid = cells[header["TAXID"]].strip().split(".")[0]
        length = cells[header["LENGTH"]].strip() if "LENGTH" in header else ""
        if not is_number(taxid.removeprefix("-")) and taxid:
            raise InputError(f"contig {first!r}, taxid {taxid!r}; expected an id and a number")
        return BinningRow(
            first,
            cells[header["BINID"]].strip() if "BINID" in header else "",
            int(taxid) if taxid and not taxid.startswith("-") and len(taxid) < 11 and int(taxid) else None,
            int(length) if is_number(length) and len(length) < 16 else None,
        )

    return read


def _start() -> ReadRow:
    read_binning = binning_rows()

    def read(cells: list[str]) -> LabelRow | None:
        row = read_binning(cells)
        return None if row is None else LabelRow(row.id, taxid_of(str(row.taxid)) if row.taxid else ())

    return read


def _fits(cells: list[str]) -> bool:
    return cells[0].upper().startswith(("@VERSION", "@SAMPLEID", "@@SEQUENCEID"))


CAMI = LabelFormat("cami", _fits, _start, comments=("#",))
