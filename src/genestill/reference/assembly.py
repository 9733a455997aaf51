"""An assembled community: reads by ART, contigs by MEGAHIT, depths by minimap2 and samtools, truth by alignment.

ART (Huang et al. 2012, doi:10.1093/bioinformatics/btr708), MEGAHIT (Li et al. 2015, doi:10.1093/bioinformatics/btv033),
minimap2 (Li 2018, doi:10.1093/bioinformatics/bty191) and samtools (Danecek et al. 2021,
doi:10.1093/gigascience/giab008) run as external programs.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, scratch_folder, write_compressed, write_json, write_text
from genestill.core.lineage import common_lineage, format_lineage, parse_lineage
from genestill.core.logs import logger, progress
from genestill.core.novelty import OTHER, STATUSES
from genestill.core.programs import has_program, readable_by_programs, run_program
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.tables import read_tsv, write_tsv
from genestill.reference.mixture import CHROMOSOMES, SOURCE_COLUMNS, read_sources
from genestill.reference.settings import AssemblySettings

# Program -> package of Debian, package of bioconda.
PACKAGES = {
    "art_illumina": ("art-nextgen-simulation-tools", "art"),
    "megahit": ("megahit", "megahit"),
    "minimap2": ("minimap2", "minimap2"),
    "samtools": ("samtools", "samtools"),
}
# Five sizes of k for reads of 150 bases, with the spacing of MEGAHIT's default above 39, in half the time.
_K_LIST = "27,47,67,87,107"
# Minimum identity of a contig and its source; reads have errors, a consensus has few.
_IDENTITY = 0.98
_TRACED = 0.5  # minimum share of a contig that is aligned to its source
_CHIMERIC = 0.05  # minimum share, and
_CHIMERIC_BASES = 200  # minimum number of base pairs of a chimera that are aligned only to a second source
_DEPTHS = ((0, 2), (2, 5), (5, 10), (10, np.inf))  # classes of depth in the summary
_TIE = 2  # base pairs; sources with a smaller difference in matches count as equal, because of errors of the consensus


def require_programs() -> None:
    """Raise `InputError` if programs for an assembled community are missing, with all their packages."""
    missing = [
        f"{program} (Debian: {debian}; bioconda: {bioconda})"
        for program, (debian, bioconda) in PACKAGES.items()
        if not has_program(program)
    ]
    if missing:
        raise InputError(
            f"an assembled community needs programs that are not on PATH: {', '.join(missing)}; install them, or run "
            "the workflow with --sdm conda"
        )


def simulate_reads(
    mixture: str | Path,
    sample: str,
    settings: AssemblySettings,
    seed: int,
    output_1: str | Path,
    output_2: str | Path,
) -> None:
    """Draw the paired reads of one sample with ART (HiSeq 2500, with its errors and qualities), gzipped.

    Args:
        mixture: folder written by `write_mixture`.
        sample: column of its ``sources.tsv``.
        settings: lengths of reads and fragments.
        seed: together with sample and source, it determines the seed of each run of ART.
        output_1, output_2: FASTQ files of the first and the second reads.
    """
    require_programs()
    table = read_sources(mixture)
    if sample not in table:
        raise InputError(f"{mixture}: no sample {sample!r} in sources.tsv")
    seeds = np.random.default_rng([seed, *sample.encode()]).integers(1, 2**31 - 1, len(table))
    with (
        write_compressed(output_1, level=1) as reads_1,
        write_compressed(output_2, level=1) as reads_2,
        scratch_folder(Path(output_1).parent, f"{sample}.reads") as scratch,
    ):
        for row in progress(range(len(table)), len(table), "sources", f"reads of {sample}"):
            depth = table.at[row, sample]
            if depth <= 0:
                continue
            write_fasta(scratch / "source.fna", read_fasta(Path(mixture) / table.at[row, "file"]))
            run_program(
                ["art_illumina", "-q", "-na", "-ss", "HS25", "-p", "-l", settings.read_length]
                + ["-m", settings.fragment_length, "-s", 50, "-f", f"{depth:.4f}", "-rs", int(seeds[row])]
                + ["-d", f"s{row}-", "-i", scratch / "source.fna", "-o", scratch / "reads"]
            )
            for number, target in ((1, reads_1), (2, reads_2)):
                with open(scratch / f"reads{number}.fq", "rb") as made:
                    shutil.copyfileobj(made, target, 1 << 20)


def assemble(reads_1: Sequence[str | Path], reads_2: Sequence[str | Path], threads: int, output: str | Path) -> None:
    """Assemble the paired reads of all samples together with MEGAHIT into the FASTA file ``output``."""
    require_programs()
    with scratch_folder(Path(output).parent, "megahit") as scratch:
        first, second = (_readable(reads, scratch / name) for reads, name in ((reads_1, "1"), (reads_2, "2")))
        run_program(
            ["megahit", "-1", ",".join(first), "-2", ",".join(second), "-t", threads]
            + ["--k-list", _K_LIST, "-m", 0.5, "--min-contig-len", 500, "-o", scratch / "assembly"]
        )
        write_fasta(output, read_fasta(scratch / "assembly" / "final.contigs.fa"))


def _readable(reads: Sequence[str | Path], folder: Path) -> list[str]:
    """`readable_by_programs` for several files, which may have the same name."""
    found = []
    for number, path in enumerate(reads):
        place = folder / str(number)
        place.mkdir(parents=True)
        found.append(str(readable_by_programs(path, place)))
    return found


def map_reads(contigs: str | Path, reads_1: str | Path, reads_2: str | Path, threads: int, output: str | Path) -> None:
    """Map the reads of one sample to the contigs; write the table of ``samtools coverage`` to ``output``."""
    require_programs()
    with scratch_folder(Path(output).parent, "mapping") as scratch:
        write_fasta(scratch / "contigs.fna", read_fasta(contigs))
        words = [scratch / "contigs.fna", *_readable([reads_1, reads_2], scratch / "reads")]
        run_program(["minimap2", "-a", "-x", "sr", "-t", threads, "-o", scratch / "mapped.sam", *words])
        run_program(["samtools", "sort", "-@", threads, "-o", scratch / "sorted.bam", scratch / "mapped.sam"])
        (scratch / "mapped.sam").unlink()
        write_text(output, run_program(["samtools", "coverage", scratch / "sorted.bam"]))


def write_assembled_community(
    mixture: str | Path,
    contigs: str | Path,
    coverages: dict[str, str | Path],
    minimum_length: int,
    threads: int,
    output: str | Path,
) -> pd.DataFrame:
    """Write contigs, depths and ground truth of an assembly into the folder ``output``; return the ground truth.

    The files are those of `community.write_community`; ``truth.tsv`` also marks chimeras, and ``summary.json`` has the
    N50 (base pairs) and `assembled_shares`. Contigs without a source have no ground truth.

    Args:
        mixture: folder written by `write_mixture`.
        contigs: the assembly.
        coverages: sample -> table written by `map_reads`.
        minimum_length: shorter contigs are left out and counted. Base pairs.
        threads: number of threads of minimap2.
        output: a folder.
    """
    require_programs()
    records = [(name, sequence) for name, sequence in read_fasta(contigs) if len(sequence) >= minimum_length]
    if not records:
        raise InputError(f"{contigs}: no contig of {minimum_length} bp; were there enough reads?")
    lengths = {name: len(sequence) for name, sequence in records}
    sources = read_sources(mixture)
    with folder_aside(output) as aside:
        with scratch_folder(Path(output).parent, "tracing") as scratch:
            write_fasta(scratch / "contigs.fna", records)
            records_of_sources = dict(_all_records(mixture, sources["file"]))
            write_fasta(scratch / "sources.fna", records_of_sources.items())
            alignments = run_program(
                ["minimap2", "-c", "-x", "asm5", "-N", 50, "-p", 0.5, "-t", threads]
                + [scratch / "sources.fna", scratch / "contigs.fna"]
            )
        placed = read_paf(alignments)
        truth = trace_contigs(placed, lengths, sources)
        source_lengths = {name: len(sequence) for name, sequence in records_of_sources.items()}
        shares = assembled_shares(placed, truth, source_lengths, sources)
        abundance = pd.DataFrame({"contigname": list(lengths)})
        for sample, path in coverages.items():
            table = read_tsv(path, ["#rname", "meandepth"])
            depths = dict(zip(table["#rname"], table["meandepth"].astype(float), strict=True))
            abundance[sample] = [depths.get(name, 0.0) for name in lengths]
        write_fasta(aside / "contigs.fna.gz", records)
        write_tsv(aside / "truth.tsv", truth)
        write_tsv(aside / "abundance.tsv", abundance.round(4), digits=9)
        shutil.copyfile(Path(mixture) / "reference.tsv", aside / "reference.tsv")
        counts = truth.assign(status=truth["status"].replace("", "not traced")).groupby("status")
        summary = {
            **read_json(Path(mixture) / "summary.json"),
            "contigs": counts.size().to_dict(),
            "bases": counts["length"].sum().to_dict(),
            "chimeras": int((truth["chimera"] == "yes").sum()),
            "n50": _n50(truth["length"].to_numpy()),
            "assembled": shares,
        }
        write_json(aside / "summary.json", summary)
    logger.info(
        "%d contigs, N50 %d bp, %d chimeras; %s; share of chromosomes assembled, by depth: %s",
        len(truth), summary["n50"], summary["chimeras"], summary["contigs"], shares,
    )  # fmt: skip
    return truth


def _all_records(mixture: str | Path, files: Iterable[str]):
    """The records of all sources; their names contain the row of the source."""
    for row, file in enumerate(files):
        for number, (_, sequence) in enumerate(read_fasta(Path(mixture) / file)):
            yield f"{row}:{number}", sequence


def read_paf(text: str) -> pd.DataFrame:
    """Parse minimap2's PAF, 0-based: contig, start, stop, source (row), identity, record, its start and stop."""
    rows = []
    for line in text.splitlines():
        cells = line.split("\t")
        identity = int(cells[9]) / max(1, int(cells[10]))
        place = (cells[5], int(cells[7]), int(cells[8]))
        rows.append((cells[0], int(cells[2]), int(cells[3]), int(cells[5].split(":")[0]), identity, *place))
    columns = ["contig", "start", "stop", "source", "identity", "record", "record_start", "record_stop"]
    return pd.DataFrame(rows, columns=columns)


