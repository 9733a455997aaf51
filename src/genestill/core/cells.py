"""Parsing cells of text tables: numbers, missing values, names; counting the records that are left out."""

import math
import re

from genestill.core.errors import InputError
from genestill.core.logs import logger

# Words for "not measured". In a column of names they can be names: only empty cells and dashes are missing there.
_MISSING = frozenset({"", "-", ".", "na", "n/a", "#n/a", "nan", "<na>", "null", "none"})
_NO_NAME = frozenset({"", "-", "."})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GENE_PREFIX = re.compile(r"^gene[-:](?=.)")
_ENSEMBL_VERSION = re.compile(r"(ENS[A-Z]{0,6}G[0-9]{11})\.[0-9]+", re.ASCII)
_WHOLE_WITH_POINT = re.compile(r"(\d+)\.0+", re.ASCII)


def is_missing(cell: str) -> bool:
    """Whether a cell of a numeric column is missing: empty, ``NA``, ``nan``, ``null``, ``-`` or similar."""
    return cell.strip().lower() in _MISSING


def read_number(cell: str) -> float | None:
    """Read a finite decimal number; None for anything else, such as ``1,204.3``, ``0,5``, ``>24`` and ``1_000``."""
    cell = cell.strip()
    number = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    return number if math.isfinite(number) else None


def whole_number(cell: str, where: str) -> int:
    """Read an integer; ``7157.0``, as spreadsheets and pandas write 7157, is accepted.

    Raises `InputError`, naming ``where``, for anything else.
    """
    if re.fullmatch(r"[+-]?\d+", cell.strip(), re.ASCII):
        return int(cell)
    number = read_number(cell)
    if number is None or number != int(number):
        raise InputError(f"{where} is {cell[:40]!r}; expected a whole number")
    return int(number)


def unquoted(cell: str) -> str:
    """A cell without white space around it and without the double quotes that spreadsheets and R add."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        cell = cell[1:-1].replace('""', '"').strip()
    return cell


def read_name(cell: str) -> str:
    """Read a cell of ids or genes: an empty cell, ``-`` and ``.`` give an empty name, ``7157.0`` gives ``7157``.

    ``NA`` and ``nan`` are names (there are genes with these names), and leading zeros are kept.
    """
    cell = cell.strip()
    if cell in _NO_NAME:
        return ""
    number = _WHOLE_WITH_POINT.fullmatch(cell)
    return number[1] if number else cell


def read_gene(cell: str) -> str:
    """Read a gene with `read_name`, so that a gene has the same name in every file.

    Prefixes of NCBI and Ensembl (``gene-TP53``, ``gene:ENSG…``) and version numbers of Ensembl are removed:
    ``ENSG00000141510.18`` becomes ``ENSG00000141510``.
    """
    name = _GENE_PREFIX.sub("", read_name(cell))
    versioned = _ENSEMBL_VERSION.match(name)
    return versioned[1] if versioned else name


class LeftOut:
    """Records of one file that are left out, counted by reason, with the names of the first three per reason.

    Attributes:
        counts: reason -> number of records.
        examples: reason -> names of the first three.
    """

    def __init__(self):
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one record."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self.examples.setdefault(reason, [])
        if len(named) < 3:
            named.append(name)

    def update(self, other: "LeftOut") -> None:
        """Add the records of ``other``."""
        for reason, count in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            self.examples[reason] = [*self.examples.get(reason, []), *other.examples[reason]][:3]

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        words = []
        for reason, count in self.counts.items():
            names = ", ".join(self.examples[reason])
            words.append(f"{count} {reason} ({names}{', …' if count > len(self.examples[reason]) else ''})")
        return "; ".join(words)

    def report(self, where: str, total: int, unit: str, most: float = 1.0) -> None:
        """Log a warning about the records that were left out.

        Args:
            where: the file, for the message.
            total: number of all records.
            unit: what a record is, in the plural, for the message.
            most: largest accepted share of records that are left out.

        Raises `InputError` if all records, or more than the share ``most`` of them, were left out.
        """
        if not len(self):
            return
        sentence = f"{where}: {len(self):,} of {total:,} {unit} are left out: {self}"
        if len(self) >= total:
            raise InputError(sentence)
        if len(self) > most * total:
            raise InputError(f"{sentence}. At most {most:.0%} may be left out (setting most_left_out)")
        logger.warning("%s", sentence)
