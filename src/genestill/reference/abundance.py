"""Abundances of contigs over samples, from the tables and alignments that people have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.errors import InputError


def read_bam_depths(paths: Sequence[str | Path], lengths: dict[str, int]) -> pd.DataFrame:
    """Mean depth of every contig in every BAM file (one a sample; named after the file).

    Args:
        paths: BAM files, sorted or not.
        lengths: contig id -> base pairs of the FASTA.

    Returns:
        float32, index the contigs of the BAM headers, columns the samples: aligned bases (CIGAR M, = and X) of
        primary alignments, without duplicates and failed reads, over the length of the contig.

    Raises:
        InputError: pysam is not installed, a file is not BAM or is cut short, two samples have one name, a contig
            has another length than in the FASTA, or a sample's contigs are none of ours.
    """
    try:
        import pysam
    except ImportError:
        raise InputError(
            "abundances from BAM files need pysam: install genestill[bam], or give a table of abundances (TSV)"
        ) from None
    depths: dict[str, pd.Series] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.stem in depths:
            raise InputError(f"{path}: a second BAM file for the sample {path.stem!r}; file names name the samples")
        verbosity = pysam.set_verbosity(0)
        try:
            with pysam.AlignmentFile(str(path), "rb", check_sq=False) as bam:
                found = dict(zip(bam.references, bam.lengths, strict=True))
                _refuse_other_contigs(path, found, lengths)
                bases = np.zeros(len(found))
                for read in bam.fetch(until_eof=True):
                    if read.is_unmapped or read.is_secondary or read.is_supplementary:
                        continue
                    if read.is_duplicate or read.is_qcfail:
                        continue
                    bases[read.reference_id] += sum(size for kind, size in read.cigartuples or () if kind in (0, 7, 8))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a whole BAM file ({error})") from None
        finally:
            pysam.set_verbosity(verbosity)
        depths[path.stem] = pd.Series(bases / np.array([*found.values()]), index=[*found], dtype=np.float32)
    table = pd.DataFrame(depths)
    table.index.name = "id"
    # A contig that one file lists and another does not would be NaN: refuse rather than invent a depth.
    holes = [(name, sample) for sample in table.columns for name in table.index[table[sample].isna()][:1]]
    if holes:
        raise InputError(
            f"{paths[0]}: the contig {holes[0][0]!r} is missing from the BAM file of sample {holes[0][1]!r}"
        )
    return table


def _refuse_other_contigs(path: Path, found: dict[str, int], lengths: dict[str, int]) -> None:
    shared = found.keys() & lengths.keys()
    if not shared:
        raise InputError(
            f"{path}: none of its {len(found)} contigs (first: {next(iter(found), None)!r}) is in the FASTA file "
            f"(first: {next(iter(lengths), None)!r}); were the reads mapped to other contigs?"
        )
    for name in shared:
        if found[name] != lengths[name]:
            raise InputError(f"{path}: the contig {name!r} has {found[name]} bp; {lengths[name]} bp in the FASTA file")


def join_abundance(table: pd.DataFrame, ids: Sequence[str], all_ids: set[str], source: str) -> tuple[pd.DataFrame, int]:
    """Put the rows of ``table`` in the order of ``ids``.

    Args:
        table: as `read_abundance_table` returns it.
        ids: the contigs that take part.
        all_ids: all contigs of the FASTA file, also those that are too short to take part.
        source: the file that the messages name.

    Returns:
        The joined table (column ``id``, then the samples) and the number of rows that belong to no contig.

    Raises:
        InputError: a contig without a row, or no row for any contig.
    """
    known = table.index.isin(all_ids)
    if not known.any():
        raise InputError(
            f"{source}: none of its {len(table)} contigs (first: {table.index[0]!r}) is in the FASTA file "
            f"(first: {ids[0]!r}); is it the table of other contigs?"
        )
    missing = [name for name in ids if name not in table.index]
    if missing:
        raise InputError(
            f"{source}: no row for {len(missing)} of {len(ids)} contigs (first: {missing[0]!r}); expected one for each"
        )
    return table.loc[list(ids)].reset_index(), int((~known).sum())