def assembled_shares(
    alignments: pd.DataFrame, truth: pd.DataFrame, lengths: dict[str, int], sources: pd.DataFrame
) -> dict[str, float]:
    """Share of the base pairs of chromosomes that is covered by contigs traced to them, by depth over all samples.

    Args:
        alignments: see `read_paf`.
        truth: from `trace_contigs`.
        lengths: base pairs of each record of the sources; names begin with the row of the source.
        sources: table of `read_sources`.

    Returns:
        A share for each class of depth with chromosomes, such as ``5-10``.
    """
    row_of = {Path(file).name: row for row, file in enumerate(sources["file"])}
    own = alignments["contig"].map(dict(zip(truth["contig"], truth["genome"], strict=True))).map(row_of)
    near = alignments[(own == alignments["source"]) & (alignments["identity"] >= _IDENTITY)]
    covered = {name: np.zeros(length, dtype=bool) for name, length in lengths.items()}
    for row in near.itertuples():
        covered[row.record][row.record_start : row.record_stop] = True
    depth = sources.drop(columns=list(SOURCE_COLUMNS)).sum(axis=1)
    records = pd.DataFrame(
        {
            "source": [int(name.split(":")[0]) for name in lengths],
            "length": list(lengths.values()),
            "covered": [int(where.sum()) for where in covered.values()],
        }
    )
    sums = records.groupby("source")[["length", "covered"]].sum()[(sources["kind"] == CHROMOSOMES).to_numpy()]
    found = {}
    for low, high in _DEPTHS:
        part = sums[((depth >= low) & (depth < high)).loc[sums.index]]
        if len(part):
            name = f"{low}-{high}" if np.isfinite(high) else f">={low}"
            found[name] = round(float(part["covered"].sum() / part["length"].sum()), 4)
    return found


