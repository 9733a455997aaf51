"""Tables of contig labels, as the field's classifiers write them.

Formats: MMseqs2 (``createtsv`` of an LCA result: 4 or 8 columns, one more with a lineage), Kraken 2 (standard output),
Centrifuge (its TSV) and Taxometer (``contigs``, ``predictions``, perhaps ``scores``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.lineage import NO_LINEAGE, Lineage, parse_lineage, refuse_two_parents
from genestill.ground.taxonomy_folder import parse_taxid
from genestill.ground.text import read_text_lines

# With NCBI's newer rank word "domain", MMseqs2 writes "-_Bacteria"; these names stand at the top rank only.
_DOMAINS = ("-_Bacteria", "-_Archaea", "-_Eukaryota", "-_Viruses")
_KRAKEN_NAME = re.compile(r"\(taxid (\d+)\)$")


@dataclass(frozen=True)
class Label:
    """What a table says about a contig.

    Attributes:
        id: the contig's id up to the first white space.
        taxids: none (unlabelled, or the table has no numbers), one, or several that fit equally well.
        lineage: the lineage written in the table; empty if there is none.
        support: share of the evidence for the label, 0 to 1; None if the table has none.
    """

    id: str
    taxids: tuple[int, ...] = ()
    lineage: Lineage = NO_LINEAGE
    support: float | None = None


def read_label_table(path: str | Path, form: str = "auto") -> list[Label]:
    """Read a table of labels, gzipped or not.

    Args:
        path: the file.
        form: ``mmseqs2``, ``taxometer``, ``kraken2``, ``centrifuge``, or ``auto``: told by the first line.

    Returns:
        One label a contig, in the order of the file.

    Raises:
        InputError: naming file and line, for an empty file, a line of another form, a contig given twice, a lineage
            of the wrong number of ranks or a name with two parents.
    """
    lines = read_text_lines(path)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise InputError(f"{path}: empty; expected one label a contig")
    if form == "auto":
        form = _recognise(first, path)
    if form not in _READERS:
        raise InputError(f"{path}: unknown format {form!r}; expected auto, {', '.join(_READERS)}")
    labels = _READERS[form](lines, str(path))
    if not labels:
        raise InputError(f"{path}: holds a header but no contig")
    refuse_two_parents((label.lineage for label in labels), str(path))
    return labels


def _recognise(line: str, path: str | Path) -> str:
    cells = line.split("\t")
    if cells[:2] == ["contigs", "predictions"]:
        return "taxometer"
    if [cell.lower() for cell in cells[:3]] == ["readid", "seqid", "taxid"]:
        return "centrifuge"
    if cells[0] in ("C", "U") and len(cells) == 5:
        return "kraken2"
    if len(cells) >= 4 and _is_number(cells[1]):
        return "mmseqs2"
    raise InputError(
        f"{path}: line 1 is {line[:60]!r}; not recognised as MMseqs2 (id, taxid, rank, name, …), Kraken 2 (C or U, id, "
        "taxid, length, k-mers), Centrifuge (readID, seqID, taxID, …) or Taxometer (contigs, predictions)"
    )


def read_mmseqs2(lines: Sequence[str], source: str) -> list[Label]:
    """Read the lines of an MMseqs2 LCA table; columns that ``--lca-ranks`` put between are passed over."""

    def read(cells: list[str], where: str) -> Label:
        if len(cells) < 4:
            raise InputError(f"{where} has {len(cells)} columns; expected 4, 5, 8 or 9 (MMseqs2 LCA table)")
        taxid = parse_taxid(cells[1], where)
        in_contigs = len(cells) >= 8 and all(_is_number(cell) for cell in cells[4:7])
        support = _share(cells[7], where) if in_contigs else None
        text = cells[-1] if len(cells) > (8 if in_contigs else 4) else ""
        # --tax-lineage 2 writes numbers; the taxid in column 2 says the same.
        numbers = all(_is_number(part) for part in text.split(";"))
        lineage = NO_LINEAGE if numbers or taxid == 0 else _lineage(_mark_domain(text), where)
        return Label(_id(cells[0], where), (taxid,) if taxid else (), lineage, support)

    return _read_rows(lines, source, read)


def read_kraken2(lines: Sequence[str], source: str) -> list[Label]:
    """Read the lines of Kraken 2's output, with or without ``--use-names``."""

    def read(cells: list[str], where: str) -> Label:
        if len(cells) < 4 or cells[0] not in ("C", "U"):
            raise InputError(f"{where}: column 1 is {cells[0][:20]!r}; expected C or U (Kraken 2 output)")
        named = _KRAKEN_NAME.search(cells[2])
        taxid = parse_taxid(named.group(1) if named else cells[2], where)
        return Label(_id(cells[1], where), (taxid,) if cells[0] == "C" and taxid else ())

    return _read_rows(lines, source, read)


