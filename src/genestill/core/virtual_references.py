"""Virtual references: the clades that each of them withholds, from the table of ``reference withheld``."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.lineage import Lineage, depth, parse_lineage
from genestill.core.tables import read_tsv

# Thresholds are chosen with the first half, methods are compared with the second.
FITTING, JUDGING = HALVES = ("fitting", "judging")


@dataclass(frozen=True)
class VirtualReference:
    """A reference from which clades are withheld.

    Attributes:
        community: the community of the reference.
        name: for example fitting-001.
        half: `FITTING` or `JUDGING`.
        clades: the withheld clades, as lineages that end at the rank of the clade (shorter than seven ranks above
            species).
    """

    community: str
    name: str
    half: str
    clades: tuple[Lineage, ...]

    def withholds(self, lineage: Lineage) -> bool:
        """Whether a lineage is in one of the withheld clades."""
        return is_within(lineage, self.clades)


def is_within(lineage: Lineage, clades: Iterable[Lineage]) -> bool:
    """Whether a lineage is in one of the clades."""
    return any(lineage[: len(clade)] == clade for clade in clades)


def read_withheld(path: str | Path) -> list[VirtualReference]:
    """All references of the table, in order; columns community, reference, half and clade.

    Raises `InputError` for a clade that is empty or not a lineage, and for an unknown half.
    """
    table = read_tsv(path, ["community", "reference", "half", "clade"])
    found = []
    for (community, name, half), rows in table.groupby(["community", "reference", "half"], sort=False):
        if half not in HALVES:
            raise InputError(f"{path}: reference {name!r}: half {half!r}; expected {' or '.join(HALVES)}")
        paths = [_clade(path, clade) for clade in rows["clade"]]
        found.append(VirtualReference(community, name, half, tuple(paths)))
    return found


def _clade(path: str | Path, text: str) -> Lineage:
    try:
        clade = parse_lineage(text)
    except InputError as error:
        raise InputError(f"{path}: clade {text!r}: {error}") from None
    if not depth(clade):
        raise InputError(f"{path}: clade {text!r}; expected a lineage such as d__Bacteria;p__Bacillota")
    return clade[: depth(clade)]


def references_of(path: str | Path, community: str, name: str | None = None) -> list[VirtualReference]:
    """The references of a community, or the one with the name ``name``; raises `InputError` if there is none."""
    found = [one for one in read_withheld(path) if one.community == community and name in (None, one.name)]
    if not found:
        which = f"the reference {name!r} of " if name else ""
        raise InputError(f"{path}: no row for {which}the community {community!r}")
    return found
