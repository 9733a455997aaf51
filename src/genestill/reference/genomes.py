"""The table of genomes: files and lineages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from genestill.core.cells import is_missing, whole_number
from genestill.core.errors import InputError
from genestill.core.lineage import (
    RANKS,
    Lineage,
    depth,
    format_lineage,
    is_named,
    lineage_of_ranks,
    name_gaps,
    parse_lineage,
    refuse_two_parents,
)
from genestill.core.logs import logger
from genestill.core.sequences import genome_name
from genestill.core.tables import read_tsv
from genestill.core.taxonomy_folder import parse_taxid

# The genetic codes of NCBI that Pyrodigal supports.
TRANSLATION_TABLES = frozenset({*range(1, 7), *range(9, 17), *range(21, 27), 29, 30, 32, 33})


@dataclass(frozen=True)
class Genome:
    """One row of the table.

    Attributes:
        name: the file name without FASTA suffixes.
        file: the file as written in the table.
        path: the path of the file.
        lineage: empty if the table has only a taxid.
        taxid: None if the table has only a lineage.
        source: the table.
        translation_table: genetic code of its genes; None if not given.
    """

    name: str
    file: str
    path: Path
    lineage: Lineage
    taxid: int | None
    source: str
    translation_table: int | None = None


def read_tables_of_genomes(paths: Iterable[str | Path], folder: str | Path | None = None) -> list[Genome]:
    """`read_genomes` of several tables, in order; raises `InputError` for a name that is in two tables."""
    found: list[Genome] = []
    table_of: dict[str, str | Path] = {}
    for path in paths:
        for genome in read_genomes(path, folder):
            if genome.name in table_of:
                raise InputError(f"{path}: the genome {genome.name!r} is also in {table_of[genome.name]}")
            table_of[genome.name] = path
            found.append(genome)
    return found


def read_genomes(
    path: str | Path,
    folder: str | Path | None = None,
    lineage_column: str | None = None,
    to_species: bool = False,
    with_files: bool = True,
) -> list[Genome]:
    """Read a TSV with a column ``file`` and lineages or a column ``taxid`` (or both).

    Args:
        path: the table. Lineages (``d__…;p__…`` or plain ``Bacteria;…``) are in ``lineage_column`` if given, else in
            ``lineage``, else in seven columns with the names of the ranks (``domain``, ``superkingdom`` or
            ``kingdom`` for the first). A column ``translation_table`` may give genetic codes (numbers of NCBI).
        folder: folder of the files; None for the folder of the table.
        lineage_column: rows in which it is empty are left out and counted in the log.
        to_species: whether every lineage must reach from domain to species.
        with_files: whether the files must exist.

    Returns:
        The genomes, in the order of the table.

    Raises:
        InputError: with the line, for a missing column or file, a file or name given twice, a lineage with the
            wrong number of ranks, a taxid or a translation table that is not a number, and a name with two parents.
    """
    path = Path(path)
    folder = Path(folder) if folder is not None else path.parent
    genomes: list[Genome] = []
    line_of: dict[str, int] = {}
    without = 0
    for number, row, columns in _read_rows(path, lineage_column):
        where = f"{path}: line {number}"
        file = row["file"]
        name = genome_name(file)
        if not name or "|" in name or len(name.split()) != 1:
            raise InputError(f"{where}: file {file!r}; expected a file name without white space and '|'")
        if name in line_of:
            raise InputError(f"{where}: the genome {name!r} is also in line {line_of[name]}; names must be unique")
        line_of[name] = number
        if lineage_column and not is_named(row[lineage_column]):
            without += 1
            continue
        if with_files and not (folder / file).is_file():
            raise InputError(f"{where}: no such file: {folder / file}")
        lineage = _lineage_of([row[column] for column in columns], to_species, where)
        taxid = parse_taxid(row["taxid"], where) if row.get("taxid") else None
        if depth(lineage) == 0 and taxid is None:
            raise InputError(f"{where}: the genome {name!r} has neither lineage nor taxid")
        code = _translation_table_of(row.get("translation_table", ""), where)
        genomes.append(Genome(name, file, folder / file, lineage, taxid, str(path), code))
    if without:
        logger.info("%s: %d of %d genomes have no %s and are left out", path, without, len(line_of), lineage_column)
    if not genomes:
        raise InputError(f"{path}: contains no genomes; expected a header 'file<TAB>lineage' and one row per genome")
    lineages = name_gaps([genome.lineage for genome in genomes])
    refuse_two_parents(lineages, str(path))
    return [replace(genome, lineage=lineage) for genome, lineage in zip(genomes, lineages, strict=True)]


def _read_rows(path: Path, lineage_column: str | None) -> Iterator[tuple[int, dict[str, str], list[str]]]:
    """Yield (line, cell of each column, columns of the lineage)."""
    table = read_tsv(path)
    header = list(table.columns)
    top = next((word for word in ("domain", "superkingdom", "kingdom") if word in header), "domain")
    ranks = [top, *RANKS[1:]]
    for other in ("genetic_code", "transl_table"):
        if other in header and "translation_table" not in header:
            logger.warning("%s: the column %r is not read; expected genetic codes in translation_table", path, other)
    columns = [lineage_column or "lineage"]
    if lineage_column is None and "lineage" not in header:
        columns = ranks if set(ranks) <= set(header) else []
    if "file" not in header or not {*columns} <= {*header} or not (columns or "taxid" in header):
        raise InputError(
            f"{path}: line 1 has the columns {', '.join(header) or '(none)'}; expected 'file', and "
            + (repr(lineage_column) if lineage_column else "'lineage', the seven ranks or 'taxid'")
        )
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        yield number, row, columns


def _translation_table_of(cell: str, where: str) -> int | None:
    if is_missing(cell):
        return None
    code = whole_number(cell, f"{where}: translation_table")
    if code not in TRANSLATION_TABLES:
        known = ", ".join(map(str, sorted(TRANSLATION_TABLES)))
        raise InputError(f"{where}: translation_table is {code}; expected one of {known}")
    return code


def _lineage_of(cells: list[str], to_species: bool, where: str) -> Lineage:
    text = cells[0] if len(cells) == 1 else ""
    try:
        lineage = lineage_of_ranks(cells) if len(cells) > 1 else parse_lineage(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if to_species and depth(lineage) < len(RANKS):
        raise InputError(
            f"{where}: the lineage {format_lineage(lineage)!r} has {depth(lineage)} ranks; expected all "
            f"{len(RANKS)} ({', '.join(RANKS)})"
        )
    plain = text.rstrip(";")
    if plain and "__" not in plain and len(plain.split(";")) != len(RANKS):
        raise InputError(
            f"{where}: lineage {plain!r} has {len(plain.split(';'))} ranks; expected {len(RANKS)} ({', '.join(RANKS)})"
        )
    return lineage
