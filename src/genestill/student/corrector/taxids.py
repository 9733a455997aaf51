"""NCBI-style taxids of lineages, from the taxonomy folder of the reference stage."""

from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.lineage import RANK_OF_NAME, Lineage, depth
from genestill.core.taxonomy_folder import LINEAGES, ROOT, parse_taxid, read_dump_file, read_lineages


class Taxids:
    """Taxids of lineages.

    A path (a lineage cut after its deepest assigned rank) has the taxid of the node with this rank, and never that of a
    strain or an unranked node below a species. Ranks filled by `fill_gaps` have no taxid.
    """

    def __init__(self, taxid_of_path: dict[Lineage, int]):
        self.taxid_of_path = taxid_of_path

    @classmethod
    def read(cls, folder: str | Path) -> "Taxids":
        """Read ``lineages.tsv`` and ``nodes.dmp`` of a taxonomy folder; `InputError` for a missing or invalid file."""
        nodes = Path(folder) / "nodes.dmp"
        parent_and_rank = {}
        for line, (number, parent, rank) in read_dump_file(nodes, 3):
            where = f"{nodes}: line {line}"
            parent_and_rank[parse_taxid(number, where)] = parse_taxid(parent, where), rank
        taxid_of_path: dict[Lineage, int] = {}
        for taxid, lineage in sorted(read_lineages(folder).items()):
            path = lineage[: depth(lineage)]
            if taxid not in parent_and_rank:
                raise InputError(f"{nodes}: no node {taxid}, which is in {LINEAGES} beside it")
            # The ancestors of a path that was read are stored, so the search stops there and takes linear time.
            climbed = set()
            while path and taxid != ROOT:
                if taxid in climbed:
                    raise InputError(f"{nodes}: the node {taxid} is its own ancestor; expected a tree")
                climbed.add(taxid)
                above, rank = parent_and_rank.get(taxid, (ROOT, "no rank"))
                level = RANK_OF_NAME.get(rank)
                if level == 0:
                    # The highest node that is used as the domain: Viruses, not one of their realms.
                    taxid_of_path[path[:1]] = taxid
                elif level is not None and level < len(path):
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
