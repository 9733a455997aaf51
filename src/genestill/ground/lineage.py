"""Seven-rank lineages, in the spellings that the field uses.

A lineage is a tuple of seven names from domain to species, ``None`` below the assigned rank. Nodes of the taxonomy
are known by their whole path, never by their name alone: homonyms are common (a genus *Bacillus* of insects).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from genestill.ground.errors import InputError

RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
RANK_PREFIXES = "dpcofgs"
# NCBI renamed superkingdom to domain in 2025; both are rank 0 here.
RANK_OF_NAME = {rank: index for index, rank in enumerate(RANKS)} | {"superkingdom": 0}

Lineage = tuple[str | None, ...]
NO_LINEAGE: Lineage = (None,) * len(RANKS)


def depth(lineage: Lineage) -> int:
    """How many ranks are assigned: 0 (nothing) to 7 (species)."""
    return next((index for index, name in enumerate(lineage) if name is None), len(RANKS))


@lru_cache(maxsize=1 << 16)  # many contigs share a lineage: it is held once, not once a contig
def parse_lineage(text: str | None) -> Lineage:
    """Read ``d__Bacteria;p__…`` (GTDB), ``d_Bacteria;-_x;p_…`` (MMseqs2) or ``Bacteria;Bacillota;…`` (Taxometer).

    Empty text, ``root`` and ``unclassified`` give the empty lineage. Entries of other ranks (MMseqs2's ``-_``) are
    left out; missing ranks between assigned ones are filled (see `fill_gaps`). ``superkingdom`` and ``domain`` are
    one rank. Raises `InputError` for more than seven unprefixed names, a rank given twice, and ranks out of order.
    """
    text = (text or "").strip().rstrip(";")
    if text in ("", "root", "unclassified", "no rank", "-_root"):
        return NO_LINEAGE
    parts = [part.strip() for part in text.split(";")]
    found = [_split_prefix(part) for part in parts]
    if all(prefix is None for prefix, _ in found):
        if len(parts) > len(RANKS):
            raise InputError(
                f"lineage {text!r} has {len(parts)} ranks; expected at most {len(RANKS)} ({', '.join(RANKS)})"
            )
        return fill_gaps([part or None for part in parts] + [None] * (len(RANKS) - len(parts)))
    names: list[str | None] = [None] * len(RANKS)
    last = -1
    for part, (prefix, name) in zip(parts, found, strict=True):
        if prefix is None:
            raise InputError(f"lineage {text!r} mixes prefixed and plain names ({part!r} has no rank prefix)")
        if prefix not in RANK_PREFIXES:
            continue
        rank = RANK_PREFIXES.index(prefix)
        if rank <= last:
            raise InputError(
                f"lineage {text!r} gives {RANKS[rank]} twice or out of order; expected {' > '.join(RANKS)}"
            )
        last = rank
        names[rank] = name or None
    return fill_gaps(names)


def _split_prefix(part: str) -> tuple[str | None, str]:
    if len(part) >= 3 and part[1:3] == "__":
        return part[0], part[3:].strip()
    if len(part) >= 2 and part[1] == "_" and (part[0] in RANK_PREFIXES + "-k"):
        return part[0], part[2:].strip()
    return None, part


def fill_gaps(names: Sequence[str | None]) -> Lineage:
    """Fill unnamed ranks above the deepest named one, so that a path has no holes.

    A hole below *Gammaproteobacteria* at rank order becomes ``Gammaproteobacteria order incertae sedis``: the
    same hole under the same parent gets the same name, whatever lies below it.
    """
    filled: list[str | None] = list(names)
    deepest = max((index for index, name in enumerate(filled) if name), default=-1)
    for index in range(deepest + 1):
        if not filled[index]:
            above = filled[index - 1].split(f" {RANKS[index - 1]} incertae sedis")[0] if index else "unplaced"
            filled[index] = f"{above} {RANKS[index]} incertae sedis"
    return tuple(name or None for name in filled)


def format_lineage(lineage: Lineage) -> str:
    """``d__…;p__…`` down to the deepest assigned rank; the empty string for no lineage."""
    return ";".join(f"{prefix}__{name}" for prefix, name in zip(RANK_PREFIXES, lineage[: depth(lineage)], strict=False))


def common_lineage(lineages: Iterable[Lineage]) -> Lineage:
    """The lowest common ancestor: the longest path that all ``lineages`` share."""
    shared: list[str | None] = []
    for names in zip(*lineages, strict=True):
        if names[0] is None or any(name != names[0] for name in names):
            break
        shared.append(names[0])
    return tuple(shared + [None] * (len(RANKS) - len(shared)))


def refuse_two_parents(lineages: Iterable[Lineage], source: str) -> int:
    """Raise `InputError`, naming ``source``, if a name stands under two parents; return the number of homonyms.

    Legal homonyms are genera and species of different phyla (*Morus* is a bird and a tree): the codes of nomenclature
    are independent of each other, but each allows a name once. Anything else is a mistake in the table.
    """
    genus = RANKS.index("genus")
    first: dict[tuple, Lineage] = {}
    homonyms: dict[tuple[int, str], set] = {}
    for lineage in lineages:
        for rank in range(1, depth(lineage)):
            name = lineage[rank]
            scope = lineage[:2] if rank >= genus else ()
            before = first.setdefault((rank, name, scope), lineage)
            if before[:rank] != lineage[:rank]:
                raise InputError(
                    f"{source}: the {RANKS[rank]} {name!r} has two parents: {format_lineage(before[: rank + 1])} "
                    f"and {format_lineage(lineage[: rank + 1])}"
                )
            if scope:
                homonyms.setdefault((rank, name), set()).add(scope)
    return sum(len(phyla) > 1 for phyla in homonyms.values())
