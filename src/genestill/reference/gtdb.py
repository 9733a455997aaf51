"""GTDB lineages of NCBI taxids, from the metadata of a GTDB release (Parks et al. 2022, doi 10.1093/nar/gkab776)."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage, parse_lineage
from genestill.core.text import text_lines
from genestill.reference.taxdump import Taxdump

_COLUMNS = ("gtdb_taxonomy", "ncbi_taxid", "ncbi_species_taxid")


def gtdb_names(paths: Sequence[str | Path], dump: Taxdump) -> Callable[[int], Lineage]:
    """Make a function from a taxid of ``dump`` to its lineage in GTDB.

    A taxid represents the genomes with this taxid in NCBI or, if there are none, with this species. At each rank, from
    the domain down, the name of more than half of them is used; the lineage ends at the first rank without such a name.
    A taxid without genomes in GTDB has no lineage.

    Args:
        paths: GTDB's tables ``bac120_metadata_r….tsv.gz`` and ``ar53_metadata_r….tsv.gz``.
        dump: NCBI's taxonomy.

    Raises:
        InputError: a table without the columns; a row that does not match its header.
    """
    genomes: dict[int, Counter[str]] = {}
    for path in paths:
        places: list[int] = []
        for number, line in enumerate(text_lines(path), 1):
            cells = line.split("\t")
            if not places:
                missing = next((name for name in _COLUMNS if name not in cells), None)
                if missing is not None:
                    raise InputError(f"{path}: no column {missing!r}; expected a table of metadata of GTDB")
                places = [cells.index(name) for name in _COLUMNS]
                continue
            if len(cells) <= max(places):
                raise InputError(f"{path}: line {number} has {len(cells)} columns; its header has more")
            lineage, *taxids = (cells[place] for place in places)
            for taxid in {taxid for taxid in taxids if taxid.isdecimal()}:
                genomes.setdefault(int(taxid), Counter())[lineage] += 1

    def lineage_of(taxid: int) -> Lineage:
        while taxid not in genomes and dump.parent[taxid] != taxid and dump.rank[taxid] != "species":
            taxid = dump.parent[taxid]
        return _majority(genomes.get(taxid, Counter()))

    return lineage_of


def _majority(lineages: Counter[str]) -> Lineage:
    """The lineage with the names that more than half of ``lineages`` share, down to the last such rank."""
    paths = {parse_lineage(text): count for text, count in lineages.items()}
    total, named = sum(paths.values()), NO_LINEAGE
    for level in range(1, len(RANKS) + 1):
        votes: Counter[Lineage] = Counter()
        for path, count in paths.items():
            if path[level - 1] is not None:
                votes[path[:level]] += count
        best = votes.most_common(1)
        if not best or 2 * best[0][1] <= total:
            break
        named = best[0][0] + NO_LINEAGE[level:]
    return named
