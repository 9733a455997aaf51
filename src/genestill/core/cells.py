"""Cells of text tables: numbers, missing values, names; and the count of the records that are left out."""

import math
import re

from genestill.core.errors import InputError
from genestill.core.logs import logger

# Words for "not measured". A column of names may hold them as names: there only the empty cell and dashes are nothing.
_MISSING = frozenset({"", "-", ".", "na", "n/a", "#n/a", "nan", "<na>", "null", "none"})
_NO_NAME = frozenset({"", "-", "."})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GENE_PREFIX = re.compile(r"^gene[-:](?=.)")
_ENSEMBL_VERSION = re.compile(r"(ENS[A-Z]{0,6}G[0-9]{11})\.[0-9]+", re.ASCII)
_WHOLE_WITH_POINT = re.compile(r"(\d+)\.0+", re.ASCII)


def is_missing(cell: str) -> bool:
    """Whether a cell of measurements says that there is none: empty, ``NA``, ``nan``, ``null``, ``-`` and the like."""
    return cell.strip().lower() in _MISSING


def read_number(cell: str) -> float | None:
    """The finite decimal number that a cell spells, or None: ``1,204.3``, ``0,5``, ``>24`` and ``1_000`` are none."""
    cell = cell.strip()
    number = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    return number if math.isfinite(number) else None


def whole_number(cell: str, where: str) -> int:
    """The whole number that a cell spells; ``7157.0``, as spreadsheets and pandas write 7157, is one.

    Raises `InputError`, naming ``where``, for anything else.
    """
    if re.fullmatch(r"[+-]?\d+", cell.strip(), re.ASCII):
        return int(cell)
    number = read_number(cell)
    if number is None or number != int(number):
        raise InputError(f"{where} is {cell[:40]!r}; expected a whole number")
    return int(number)


def read_name(cell: str) -> str:
    """The name in a cell of ids or genes: empty for an empty cell, ``-`` and ``.``; ``7157`` for ``7157.0``.

    ``NA`` and ``nan`` are names (there are such genes), and zeros at the front stay.
    """
    cell = cell.strip()
    if cell in _NO_NAME:
        return ""
    number = _WHOLE_WITH_POINT.fullmatch(cell)
    return number[1] if number else cell


def read_gene(cell: str) -> str:
    """`read_name` of a gene, with the same result for the same gene in every file.

    The prefixes of NCBI and Ensembl (``gene-TP53``, ``gene:ENSG…``) go, and so do Ensembl's versions:
    ``ENSG00000141510.18`` is ``ENSG00000141510``.
    """
    name = _GENE_PREFIX.sub("", read_name(cell))
    versioned = _ENSEMBL_VERSION.match(name)
    return versioned[1] if versioned else name


class LeftOut:
    """Records of one file that are left out, counted by reason; the first three of each reason are kept by name.

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
        """Count the records of ``other`` too."""
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
        """Warn in the log of what is left out.

        Raises `InputError` if that is all, or more than the share ``most`` of ``total`` records.
        """
        if not len(self):
            return
        sentence = f"{where}: {len(self):,} of {total:,} {unit} are left out: {self}"
        if len(self) >= total:
            raise InputError(sentence)
        if len(self) > most * total:
            raise InputError(f"{sentence}. That is more than {most:.0%} of them (most_left_out)")
        logger.warning("%s", sentence)
