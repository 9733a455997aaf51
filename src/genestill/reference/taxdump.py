"""Taxonomy dumps in memory: read from files of NCBI, made from lineages, or read from a report of a database."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from genestill.core.errors import InputError
from genestill.core.lineage import RANK_OF_NAME, RANKS, Lineage, clean_name, fill_gaps, named
from genestill.core.taxonomy_folder import ROOT, dump_file, parse_taxid, read_dump_file

# MMseqs2 only supports the old name of the top rank: "domain" gives "-_Bacteria" instead of "d_Bacteria".
MMSEQS_RANKS = ("superkingdom", *RANKS[1:])
# Above the taxids of NCBI (about 3.6 million), but not higher than necessary: MMseqs2 stores an array with 4 bytes per
# number up to the highest taxid, so 32-bit hashes would make its taxonomy file 8 GB large.
_FIRST_HASHED, _HASHED = 1 << 22, (1 << 24) - (1 << 22)


@dataclass
class Taxdump:
    """A taxonomy dump in memory.

    Attributes:
        parent: taxid -> taxid of the parent; the root is its own parent.
        rank: taxid -> rank in the words of the dump.
        name: taxid -> scientific name, cleaned by `clean_name`.
        merged: old taxid -> new taxid.
        deleted: deleted taxids.
    """

    parent: dict[int, int] = field(default_factory=dict)
    rank: dict[int, str] = field(default_factory=dict)
    name: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)

    def current(self, taxid: int) -> int | None:
        """The present taxid: itself, the taxid it was merged into, or None if it is deleted or unknown."""
        for _ in range(len(self.merged) + 1):
            if taxid in self.parent:
                return taxid
            if taxid not in self.merged:
                return None
            taxid = self.merged[taxid]
        return None

    def lineage(self, taxid: int) -> Lineage:
        """The seven-rank lineage of a taxid of the dump; other ranks are skipped, gaps are filled."""
        names: list[str | None] = [None] * len(RANKS)
        while taxid != self.parent[taxid]:
            rank = RANK_OF_NAME.get(self.rank[taxid])
            if rank is not None:
                names[rank] = self.name[taxid]  # if several nodes are used as the domain, the highest remains
            taxid = self.parent[taxid]
        return fill_gaps(names)

    def above(self, taxids: Iterable[int]) -> "Taxdump":
        """The part of the dump with ``taxids``, their ancestors, and the taxids merged into them."""
        kept: set[int] = set()
        for taxid in taxids:
            while taxid not in kept:
                kept.add(taxid)
                taxid = self.parent[taxid]
        return Taxdump(
            {taxid: self.parent[taxid] for taxid in kept},
            {taxid: self.rank[taxid] for taxid in kept},
            {taxid: self.name[taxid] for taxid in kept},
            {old: new for old in self.merged if (new := self.current(old)) in kept},
            self.deleted,
        )


def read_taxdump(folder: str | Path) -> Taxdump:
    """Read an NCBI taxonomy dump, or a part of one that includes the root.

    ``nodes.dmp`` and ``names.dmp`` are required, compressed or not; ``merged.dmp`` and ``delnodes.dmp`` are optional.
    Raises `InputError`, with file and line, for malformed lines, a parent that is not in the dump, a node without
    scientific name and a cycle of parents.
    """
    dump = Taxdump()
    nodes, names, merged, deleted = (dump_file(folder, name) for name in ("nodes", "names", "merged", "delnodes"))
    for line, (taxid, parent, rank) in read_dump_file(nodes, 3):
        where = f"{nodes}: line {line}"
        number = parse_taxid(taxid, where)
        if number in dump.parent:
            raise InputError(f"{where}: the taxid {number} occurs twice")
        dump.parent[number] = parse_taxid(parent, where)
        dump.rank[number] = intern(rank)
    if not dump.parent:
        raise InputError(f"{nodes}: has no nodes; expected lines 'taxid | parent taxid | rank | …'")
    for line, (taxid, name, _, kind) in read_dump_file(names, 4):
        if kind == "scientific name":
            number = parse_taxid(taxid, f"{names}: line {line}")
            dump.name[number] = clean_name(name, RANK_OF_NAME.get(dump.rank.get(number, "")))
    for line, (old, new) in read_dump_file(merged, 2, optional=True):
        dump.merged[parse_taxid(old, f"{merged}: line {line}")] = parse_taxid(new, f"{merged}: line {line}")
    for line, (taxid,) in read_dump_file(deleted, 1, optional=True):
        dump.deleted.add(parse_taxid(taxid, f"{deleted}: line {line}"))
    _refuse_broken_tree(dump, nodes, names)
    return dump


def _refuse_broken_tree(dump: Taxdump, nodes: Path, names: Path) -> None:
    reaches_root: set[int] = {taxid for taxid, parent in dump.parent.items() if taxid == parent}
    if not reaches_root:
        raise InputError(f"{nodes}: no root; expected a node that is its own parent (NCBI: taxid 1)")
    for taxid in dump.parent:
        path = []
        seen: set[int] = set()
        while taxid not in reaches_root:
            if taxid in seen:
                raise InputError(f"{nodes}: the parents of taxid {taxid} form a cycle")
            seen.add(taxid)
            path.append(taxid)
            if dump.parent[taxid] not in dump.parent:
                raise InputError(
                    f"{nodes}: taxid {taxid} has the parent {dump.parent[taxid]}, which is not in the file"
                )
            taxid = dump.parent[taxid]
        reaches_root.update(path)
    unnamed = next((taxid for taxid in dump.parent if not dump.name.get(taxid)), None)
    if unnamed is not None:
        raise InputError(f"{names}: no scientific name for taxid {unnamed}, which is in {nodes.name}")


def taxdump_of_lineages(lineages: Iterable[Lineage]) -> Taxdump:
    """Make a taxonomy dump from lineages: one node per distinct path, ranks in the words of MMseqs2.

    The taxid of a path is made from its SHA-256, so that the same path has the same taxid in every run, independent of
    other genomes; if two paths collide, the later one in sorted order gets the next free number.
    """
    paths = sorted({names[:level] for names in map(named, lineages) for level in range(1, len(names) + 1)})
    dump = Taxdump({ROOT: ROOT}, {ROOT: "no rank"}, {ROOT: "root"})
    taxid_of: dict[Lineage, int] = {(): ROOT}
    for path in paths:
        digest = hashlib.sha256("\0".join(path).encode()).digest()
        taxid = _FIRST_HASHED + int.from_bytes(digest[:8], "big") % _HASHED
        while taxid in dump.parent:
            taxid = _FIRST_HASHED + (taxid + 1 - _FIRST_HASHED) % _HASHED
        taxid_of[path] = taxid
        dump.parent[taxid] = taxid_of[path[:-1]]
        dump.rank[taxid] = MMSEQS_RANKS[len(path) - 1]
        dump.name[taxid] = path[-1]
    return dump


def read_report(lines: Iterable[str], source: str) -> Taxdump:
    """Read the taxonomy of a database from ``mmseqs taxonomyreport``: Kraken-style, indented by two spaces per level.

    Raises `InputError`, naming ``source`` and line, for a malformed line.
    """
    dump = Taxdump()
    path: list[int] = []
    for number, line in enumerate(lines, 1):
        cells = line.rstrip("\n").split("\t")
        if len(cells) < 6:
            raise InputError(f"{source}: line {number} has {len(cells)} columns; expected 6 (a Kraken-style report)")
        taxid, name = parse_taxid(cells[4], f"{source}: line {number}"), cells[5]
        if taxid == 0:
            continue
        level = (len(name) - len(name.lstrip(" "))) // 2
        if level > len(path) or (level == 0) != (not dump.parent):
            raise InputError(
                f"{source}: line {number}: {name.strip()!r} is indented by {level} levels; expected a tree"
            )
        del path[level:]
        dump.parent[taxid] = path[-1] if path else taxid
        dump.rank[taxid] = cells[3]
        dump.name[taxid] = clean_name(name, RANK_OF_NAME.get(cells[3]))
        path.append(taxid)
    if not dump.parent:
        raise InputError(f"{source}: contains no taxa")
    return dump
