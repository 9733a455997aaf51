"""Tables of contig labels, in any format of `genestill.core.label_formats.registry`, as columns.

A table of millions of rows is stored as a few numbers per row; repeated lineages and names are stored once.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from genestill.core.cells import read_number
from genestill.core.errors import InputError
from genestill.core.label_formats.registry import LABEL_FORMATS, recognise
from genestill.core.label_formats.row import LabelFormat, LabelRow
from genestill.core.lineage import (
    NO_LINEAGE,
    RANKS,
    Lineage,
    common_lineage,
    parse_lineage,
    require_two_species,
    settle_parents,
)
from genestill.core.logs import logger
from genestill.core.text import text_lines

_LOOKED_AT = 200  # number of lines used to detect the format
_BLOCK = 1 << 16  # number of ids that are collected before they are converted to a column
# Single unreadable rows are left out; with a larger share of them, the table has another format.
_LEFT_OUT_AT_MOST = 0.2


@dataclass(frozen=True)
class LabelTable:
    """The labels of n contigs.

    Attributes:
        ids: n ids, each up to the first white space.
        taxid: int64 [n], 0 for none.
        lineage: int32 [n], index into ``lineages``; 0 for no lineage.
        lineages: the distinct lineages.
        name: int32 [n], index into ``names``; 0 for no name.
        names: the distinct names of taxa, for formats that give only a name.
        support: float32 [n], share of the evidence for the label, 0 to 1; NaN if the table has no support.
        several: row -> all its taxids, for contigs with several that match equally well.
        scores: float32 [n, 7], score of each rank, NaN for none; None if the table has no scores.
        met: counts of rows that were left out, by reason.
    """

    ids: pa.StringArray
    taxid: np.ndarray
    lineage: np.ndarray
    lineages: list[Lineage]
    name: np.ndarray
    names: list[str]
    support: np.ndarray
    several: dict[int, tuple[int, ...]] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.taxid)

    def take(self, rows: np.ndarray, ids: Sequence[str]) -> "LabelTable":
        """The labels of ``ids`` from the rows ``rows`` (int [m]); -1 is a contig without a row: unlabelled."""
        none = rows < 0

        def column(values: np.ndarray, missing) -> np.ndarray:
            taken = (
                values[np.where(none, 0, rows)]
                if len(values)
                else np.zeros((len(rows), *values.shape[1:]), values.dtype)
            )
            return np.where(none if values.ndim == 1 else none[:, None], missing, taken).astype(values.dtype)

        return LabelTable(
            pa.array(ids, pa.string()),
            column(self.taxid, 0),
            column(self.lineage, 0),
            self.lineages,
            column(self.name, 0),
            self.names,
            column(self.support, np.nan),
            {new: self.several[old] for new, old in enumerate(rows.tolist()) if old in self.several},
            self.met,
            None if self.scores is None else column(self.scores, np.nan),
        )


class _Collector:
    """Collects rows into columns."""

    def __init__(self):
        self._blocks: list[pa.Array] = []
        self._ids: list[str] = []
        self._taxid, self._lineage, self._name = array("q"), array("i"), array("i")
        self._support, self._scores = array("f"), array("f")
        self.line = array("q")
        self._lineage_of_text: dict[str, int] = {"": 0}
        self._lineage_of: dict[Lineage, int] = {NO_LINEAGE: 0}
        self._name_of: dict[str, int] = {"": 0}
        self._several: dict[int, tuple[int, ...]] = {}

    def add(self, row: LabelRow, line: int) -> None:
        lineage = self._lineage_of_text.get(row.lineage)
        if lineage is None:
            lineage = self._add_lineage(row.lineage, bool(row.taxids or row.name))
        if len(row.taxids) > 1:
            self._several[len(self.line)] = row.taxids
        self._ids.append(row.id)
        self._taxid.append(row.taxids[0] if row.taxids else 0)
        self._lineage.append(lineage)
        self._name.append(self._name_of.setdefault(row.name, len(self._name_of)))
        self._support.append(np.nan if row.support is None else row.support)
        if row.scores is not None:
            self._scores.extend(_scores(row.scores))
        self.line.append(line)
        if len(self._ids) == _BLOCK:
            self._blocks.append(pa.array(self._ids, pa.string()))
            self._ids = []

    def _add_lineage(self, text: str, says_more: bool) -> int:
        try:
            number = self._lineage_of.setdefault(parse_lineage(text), len(self._lineage_of))
        except InputError:
            if not says_more:
                raise
            number = 0  # the taxid or the name is sufficient
        self._lineage_of_text[text] = number
        return number

    def finish(self) -> LabelTable:
        self._blocks.append(pa.array(self._ids, pa.string()))
        return LabelTable(
            pa.concat_arrays(self._blocks),
            np.asarray(self._taxid, dtype=np.int64),
            np.asarray(self._lineage, dtype=np.int32),
            list(self._lineage_of),
            np.asarray(self._name, dtype=np.int32),
            list(self._name_of),
            np.asarray(self._support, dtype=np.float32),
            self._several,
            scores=np.asarray(self._scores, dtype=np.float32).reshape(-1, len(RANKS)) if self._scores else None,
        )


def _scores(cells: tuple[str, ...]) -> list[float]:
    """Seven numbers; NaN in place of anything except a number between 0 and 1, and everywhere if there are more."""
    numbers = [read_number(cell) for cell in cells] if len(cells) <= len(RANKS) else []
    known = [np.nan if number is None or not 0 <= number <= 1 else number for number in numbers]
    return known + [np.nan] * (len(RANKS) - len(known))


def read_label_table(path: str | Path, form: str = "auto") -> LabelTable:
    """Read a table of labels, compressed or not.

    Args:
        path: the file.
        form: name of its format, or ``auto`` to detect it from the first lines.

    Returns:
        One row per contig, in the order of the file. Unreadable rows, and lineages in which a name has another parent
        than in most rows, are left out, counted and logged.

    Raises:
        InputError: with file and line, for an empty file, an unknown format, more than a fifth of such rows, or a
            contig given twice.
    """
    return collect_labels(text_lines(path), form, str(path))


def collect_labels(lines: Iterable[str], form: str, source: str) -> LabelTable:
    """`read_label_table` for lines in memory; ``source`` is their name in messages."""
    if form != "auto" and form not in LABEL_FORMATS:
        raise InputError(f"{source}: unknown format {form!r}; expected auto, {', '.join(LABEL_FORMATS)}")
    rows = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = list(islice(rows, _LOOKED_AT))
    if not first:
        raise InputError(f"{source}: empty; expected one label per contig")
    chosen = recognise([line for _, line in first], source) if form == "auto" else LABEL_FORMATS[form]
    collector = _Collector()
    odd, why = 0, ""
    read = chosen.start()
    for number, cells in _cells(chain(first, rows), chosen):
        try:
            row = read(cells)
            if row is not None:
                collector.add(row, number)
        except InputError as error:
            why = why or f"{source}: line {number}: {error}"
            odd += 1
    table, line = collector.finish(), np.asarray(collector.line)
    table, against = _settle_parents(table)
    if against:
        contrary = min(against)
        why = why or f"{source}: line {line[contrary]}: {against[contrary]}"
    unused, total = odd + len(against), odd + len(table)
    if unused > _LEFT_OUT_AT_MOST * total:
        raise InputError(why if unused == 1 else f"{why} ({unused} of {total} rows cannot be used)")
    if unused:
        logger.warning("%s; this row and %d more of %d are left out", why, unused - 1, total)
        table.met.update({"label_rows_left_out": odd} if odd else {})
        table.met.update({"label_lineages_left_out": len(against)} if against else {})
    if not len(table):
        raise InputError(f"{source}: has a header but no contigs")
    return _one_row_per_contig(table, line, chosen, source)


def _settle_parents(table: LabelTable) -> tuple[LabelTable, dict[int, str]]:
    """The table with one parent for each name (`settle_parents`), and its rows whose lineage is left out, with reasons.

    These rows remain, without a lineage: their taxid or name may be sufficient.
    """
    weights = np.bincount(table.lineage, minlength=len(table.lineages)).tolist()
    lineages, sentences = settle_parents(table.lineages, weights)
    number_of = {NO_LINEAGE: 0}
    numbers = [
        0 if place in sentences else number_of.setdefault(lineage, len(number_of))
        for place, lineage in enumerate(lineages)
    ]
    rows = np.flatnonzero(np.isin(table.lineage, list(sentences)))
    against = {row: sentences[int(table.lineage[row])] for row in rows.tolist()}
    settled = np.array(numbers, dtype=np.int32)[table.lineage]
    return replace(table, lineage=settled, lineages=list(number_of)), against


def _cells(rows: Iterable[tuple[int, str]], form: LabelFormat) -> Iterator[tuple[int, list[str]]]:
    for number, line in rows:
        cells = form.cells_of(line)
        if not (form.comments and cells[0].startswith(form.comments)):
            yield number, cells


def _one_row_per_contig(table: LabelTable, line: np.ndarray, form: LabelFormat, source: str) -> LabelTable:
    """Join the rows of one contig, or refuse them; identical labels are joined in every format."""
    if pc.count_distinct(table.ids).as_py() == len(table):
        return table
    ids = table.ids.to_pandas()
    repeated = ids.duplicated(keep="first").to_numpy()
    first_of = pd.Series(np.arange(len(ids)), index=ids.to_numpy())[~repeated]
    several = {row: list(taxids) for row, taxids in table.several.items()}
    for row in np.flatnonzero(repeated).tolist():
        first = int(first_of[ids[row]])
        same = all(values[row] == values[first] for values in (table.taxid, table.lineage, table.name))
        if not form.several and not same:
            raise InputError(f"{source}: line {line[row]}: the contig {ids[row]!r} is also in line {line[first]}")
        if form.several and not table.taxid[row] and not table.taxid[first]:
            shared = common_lineage([table.lineages[table.lineage[first]], table.lineages[table.lineage[row]]])
            table.lineages.append(shared)
            table.lineage[first] = len(table.lineages) - 1
        elif form.several and table.taxid[row]:
            taxids = several.setdefault(first, [int(table.taxid[first])] if table.taxid[first] else [])
            taxids += table.several.get(row, (int(table.taxid[row]),))
            table.taxid[first] = taxids[0]
    joined = table.take(np.flatnonzero(~repeated), ids[~repeated].tolist())
    together = {row: tuple(dict.fromkeys(taxids)) for row, taxids in several.items()}
    number_of = np.cumsum(~repeated) - 1
    joined.several.clear()
    joined.several.update({int(number_of[row]): taxids for row, taxids in together.items() if len(taxids) > 1})
    return joined


def join_labels(table: LabelTable, ids: Sequence[str], all_ids: Iterable[str], source: str) -> tuple[LabelTable, dict]:
    """Put labels in the order of ``ids``; contigs without a row are unlabelled, because MMseqs2 does not list these.

    Args:
        table: from `read_label_table`.
        ids: the contigs of the index.
        all_ids: all contigs of the FASTA file.
        source: the file, for messages.

    Returns:
        One label per contig, and counts: rows without a contig, contigs without a row, rows that were left out.

    Raises:
        InputError: no row belongs to a contig, or the labels contain fewer than two species or taxids.
    """
    known = pc.is_in(table.ids, value_set=pa.array(all_ids, pa.string())).to_numpy(zero_copy_only=False)
    if not known.any():
        raise InputError(
            f"{source}: none of its {len(table)} contigs (first: {table.ids[0].as_py()!r}) is in the FASTA file "
            f"(first: {ids[0]!r}); does the table belong to other contigs?"
        )
    found = pc.index_in(pa.array(ids, pa.string()), value_set=table.ids)
    rows = pc.fill_null(found, -1).to_numpy()
    joined = table.take(rows, ids)
    counts = {"rows_of_no_contig": int((~known).sum()), "contigs_without_row": int((rows < 0).sum()), **table.met}
    species = np.array([lineage[-1] is not None for lineage in table.lineages])[joined.lineage]
    told_apart = set(joined.taxid[joined.taxid > 0].tolist()) | {(code,) for code in set(joined.name.tolist()) - {0}}
    told_apart |= {(code, "") for code in set(joined.lineage[species & (joined.taxid == 0)].tolist())}
    require_two_species(len(told_apart), source, f"the labels of {len(ids)} contigs")
    return joined, counts
