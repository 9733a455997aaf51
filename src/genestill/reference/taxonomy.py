"""The taxonomy as the folder that MMseqs2 reads and the workflow looks lineages up in.

NCBI's taxdump (``nodes.dmp``, ``names.dmp``, ``merged.dmp``, ``delnodes.dmp``) and two tables of our own:
``lineages.tsv`` (taxid, lineage) and ``genomes.tsv`` (genome, taxid); read again by `ground.taxonomy_folder`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.files import folder_aside, read_text_lines, write_json
from genestill.ground.label_tables import read_label_table
from genestill.ground.lineage import RANK_OF_NAME, RANKS, Lineage, depth, fill_gaps, format_lineage
from genestill.ground.logs import logger
from genestill.ground.taxonomy_folder import LINEAGES, ROOT, parse_taxid, read_dump_file
from genestill.reference.genomes import Genome

# MMseqs2 knows the top rank by its old name only: "domain" comes out as "-_Bacteria" instead of "d_Bacteria".
MMSEQS_RANKS = ("superkingdom", *RANKS[1:])
# Above the taxids of NCBI (about 3.6 million), and no higher than needed: MMseqs2 keeps an array of 4 bytes for every
# number up to the highest taxid, so that hashes over 32 bits would make its taxonomy file 8 GB large.
_FIRST_HASHED, _HASHED = 1 << 22, (1 << 24) - (1 << 22)


@dataclass
class Taxdump:
    """A taxonomy dump in memory.

    Attributes:
        parent: taxid -> taxid of the parent; the root is its own parent.
        rank: taxid -> rank word of the dump.
        name: taxid -> scientific name.
        merged: old taxid -> taxid that replaced it.
        deleted: taxids that were taken back.
    """

    parent: dict[int, int] = field(default_factory=dict)
    rank: dict[int, str] = field(default_factory=dict)
    name: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)

    def current(self, taxid: int) -> int | None:
        """The taxid in use today: itself, what it was merged into, or None if it is deleted or unknown."""
        for _ in range(len(self.merged) + 1):
            if taxid in self.parent:
                return taxid
            if taxid not in self.merged:
                return None
            taxid = self.merged[taxid]
        return None

    def lineage(self, taxid: int) -> Lineage:
        """The seven-rank lineage of a taxid that the dump holds; other ranks are passed over, gaps are filled."""
        names: list[str | None] = [None] * len(RANKS)
        while taxid != self.parent[taxid]:
            rank = RANK_OF_NAME.get(self.rank[taxid])
            if rank is None and self.rank[taxid] in ("realm", "acellular root"):
                # Viruses have no domain; the highest of these that the path meets stands for it.
                rank = 0
            if rank is not None:
                names[rank] = self.name[taxid]
            taxid = self.parent[taxid]
        return fill_gaps(names)

    def above(self, taxids: Iterable[int]) -> "Taxdump":
        """The part of the dump that ``taxids`` need: themselves, their ancestors, and what was merged into them."""
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
    """Read an NCBI taxonomy dump, or any part of one that reaches up to the root.

    ``nodes.dmp`` and ``names.dmp`` must be there; ``merged.dmp`` and ``delnodes.dmp`` may be missing. Raises
    `InputError`, naming file and line, for lines that are not of the format, a parent that is not in the dump,
    a node without scientific name and a circle of parents.
    """
    folder = Path(folder)
    dump = Taxdump()
    nodes, names, merged, deleted = (folder / f"{name}.dmp" for name in ("nodes", "names", "merged", "delnodes"))
    for line, (taxid, parent, rank) in read_dump_file(nodes, 3):
        where = f"{nodes}: line {line}"
        number = parse_taxid(taxid, where)
        if number in dump.parent:
            raise InputError(f"{where}: the taxid {number} occurs twice")
        dump.parent[number] = parse_taxid(parent, where)
        dump.rank[number] = rank
    if not dump.parent:
        raise InputError(f"{nodes}: holds no node; expected lines 'taxid | parent taxid | rank | …'")
    for line, (taxid, name, _, kind) in read_dump_file(names, 4):
        if kind == "scientific name":
            dump.name[parse_taxid(taxid, f"{names}: line {line}")] = name
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
                raise InputError(f"{nodes}: the parents of taxid {taxid} run in a circle")
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
        raise InputError(f"{names}: no scientific name for taxid {unnamed}, which {nodes.name} holds")


def taxdump_of_lineages(lineages: Iterable[Lineage]) -> Taxdump:
    """A taxonomy dump of lineages: one node a distinct path, ranks in the words of MMseqs2.

    A path's taxid is made from its SHA-256, so that the same path has the same taxid in every run and beside any
    other genomes; should two paths of one set collide, the later one in sorted order takes the next free number.
    """
    paths = sorted({lineage[:level] for lineage in lineages for level in range(1, depth(lineage) + 1)})
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
    """The taxonomy of a database from ``mmseqs taxonomyreport``: a Kraken-style report, two blanks of indent a level.

    Raises `InputError`, naming ``source`` and line, for a line that is not of the format.
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
        dump.name[taxid] = name.strip()
        path.append(taxid)
    if not dump.parent:
        raise InputError(f"{source}: holds no taxon")
    return dump


