"""The table of reference genomes: which files, which lineages."""

import csv
from dataclasses import dataclass
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.lineage import RANKS, Lineage, depth, parse_lineage, refuse_two_parents


@dataclass(frozen=True)
class Genome:
    """One row of the table: name (the file's name without FASTA suffixes), path, lineage or taxid, source (a file)."""

    name: str
    path: Path
    lineage: Lineage
    taxid: int | None
    source: str


_SUFFIXES = (".gz", ".fna", ".fa", ".fasta", ".ffn")


def read_genomes(path: str | Path, folder: str | Path | None = None) -> list[Genome]:
    """Read a TSV with the columns ``file`` and ``lineage`` or ``taxid`` (or both).

    Args:
        path: the table. A lineage is written as ``d__…;p__…`` (GTDB) or plain (``Bacteria;…``).
        folder: where the files lie; without it, the folder of the table.

    Raises:
        InputError: naming the line, for a missing column or file, a file or name given twice, a lineage of the
            wrong number of ranks, a taxid that is no number, and a name with two parents.
    """
    path = Path(path)
    folder = Path(folder) if folder is not None else path.parent
    genomes: list[Genome] = []
    line_of: dict[str, int] = {}
    for number, row in _rows(path):
        where = f"{path}: line {number}"
        file = row["file"]
        name = Path(file).name
        while (suffix := Path(name).suffix) in _SUFFIXES:
            name = name.removesuffix(suffix)
        if not name or any(letter in name for letter in "|") or len(name.split()) != 1:
            raise InputError(f"{where}: file {file!r}; expected a file name without white space and '|'")
        if name in line_of:
            raise InputError(f"{where}: the genome {name!r} is also in line {line_of[name]}; names must be unique")
        line_of[name] = number
        if not (folder / file).is_file():
            raise InputError(f"{where}: no such file: {folder / file}")
        try:
            lineage = parse_lineage(row.get("lineage"))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        plain = (row.get("lineage") or "").strip().rstrip(";")
        if plain and "__" not in plain and len(plain.split(";")) != len(RANKS):
            raise InputError(
                f"{where}: lineage {plain!r} has {len(plain.split(';'))} ranks; expected {len(RANKS)} "
                f"({', '.join(RANKS)})"
            )
        taxid = row.get("taxid") or None
        if taxid is not None and not (taxid.isascii() and taxid.isdigit()):
            raise InputError(f"{where}: taxid {taxid!r}; expected a whole number")
        if depth(lineage) == 0 and taxid is None:
            raise InputError(f"{where}: the genome {name!r} has neither lineage nor taxid")
        genomes.append(Genome(name, folder / file, lineage, int(taxid) if taxid else None, str(path)))
    if not genomes:
        raise InputError(f"{path}: holds no genome; expected a header 'file<TAB>lineage' and one row a genome")
    refuse_two_parents((genome.lineage for genome in genomes), str(path))
    return genomes


def _rows(path: Path):
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            reader = csv.reader((line.replace("\0", "") for line in handle), delimiter="\t", quoting=csv.QUOTE_NONE)
            header = next(reader, None)
            if not header:
                raise InputError(f"{path}: empty; expected a header 'file<TAB>lineage'")
            header = [word.strip().lstrip("\ufeff") for word in header]
            if "file" not in header or not {"lineage", "taxid"} & set(header):
                raise InputError(
                    f"{path}: line 1 has the columns {', '.join(header)}; expected 'file' and 'lineage' or 'taxid'"
                )
            for number, row in enumerate(reader, 2):
                if not any(entry.strip() for entry in row):
                    continue
                if len(row) != len(header):
                    raise InputError(f"{path}: line {number} has {len(row)} columns; expected {len(header)}")
                yield number, {word: entry.strip() for word, entry in zip(header, row, strict=True)}
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a table ({error})") from None
