"""Code shared by the readers of all formats: the row, the definition of a format, and numbers in cells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from genestill.core.cells import unquoted
from genestill.core.errors import InputError


class LabelRow(NamedTuple):
    """One row of a table: the label of a contig.

    Attributes:
        id: name of the contig, up to the first white space.
        taxids: empty (not assigned, or a format without taxids), one, or several that match equally well.
        lineage: lineage as text, in any spelling that `parse_lineage` reads.
        support: share of the evidence for the label, 0 to 1; None if the format has no support.
        name: name of the taxon, if there is neither a taxid nor a readable lineage.
        scores: score of each rank of ``lineage``, as text; None if the table has no scores.
    """

    id: str
    taxids: tuple[int, ...] = ()
    lineage: str = ""
    support: float | None = None
    name: str = ""
    scores: tuple[str, ...] | None = None


# Reads the cells of one line; returns None for a header, and raises `InputError` for a line of another format.
ReadRow = Callable[[list[str]], LabelRow | None]


@dataclass(frozen=True)
class LabelFormat:
    """One format of label tables.

    Attributes:
        name: its name in ``labels.format`` and ``--format``.
        fits: whether the cells of one line, which may be a header, match this format.
        start: makes the function that reads the rows of one file, in order.
        several: whether several rows of one contig are labels that match equally well (otherwise an error).
        comments: prefixes of lines that are skipped.
        split: cuts a line into cells, see `cells_of`; by default at tabs.
    """

    name: str
    fits: Callable[[list[str]], bool]
    start: Callable[[], ReadRow]
    several: bool = False
    comments: tuple[str, ...] = ()
    split: Callable[[str], list[str]] = lambda line: line.split("\t")

    def cells_of(self, line: str) -> list[str]:
        """The cells of a line, without white space and double quotes around them; at least one."""
        return [unquoted(cell) for cell in self.split(line)] or [""]


def row_by_row(read: ReadRow) -> Callable[[], ReadRow]:
    """``start`` of a format whose rows can be read independently of each other."""
    return lambda: read


def first_word(text: str) -> str:
    """The id of a sequence; raises `InputError` for an empty text."""
    words = text.split(maxsplit=1)
    if not words:
        raise InputError("no contig id")
    return words[0]


def is_number(text: str) -> bool:
    """Whether ``text`` is an integer without a sign."""
    return text.isascii() and text.isdigit()


def taxid_of(text: str) -> tuple[int, ...]:
    """The taxid as a tuple; empty for 0 and 1 (the root). Raises `InputError` for a text that is not a number."""
    if not is_number(text) or len(text) > 10 or int(text) >= 1 << 32:
        raise InputError(f"taxid {text[:40]!r}; expected a whole number below 2^32")
    return (int(text),) if int(text) > 1 else ()


def share(text: str) -> float:
    """Read a share of the evidence; raises `InputError` for anything except a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1.0001:
        raise InputError(f"support {text[:40]!r}; expected a number between 0 and 1")
    return min(value, 1.0)


def require_columns(cells: list[str], least: int, expected: str) -> None:
    """Raise `InputError`, with the ``expected`` columns, for a line with fewer than ``least`` columns."""
    if len(cells) < least:
        raise InputError(f"{len(cells)} columns; expected {expected}")
