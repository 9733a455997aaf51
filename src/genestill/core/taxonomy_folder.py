"""The taxonomy folder written by ``genestill reference taxonomy``: NCBI's dump files, and ``lineages.tsv``.

Format of a dump file: fields are separated by ``\\t|\\t``, lines end in ``\\t|``
(ftp.ncbi.nlm.nih.gov/pub/taxonomy/taxdump_readme.txt).
"""

from collections.abc import Iterator
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.lineage import Lineage, read_formatted
from genestill.core.text import COMPRESSED, text_lines

ROOT = 1  # the taxid of the root
LINEAGES = "lineages.tsv"


def read_lineages(folder: str | Path) -> dict[int, Lineage]:
    """Read ``lineages.tsv`` (taxid, lineage) of a taxonomy folder as a dict from taxid to lineage.

    Raises `InputError`, with the line, for a missing file, another header, a taxid that is not an integer, or an
    invalid lineage.
    """
    path = Path(folder) / LINEAGES
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a folder that 'genestill reference taxonomy' wrote")
    lines = text_lines(path)
    header = next(lines, "")
    if header.split("\t") != ["taxid", "lineage"]:
        raise InputError(f"{path}: line 1 is {header!r}; expected the header 'taxid<TAB>lineage'")
    found = {}
    known: dict[str | None, str | None] = {}
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        first, _, text = line.partition("\t")
        taxid = parse_taxid(first, f"{path}: line {number}")
        try:
            # Each name is stored once: a taxonomy of all life has two million lineages with many common names.
            found[taxid] = tuple(known.setdefault(name, name) for name in read_formatted(text))
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
    return found


def read_taxids_of_genomes(folder: str | Path) -> dict[str, str]:
    """Genome -> taxid, as text, of ``genomes.tsv`` of a taxonomy folder. Raises `InputError` as `read_tsv` does."""
    # Imported here, so that reading names does not load pandas.
    from genestill.core.tables import read_tsv

    table = read_tsv(Path(folder) / "genomes.tsv", ["genome", "taxid"])
    return dict(zip(table["genome"], table["taxid"], strict=True))


def dump_file(folder: str | Path, name: str) -> Path:
    """The file ``name`` (nodes, names, merged or delnodes) of a taxonomy dump, compressed or not; it may not exist."""
    plain = Path(folder) / f"{name}.dmp"
    compressed = (plain.with_name(f"{plain.name}{suffix}") for suffix in COMPRESSED)
    return plain if plain.exists() else next((path for path in compressed if path.exists()), plain)


def read_dump_file(path: str | Path, fields: int, optional: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, the first ``fields`` fields) of a dump file; nothing if it is missing and ``optional``.

    Raises `InputError`, with the line, for a missing file and for too few fields.
    """
    path = Path(path)
    if optional and not path.is_file():
        return
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        # Names may contain "|" (some names of viruses do); separators are enclosed in tabs.
        line = line.rstrip().removesuffix("|")
        row = [entry.strip() for entry in (line.split("\t|\t") if "\t|" in line else line.split("|"))]
        if len(row) < fields:
            raise InputError(
                f"{path}: line {number} has {len(row)} fields between '|'; expected at least {fields}: {line[:60]!r}"
            )
        yield number, row[:fields]


def parse_taxid(text: str, where: str) -> int:
    """Parse a taxid; raises `InputError`, naming ``where``, for anything except an integer below 2^32."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) >= 1 << 32:
        raise InputError(f"{where}: taxid {text[:40]!r}; expected a whole number below 2^32")
    return int(text)
