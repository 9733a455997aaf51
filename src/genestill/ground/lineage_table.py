"""``lineages.tsv`` of a taxonomy folder: the lineage of every taxid, one line each."""

from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.lineage import Lineage, parse_lineage

NAME = "lineages.tsv"


def read_lineages(folder: str | Path) -> dict[int, Lineage]:
    """Read the lineages of a taxonomy folder (`genestill reference taxonomy`) as a dict from taxid to lineage.

    Raises `InputError`, with the line, for a missing file, another header, or a taxid that is not a whole number.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a folder that 'genestill reference taxonomy' wrote")
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].split("\t") != ["taxid", "lineage"]:
        raise InputError(f"{path}: line 1 is {lines[0] if lines else ''!r}; expected the header 'taxid<TAB>lineage'")
    found = {}
    for number, line in enumerate(lines[1:], 2):
        taxid, _, lineage = line.partition("\t")
        if not taxid.isdigit():
            raise InputError(f"{path}: line {number}: taxid {taxid!r}; expected a whole number")
        found[int(taxid)] = parse_lineage(lineage)
    return found
