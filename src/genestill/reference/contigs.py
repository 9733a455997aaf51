"""Validation: contigs, abundances, labels and truth are checked together before any computation."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import require_disk_space
from genestill.core.label_tables import join_labels, read_label_table
from genestill.core.lineage import NO_LINEAGE, Lineage, count_unknown_names, depth
from genestill.core.logs import log_counts
from genestill.core.sequences import read_fasta, sequence_checksum
from genestill.core.tables import write_table, write_tsv
from genestill.reference.abundance import join_abundances
from genestill.reference.alignments import read_alignment_depths
from genestill.reference.coverage_tables import read_abundance_tables
from genestill.reference.genomes import read_genomes
from genestill.reference.identities import read_identities, read_species_sets
from genestill.reference.truth import Answer, grade_truth, read_answers, truth_table

# Names of contigs of several samples in one file, as in VAMB: S<sample>C<contig>.
_SAMPLE = re.compile(r"(S\d+)C.+")


def index_contigs(path: str | Path, minimum_length: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read a FASTA file of contigs.

    Args:
        path: the file, compressed or not.
        minimum_length: shorter contigs are left out. Base pairs.

    Returns:
        A table of `table_schemas.INDEX`, and the length of every contig of the file, including short ones.

    Raises:
        InputError: as `read_fasta`, and for a file in which every contig is too short.
    """
    rows, lengths = [], {}
    for name, sequence in read_fasta(path):
        lengths[name] = len(sequence)
        if len(sequence) < minimum_length:
            continue
        upper = sequence.upper()
        strong = upper.count("G") + upper.count("C")
        known = strong + upper.count("A") + upper.count("T") + upper.count("U")
        sample = _SAMPLE.fullmatch(name)
        checksum = sequence_checksum(upper)
        share = strong / known if known else None
        rows.append((name, len(sequence), share, sample.group(1) if sample else None, checksum))
    if not rows:
        raise InputError(
            f"{path}: none of its {len(lengths)} contigs has {minimum_length} bp or more (the longest has "
            f"{max(lengths.values())} bp); lower dataset.minimum_length"
        )
    return pd.DataFrame(rows, columns=table_schemas.INDEX.names), lengths