def write_taxonomy(output: str | Path, dump: Taxdump, taxid_of_genome: dict[str, int], counts: dict[str, int]) -> None:
    """Write the taxonomy folder; see the head of this module. ``counts`` goes to ``summary.json``.

    Ranks are written in MMseqs2's words. Raises `InputError` for a name that would break the format.
    """
    with folder_aside(output) as aside:
        with (
            open(aside / "nodes.dmp", "w", encoding="utf-8") as nodes,
            open(aside / "names.dmp", "w", encoding="utf-8") as names,
            open(aside / LINEAGES, "w", encoding="utf-8") as lineages,
        ):
            lineages.write("taxid\tlineage\n")
            for taxid in sorted(dump.parent):
                name, rank = dump.name[taxid], dump.rank[taxid]
                if any(letter in name for letter in "|\t\n\r"):
                    raise InputError(f"taxonomy: the name {name!r} holds '|', a tab or a line end")
                word = MMSEQS_RANKS[0] if rank == "domain" else rank
                nodes.write(f"{taxid}\t|\t{dump.parent[taxid]}\t|\t{word}\t|\t\t|\n")
                names.write(f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n")
                lineages.write(f"{taxid}\t{format_lineage(dump.lineage(taxid))}\n")
        # MMseqs2 stops without merged.dmp; empty files are fine.
        merged = "".join(f"{old}\t|\t{new}\t|\n" for old, new in sorted(dump.merged.items()))
        (aside / "merged.dmp").write_text(merged, encoding="utf-8")
        deleted = "".join(f"{taxid}\t|\n" for taxid in sorted(dump.deleted))
        (aside / "delnodes.dmp").write_text(deleted, encoding="utf-8")
        genomes = "".join(f"{genome}\t{taxid}\n" for genome, taxid in taxid_of_genome.items())
        (aside / "genomes.tsv").write_text(f"genome\ttaxid\n{genomes}", encoding="utf-8")
        write_json(aside / "summary.json", counts)


def make_taxonomy(genomes: list[Genome], taxdump: str | Path | None, output: str | Path) -> None:
    """Write the taxonomy folder of a set of genomes.

    Args:
        genomes: with a lineage each; or, with ``taxdump``, with a taxid each.
        taxdump: folder of an NCBI taxonomy dump, or None to make one from the lineages.
        output: the folder; replaced as a whole.

    Raises:
        InputError: a genome with neither; a taxid that the dump does not hold (merged ones are followed); fewer
            species than two.
    """
    merged = 0
    if taxdump is None:
        without = next((genome for genome in genomes if depth(genome.lineage) == 0), None)
        if without is not None:
            raise InputError(
                f"{without.source}: {without.name} has no lineage; give one, or taxids with a taxonomy dump "
                "(reference.taxdump)"
            )
        dump = taxdump_of_lineages(genome.lineage for genome in genomes)
        by_path = {dump.lineage(taxid): taxid for taxid in dump.parent}
        taxid_of_genome = {genome.name: by_path[genome.lineage] for genome in genomes}
    else:
        full = read_taxdump(taxdump)
        taxid_of_genome = {}
        for genome in genomes:
            if genome.taxid is None:
                raise InputError(
                    f"{genome.source}: {genome.name} has no taxid; a taxonomy dump needs the column 'taxid'"
                )
            taxid = full.current(genome.taxid)
            if taxid is None:
                why = "is deleted in" if genome.taxid in full.deleted else "is not in"
                raise InputError(f"{genome.source}: the taxid {genome.taxid} of {genome.name} {why} {taxdump}")
            merged += taxid != genome.taxid
            taxid_of_genome[genome.name] = taxid
        dump = full.above(taxid_of_genome.values())
    _finish(dump, taxid_of_genome, merged, genomes[0].source, output)


def make_taxonomy_of_report(report: str | Path, output: str | Path) -> None:
    """Write the taxonomy folder of a ready MMseqs2 database, given the report of all its sequences.

    Raises `InputError` for a file that is no report, and fewer species than two.
    """
    dump = read_report(read_text_lines(report), str(report))
    _finish(dump, {}, 0, str(report), output)


def make_taxonomy_of_labels(labels: str | Path, form: str, output: str | Path) -> None:
    """Write the taxonomy folder of the lineages in a table of labels, for runs without reference genomes.

    Raises `InputError` for what `read_label_table` refuses, labels in numbers only, and fewer species than two.
    """
    found = read_label_table(labels, form)
    lineages = [label.lineage for label in found if depth(label.lineage)]
    if not lineages:
        raise InputError(
            f"{labels}: labels without lineages in words; give the taxonomy that its numbers belong to "
            "(reference.genomes, reference.database or reference.taxdump)"
        )
    _finish(taxdump_of_lineages(lineages), {}, 0, str(labels), output)


def make_taxonomy_of_taxdump(taxdump: str | Path, output: str | Path) -> None:
    """Write the taxonomy folder of a whole NCBI taxonomy dump, for labels in numbers without reference genomes."""
    _finish(read_taxdump(taxdump), {}, 0, str(taxdump), output)


def _finish(dump: Taxdump, taxid_of_genome: dict[str, int], merged: int, source: str, output: str | Path) -> None:
    lineages = [dump.lineage(taxid) for taxid in (taxid_of_genome.values() if taxid_of_genome else dump.parent)]
    species = {lineage for lineage in lineages if depth(lineage) == len(RANKS)}
    if len(species) < 2:
        raise InputError(f"{source}: {len(species)} labelled species; a reference needs at least 2 to tell apart")
    counts = {
        "genomes": len(taxid_of_genome),
        "species": len(species),
        "nodes": len(dump.parent),
        "taxids_merged": merged,
        "genomes_above_species": sum(depth(dump.lineage(taxid)) < len(RANKS) for taxid in taxid_of_genome.values()),
        "lineages_with_gaps": sum(any("incertae sedis" in (name or "") for name in lineage) for lineage in lineages),
    }
    write_taxonomy(output, dump, taxid_of_genome, counts)
    logger.info("taxonomy: %s", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items()))
