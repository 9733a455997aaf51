"""Contigs that are not prokaryotic chromosomes, from the summary tables of geNomad."""

from collections.abc import Iterable
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.logs import log_counts
from genestill.core.text import text_lines

# The column that identifies the kind of a table (geNomad 1: <name>_plasmid_summary.tsv, <name>_virus_summary.tsv).
_KINDS = {"plasmid_score": "plasmid", "virus_score": "virus"}
_PART = "|provirus_"  # in the name of a virus within a contig


def read_set_aside(tables: Iterable[str | Path], ids: list[str]) -> dict[str, str]:
    """Contig -> plasmid or virus, from summary tables of geNomad (Camargo et al. 2024, doi 10.1038/s41587-023-01953-y).

    Contigs with proviruses, which are only a part of them, are not set aside. Contigs that are not in ``ids`` are
    counted and left out. Raises `InputError`, with file and line, for a table in another format.
    """
    known, found = set(ids), {}
    counts = {"plasmids": 0, "viruses": 0, "proviruses, whose contigs stay": 0, "of no contig": 0}
    for path in tables:
        lines = text_lines(path)
        columns = next(lines, "").split("\t")
        kind = next((word for column, word in _KINDS.items() if column in columns), None)
        if kind is None or columns[0] != "seq_name":
            raise InputError(
                f"{path}: line 1 is {columns[:4]}; expected the columns of geNomad's plasmid_summary.tsv or "
                "virus_summary.tsv, of which the first is seq_name"
            )
        for number, line in enumerate(lines, 2):
            cells = line.split("\t")
            if not line.strip():
                continue
            if len(cells) != len(columns):
                raise InputError(f"{path}: line {number} has {len(cells)} cells; expected {len(columns)}")
            if _PART in cells[0]:
                counts["proviruses, whose contigs stay"] += 1
            elif cells[0] not in known:
                counts["of no contig"] += 1
            else:
                found[cells[0]] = kind
    counts["plasmids"] = sum(kind == "plasmid" for kind in found.values())
    counts["viruses"] = len(found) - counts["plasmids"]
    log_counts("contigs set aside", counts)
    return found
