"""CAT and BAT: ``contig2classification.txt`` and ``bin2classification.txt``, also after ``add_names``.

Header (github.com/MGXlab/CAT_pack/wiki, "Interpreting the output files"): # contig, classification, reason, lineage
(taxids separated by ``;``), lineage scores; after ``add_names`` also the names of the whole lineage, or with
``--only_official`` one column per rank, with or without a score. Rows without a label end after the reason. A contig
may have several classifications, one row each ("taxid assigned (1/2)"). Taxa with an asterisk are suggestive: the
database has no other child of their parent. They are read like the others, as in the summary of CAT.
"""

import re

from genestill.core.errors import InputError
from genestill.core.label_formats.row import (
    LabelFormat,
    LabelRow,
    ReadRow,
    first_word,
    is_number,
    require_columns,
    share,
    taxid_of,
)
from genestill.core.lineage import RANK_OF_NAME, RANK_PREFIXES

_HEADERS = ("contig", "bin")
# "Escherichia (genus): 0.98", "Gloeobacter*: 0.23", "no support", "NA"
_NAME = re.compile(r"(?P<name>.*?)\*?(?: \((?P<rank>[a-z ]+)\))?(?:: (?P<score>[0-9.]+))?")


def _start() -> ReadRow:
    header: list[str] = []

    def read(cells: list[str]) -> LabelRow | None:
        if _is_header(cells):
            header[:] = cells
            return None
        if not header:
            raise InputError("no header before it; expected '# contig', 'classification', 'reason', 'lineage', …")
        require_columns(cells, 2, "contig, classification, reason, lineage, … (CAT)")
        name = first_word(cells[0])
        assigned = cells[1].startswith(("taxid assigned", "classified"))
        lineage = header.index("lineage") if "lineage" in header else len(header)
        if not assigned or len(cells) <= lineage:
            return LabelRow(name)
        path = [part.strip().rstrip("*") for part in cells[lineage].strip("; ").split(";")]
        scores = [cell for title, cell in zip(header, cells, strict=False) if title.startswith("lineage scores")]
        support = share(scores[0].strip("; ").split(";")[-1].strip()) if scores and scores[0] else None
        if all(is_number(part) for part in path):
            return LabelRow(name, taxid_of(path[-1]), _names(header, cells), support)
        return LabelRow(name, (), ";".join(path), support)  # with GTDB, the taxids are names

    return read


def _names(header: list[str], cells: list[str]) -> str:
    """The lineage as text from the columns that ``add_names`` writes; empty without them."""
    found: dict[int, str] = {}
    for column, cell in enumerate(cells):
        title = header[column] if column < len(header) else header[-1]
        match = _NAME.fullmatch(cell)
        if match is None or title not in (*RANK_OF_NAME, "full lineage names"):
            continue
        rank = RANK_OF_NAME.get(match["rank"] or "" if title == "full lineage names" else title)
        if rank is not None:
            found.setdefault(rank, match["name"])
    return ";".join(f"{RANK_PREFIXES[rank]}__{name}" for rank, name in sorted(found.items()))


def _is_header(cells: list[str]) -> bool:
    return cells[0].lstrip("# ").lower() in _HEADERS and "classification" in cells


CAT = LabelFormat("cat", _is_header, _start, several=True)
