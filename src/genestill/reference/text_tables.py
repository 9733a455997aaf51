"""Text tables of programs and spreadsheets, with an id in the first column.

Columns are separated by tabs, semicolons or commas, and cells may be quoted; there may be a header, comments above it,
and empty columns and rows at the end; numbers may have decimal commas.
"""

import csv
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.text import blanks_for_tabs, text_lines

_ID_WORDS = {
    "contigname", "contig", "contigs", "contigid", "id", "name", "sequence", "sequencename", "sequenceid", "seqname",
    "seqid", "rname", "chrom", "chr", "scaffold", "item", "targetid", "unnamed0", "index", "rownames",
}  # fmt: skip
_COMMA_AND_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")  # 1,234 is ambiguous; 0,123 is a decimal
_SHOWN = 8


@dataclass
class TextTable:
    """The lines of a file, and how they are split into cells.

    Attributes:
        path: the file, for messages.
        lines: (line number, line) of each row below the header.
        delimiter: separator of the cells.
        quoted: whether cells may be in double quotes.
        header: the names of the columns; None without a header.
        header_line: the line number of the header.
        comma: meaning of a comma in a number: "decimal", "thousands", or "" if there is none.
        id_column: the column of the ids.
    """

    path: Path
    lines: list[tuple[int, str]]
    delimiter: str
    quoted: bool
    header: list[str] | None = None
    header_line: int = 0
    comma: str = ""
    id_column: int = 0

    @property
    def width(self) -> int:
        """Number of columns, without empty ones at the end."""
        return len(without_empty_end(self.cells(self.lines[0][1])) if self.header is None else self.header)

    def name_of(self, column: int) -> str:
        """The name of a column in messages."""
        return self.header[column] if self.header is not None else f"column {column + 1}"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of each row below the header."""
        for number, line in self.lines:
            yield number, self.cells(line)

    def cells(self, line: str) -> list[str]:
        """The cells of a line, without surrounding spaces."""
        if not self.quoted:
            return [cell.strip() for cell in line.split(self.delimiter)]
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=self.delimiter), [])]
        except csv.Error as error:
            raise InputError(f"{self.path}: cannot be split into columns ({error}): {line[:60]!r}") from None


def open_table(path: Path, known: Container[str]) -> TextTable:
    """Read the lines of a table, and detect its format.

    Args:
        path: the table, compressed or not.
        known: ids that rows may have, to distinguish a row from a header whose names are numbers.

    Raises:
        InputError: no row, a single column, commas in numbers that may be decimal or thousands separators, and a first
            line that may be a header or a row.
    """
    lines = [
        (number, line)
        for number, line in enumerate(text_lines(path), 1)
        if line.strip(" \t;,") and not line.startswith(("##", "track ", "browser "))
    ]
    delimiter = ""
    if lines and re.fullmatch(r'"?sep=(.)"?', lines[0][1].strip()):  # a hint for spreadsheets
        delimiter = lines.pop(0)[1].strip().strip('"')[4:]
    # Comments are at the start; the last of them may be the header (#rname, #ID).
    comments = 0
    while comments < len(lines) and lines[comments][1].startswith("#"):
        comments += 1
    if comments == len(lines):
        raise InputError(f"{path}: empty; expected one row per contig and one column per sample")
    number, first = lines[comments]
    if first.startswith(("@HD\t", "@SQ\t")):
        raise InputError(f"{path}: is SAM (alignments); expected a table. Give alignments with dataset.bam (--bam)")
    delimiter = delimiter or next((sign for sign in "\t;," if sign in first), "")
    if not delimiter:
        blanks = blanks_for_tabs(first)
        if first.startswith(">"):
            raise InputError(f"{path}: is a FASTA file; expected a table. Were two files swapped?")
        raise InputError(
            f"{path}: line {number} has one column; expected a contig id, a tab (or a semicolon or comma), and "
            f"abundances{blanks}"
        )
    table = TextTable(path, lines[comments:], delimiter, any('"' in line for _, line in lines))
    above = table.cells(lines[comments - 1][1]) if comments else []
    if len(without_empty_end(above)) == table.width > 1:
        table.header, table.header_line = above, lines[comments - 1][0]
    elif _is_header(table, known):
        table.header, table.header_line = table.cells(first), number
        table.lines = table.lines[1:]
    if table.header is not None:
        table.header = [cell.lstrip("#") if place == 0 else cell for place, cell in enumerate(table.header)]
        table.header = without_empty_end(table.header)
        if not table.lines:
            raise InputError(f"{path}: has a header but no contigs")
        cells = without_empty_end(table.cells(table.lines[0][1]))
        # R writes no header for the names of the rows.
        if len(cells) == len(table.header) + 1 and plain(table.header[0]) not in _ID_WORDS:
            table.header = ["", *table.header]
        names = [plain(cell) for cell in table.header]
        # An index column before the names of the contigs, as in exported data frames.
        if names[0] in ("", "unnamed0", "index") and len(names) > 2 and names[1] and names[1] in _ID_WORDS:
            table.id_column = 1
    table.comma = _comma(table)
    return table


def _is_header(table: TextTable, known: Container[str]) -> bool:
    """Whether the first line contains the names of the columns."""
    number, line = table.lines[0]
    cells = without_empty_end(table.cells(line))
    if (
        not cells[0].strip("#")
        or plain(cells[0]) in _ID_WORDS
        or not any(number_of(cell.replace(",", ".")) is not None for cell in cells[1:])
    ):
        return True
    rest = [cell_id(table.cells(line)[0]) for _, line in table.lines[1:4]]
    if cell_id(cells[0]) in known or not rest or not all(name in known for name in rest):
        return False
    # Names of samples may be numbers: such a header could be a contig that is not in the FASTA file.
    if all(cell.isdigit() for cell in cells[1:]) and len(set(cells)) == len(cells):
        raise InputError(
            f"{table.path}: line {number} ({listed(cells)}) may be a header, or a contig that is missing from the "
            "FASTA file; expected a header that begins with contigname"
        )
    return False


def _comma(table: TextTable) -> str:
    """The meaning of commas in the numbers of a table.

    Raises `InputError` if 1,234 is ambiguous; text and invalid numbers are reported later.
    """
    decimal = thousands = unclear = None
    for _, line in table.lines:
        if "," not in line or (table.delimiter == "," and not table.quoted):
            continue
        for cell in table.cells(line)[table.id_column + 1 :]:
            if "," not in cell:
                continue
            if re.fullmatch(r"[-+]?\d+,\d+([eE][-+]?\d+)?", cell) and not _COMMA_AND_GROUPS.fullmatch(cell):
                decimal = decimal or cell
            elif re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+\.\d+", cell) or cell.count(",") > 1:
                thousands = thousands or cell
            elif _COMMA_AND_GROUPS.fullmatch(cell):
                unclear = unclear or cell
    if decimal and thousands:
        raise InputError(
            f"{table.path}: commas are used both as decimal separators ({decimal!r}) and as thousands separators "
            f"({thousands!r})"
        )
    if unclear and not decimal and not thousands and table.delimiter != ";":
        raise InputError(
            f"{table.path}: {unclear!r} may be {unclear.replace(',', '')} or {unclear.replace(',', '.')}; expected a "
            "decimal point and no thousands separator"
        )
    return "thousands" if thousands else "decimal" if decimal or unclear else ""


def number_of(text: str, comma: str = "") -> float | None:
    """The number in a cell, with the meaning of commas in `TextTable.comma`; None for text."""
    if comma:
        text = text.replace(",", "." if comma == "decimal" else "")
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def plain(name: str) -> str:
    """The name of a column in lower case, without spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def cell_id(cell: str) -> str:
    """The id in a cell, up to the first white space."""
    return cell.split(maxsplit=1)[0] if cell.strip() else ""


def without_empty_end(cells: Sequence[str]) -> list[str]:
    """The cells up to the last that is not empty, at least one."""
    cells = list(cells)
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def listed(words: Sequence[str]) -> str:
    """The first eight names, for messages."""
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
