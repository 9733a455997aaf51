"""A metagenome with ground truth: contigs cut from genomes, abundances in samples, and genomes of each status.

The genomes may be simulated or real. Contig lengths are log-normal, as in assemblies of the CAMI challenges (Sczyrba et
al. 2017, doi:10.1038/nmeth.4458), and abundances are log-normal over genomes and samples, as in CAMISIM (Fritz et al.
2019, doi:10.1186/s40168-019-0633-6).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, sha256_of, write_json
from genestill.core.lineage import Lineage, format_lineage
from genestill.core.logs import logger, progress
from genestill.core.novelty import status_word
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.core.tables import write_tsv
from genestill.reference.genomes import read_genomes
from genestill.reference.novelty import Split, split_genomes
from genestill.reference.settings import CommunitySettings

_READ_LENGTH = 150
_ASSEMBLY_GAP = re.compile("[^ACGT]{10,}")  # assemblies break at runs of unknown bases
_MEAN_GAP = 100  # base pairs left out between neighbouring contigs
_MEDIAN_COVERAGE = 8.0
_SPREAD_OF_GENOMES = 1.2  # standard deviations of log coverage
_SPREAD_OF_SAMPLES = 0.8
_GC_BIAS = 1.0  # standard deviation over samples of the slope of log coverage by GC share
_COVERAGE_FOR_ASSEMBLY = 3.0  # pooled coverage at which 1 - 1/e of a genome is assembled
_LEAST_COMPLETENESS = 0.3
_STRAIN_SHARE = 0.2  # mean share of reads exchanged with other strains of the species
_GENUS_SHARE = 0.02  # mean share of reads from other species of the genus
_REPEATS = 0.02  # share of contigs with two to four copies in a genome


def cut_contigs(
    replicons: list[str], completeness: float, settings: CommunitySettings, rng: np.random.Generator
) -> list[str]:
    """Cut a genome into contigs that do not overlap, each from a random strand.

    Every contig is kept with probability ``completeness``; lengths are within the limits of ``settings``. Contigs end
    at runs of ten or more unknown bases. Returns upper-case sequences.
    """
    contigs = []
    for replicon in replicons:
        for stretch in _ASSEMBLY_GAP.split(replicon.upper()):
            for start, stop in _cuts(len(stretch), settings, rng):
                contig = stretch[start:stop]
                contigs.append(contig if rng.random() < 0.5 else reverse_complement(contig))
    kept = rng.random(len(contigs)) < completeness
    return [contig for contig, keep in zip(contigs, kept, strict=True) if keep]


def _cuts(length: int, settings: CommunitySettings, rng: np.random.Generator) -> list[tuple[int, int]]:
    if length < settings.minimum_length:
        return []
    limits = np.log([settings.minimum_length, settings.maximum_length]) - np.log(settings.median_length)
    low, high = ndtr(limits / settings.length_spread)
    count = 1 + length // settings.minimum_length
    drawn = np.exp(settings.length_spread * ndtri(rng.uniform(low, high, count))) * settings.median_length
    lengths = np.clip(drawn.astype(np.int64), settings.minimum_length, settings.maximum_length)
    gaps = rng.exponential(_MEAN_GAP, count).astype(np.int64)
    # The assembly does not start at the beginning of a record: the first contig is cut at a random position.
    stops = np.cumsum(lengths + gaps) - int(rng.integers(lengths[0]))
    starts = np.maximum(stops - lengths, 0)
    stops = np.minimum(stops, length)
    kept = stops - starts >= settings.minimum_length
    return list(zip(starts[kept].tolist(), stops[kept].tolist(), strict=True))


def draw_coverage(genomes: int, settings: CommunitySettings, rng: np.random.Generator) -> np.ndarray:
    """Mean read depth, float64 [genomes, samples]: log-normal, zero if a genome is absent from a sample.

    Every genome is present in at least one sample.
    """
    of_genome = rng.normal(np.log(_MEDIAN_COVERAGE), _SPREAD_OF_GENOMES, (genomes, 1))
    coverage = np.exp(of_genome + rng.normal(0, _SPREAD_OF_SAMPLES, (genomes, settings.samples)))
    absent = rng.random(coverage.shape) < settings.dropout
    absent[np.arange(genomes), coverage.argmax(axis=1)] = False
    return np.where(absent, 0.0, coverage)


def observe_coverage(
    coverage: np.ndarray,
    lineages: list[Lineage],
    genome: np.ndarray,
    length: np.ndarray,
    gc: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Observed mean read depth of contigs for the true ``coverage``: float64 [contigs, samples].

    Args:
        coverage: float64 [genomes, samples].
        lineages: seven names for each genome.
        genome, length, gc: [contigs], the genome (index), base pairs and share of G and C of each contig.
        rng: random number generator.

    Some reads are mapped to contigs of related genomes, coverage depends on GC with a different slope in each sample,
    some contigs are repeats, and the number of reads is Poisson-distributed. Every contig has reads in at least one
    sample.
    """
    samples = coverage.shape[1]
    species = np.array([[a == b for b in lineages] for a in lineages])
    same_genus = np.array([[a[:6] == b[:6] for b in lineages] for a in lineages]) & ~species
    same_species = species & ~np.eye(len(lineages), dtype=bool)
    exchanged = rng.beta(1, 1 / _STRAIN_SHARE - 1, len(genome))[:, None] / 2
    exchanged = exchanged * np.asarray(same_species.any(axis=1))[genome][:, None]
    received = rng.exponential(_GENUS_SHARE, len(genome))[:, None]
    expected = (
        coverage[genome] * (1 - exchanged)
        + (same_species @ coverage)[genome] * exchanged
        + (same_genus @ coverage)[genome] * received
    )
    expected *= np.exp(rng.normal(0, _GC_BIAS, samples) * (gc[:, None] - 0.5))
    expected *= np.where(rng.random(len(genome)) < _REPEATS, rng.integers(2, 5, len(genome)), 1)[:, None]
    reads = rng.poisson(expected * length[:, None] / _READ_LENGTH)
    unseen = np.flatnonzero(reads.sum(axis=1) == 0)
    reads[unseen, expected[unseen].argmax(axis=1)] = 1
    return reads * _READ_LENGTH / length[:, None]


