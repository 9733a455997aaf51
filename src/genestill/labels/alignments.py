"""Nucleotide alignments of contigs to reference genomes, by minimap2 (Li 2018, doi 10.1093/bioinformatics/bty191).

The table has one row per contig and genome, in the schema `table_schemas.ALIGNMENTS`. Weaker alignments are kept as
well as the best one, so that genomes can be withheld later.
"""

import subprocess
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError, ProgramFailed
from genestill.core.files import require_disk_space, scratch_folder
from genestill.core.logs import log_counts
from genestill.core.programs import find_program
from genestill.core.sequences import genome_name, read_fasta, write_fasta
from genestill.core.table_schemas import ALIGNMENTS, INDEX
from genestill.core.tables import read_table, read_tsv, write_table

# Weak alignments are kept (-p, -N): they are used when the genome of the best alignment is withheld.
_OPTIONS = ("-c", "-x", "asm20", "-N", "200", "-p", "0.05", "--secondary=yes")
_OVERLAP = 0.5  # largest share of the contig bases of an alignment that a better one to the same genome may cover


def align_contigs(
    contigs: str | Path, index: str | Path, genomes: str | Path, folder: str | Path, threads: int, output: str | Path
) -> None:
    """Align the contigs of ``index`` to all genomes and write the table `table_schemas.ALIGNMENTS`.

    Args:
        contigs: FASTA file, compressed or not.
        index: ``table_schemas.INDEX``; other contigs are left out.
        genomes: table of genomes with the column ``file``.
        folder: folder of these files.
        threads: number of threads of minimap2.
        output: the table, sorted by contig in the order of the index, best genome first.

    Raises:
        InputError: minimap2 is not installed; the file of a genome is missing.
        ProgramFailed: minimap2 fails.
    """
    minimap2, table = find_program("minimap2"), read_table(index, INDEX)
    files = [Path(folder) / file for file in read_tsv(genomes, ["file"])["file"]]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"{genomes}: no such file: {missing}")
    output = Path(output)
    needed = 5 * sum(file.stat().st_size for file in files) + 2 * int(table["length"].sum()) + 100_000_000
    require_disk_space(output.parent, needed, "minimap2")
    with scratch_folder(output.parent, "alignments") as scratch:
        reference = scratch / "genomes.fna"
        with open(reference, "w", encoding="ascii") as handle:
            for file in files:
                for record, sequence in read_fasta(file):
                    handle.write(f">{genome_name(file)}|{record}\n{sequence}\n")
        ids, queries = table["id"].tolist(), scratch / "contigs.fna"
        wanted = set(ids)
        write_fasta(queries, (record for record in read_fasta(contigs) if record[0] in wanted))
        found = summarise_alignments(_run(minimap2, reference, queries, threads, scratch), ids)
    write_table(output, found, ALIGNMENTS)
    log_counts("alignments", {"contigs": len(table), "contigs_aligned": found["id"].nunique(), "rows": len(found)})


def _run(minimap2: Path, reference: Path, queries: Path, threads: int, scratch: Path) -> Iterator[str]:
    said = scratch / "minimap2.log"
    words = [str(minimap2), *_OPTIONS, "-t", str(threads), str(reference), str(queries)]
    with open(said, "w", encoding="utf-8") as errors:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            yield from process.stdout or ()
        if process.returncode:
            last = said.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise ProgramFailed(f"minimap2 failed with exit code {process.returncode} ({' '.join(words)}). {last}")


