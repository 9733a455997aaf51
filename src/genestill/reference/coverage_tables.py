"""Coverage tables of contigs from common programs: detecting the columns with depths, and their samples.

Formats known by their headers: MetaBAT (``jgi_summarize_bam_contig_depths``), ``samtools coverage``, mosdepth, CoverM,
BBMap, VAMB, strobealign, Flye, Salmon and kallisto; without a header: strobealign ``--aemb``, ``samtools idxstats``,
intervals that cover the contigs (mosdepth ``regions.bed``, bedGraph). Text exports of spreadsheets may have semicolons
or commas between the columns, quotes, and decimal commas.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.novelty import PRESENT_DEPTH
from genestill.reference.coverage_words import (
    COUNTS,
    DEPTHS,
    LENGTHS,
    NO_DEPTHS,
    NO_DEPTHS_BESIDE_DEPTHS,
    RELATIVE,
    name_of_file,
    sample_and_measure,
    sample_name,
)
from genestill.reference.text_tables import TextTable, cell_id, listed, number_of, open_table, plain

# Sets of columns that only one program writes; the first match gives the name of the format in the log.
_PROGRAMS = {
    "a depth table of MetaBAT (jgi_summarize_bam_contig_depths)": {"contigname", "contiglen", "totalavgdepth"},
    "samtools coverage": {"rname", "covbases", "meandepth"},
    "a summary of mosdepth": {"chrom", "length", "bases", "mean", "min", "max"},
    "covstats of BBMap": {"id", "avgfold", "coveredbases"},
    "rpkm of BBMap": {"name", "length", "bases", "coverage", "rpkm"},
    "assembly_info of Flye": {"seqname", "length", "cov", "circ"},
    "quant.sf of Salmon": {"name", "length", "effectivelength", "tpm"},
    "an abundance table of kallisto": {"targetid", "length", "efflength", "tpm"},
}

# Column -> its numbers, one per row.
Values = dict[int, np.ndarray]


@dataclass
class _Choice:
    """The selected columns with the names of their samples, and the columns that are left out, with the reason.

    ``measure`` is the word of `DEPTHS` or `COUNTS` in the names of the selected columns; empty if there is none.
    """

    form: str
    taken: dict[int, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    length_column: int | None = None
    counts: bool = False
    measure: str = ""


def read_abundance_tables(paths: Sequence[str | Path], lengths: dict[str, int]) -> dict[str | Path, pd.DataFrame]:
    """`read_abundance_table` for several files; samples without a name are named after their file."""
    twice = next((path for path in paths if list(paths).count(path) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: is given twice")
    return {path: read_abundance_table(path, lengths, named_by_file=len(paths) > 1) for path in paths}


def read_abundance_table(
    path: str | Path, lengths: dict[str, int] | None = None, named_by_file: bool = False
) -> pd.DataFrame:
    """Read a table of abundances: one row per contig, the depths of one or more samples in its columns.

    Lengths, totals, variances and covered bases are left out; they are recognised by the name of the column or by its
    numbers (equal to ``lengths``, or to the sum of all other columns). If a table has no depths, numbers of reads are
    converted to reads per 100 bp. The log names the detected format and the selected columns. The rows may be in any
    order.

    Args:
        path: the table, compressed or not; columns separated by tabs, semicolons or commas.
        lengths: contig id -> base pairs in the FASTA file; other contigs of the table are read as well.
        named_by_file: whether samples of a table without a header are named after the file.

    Returns:
        float32 data frame; index: contig ids (up to the first white space), columns: names of the samples.

    Raises:
        InputError: with file, line and column, for text, NaN, infinite or negative values, a row with another
            number of columns, a contig or a sample given twice, an empty table, lengths of other contigs, and a table
            in which the columns with depths cannot be determined.
    """
    lengths = lengths or {}
    table = open_table(Path(path), lengths)
    if table.header is not None and {"sample", "contig"} <= {plain(cell) for cell in table.header[:2]}:
        return _read_long(table)
    choice = _choose_by_name(table, name_of_file(table.path) if named_by_file else "sample")
    numbers, ids, values = _read_numbers(table, choice, repeated=table.header is None)
    if table.header is None:
        ids, values, choice = _choose_by_form(table, numbers, ids, values, choice, lengths)
    _leave_out_by_values(table, choice, ids, values, lengths)
    if choice.length_column is not None:
        _refuse_other_lengths(table, choice.length_column, ids, values, lengths)
    if not choice.taken:
        raise InputError(f"{path}: no column of depths; its columns are {listed(_reasons(choice))}")
    samples = list(choice.taken.values())
    if len(set(samples)) != len(samples) or not all(samples):
        raise InputError(f"{path}: line {table.header_line} has the samples {listed(samples)}; expected distinct names")
    depths = np.stack([values[column] for column in choice.taken], axis=1)
    if choice.counts:
        # The depth for reads of 100 bp; the scale matters because models use log(depth + 0.1).
        depths = 100 * depths / _lengths_of(table, choice, ids, values, lengths)[:, None]
    _log(table, choice)
    found = pd.DataFrame(depths.astype(np.float32), index=pd.Index(ids, name="id"), columns=samples)
    _warn_if_relative(table, choice, listed([table.name_of(column) for column in choice.taken]), found)
    return found


def _choose_by_name(table: TextTable, sample: str) -> _Choice:
    """Divide the columns of a header into depths and others. Without a header all are candidates, named ``sample``."""
    if table.header is None:
        names = [sample] if table.width == 2 else [f"{sample}_{column}" for column in range(1, table.width)]
        return _Choice("a table without a header", dict(enumerate(names, 1)))
    names = [plain(cell) for cell in table.header]
    choice = _Choice(next((form for form, words in _PROGRAMS.items() if words <= set(names)), "a table with a header"))
    bare, suffixed, free = {}, {}, {}
    for column, (cell, name) in enumerate(zip(table.header, names, strict=True)):
        if column <= table.id_column:
            continue
        if name == "coverage" and "covbases" in names:  # in samtools, this is the share of covered bases
            name = "coveredpercent"
        beside = NO_DEPTHS_BESIDE_DEPTHS if {*names} & {*DEPTHS, *COUNTS} else {}
        if name in NO_DEPTHS or name in beside:
            choice.left_out[cell] = (NO_DEPTHS | beside)[name]
            if choice.length_column is None and name in LENGTHS:
                choice.length_column = column
        elif name in DEPTHS or name in COUNTS:
            bare[column] = name
        elif (parts := sample_and_measure(cell)) is not None:
            suffixed[column] = parts
        else:
            free[column] = cell
    _choose_suffixed(table, choice, suffixed, free)
    if bare and not free:
        best = min(bare, key=lambda column: (DEPTHS + COUNTS).index(bare[column]))
        free[best] = name_of_file(table.path)
        choice.measure = bare.pop(best)
        choice.counts = choice.measure in COUNTS
        choice.left_out |= {table.header[column]: "another measure" for column in bare}
    elif bare:
        unclear = next(iter(bare))
        raise InputError(
            f"{table.path}: line {table.header_line}: the column {table.header[unclear]!r} may be a sample, or the sum "
            f"of the samples {listed([table.header[column] for column in free])}; remove it, or rename it"
        )
    choice.taken = {
        column: sample_name(free[column]).removeprefix("cov_mean_sample_")  # CONCOCT
        for column in sorted(free)
    }
    return choice


def _choose_suffixed(
    table: TextTable, choice: _Choice, suffixed: dict[int, tuple[str, str]], free: dict[int, str]
) -> None:
    """Columns such as ``lake Mean`` and ``lake.bam-var``: the best measure of each sample is added to ``free``."""
    alone = set(free.values())
    by_sample: dict[str, list[str]] = {}
    for sample, measure in suffixed.values():
        by_sample.setdefault(sample, []).append(measure)
    # CoverM writes a space before the measure; in other files, "deep_depth" may be the name of a sample.
    header = table.header or [""]
    coverm = plain(header[0]) == "contig" and any(header[column].rpartition(" ")[1] for column in suffixed)
    metabat = choice.form.startswith("a depth table of MetaBAT")
    measures = {measure for _, measure in suffixed.values() if measure not in NO_DEPTHS}
    best = min(measures, key=(DEPTHS + COUNTS).index, default=None)
    choice.measure = best or ""
    for column, (sample, measure) in suffixed.items():
        name = header[column]
        if measure in NO_DEPTHS:
            beside = sample in alone or any(other not in NO_DEPTHS for other in by_sample[sample])
            if beside or coverm or metabat:
                choice.left_out[name] = NO_DEPTHS[measure]
            elif name.lower().endswith("-var"):
                raise InputError(
                    f"{table.path}: line {table.header_line}: {name!r} looks like the variance of a sample that has no "
                    "column of depths; remove it, or rename it"
                )
            else:
                free[column] = name
        elif measure != best and (coverm or best in by_sample[sample]):
            choice.left_out[name] = "another measure"
        elif coverm:
            free[column] = sample_name(sample, of_file=True)
        else:
            free[column] = sample if len(by_sample[sample]) > 1 else name
    if coverm:
        choice.form = f"a table of CoverM ({best})" if best else "a table of CoverM"
        choice.counts = best in COUNTS


def _read_numbers(table: TextTable, choice: _Choice, repeated: bool) -> tuple[list[int], list[str], Values]:
    """(line numbers, ids, column -> values) for the selected columns and the lengths.

    If ``repeated``, an id may occur several times (intervals of a contig), and columns of text are left out.
    """
    header, width = table.header, table.width
    columns = sorted({*choice.taken, *(() if choice.length_column is None else (choice.length_column,))})
    names = [header[column] if header is not None else choice.taken[column] for column in columns]
    # There may be a name of the interval between its end and its depth.
    text = 3 if header is None and width == 5 and number_of(table.cells(table.lines[0][1])[3]) is None else None
    lines = []
    ids: list[str] = []
    values = np.full((len(columns), len(table.lines)), np.nan)
    first: dict[str, int] = {}
    regions = choice.form == "a summary of mosdepth"
    for number, cells in table.rows():
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        name = cell_id(cells[table.id_column]) if len(cells) > table.id_column else ""
        if name == "*":  # reads without a contig
            continue
        if regions and (name in ("total", "total_region") or (name.endswith("_region") and name[:-7] in first)):
            continue
        if len(cells) != width:
            raise InputError(f"{table.path}: line {number} has {len(cells)} columns; expected {width}")
        if not name:
            raise InputError(f"{table.path}: line {number} has no contig id in column {table.id_column + 1}")
        if name in first and not repeated:
            raise InputError(f"{table.path}: line {number}: the contig {name!r} is also in line {first[name]}")
        first.setdefault(name, number)
        for place, column in enumerate(columns):
            if column == text:
                continue
            entry = cells[column]
            value = number_of(entry, table.comma)
            if value is None or not 0 <= value <= np.finfo(np.float32).max:
                raise InputError(
                    f"{table.path}: line {number}, column {column + 1} ({names[place]}): {entry[:40]!r} for contig "
                    f"{name!r}; expected a finite number of 0 or more"
                )
            values[place, len(ids)] = value
        lines.append(number)
        ids.append(name)
    if not ids:
        raise InputError(f"{table.path}: contains no contigs")
    found = {column: values[place, : len(ids)] for place, column in enumerate(columns) if column != text}
    return lines, ids, found


def _choose_by_form(
    table: TextTable, numbers: list[int], ids: list[str], values: Values, choice: _Choice, lengths: dict[str, int]
) -> tuple[list[str], Values, _Choice]:
    """Recognise a table without a header by its numbers; returns (ids, values, choice), one row per contig."""
    known = np.array([name in lengths for name in ids])
    size = np.array([lengths.get(name, 0) for name in ids])
    width = table.width

    def equal(column: int, expected: np.ndarray | int) -> bool:
        return column in values and bool(known.any()) and bool((values[column] == expected)[known].all())

    whole = {column: not (found % 1).any() for column, found in values.items()}
    # idxstats has a separate row for reads without a contig.
    unplaced = any(line.startswith("*") for _, line in table.lines)
    if width == 4 and (equal(1, size) or unplaced) and whole[1] and whole[2] and whole[3]:
        choice = _Choice(
            "samtools idxstats", {2: name_of_file(table.path)}, {"column 2": "length", "column 4": "unmapped reads"}
        )
        choice.length_column, choice.counts = 1, True
    elif width == 9 and equal(1, 1) and equal(2, size):
        left = {f"column {column + 1}": "no depth" for column in range(1, 9) if column != 6}
        choice = _Choice("samtools coverage without its header", {6: name_of_file(table.path)}, left, length_column=2)
    elif width >= 4 and known.any() and whole[1] and whole.get(2) and _are_intervals(ids, values, known, size):
        return _join_intervals(table, ids, values, lengths)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if first.setdefault(name, row) != row:
            by_base = values[1][row] == values[1][first[name]] + 1
            hint = "; one row per base? Expected one row per contig (samtools coverage, mosdepth)" if by_base else ""
            raise InputError(
                f"{table.path}: line {numbers[row]}: the contig {name!r} is also in line {numbers[first[name]]}{hint}"
            )
    return ids, values, choice


def _are_intervals(ids: list[str], values: Values, known: np.ndarray, size: np.ndarray) -> bool:
    """Whether columns 2 and 3 are starts and ends of intervals on the contigs, each contig starting at 0."""
    start, stop = values[1], values[2]
    inside = ((start < stop) & (stop <= size))[known]
    first = np.array([row == 0 or ids[row - 1] != name for row, name in enumerate(ids)])
    return bool(inside.all() and (start[first & known] == 0).all())


def _join_intervals(
    table: TextTable, ids: list[str], values: Values, lengths: dict[str, int]
) -> tuple[list[str], Values, _Choice]:
    """The mean depth of each contig over its intervals, weighted by their lengths."""
    span = values[2] - values[1]
    frame = pd.DataFrame({"id": ids, "span": span})
    samples = [column for column in values if column > 2]
    if not samples:
        raise InputError(f"{table.path}: intervals without a column of depths")
    for column in samples:
        frame[column] = values[column] * span
    joined = frame.groupby("id", sort=False).sum()
    short = [name for name, covered in joined["span"].items() if name in lengths and covered != lengths[name]]
    if short:
        raise InputError(
            f"{table.path}: looks like intervals (start, end, depth), but those of {short[0]!r} cover "
            f"{joined['span'][short[0]]:.0f} of its {lengths[short[0]]} bp; expected intervals that cover each contig "
            "once (mosdepth --by 500, bedtools genomecov -bga), or a header that begins with contigname"
        )
    if len(joined) == len(ids) and all("." not in table.cells(line)[table.width - 1] for _, line in table.lines):
        raise InputError(
            f"{table.path}: one interval per contig with whole numbers: sums (samtools bedcov) or mean depths? "
            "Expected mean depths; add a header that begins with contigname, and remove the columns of start and end"
        )
    names = [name_of_file(table.path)] if len(samples) == 1 else [f"sample_{n}" for n in range(1, len(samples) + 1)]
    choice = _Choice(
        "intervals (mosdepth, bedGraph), their mean over each contig",
        dict(zip(samples, names, strict=True)),
        {"column 2": "start", "column 3": "end"},
    )
    means = {column: (joined[column] / joined["span"]).to_numpy() for column in samples}
    return joined.index.tolist(), means, choice


def _leave_out_by_values(
    table: TextTable, choice: _Choice, ids: list[str], values: Values, lengths: dict[str, int]
) -> None:
    """Leave out columns that are equal to the lengths of the contigs, or to the sum of all other columns."""
    known = [row for row, name in enumerate(ids) if name in lengths]
    size = np.array([lengths[ids[row]] for row in known])

    def say(column: int, what: str) -> None:
        logger.warning("%s: %s is left out: its numbers are %s", table.path, table.name_of(column), what)
        choice.left_out[table.name_of(column)] = what
        del choice.taken[column]

    equal = []
    for column in choice.taken if known else ():
        same = values[column][known] == size
        if same.all():
            equal.append(column)
        elif 2 * same.sum() > len(known):
            other = known[int(np.argmin(same))]
            raise InputError(
                f"{table.path}: {table.name_of(column)} contains the lengths of most contigs, but "
                f"{values[column][other]:g} for {ids[other]!r}, which has {lengths[ids[other]]} bp in the FASTA file; "
                "does the table belong to other contigs?"
            )
    for column in equal:
        say(column, "the lengths of the contigs")
        if column - 1 in choice.taken and plain(table.name_of(column - 1)) == "start":
            say(column - 1, "the starts on the contigs")
    if table.header is None and equal == [1] and len(choice.taken) > 1:
        _recognise_metabat(table, choice, values)
        return
    _refuse_covered_bases(table, choice, values, known, size)
    columns = [column for column in choice.taken if values[column].any()]
    if len(columns) > 2 and len(ids) > 2 and choice.form.startswith("a table with"):
        together = sum(values[column] for column in columns)
        for column in columns:
            rest = together - values[column]
            # Of the columns that are not all 0, or of all columns.
            for number in (1, len(columns) - 1, len(choice.taken) - 1):
                if np.allclose(values[column] * number, rest, rtol=1e-4, atol=1e-6):
                    say(column, "the sums of all other columns" if number == 1 else "the means of all other columns")
                    return


def _refuse_covered_bases(
    table: TextTable, choice: _Choice, values: Values, known: list[int], size: np.ndarray
) -> None:
    """Refuse integers close to the lengths of the contigs beside columns of fractions, and starts that are all 1."""
    whole = [column for column in choice.taken if not (values[column] % 1).any()]
    if not choice.form.startswith("a table with") or not known or len(whole) == len(choice.taken):
        return
    for column in whole:
        found = values[column][known]
        near = (found <= size).all() and found.max() > 100 and np.median(found / size) > 0.2
        starts = table.header is None and len(known) > 2 and (values[column] == 1).all()
        if near or starts:
            what = "positions" if starts else "covered bases"
            others = [table.name_of(other) for other in choice.taken if other != column]
            raise InputError(
                f"{table.path}: {table.name_of(column)} contains whole numbers that may be {what}, but there are "
                "fractions in "
                f"{listed(others)}; remove columns that are not depths"
            )


def _recognise_metabat(table: TextTable, choice: _Choice, values: Values) -> None:
    """Columns after the lengths in a table without a header: total and depths of MetaBAT, or ambiguous."""
    total, *rest = choice.taken
    for samples in (rest[::2] if len(rest) % 2 == 0 else [], rest):
        if samples and np.allclose(values[total], sum(values[column] for column in samples), rtol=1e-3, atol=1e-3):
            choice.form = "a depth table of MetaBAT without its header"
            choice.left_out |= {f"column {c + 1}": "total or variance" for c in choice.taken if c not in samples}
            choice.taken = {column: f"sample_{n}" for n, column in enumerate(samples, 1)}
            return
    raise InputError(
        f"{table.path}: column 2 contains the lengths of the contigs; without a header, it is not clear which of the "
        "next "
        f"columns are depths, and {listed([f'column {c + 1}' for c in choice.taken])} would be read as samples: add "
        "a header (contigname, then the names of the samples), and remove columns that are not depths"
    )


def _refuse_other_lengths(
    table: TextTable, column: int, ids: list[str], values: Values, lengths: dict[str, int]
) -> None:
    for name, length in zip(ids, values[column], strict=True):
        if name in lengths and abs(length - lengths[name]) > 1e-4 * lengths[name]:
            raise InputError(
                f"{table.path}: the contig {name!r} has {length:g} bp; {lengths[name]} bp in the FASTA file; does the "
                "table belong to other contigs?"
            )


def _lengths_of(
    table: TextTable, choice: _Choice, ids: list[str], values: Values, lengths: dict[str, int]
) -> np.ndarray:
    if choice.length_column is not None:
        found = values[choice.length_column]
    else:
        found = np.array([lengths.get(name, 1) for name in ids], dtype=float)
    return np.where(found > 0, found, 1)


def _read_long(table: TextTable) -> pd.DataFrame:
    """The sparse format of CoverM: one row per sample and contig."""
    header = table.header or []
    names = [plain(cell) for cell in header]
    measures = {name: column for column, name in enumerate(names) if name in DEPTHS}
    if not measures:
        raise InputError(f"{table.path}: no column of depths; its columns are {listed(header)}")
    column = measures[min(measures, key=DEPTHS.index)]
    choice = _Choice(f"a table with one row per sample and contig ({header[column]})", measure=names[column])
    cells: dict[str, dict[str, float]] = {}
    where = [names.index("sample"), names.index("contig")]
    for number, row in table.rows():
        if len(row) < len(names):
            raise InputError(f"{table.path}: line {number} has {len(row)} columns; expected {len(names)}")
        sample, contig = sample_name(row[where[0]]), cell_id(row[where[1]])
        value = number_of(row[column], table.comma)
        if not sample or not contig or contig in cells.get(sample, {}):
            raise InputError(f"{table.path}: line {number}: expected a sample and a contig that no other line has")
        if value is None or not 0 <= value <= np.finfo(np.float32).max:
            raise InputError(
                f"{table.path}: line {number}, column {column + 1}: {row[column][:40]!r}; expected a finite number "
                "of 0 or more"
            )
        cells.setdefault(sample, {})[contig] = value
    depths = pd.DataFrame(cells)
    depths.index.name = "id"
    if depths.isna().any(axis=None):
        sample = next(sample for sample in depths if depths[sample].isna().any())
        raise InputError(f"{table.path}: no row for {depths.index[depths[sample].isna()][0]!r} in sample {sample!r}")
    choice.taken = dict(enumerate(depths))
    logger.info("%s: read as %s; samples %s", table.path, choice.form, listed(list(depths)))
    _warn_if_relative(table, choice, header[column], depths)
    return depths.astype(np.float32)


def _warn_if_relative(table: TextTable, choice: _Choice, columns: str, depths: pd.DataFrame) -> None:
    """Warn if the selected columns are relative by their names or, if their names say nothing, by their values."""
    small = [sample for sample in depths if 0 < depths[sample].max() < PRESENT_DEPTH]
    if choice.measure in RELATIVE:
        what = f"{columns}: relative values ({choice.measure})"
    elif small and choice.measure in ("", "abundance"):
        what = f"{listed(small)}: all values are below {PRESENT_DEPTH:g}, as relative abundances are"
    else:
        return
    logger.warning(
        "%s: %s; they are read as depths, and a contig counts as present in a sample if its depth is at least %g, so "
        "the shares of bases in single samples are wrong: give mean depths",
        table.path,
        what,
        PRESENT_DEPTH,
    )


def _log(table: TextTable, choice: _Choice) -> None:
    taken = []
    for column, sample in choice.taken.items():
        name = table.name_of(column)
        taken.append(sample if name == sample else f"{sample} ({name})")
    count = "; reads per 100 bp" if choice.counts else ""
    left = f"; left out: {listed(_reasons(choice))}" if choice.left_out else ""
    # For a table of an unknown program, columns were left out by a guess, so this is a warning.
    level = logging.WARNING if choice.left_out and choice.form.startswith("a table with") else logging.INFO
    logger.log(level, "%s: read as %s; samples %s%s%s", table.path, choice.form, listed(taken), count, left)


def _reasons(choice: _Choice) -> list[str]:
    return [f"{name} ({what})" for name, what in choice.left_out.items()]