def read_taxometer(lines: Sequence[str], source: str) -> list[Label]:
    """Read the lines of a Taxometer table; the support is the score of the deepest rank, where there are scores."""
    if lines[0].split("\t")[:2] != ["contigs", "predictions"]:
        raise InputError(f"{source}: line 1 is {lines[0][:60]!r}; expected the header contigs<TAB>predictions")

    def read(cells: list[str], where: str) -> Label:
        lineage = _lineage(cells[1] if len(cells) > 1 else "", where)
        scores = cells[2].split(";") if len(cells) > 2 and cells[2] else []
        return Label(_id(cells[0], where), (), lineage, _share(scores[-1], where) if scores else None)

    return _read_rows(lines[1:], source, read, first=2)


def read_centrifuge(lines: Sequence[str], source: str) -> list[Label]:
    """Read the lines of Centrifuge's table; rows of one contig that fit equally well stay together."""

    def read(cells: list[str], where: str) -> Label:
        if len(cells) < 3:
            raise InputError(f"{where} has {len(cells)} columns; expected readID, seqID, taxID, … (Centrifuge)")
        taxid = parse_taxid(cells[2], where)
        return Label(_id(cells[0], where), (taxid,) if taxid else ())

    header = [cell.lower() for cell in lines[0].split("\t")[:3]] == ["readid", "seqid", "taxid"]
    rows = _read_rows(lines[header:], source, read, first=1 + header, several=True)
    together: dict[str, tuple[int, ...]] = {}
    for label in rows:
        together[label.id] = (*together.get(label.id, ()), *label.taxids)
    return [Label(name, tuple(dict.fromkeys(taxids))) for name, taxids in together.items()]


_READERS = {
    "mmseqs2": read_mmseqs2,
    "taxometer": read_taxometer,
    "kraken2": read_kraken2,
    "centrifuge": read_centrifuge,
}
FORMATS = ("auto", *_READERS)


def _read_rows(
    lines: Sequence[str],
    source: str,
    read: Callable[[list[str], str], Label],
    first: int = 1,
    several: bool = False,
) -> list[Label]:
    labels: list[Label] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        label = read([cell.strip() for cell in line.split("\t")], f"{source}: line {number}")
        if label.id in line_of and not several:
            raise InputError(f"{source}: line {number}: the contig {label.id!r} is also in line {line_of[label.id]}")
        line_of[label.id] = number
        labels.append(label)
    return labels


def join_labels(labels: list[Label], ids: Sequence[str], all_ids: set[str], source: str) -> tuple[list[Label], dict]:
    """Put labels in the order of ``ids``; a contig without a row is unlabelled, as MMseqs2 leaves such out.

    Args:
        labels: as `read_label_table` returns them.
        ids: the contigs that take part.
        all_ids: all contigs of the FASTA file.
        source: the file that the message names.

    Returns:
        One label a contig, and counts: rows of no contig, contigs without a row.

    Raises:
        InputError: no row belongs to a contig, or two contigs have no species or taxid to tell them apart.
    """
    of_id = {label.id: label for label in labels}
    if not all_ids & of_id.keys():
        raise InputError(
            f"{source}: none of its {len(labels)} contigs (first: {labels[0].id!r}) is in the FASTA file "
            f"(first: {ids[0]!r}); is it the table of other contigs?"
        )
    counts = {
        "rows_of_no_contig": len(of_id.keys() - all_ids),
        "contigs_without_row": sum(name not in of_id for name in ids),
    }
    joined = [of_id.get(name, Label(name)) for name in ids]
    different = {label.taxids or label.lineage for label in joined if label.taxids or label.lineage[-1]}
    if len(different) < 2:
        raise InputError(
            f"{source}: fewer than two labelled species among {len(ids)} contigs; expected at least 2 to tell apart"
        )
    return joined, counts


def _mark_domain(text: str) -> str:
    parts = [part.strip() for part in text.split(";")]
    if not any(part.startswith("d_") for part in parts):
        parts = [f"d_{part[2:]}" if part in _DOMAINS else part for part in parts]
    return ";".join(parts)


def _id(text: str, where: str) -> str:
    if not text:
        raise InputError(f"{where} has no contig id")
    return text.split(maxsplit=1)[0]


def _lineage(text: str, where: str) -> Lineage:
    try:
        return parse_lineage(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _share(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1.0001:
        raise InputError(f"{where}: support {text[:40]!r}; expected a number between 0 and 1")
    return min(value, 1.0)
