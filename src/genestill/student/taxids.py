"""NCBI-style taxids of lineages, from the taxonomy folder of the reference stage."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from genestill.ground.errors import InputError
from genestill.ground.lineage import RANK_OF_NAME, Lineage, depth, parse_lineage

ROOT = 1


class Taxids:
    """Which taxid a lineage has.

    A path (a lineage cut after its deepest assigned rank) owns the taxid of the node whose rank is that deepest rank,
    so a strain or an unranked node below a species never stands for it. Ranks filled by `fill_gaps` have no taxid.
    """

    def __init__(self, taxid_of_path: dict[Lineage, int]):
        self.taxid_of_path = taxid_of_path

    @classmethod
    def read(cls, folder: str | Path) -> "Taxids | None":
        """Read ``lineages.tsv`` (taxid, lineage) and, where it is there, ``nodes.dmp``; None if no taxids are given.

        Without ``nodes.dmp`` a lineage has the smallest of its taxids. Raises `InputError` for a missing or odd file.
        """
        rows = _read_lineages(Path(folder) / "lineages.tsv")
        if not rows:
            return None
        nodes = Path(folder) / "nodes.dmp"
        taxid_of_path: dict[Lineage, int] = {}
        if not nodes.is_file():
            for taxid, path in rows:
                taxid_of_path.setdefault(path, taxid)
            return cls(taxid_of_path)
        parent_and_rank = dict(_read_nodes(nodes))
        for taxid, path in rows:
            if taxid not in parent_and_rank:
                raise InputError(f"{nodes}: no node {taxid}, which lineages.tsv beside it names")
            # Ancestors of a known path are known: the climb stops there, and is linear over the whole table.
            while taxid != ROOT:
                above, rank = parent_and_rank.get(taxid, (ROOT, "no rank"))
                level = RANK_OF_NAME.get(rank)
                if level is not None and level < len(path):
                    if path[: level + 1] in taxid_of_path:
                        break
                    taxid_of_path[path[: level + 1]] = taxid
                taxid = above
        return cls(taxid_of_path)

    def of(self, lineage: Lineage) -> int | None:
        """The taxid of exactly this lineage, or None."""
        return self.taxid_of_path.get(lineage[: depth(lineage)])

    def deepest(self, lineage: Lineage) -> tuple[int, int]:
        """(taxid, number of ranks) of the deepest rank of ``lineage`` that has a taxid; the root is (1, 0)."""
        for level in range(depth(lineage), 0, -1):
            taxid = self.taxid_of_path.get(lineage[:level])
            if taxid is not None:
                return taxid, level
        return ROOT, 0


def _read_lineages(path: Path) -> list[tuple[int, Lineage]]:
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a table ({error}); expected the columns taxid and lineage") from None
    if "lineage" not in table:
        raise InputError(f"{path}: no column 'lineage'; found {', '.join(table.columns)}")
    if "taxid" not in table or not table["taxid"].str.strip().any():
        return []
    rows = []
    for line, (taxid, text) in enumerate(zip(table["taxid"], table["lineage"], strict=True), 2):
        if not taxid.strip().isdigit():
            raise InputError(f"{path}: line {line}: taxid {taxid!r}; expected a whole number")
        lineage = parse_lineage(text)
        rows.append((int(taxid), lineage[: depth(lineage)]))
    return sorted((row for row in rows if row[1]), key=lambda row: row[0])


def _read_nodes(path: Path) -> Iterator[tuple[int, tuple[int, str]]]:
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            fields = [field.strip() for field in line.split("|")]
            try:
                yield int(fields[0]), (int(fields[1]), fields[2])
            except (IndexError, ValueError):
                raise InputError(
                    f"{path}: line {number}: {line.strip()[:80]!r}; expected taxid | parent | rank | …"
                ) from None
