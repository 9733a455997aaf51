"""A community of contigs by their positions in published genomes, so that a table of results can be reproduced.

Compressed, a row of a table of positions takes 37 bytes; the sequence takes fifty times as many.
"""

from pathlib import Path

import pandas as pd

from genestill.core.cells import whole_number
from genestill.core.errors import InputError
from genestill.core.files import folder_aside
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta, reverse_complement, sequence_checksum, write_fasta
from genestill.core.tables import read_tsv, write_tsv

COLUMNS = ("contig", "genome", "record", "start", "end", "strand", "status")
_GENOMES = ("file", "lineage")


def cut_contigs(positions: str | Path, genomes: str | Path, held: str | Path, output: str | Path) -> None:
    """Cut the contigs of a community from its genomes.

    Args:
        positions: TSV with the columns ``COLUMNS`` and one column of depths per sample. ``genome`` is a file of
            ``genomes``, ``record`` the `sequence_checksum` of one of its sequences in upper case, ``start`` and ``end``
            the half-open interval on the forward strand, counted from 0 as in BED, and ``status`` what the reference
            contains of the genome.
        genomes: TSV with the columns file and lineage, beside the files.
        held: TSV with the column file: the genomes that the reference holds.
        output: a folder with contigs.fna.gz, truth.tsv (contig, lineage, genome, length, status), abundance.tsv
            (contigname, one column per sample) and reference.tsv (file, lineage).

    Raises:
        InputError: a missing genome, a record that a genome lacks, an interval outside its record, another strand than
            + or -.
    """
    rows = read_tsv(positions, COLUMNS)
    table = read_tsv(genomes, _GENOMES)
    lineages = dict(zip(table["file"], table["lineage"], strict=True))
    kept = read_tsv(held, ["file"])["file"]
    for name in [*kept, *rows["genome"]]:
        if name not in lineages:
            raise InputError(f"{genomes}: no genome {name!r}, which is listed in {positions} or {held}")
    contigs = dict.fromkeys(rows["contig"], "")
    if len(contigs) < len(rows):
        twice = rows["contig"][rows["contig"].duplicated()].iloc[0]
        raise InputError(f"{positions}: the contig {twice!r} occurs twice")
    for name, parts in rows.groupby("genome", sort=False):
        contigs |= _cut(Path(genomes).parent / str(name), parts, positions)
    samples = [column for column in rows.columns if column not in COLUMNS]
    with folder_aside(output) as folder:
        write_fasta(folder / "contigs.fna.gz", contigs.items())
        truth = pd.DataFrame({"contig": rows["contig"], "lineage": rows["genome"].map(lineages)})
        truth = truth.assign(genome=rows["genome"], length=list(map(len, contigs.values())), status=rows["status"])
        write_tsv(folder / "truth.tsv", truth)
        write_tsv(folder / "abundance.tsv", rows[["contig", *samples]].rename(columns={"contig": "contigname"}))
        write_tsv(folder / "reference.tsv", pd.DataFrame({"file": kept, "lineage": kept.map(lineages)}))
    logger.info("%s: %d contigs of %d genomes", output, len(rows), rows["genome"].nunique())


def _cut(path: Path, parts: pd.DataFrame, positions: str | Path) -> dict[str, str]:
    """Contig -> sequence, of the contigs of one genome."""
    # The same assembly has other names of records in GenBank and in RefSeq.
    sequences = (sequence.upper() for _, sequence in read_fasta(path))
    records = {sequence_checksum(sequence): sequence for sequence in sequences}
    cut = {}
    for line, row in parts.iterrows():
        place = f"{positions}: line {line}: {row.contig!r}"
        if row.record not in records:
            raise InputError(f"{place}: {path} has no sequence with the SHA-256 {row.record}…; is it another version?")
        start, end = (whole_number(row[name], f"{place}: {name}") for name in ("start", "end"))
        if not 0 <= start < end <= len(records[row.record]):
            raise InputError(
                f"{place}: {start} to {end} is not within the {len(records[row.record])} bases of its record"
            )
        if row.strand not in ("+", "-"):
            raise InputError(f"{place}: strand is {row.strand!r}; expected + or -")
        sequence = records[row.record][start:end]
        cut[row.contig] = sequence if row.strand == "+" else reverse_complement(sequence)
    return cut
