"""The ground truth: read from a table (see `read_answers`) or a gold standard of CAMI, with or without contigs."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from genestill.core import table_schemas
from genestill.core.cells import is_missing, whole_number
from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, Lineage, common_lineage, depth, parse_lineage, settle_parents
from genestill.core.logs import log_counts, logger
from genestill.core.novelty import STATUSES, genome_statuses, status_word
from genestill.core.tables import read_tsv, write_table
from genestill.core.taxonomy import read_taxonomy
from genestill.core.text import text_lines
from genestill.reference.gold_standard import is_gold_standard, mapping_rows

_ODD_AT_MOST = 0.2  # maximum share of lineages that cannot be used; with more, the table has another format


class Answer(NamedTuple):
    """The ground truth of one contig; None where unknown.

    Attributes:
        lineage: seven names.
        genome: the genome of the contig.
        length: base pairs.
        status: one of `novelty.STATUSES`.
        chimera: whether the contig is joined from several genomes.
    """

    lineage: Lineage
    genome: str | None = None
    length: int | None = None
    status: str | None = None
    chimera: bool | None = None


def read_answers(path: str | Path) -> tuple[dict[str, Answer], int]:
    """Read a TSV of the ground truth: columns ``contig``, ``lineage``, and optionally others of `Answer`.

    Statuses are those of `novelty.STATUSES` or short forms (exact, known, species, genus, family); ``chimera`` is yes
    or no.

    Returns:
        Contig -> answer, in the order of the file, and the number of rows whose lineage is empty because it cannot be
        read, or because a name has another parent there than in most rows.

    Raises:
        InputError: as `read_tsv`; and with file and line, for a contig given twice, an invalid length, status or
            chimera, and more than a fifth of such lineages.
    """
    table = read_tsv(path, ("contig", "lineage"))
    rows: dict[str, Answer] = {}
    odd: list[str] = []
    line_of: dict[str, int] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path}: line {number}"
        name = row["contig"].split(maxsplit=1)[0] if row["contig"] else ""
        if not name or name in rows:
            raise InputError(f"{where}: contig {name!r}; expected an id that no other line has")
        try:
            lineage = parse_lineage(row["lineage"])
        except InputError as error:
            odd.append(f"{where}: {error}")
            lineage = NO_LINEAGE
        status, chimera = ("" if is_missing(row.get(column, "")) else row[column] for column in ("status", "chimera"))
        try:
            status = status_word(status) if status else None
        except ValueError:
            raise InputError(f"{where}: status {status!r}; expected one of {', '.join(STATUSES)}") from None
        if chimera not in ("", "yes", "no"):
            raise InputError(f"{where}: chimera {chimera!r}; expected yes or no")
        line_of[name] = number
        rows[name] = Answer(
            lineage,
            row.get("genome") or None,
            _length_of(row.get("length", ""), where),
            status,
            chimera == "yes" if chimera else None,
        )
    lineages, sentences = settle_parents([row.lineage for row in rows.values()], [1] * len(rows))
    for place, (name, row) in enumerate(list(rows.items())):
        rows[name] = row._replace(lineage=NO_LINEAGE if place in sentences else lineages[place])
        odd += [f"{path}: line {line_of[name]}: {sentences[place]}"] if place in sentences else []
    if odd and len(odd) > _ODD_AT_MOST * len(rows):
        raise InputError(odd[0] if len(odd) == 1 else f"{odd[0]} (and {len(odd) - 1} more of {len(rows)} rows)")
    if odd:
        logger.warning("%s; this row and %d more of %d have no true lineage", odd[0], len(odd) - 1, len(rows))
    return rows, len(odd)


def _length_of(cell: str, where: str) -> int | None:
    if is_missing(cell):
        return None
    length = whole_number(cell, f"{where}: length")
    if length <= 0:
        raise InputError(f"{where}: length {length}; expected a positive number of base pairs")
    return length


def truth_table(ids: Sequence[str], answers: Sequence[Answer]) -> pd.DataFrame:
    """The table of `table_schemas.TRUTH` for n contigs and their answers."""
    table = pd.DataFrame({"id": list(ids), **table_schemas.rank_columns([row.lineage for row in answers])})
    for name, kind in (("genome", "object"), ("length", "Int64"), ("status", "object"), ("chimera", "boolean")):
        table[name] = pd.array([getattr(row, name) for row in answers], dtype=kind)
    return table.assign(identity=None, same_species=None)


def grade_truth(
    table: pd.DataFrame,
    reference: Mapping[str, Lineage],
    sets: Mapping[Lineage, Lineage],
    identities: pd.DataFrame,
) -> pd.DataFrame:
    """Compute status, identity and names of the same set for a ground truth, with respect to a reference.

    Args:
        table: table of `table_schemas.TRUTH`. Contigs whose genome is not in ``identities`` keep their status.
        reference: lineage of each genome of the reference, by file.
        sets: see `novelty.species_sets`.
        identities: see `novelty.species_sets`.

    Returns:
        The table with these columns.
    """
    compared = set(identities["genome"])
    lineages = table_schemas.lineages_of(table)
    sources = {genome: lineage for genome, lineage in zip(table["genome"], lineages, strict=True) if genome in compared}
    found = genome_statuses(sources, reference, sets, identities)
    given = zip(table["genome"], table["status"], strict=True)
    statuses = [found.get(genome, (status, None)) for genome, status in given]
    same: dict[Lineage, list[Lineage]] = {}
    for species, of in sets.items():
        same.setdefault(of, []).append(species)
    names = [[one[-1] for one in same.get(sets.get(lineage, ()), []) if one != lineage] or None for lineage in lineages]
    return table.assign(
        status=pd.array([status for status, _ in statuses], dtype="object"),
        identity=pd.array([identity for _, identity in statuses], dtype="Float32"),
        same_species=pd.Series(names, index=table.index, dtype="object"),
    )


def write_truth(truth: Sequence[str | Path], taxonomy: str | Path | None, output: str | Path) -> None:
    """Write `table_schemas.TRUTH` for all contigs of a table of the ground truth, for a run without contigs.

    Args:
        truth: a TSV for `read_answers`; or a gold standard of CAMI, in the binning format (lengths from its column
            ``LENGTH``) or as CAMISIM writes it, or its parts. A contig of several genomes gets the common part of their
            lineages.
        taxonomy: folder written by ``reference taxonomy``; required for gold standards, which have taxids.
        output: the table, in the order of the file.

    Raises:
        InputError: a gold standard without taxonomy, or with only unknown taxids; as `read_answers` and `mapping_rows`.
    """
    lines = (line for line in text_lines(truth[0]) if line.strip())
    first = next((line for line in lines if is_gold_standard(line) or not line.startswith("#")), "")
    if len(truth) > 1 and not is_gold_standard(first):
        raise InputError(
            f"{truth[0]}: a table of ground truth must be a single file; only a gold standard of CAMI may have several"
        )
    rows, counts = _answers_of_gold(truth, taxonomy) if is_gold_standard(first) else _answers_of_table(truth[0])
    if not any(depth(row.lineage) for row in rows.values()):
        raise InputError(f"{truth[0]}: none of its {len(rows)} contigs has a true lineage; expected lineages or taxids")
    write_table(output, truth_table(list(rows), list(rows.values())), table_schemas.TRUTH)
    without_length = sum(row.length is None for row in rows.values())
    log_counts("truth", {"contigs": len(rows), **counts, "contigs_without_length": without_length})


def _answers_of_table(truth: str | Path) -> tuple[dict[str, Answer], dict[str, int]]:
    rows, odd = read_answers(truth)
    return rows, {"rows_without_readable_lineage": odd}


def _answers_of_gold(
    truth: Sequence[str | Path], taxonomy: str | Path | None
) -> tuple[dict[str, Answer], dict[str, int]]:
    if taxonomy is None:
        raise InputError(
            f"{truth[0]}: a gold standard of CAMI, which contains taxids; give the taxonomy dump from which it was "
            "made as reference.taxdump (--taxonomy)"
        )
    names = read_taxonomy(taxonomy)
    counts = {"taxids_merged": 0, "taxids_unknown": 0, "contigs_of_several_genomes": 0}
    rows: dict[str, Answer] = {}
    for row in chain.from_iterable(map(mapping_rows, truth)):
        current = names.current(row.taxid or 0)
        counts["taxids_merged"] += current not in (None, row.taxid)
        counts["taxids_unknown"] += current is None
        lineage, genome = NO_LINEAGE if current is None else names.lineages[current], row.bin or None
        before = rows.get(row.id)
        if before is not None:
            counts["contigs_of_several_genomes"] += 1
            lineage, genome = common_lineage([before.lineage, lineage]), genome if genome == before.genome else None
        rows[row.id] = Answer(lineage, genome, row.length)
    return rows, counts