def read_truth(path: str | Path, ids: Sequence[str], lengths: Mapping[str, int]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read a TSV of the ground truth, see `read_answers`.

    Args:
        path: the file.
        ids: the contigs of the index.
        lengths: length of every contig of the FASTA file. Base pairs.

    Returns:
        `table_schemas.TRUTH` in the order of ``ids`` (null lineage for contigs without a row), with the lengths of the
        FASTA file, and counts.

    Raises:
        InputError: as `read_answers`, and for a table of other contigs, or of contigs with other lengths.
    """
    rows, odd = read_answers(path)
    other = next((name for name, row in rows.items() if row.length not in (None, lengths.get(name, row.length))), None)
    if other is not None:
        raise InputError(
            f"{path}: the contig {other!r} has {rows[other].length} bp; {lengths[other]} bp in the FASTA file; does "
            "the table belong to other contigs?"
        )
    if not rows.keys() & lengths.keys():
        raise InputError(
            f"{path}: none of its {len(rows)} contigs (first: {next(iter(rows), None)!r}) is in the FASTA file "
            f"(first: {ids[0]!r}); does the table belong to other contigs?"
        )
    nothing = Answer(NO_LINEAGE)
    joined = [rows.get(name, nothing)._replace(length=lengths[name]) for name in ids]
    table = truth_table(ids, joined)
    counts = {
        "rows_of_no_contig": len(rows.keys() - lengths.keys()),
        "contigs_without_row": sum(name not in rows for name in ids),
        "rows_without_readable_lineage": odd,
    }
    return table, counts


def prepare_contigs(
    contigs: str | Path,
    minimum_length: int,
    output_index: str | Path,
    output_abundance: str | Path,
    output_truth: str | Path | None = None,
    abundance: Sequence[str | Path] = (),
    bam: Sequence[str | Path] = (),
    labels: str | Path | None = None,
    labels_format: str = "auto",
    truth: str | Path | None = None,
    reference: str | Path | None = None,
    genomes: str | Path | None = None,
    output_vamb: str | Path | None = None,
    species_sets: str | Path | None = None,
    identities: str | Path | None = None,
) -> None:
    """Check all inputs of a run, then write the index, the abundances and the truth.

    Args:
        contigs: FASTA or FASTQ file, compressed or not.
        minimum_length: shorter contigs are left out and counted. Base pairs.
        output_index: ``table_schemas.INDEX``, in the order of the FASTA file.
        output_abundance: ``id`` and one float32 column per sample, rows as in the index.
        output_truth: ``table_schemas.TRUTH``, rows as in the index; only with ``truth``.
        abundance: tables of abundances, each of one or more samples; or
        bam: BAM, CRAM or SAM files, one per sample. Without either there are no columns of samples.
        labels: table of labels that the run will import.
        labels_format: its format, see `read_label_table`.
        truth: TSV of the ground truth.
        reference: table of reference genomes.
        genomes: folder of the genome files; None for the folder of the table.
        output_vamb: TSV of the abundances in VAMB's format; without samples, a header and ids.
        species_sets, identities: files of `write_species_sets` for the reference and the ground truth; the statuses in
            the truth are then computed from them.

    Raises:
        InputError: the first error found; no file is written then.
    """
    index, lengths = index_contigs(contigs, minimum_length)
    ids = index["id"].tolist()
    counts = {"contigs": len(index), f"shorter_than_{minimum_length}_bp": len(lengths) - len(index)}
    if abundance and bam:
        raise InputError(f"both tables of abundances ({abundance[0]}) and BAM files ({bam[0]}) are given; expected one")
    depths, more = pd.DataFrame({"id": ids}), 0
    if abundance:
        depths, more = join_abundances(read_abundance_tables(abundance, lengths), ids, set(lengths))
    elif bam:
        depths, more = join_abundances({bam[0]: read_alignment_depths(bam, lengths, contigs)}, ids, set(lengths))
    counts |= {"samples": len(depths.columns) - 1, "abundance_rows_of_no_contig": more}
    known: list[Lineage] = []
    if labels is not None:
        joined, met = join_labels(read_label_table(labels, labels_format), ids, set(lengths), str(labels))
        counts |= {f"label_{what}": count for what, count in met.items()}
        known += joined.lineages
    answers = None
    if truth is not None:
        answers, met = read_truth(truth, ids, lengths)
        counts |= {f"truth_{what}": count for what, count in met.items()}
    if reference is not None:
        found = read_genomes(reference, genomes)
        counts["reference_genomes"] = len(found)
        known += [genome.lineage for genome in found]
        if answers is not None and species_sets is not None and identities is not None:
            held = {genome.file: genome.lineage for genome in found}
            answers = grade_truth(answers, held, read_species_sets(species_sets), read_identities(identities))
    if answers is not None and any(map(depth, known)):
        given = "the reference genomes and labels"
        counts["truth_names_unknown"] = count_unknown_names(
            table_schemas.lineages_of(answers), known, str(truth), given
        )
    # Of all later stages, the search needs most disk space per base of the contigs; see labels.search.
    require_disk_space(Path(output_index).parent, 20 * sum(lengths.values()) + 200_000_000, "a run on these contigs")
    write_table(output_index, index, table_schemas.INDEX, {"contigs": contigs, "minimum_length": minimum_length})
    schema = pa.schema([("id", pa.string()), *[(sample, pa.float32()) for sample in depths.columns[1:]]])
    write_table(output_abundance, depths, schema)
    if output_vamb is not None:
        write_tsv(output_vamb, depths.rename(columns={"id": "contigname"}), digits=9)
    if answers is not None and output_truth is not None:
        write_table(output_truth, answers, table_schemas.TRUTH)
    log_counts("contigs", counts)
