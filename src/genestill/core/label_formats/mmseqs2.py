"""MMseqs2: ``…_lca.tsv`` of ``easy-taxonomy``, or ``createtsv`` of a result of ``taxonomy``.

Columns (github.com/soedinglab/mmseqs2/wiki, "Taxonomy format"): contig, taxid, rank, name; for contigs (not reads or
proteins) also the numbers of retained, assigned and agreeing fragments, and the support; with ``--lca-ranks`` the names
at the requested ranks; with ``--tax-lineage 1`` the lineage (2: as numbers).
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

# "d_Bacteria;-_Terrabacteria group;p_Bacillota": a letter before every name, from the top. The column of --lca-ranks
# has only names, in an order chosen by the user, so the rank of a name is not known.
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
