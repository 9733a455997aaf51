"""Depths of contigs from alignments of reads: BAM, CRAM and SAM, one file per sample."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta
from genestill.reference.coverage_words import sample_name
from genestill.reference.text_tables import cell_id

# SAM_FLAG, SAM_RNAME, SAM_POS and SAM_CIGAR of htslib; CRAM can be read without its reference if no bases are read.
_FIELDS: Any = b"required_fields=0x%x" % (0x2 | 0x4 | 0x8 | 0x20)
_ALIGNED = (0, 7, 8)  # CIGAR M, = and X


def read_alignment_depths(
    paths: Sequence[str | Path], lengths: dict[str, int], contigs: str | Path | None = None
) -> pd.DataFrame:
    """Mean depth of every contig in every file (one file per sample, which is named after it).

    Args:
        paths: BAM, CRAM or SAM files, sorted or not; no index is needed. Nothing is downloaded for a CRAM file.
        lengths: contig id -> base pairs in the FASTA file.
        contigs: the FASTA file; if a header has checksums of the contigs (CRAM always has), they are compared with it.

    Returns:
        float32 data frame; index: contigs of the headers (up to the first white space), columns: samples. The depth is
        the number of aligned bases (CIGAR M, = and X) of primary alignments, without duplicates and failed reads,
        divided by the length of the contig.

    Raises:
        InputError: pysam is not installed, a file has no alignments or is truncated, two samples have the same name, a
            contig has another length or other bases than in the FASTA file, a sample has none of the contigs, or
            there is no primary alignment to them.
    """
    try:
        import pysam  # noqa: F401
    except ImportError:
        raise InputError(
            "abundances from BAM files need pysam: install genestill[bam], or give a table of abundances (TSV)"
        ) from None
    depths: dict[str, pd.Series] = {}
    checksums: dict[str, str] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        sample = sample_name(path.name, of_file=True)
        if sample in depths:
            raise InputError(f"{path}: a second file for the sample {sample!r}; samples are named after files")
        depths[sample] = _depths_of(path, lengths, contigs, checksums)
    table = pd.DataFrame(depths)
    table.index.name = "id"
    # A contig that is in one file and not in another would be NaN; this is an error, because its depth is unknown.
    holes = [(name, sample) for sample in table.columns for name in table.index[table[sample].isna()][:1]]
    if holes:
        raise InputError(f"{paths[0]}: the contig {holes[0][0]!r} is missing from the file of sample {holes[0][1]!r}")
    return table


def _depths_of(path: Path, lengths: dict[str, int], contigs: str | Path | None, checksums: dict[str, str]) -> pd.Series:
    import pysam

    met: Counter[str] = Counter()
    with _quiet_and_offline():
        try:
            with pysam.AlignmentFile(str(path), "r", check_sq=False, format_options=[_FIELDS]) as reads:
                found = _contigs_of(path, reads, lengths)
                _refuse_other_bases(path, reads.header.to_dict().get("SQ", ()), contigs, checksums)
                bases = np.zeros(len(found))
                for read in reads.fetch(until_eof=True):
                    kind = _kind(read)
                    met[kind] += 1
                    if kind == "primary":
                        cigar = read.cigartuples or ()
                        bases[read.reference_id] += sum(size for what, size in cigar if what in _ALIGNED)
                binary = reads.is_bam or reads.is_cram
            if binary:  # a file truncated between two blocks is read without an error
                pysam.quickcheck(str(path))
        except (OSError, ValueError, pysam.SamtoolsError) as error:
            why = " ".join(str(error).split()) or "it does not end as such a file does"
            raise InputError(f"{path}: not a complete BAM, CRAM or SAM file ({why}); is the file truncated?") from None
    ours = np.array([name in lengths for name in found])
    if not bases[ours].any():
        reads_met = ", ".join(f"{count:,} {kind}" for kind, count in sorted(met.items())) or "none"
        raise InputError(
            f"{path}: no read has a primary alignment to a contig of the FASTA file (reads: {reads_met}); expected the "
            "alignments of one sample's reads to these contigs"
        )
    logger.info("%s: reads: %s", path, ", ".join(f"{count:,} {kind}" for kind, count in sorted(met.items())))
    return pd.Series(bases / np.array([*found.values()]), index=[*found], dtype=np.float32)


def _kind(read) -> str:
    """The kind of an alignment; only primary alignments are counted."""
    if read.is_unmapped:
        return "unmapped"
    if read.is_secondary or read.is_supplementary:
        return "secondary or supplementary"
    return "duplicate or failed" if read.is_duplicate or read.is_qcfail else "primary"


def _contigs_of(path: Path, reads, lengths: dict[str, int]) -> dict[str, int]:
    """Contig -> base pairs from a header; raises `InputError` if its contigs are not those of ``lengths``."""
    found: dict[str, int] = {}
    for name, length in zip(map(cell_id, reads.references), reads.lengths, strict=True):
        if name in found:
            raise InputError(
                f"{path}: two contigs of its header have the id {name!r}; ids end at the first white space"
            )
        found[name] = length
    shared = found.keys() & lengths.keys()
    if not found:
        raise InputError(
            f"{path}: its header lists no contigs; expected alignments to the contigs, not unaligned reads"
        )
    if not shared:
        raise InputError(
            f"{path}: none of its {len(found)} contigs (first: {next(iter(found))!r}) is in the FASTA file "
            f"(first: {next(iter(lengths), None)!r}); were the reads mapped to other contigs?"
        )
    for name in shared:
        if found[name] != lengths[name]:
            raise InputError(f"{path}: the contig {name!r} has {found[name]} bp; {lengths[name]} bp in the FASTA file")
    return found


def _refuse_other_bases(
    path: Path, header: Sequence[dict], contigs: str | Path | None, checksums: dict[str, str]
) -> None:
    """Compare the checksums of a header (M5: MD5 of the bases in upper case) with those of the FASTA file."""
    given = {cell_id(entry["SN"]): entry["M5"].lower() for entry in header if entry.get("M5")}
    if not given or contigs is None or not Path(contigs).is_file():
        return
    if not checksums:
        for name, sequence in read_fasta(contigs):
            checksums[name] = hashlib.md5(sequence.upper().encode("ascii"), usedforsecurity=False).hexdigest()
    other = next((name for name in given if checksums.get(name, given[name]) != given[name]), None)
    if other is not None:
        raise InputError(
            f"{path}: the contig {other!r} differs in bases from the FASTA file (M5 of the header); were the "
            "reads mapped to other contigs?"
        )


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Stop htslib from printing, and from searching references on the network or on this machine."""
    import pysam

    verbosity = pysam.set_verbosity(0)
    before = {name: os.environ.get(name) for name in ("REF_PATH", "REF_CACHE")}
    os.environ.update(dict.fromkeys(before, os.devnull))
    try:
        yield
    finally:
        pysam.set_verbosity(verbosity)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