def write_community(
    genomes: str | Path,
    output: str | Path,
    settings: CommunitySettings,
    seed: int,
    folder: str | Path | None = None,
    lineage_column: str | None = None,
    split_seed: int | None = None,
) -> pd.DataFrame:
    """Make a community and write the folder ``output`` atomically.

    Writes ``contigs.fna.gz``; ``abundance.tsv`` (contigname, S1, S2, …: mean read depth); ``truth.tsv`` (contig,
    lineage, genome, length, status, chimera); ``reference.tsv`` (file, lineage: the genomes for a reference database;
    file as in the table of genomes, and translation_table if the table has it); ``summary.json`` (genomes by status,
    wanted and achieved, and the checksums of their files). Returns the truth. For the same genomes, settings and seed,
    all files are identical.

    Args:
        genomes: the table, see `read_genomes`, also for ``folder`` and ``lineage_column``.
        output: a folder.
        settings: see `CommunitySettings`.
        seed: seed of all random numbers.
        folder: folder of the genome files.
        lineage_column: column of the lineages.
        split_seed: seed for choosing genomes and removing taxa from the reference; with the value of another community,
            the reference and the statuses of its genomes are the same, and everything else differs. None: ``seed``.

    Raises:
        InputError: an invalid table or FASTA file, fewer than two species in the reference.
    """
    candidates = read_genomes(genomes, folder, lineage_column, to_species=True)
    lineages = [genome.lineage for genome in candidates]
    rng = np.random.default_rng(seed)
    split_rng = rng if split_seed is None else np.random.default_rng(split_seed)
    split = split_genomes(lineages, settings.shares(), settings.decoys, split_rng)
    members = [index for index, status in enumerate(split.status) if status is not None]
    coverage = draw_coverage(len(members), settings, rng)
    completeness = np.maximum(_LEAST_COMPLETENESS, 1 - np.exp(-coverage.sum(axis=1) / _COVERAGE_FOR_ASSEMBLY))
    pool: list[tuple[int, str]] = []
    for row, index in enumerate(progress(members, len(members), "genomes", "cutting contigs")):
        replicons = [sequence for _, sequence in read_fasta(candidates[index].path)]
        pool.extend((row, contig) for contig in cut_contigs(replicons, completeness[row], settings, rng))
    if not pool:
        raise InputError(
            f"{genomes}: no genome of the community gives a contig of {settings.minimum_length} bp; expected longer "
            "sequences, or a smaller minimum length"
        )
    chosen = [pool[index] for index in rng.permutation(len(pool))[: settings.contigs]]
    genome = np.array([row for row, _ in chosen])
    length = np.array([len(contig) for _, contig in chosen])
    gc = np.array([contig.count("G") + contig.count("C") for _, contig in chosen]) / length
    observed = observe_coverage(coverage, [lineages[index] for index in members], genome, length, gc, rng)
    digits = max(6, len(str(len(chosen))))
    ids = [f"contig_{number:0{digits}d}" for number in range(1, len(chosen) + 1)]
    truth = pd.DataFrame(
        {
            "contig": ids,
            "lineage": [format_lineage(lineages[members[row]]) for row in genome],
            "genome": [candidates[members[row]].file for row in genome],
            "length": length,
            "status": [status_word(split.status[members[row]]) for row in genome],
            "chimera": "no",
        }
    )
    abundance = pd.DataFrame(observed, columns=[f"S{sample}" for sample in range(1, settings.samples + 1)])
    abundance.insert(0, "contigname", ids)
    held = np.flatnonzero(split.in_reference)
    reference = pd.DataFrame(
        {
            "file": [candidates[index].file for index in held],
            "lineage": [format_lineage(lineages[index]) for index in held],
        }
    )
    codes = [candidates[index].translation_table for index in held]
    if any(codes):
        reference["translation_table"] = ["" if code is None else str(code) for code in codes]
    with folder_aside(output) as aside:
        write_fasta(aside / "contigs.fna.gz", zip(ids, (contig for _, contig in chosen), strict=True))
        for name, table in (("abundance", abundance), ("truth", truth), ("reference", reference)):
            write_tsv(aside / f"{name}.tsv", table.round(4), digits=9)
        checksums = {candidates[index].file: sha256_of(candidates[index].path) for index in members}
        summary = {"wanted": split.wanted, "achieved": split.counts(), "checksums": checksums}
        write_json(aside / "summary.json", summary)
    logger.info("%s", _summary(split, truth, settings, lineages))
    return truth


def _summary(split: Split, truth: pd.DataFrame, settings: CommunitySettings, lineages: list[Lineage]) -> str:
    counts = split.counts()
    statuses = ", ".join(
        f"{status} {count}" + ("" if count == split.wanted[status] else f" (of {split.wanted[status]} wanted)")
        for status, count in counts.items()
    )
    species = len({lineage for lineage, held in zip(lineages, split.in_reference, strict=True) if held})
    wanted = "" if len(truth) == settings.contigs else f" (of {settings.contigs} wanted)"
    return (
        f"community of {sum(counts.values())} genomes: {statuses}; reference of {split.in_reference.sum()} genomes, "
        f"{species} species, {split.decoys()} decoys; {split.left_out()} left out; {len(truth)} contigs{wanted}, "
        f"{truth['length'].sum() / 1e6:.1f} Mb, median {truth['length'].median():.0f} bp, "
        f"{truth['status'].str.startswith('absent').mean():.0%} of species that the reference lacks"
    )