def _n50(lengths: np.ndarray) -> int:
    """N50: the length of the shortest of the longest contigs that together contain half of all base pairs."""
    falling = np.sort(lengths)[::-1]
    return int(falling[np.searchsorted(np.cumsum(falling), falling.sum() / 2)])


def trace_contigs(alignments: pd.DataFrame, lengths: dict[str, int], sources: pd.DataFrame) -> pd.DataFrame:
    """The ground truth of each contig, from its alignments to all sources.

    The source of a contig is the one with the most matching base pairs. If several sources match equally well, the
    lineage is what they share, and the status is the easiest of theirs (an exact copy is never counted as another
    status). A contig is a chimera if at least 200 bp and .05 of it are aligned to a second source but not to the first;
    a contig joined from two very similar strains, each of which is aligned to all of it, is not.

    Args:
        alignments: see `read_paf`; those with an identity below .98 are ignored.
        lengths: base pairs of each contig.
        sources: table of `read_sources`.

    Returns:
        contig, lineage, genome, length, status, chimera (yes or no), in the order of ``lengths``; empty texts for a
        contig of which no source covers half.
    """
    near = alignments[alignments["identity"] >= _IDENTITY]
    of_contig = dict(iter(near.groupby("contig")))
    order = {status: place for place, status in enumerate(STATUSES)}
    rows = []
    for contig, length in lengths.items():
        matching = _matching(of_contig[contig], length) if contig in of_contig else {}
        covered = {source: share > 0 for source, share in matching.items()}
        if max((where.sum() for where in covered.values()), default=0) < _TRACED * length:
            rows.append((contig, "", "", length, "", ""))
            continue
        bases = {source: float(share.sum()) for source, share in matching.items()}
        most = max(bases.values())
        tied = [source for source, count in bases.items() if count >= most - _TIE]
        best = min(tied, key=lambda source: (order[sources.at[source, "status"]], -bases[source], source))
        of_same_kind = [source for source in tied if sources.at[source, "kind"] == sources.at[best, "kind"]]
        lineages = [parse_lineage(sources.at[source, "lineage"]) for source in of_same_kind]
        lineage = common_lineage(lineages)
        rest = max((int((where & ~covered[best]).sum()) for where in covered.values()), default=0)
        chimera = rest >= max(_CHIMERIC_BASES, _CHIMERIC * length)
        status = sources.at[best, "status"]
        genome = sources.at[best, "source"] if status == OTHER else Path(sources.at[best, "file"]).name
        rows.append((contig, format_lineage(lineage), genome, length, status, "yes" if chimera else "no"))
    return pd.DataFrame(rows, columns=["contig", "lineage", "genome", "length", "status", "chimera"])


def _matching(alignments: pd.DataFrame, length: int) -> dict[int, np.ndarray]:
    """The highest identity of each source at each base of a contig: float64 [length], 0 without an alignment."""
    matching: dict[int, np.ndarray] = {}
    for row in alignments.itertuples():
        share = matching.setdefault(row.source, np.zeros(length))
        share[row.start : row.stop] = np.maximum(share[row.start : row.stop], row.identity)
    return matching
