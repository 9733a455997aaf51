"""The table of genomes that a community may be made of, as public collections ship it."""

import csv
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.lineage import RANKS, Lineage, depth, fill_gaps, format_lineage, parse_lineage, refuse_two_parents
from genestill.ground.logs import logger


def read_candidates(
    path: str | Path, folder: str | Path | None = None, lineage_column: str | None = None
) -> tuple[list[str], list[Path], list[Lineage]]:
    """Read the table of genomes that a community may be made of.

    Args:
        path: TSV with a column ``file`` and lineages: in ``lineage_column`` if it is named, else in ``lineage``, else
            in seven columns with the names of the ranks (``superkingdom`` or ``domain`` for the first).
        folder: where the files lie; without it, the folder of the table.
        lineage_column: rows that are empty there are left out, and counted in the log.

    Returns:
        For each genome: its entry in ``file``, the path of the file, and its lineage down to the species.

    Raises:
        InputError: a missing column or file, a file listed twice, a lineage that does not reach from domain to
            species, a name with two parents.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    names, paths, lineages, without = [], [], [], 0
    lines: dict[str, int] = {}
    for number, row, columns in _read_rows(path, lineage_column):
        where = f"{path}: line {number}"
        name = row["file"]
        if name in lines:
            raise InputError(f"{where}: the file {name!r} is also in line {lines[name]}; expected one row a genome")
        lines[name] = number
        if lineage_column and not row[lineage_column]:
            without += 1
            continue
        if not name or not (folder / name).is_file():
            raise InputError(f"{where}: no such file: {folder / name}")
        names.append(name)
        paths.append(folder / name)
        lineages.append(_lineage_of(row, columns, where))
    if without:
        logger.info("%s: %d of %d genomes have no %s and are left out", path, without, len(lines), lineage_column)
    if not names:
        raise InputError(f"{path}: holds no genome with a lineage; expected one row a genome")
    refuse_two_parents(lineages, str(path))
    return names, paths, lineages


def _read_rows(path: Path, lineage_column: str | None):
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error})") from None
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [word.strip() for word in next(rows, [])]
    ranks = ["superkingdom" if "superkingdom" in header else "domain", *RANKS[1:]]
    columns = [lineage_column or "lineage"]
    if lineage_column is None and "lineage" not in header and set(ranks) <= set(header):
        columns = ranks
    if missing := [name for name in ("file", *columns) if name not in header]:
        raise InputError(
            f"{path}: line 1 has no column {missing[0]!r}; found {', '.join(header) or 'nothing'}; expected 'file' and "
            "'lineage', or a lineage column that is named, or the seven ranks"
        )
    for number, row in enumerate(rows, 2):
        if not any(entry.strip() for entry in row):
            continue
        if len(row) != len(header):
            raise InputError(f"{path}: line {number} has {len(row)} columns; expected {len(header)}")
        yield number, {name: entry.strip() for name, entry in zip(header, row, strict=True)}, columns


def _lineage_of(row: dict[str, str], columns: list[str], where: str) -> Lineage:
    try:
        lineage = parse_lineage(row[columns[0]]) if len(columns) == 1 else fill_gaps([row[name] for name in columns])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if depth(lineage) < len(RANKS):
        raise InputError(
            f"{where}: the lineage {format_lineage(lineage)!r} has {depth(lineage)} ranks; expected all "
            f"{len(RANKS)} ({', '.join(RANKS)})"
        )
    return lineage