def summarise_alignments(lines: Iterable[str], ids: list[str]) -> pd.DataFrame:
    """Make the table `table_schemas.ALIGNMENTS` from lines of PAF (with ``de:f:``) with targets ``<genome>|<record>``.

    If alignments of a contig to a genome overlap on the contig, the one with most matches is used. identity is
    gap-compressed: matches / (matches + mismatches + gaps), where each gap counts once (1 - the tag ``de``); several
    alignments are averaged by their numbers of columns. Contigs that are not in ``ids`` are left out.
    """
    places, lengths, genomes = _read_places(lines, ids)
    # The order in which alignments of a pair are accepted.
    order = np.lexsort((-places["divergence"], -places["stop"], -places["start"], -places["matches"],
                        places["genome"], places["row"]))  # fmt: skip
    places = {name: values[order] for name, values in places.items()}
    row, genome = places["row"], places["genome"]
    first = np.flatnonzero(np.r_[True, (np.diff(row) != 0) | (np.diff(genome) != 0)][: len(row)])
    size = np.diff(np.r_[first, len(row)])
    matches = places["matches"][first].astype(np.int64)
    columns = matches / (1 - places["divergence"][first])
    covered = (places["stop"] - places["start"])[first].astype(np.int64)
    for pair in np.flatnonzero(size > 1).tolist():
        chosen = slice(first[pair], first[pair] + size[pair])
        some = zip(*(places[name][chosen].tolist() for name in ("matches", "start", "stop", "divergence")), strict=True)
        matches[pair], columns[pair], covered[pair] = _join(some)
    row, genome = row[first], genome[first]
    order = np.lexsort((np.argsort(np.argsort(genomes))[genome], -matches, row))
    return pd.DataFrame(
        {
            "id": np.array(ids, dtype=object)[row[order]],
            "genome": np.array(genomes, dtype=object)[genome[order]],
            "identity": (matches / columns)[order],
            "matches": matches[order],
            "aligned": (covered / lengths[row])[order],
        }
    )


def _read_places(lines: Iterable[str], ids: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Columns with one number per line, the lengths of the contigs (int64 [contigs]), and the names of the genomes.

    All lines are kept, as numbers: minimap2 splits the index of a large reference (-I), so the alignments of a contig
    are in several places of its output.
    """
    row_of = {name: row for row, name in enumerate(ids)}
    number_of: dict[str, int] = {}
    lengths = np.zeros(len(ids), dtype=np.int64)
    places: dict[str, array] = {name: array("i") for name in ("row", "genome", "matches", "start", "stop")}
    places["divergence"] = array("d")
    for number, line in enumerate(lines, 1):
        cells = line.rstrip("\n").split("\t", 12)
        divergence = f"\t{cells[12]}".partition("\tde:f:")[2] if len(cells) > 12 else ""
        if not divergence:
            raise InputError(
                f"minimap2: line {number} of its output has no tag de:f:; expected PAF with base alignment (-c)"
            )
        row = row_of.get(cells[0])
        if row is None:
            continue
        lengths[row] = int(cells[1])
        genome = number_of.setdefault(cells[5].partition("|")[0], len(number_of))
        values = (row, genome, int(cells[9]), int(cells[2]), int(cells[3]), float(divergence.partition("\t")[0]))
        for column, value in zip(places.values(), values, strict=True):
            column.append(value)
    return {name: np.asarray(column) for name, column in places.items()}, lengths, list(number_of)


def _join(places: Iterable[tuple[int, int, int, float]]) -> tuple[int, float, int]:
    """Matches, columns and covered bases of the contig for the alignments (matches, start, stop, de) to one genome."""
    covered: list[tuple[int, int]] = []  # intervals that do not overlap
    matches, columns = 0, 0.0
    for matching, start, stop, divergence in places:
        shared = sum(max(0, min(stop, end) - max(start, begin)) for begin, end in covered)
        if shared > _OVERLAP * (stop - start):
            continue
        touching = [(begin, end) for begin, end in covered if begin <= stop and end >= start]
        covered = [interval for interval in covered if interval not in touching]
        covered.append((min([start, *(begin for begin, _ in touching)]), max([stop, *(end for _, end in touching)])))
        matches += matching
        columns += matching / (1 - divergence)
    return matches, columns, sum(end - begin for begin, end in covered)
