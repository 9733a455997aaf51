"""Depths of contigs in samples of reads, by strobealign (Sahlin 2022, doi 10.1186/s13059-022-02831-7)."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import require_disk_space, scratch_folder, write_aside
from genestill.core.logs import log_counts, logger
from genestill.core.programs import find_program, readable_by_programs, run_program
from genestill.core.sequences import read_fasta
from genestill.core.tables import write_tsv
from genestill.core.text import text_lines
from genestill.reference.gold_standard import find_file

READS = "anonymous_reads.fq.gz"  # name of interleaved pairs in CAMI


def measure_depth(contigs: str | Path, reads: str | Path, threads: int, output: str | Path) -> None:
    """The depth of each contig in one sample, as estimated by ``strobealign --aemb``.

    Args:
        contigs: FASTA file, compressed or not.
        reads: FASTQ file of interleaved pairs, compressed or not, or a folder with one `READS` in it or in a subfolder.
        threads: number of threads of strobealign.
        output: TSV without a header: contig, depth.

    Raises:
        InputError: strobealign is missing; no or several files of reads in the folder; depths of other contigs.
        ProgramFailed: strobealign fails.
    """
    strobealign, output, reads = find_program("strobealign"), Path(output), find_file(reads, READS)
    require_disk_space(output.parent, 5 * Path(contigs).stat().st_size + 100_000_000, "strobealign")
    with scratch_folder(output.parent, f"depth.{output.stem}") as scratch:
        reference, names = scratch / "contigs.fna", []
        with open(reference, "w", encoding="ascii") as handle:
            for name, sequence in read_fasta(contigs):
                names.append(name)
                handle.write(f">{name}\n{sequence}\n")
        pairs = readable_by_programs(reads, scratch)
        said = run_program([strobealign, "--aemb", "--interleaved", "-t", threads, reference, pairs])
        depths = _depths(said.splitlines(), "strobealign --aemb")
        if set(depths) != set(names):
            wrong = min(set(depths) ^ set(names))
            raise InputError(f"strobealign --aemb: depths of {len(depths)} of {len(names)} contigs (first: {wrong!r})")
        with write_aside(output) as aside:
            aside.write_text("".join(f"{name}\t{depths[name]:.9g}\n" for name in names), encoding="utf-8")
    logger.info("depths: %d contigs, mean %.3g", len(names), sum(depths.values()) / max(1, len(names)))


def merge_depths(tables: Sequence[str | Path], output: str | Path) -> None:
    """Join tables of `measure_depth` for the same contigs: one row per contig, one column per sample.

    Args:
        tables: one per sample; the name of a sample is that of its file.
        output: TSV with the header contigname, <sample>, …

    Raises:
        InputError: two samples with the same name; tables of different contigs.
    """
    names = [Path(table).name.split(".")[0] for table in tables]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two tables are called {twice}; samples are named after their files")
    columns = [_depths(text_lines(table), str(table)) for table in tables]
    for table, column in zip(tables, columns, strict=True):
        if column.keys() != columns[0].keys():
            wrong = min(column.keys() ^ columns[0].keys())
            raise InputError(f"{table}: not the contigs of {tables[0]} (first that only one has: {wrong!r})")
    table = pd.DataFrame(dict(zip(names, columns, strict=True))).rename_axis("contigname").reset_index()
    write_tsv(output, table, digits=9)
    log_counts("depths", {"samples": len(names), "contigs": len(columns[0])})


def _depths(lines, source: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        name, _, text = line.partition("\t")
        try:
            depth = float(text)
        except ValueError:
            depth = math.nan
        if not name or name in found or not math.isfinite(depth) or depth < 0:
            raise InputError(f"{source}: line {number}: {line!r}; expected each contig once, a tab, its depth")
        found[name] = depth
    return found
