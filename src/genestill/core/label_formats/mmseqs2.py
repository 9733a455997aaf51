"""MMseqs2: what ``easy-taxonomy`` calls ``…_lca.tsv``, or ``createtsv`` of a result of ``taxonomy``.

Columns (github.com/soedinglab/mmseqs2/wiki, "Taxonomy format"): contig, taxid, rank, name; for contigs (not reads or
proteins) also fragments retained, assigned and in agreement, and the support; with ``--lca-ranks`` the names at the
ranks asked for; with ``--tax-lineage 1`` the lineage (2: as numbers).
"""

import re

from genestill.core.label_formats.row import (
    LabelFormat,
    LabelRow,
    first_word,
    is_number,
    require_columns,
    row_by_row,
    share,
    taxid_of,
)

# "d_Bacteria;-_Terrabacteria group;p_Bacillota": a letter before every name, the top first. The column of --lca-ranks
# has names alone, in the order that the user gave: nothing tells which rank a name has.
_LINEAGE = re.compile(r"(?:[dkr-]|sk)_[^;]*(?:;(?:[a-z-]|sk)_[^;]*)*;?")


def _read(cells: list[str]) -> LabelRow:
    require_columns(cells, 4, "4, 5, 6, 8, 9 or 10 (MMseqs2 LCA table)")
    taxid = taxid_of(cells[1])
    of_contigs = len(cells) >= 8 and all(is_number(cell) for cell in cells[4:7])
    support = share(cells[7]) if of_contigs else None
    last = cells[-1] if len(cells) > (8 if of_contigs else 4) else ""
    lineage = last if cells[1] != "0" and _LINEAGE.fullmatch(last) else ""
    return LabelRow(first_word(cells[0]), taxid, lineage, support)


def _fits(cells: list[str]) -> bool:
    return len(cells) >= 4 and is_number(cells[1]) and bool(re.fullmatch(r"[A-Za-z][A-Za-z -]*", cells[2]))


MMSEQS2 = LabelFormat("mmseqs2", _fits, row_by_row(_read))
