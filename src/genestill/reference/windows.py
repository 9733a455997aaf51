"""Windows of genomes for pretraining and distilling DNA models, and for tasks."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, format_lineage
from genestill.core.logs import logger, progress
from genestill.core.sequences import has_many_unknown, read_fasta, reverse_complement, write_fasta
from genestill.core.task_tables import write_task_table
from genestill.reference.genomes import Genome
from genestill.reference.settings import WindowSettings

_TRIES = 20
_SHAPES = 2  # separate random numbers for lengths and strands of windows
_OF_TASKS = 1  # separate random numbers for windows of tasks


def choose_clade(genomes: Sequence[Genome], clade: str | None) -> list[Genome]:
    """Genomes whose lineage, written ``d__…;p__…``, starts with ``clade``; all genomes if ``clade`` is None.

    Raises:
        InputError: no genome is in the clade.
    """
    if clade is None:
        return list(genomes)
    wanted = clade.rstrip(";")
    inside = [genome for genome in genomes if (format_lineage(genome.lineage) + ";").startswith(wanted + ";")]
    if not inside:
        seen = sorted({";".join(format_lineage(genome.lineage).split(";")[:2]) for genome in genomes})
        raise InputError(f"no genome is in the clade {clade!r}; the table has {', '.join(seen[:5])}, …")
    return inside


def cut_genome_windows(
    genomes: Sequence[Genome], settings: WindowSettings, seed: int, output: str | Path, region_windows: int = 1
) -> int:
    """Write windows at random positions of genomes as FASTA (ids genome|contig|start, ``|-`` for the reverse strand).

    Args:
        genomes: at least one; ``settings.clade`` is not applied (see `choose_clade`).
        settings: number and properties of the windows. Contigs shorter than ``length`` give one window with the whole
            contig, if they have at least half of this length.
        seed: together with a genome's name, it determines the windows of the genome.
        output: FASTA, gzipped if it ends in ``.gz``.
        region_windows: above 1, regions of up to so many window lengths are written, for windows that are cut later.
            They start where the windows would, and end at the end of the contig at the latest; all have the strand of
            the file.

    Returns:
        The number of windows; repeated windows and those with more than a tenth of unknown letters are drawn again.
    """
    share = _windows_per_genome(genomes, settings)
    written = 0

    def records():
        nonlocal written
        for genome, wanted in progress(zip(genomes, share, strict=True), len(genomes), "genomes", "cutting windows"):
            drawn = np.random.default_rng([seed, _SHAPES, *genome.name.encode()])
            for name, window in draw_windows(genome, settings.length, wanted, [seed], region_windows=region_windows):
                written += 1
                if region_windows > 1:
                    yield name, window
                    continue
                kept = int(drawn.integers(settings.shortest or settings.length, settings.length + 1))
                window, turned = window[:kept], settings.strands == "both" and drawn.random() < 0.5
                yield (f"{name}|-", reverse_complement(window)) if turned else (name, window)

    write_fasta(output, records())
    if not written:
        raise InputError(f"no window of {settings.length} bases could be cut out of {len(genomes)} genomes")
    logger.info("%d windows of up to %d bases from %d genomes", written, settings.length, len(genomes))
    return written


def _windows_per_genome(genomes: Sequence[Genome], settings: WindowSettings) -> list[int]:
    """The number of windows of each genome, ``settings.number`` in total."""
    names = [genome.name for genome in genomes]
    if settings.evenly_by != "genome":
        rank = RANKS.index(settings.evenly_by)
        names = [genome.lineage[rank] or "" for genome in genomes]
    clades, clade_of = np.unique(names, return_inverse=True)
    # In the order of the table: the first genomes get the remainder.
    shares = np.zeros(len(genomes), dtype=int)
    for place, clade in enumerate(dict.fromkeys(clade_of.tolist())):
        inside = np.flatnonzero(clade_of == clade)
        wanted = settings.number // len(clades) + (place < settings.number % len(clades))
        shares[inside] = wanted // len(inside) + (np.arange(len(inside)) < wanted % len(inside))
    return shares.tolist()


def draw_windows(
    genome: Genome,
    length: int,
    wanted: int,
    stream: Sequence[int],
    records: Collection[str] | None = None,
    region_windows: int = 1,
) -> Iterator[tuple[str, str]]:
    """Yield (genome|contig|start, window) for up to ``wanted`` positions of a genome, without repetitions.

    ``stream`` and the genome's name determine the positions; ``records`` are the ids of the contigs to use, None for
    all. With ``region_windows`` above 1, a window is followed by the next bases of the contig, up to so many lengths.
    """
    generator = np.random.default_rng([*stream, *genome.name.encode()])
    contigs = [
        (name, sequence)
        for name, sequence in read_fasta(genome.path)
        if 2 * len(sequence) >= length and (records is None or name in records)
    ]
    if not contigs:
        return
    places = np.array([max(1, len(sequence) - length + 1) for _, sequence in contigs], dtype=np.float64)
    seen: set[tuple[int, int]] = set()
    for _ in range(wanted * _TRIES):
        if len(seen) == wanted:
            return
        contig = int(generator.choice(len(contigs), p=places / places.sum()))
        name, sequence = contigs[contig]
        start = int(generator.integers(int(places[contig])))
        window = sequence[start : start + length].upper()
        if (contig, start) in seen or has_many_unknown(window):
            continue
        seen.add((contig, start))
        yield f"{genome.name}|{name}|{start}", sequence[start : start + region_windows * length].upper()


def clade_test_genomes(genomes: Sequence[Genome], rank: str, seed: int) -> set[str]:
    """Names of the test genomes of `write_clade_task`, which must not be used for pretraining."""
    return {genome.name for _, found in _clades(genomes, rank, seed) for genome, split in found if split == "test"}


def write_clade_task(
    genomes: Sequence[Genome], rank: str, length: int, number: int, seed: int, output: str | Path
) -> None:
    """Write a task table (sequence, label, split, group): the clade of ``rank`` of each window; groups are genomes.

    In every clade, one genome in four (at least one) is used only for the test, so that clades are recognised in
    genomes that are not in the training set; clades with one genome are left out.

    Raises:
        InputError: there are fewer than two clades with at least two genomes, or a clade without windows.
    """
    clades = _clades(genomes, rank, seed)
    rows = [
        (window, name, split, genome.name)
        for name, found in clades
        for genome, split in found
        for _, window in draw_windows(genome, length, max(1, number // len(clades) // len(found)), [seed, _OF_TASKS])
    ]
    table = pd.DataFrame(rows, columns=["sequence", "label", "split", "group"])
    refuse_lacking_windows(table, [name for name, _ in clades], length, "the genomes")
    write_task_table(output, table)


def refuse_lacking_windows(table: pd.DataFrame, labels: Sequence[str], length: int, source: str) -> None:
    """Refuse a task table in which one of ``labels`` has no training or no test windows; ``source`` is named."""
    found = set(zip(table["label"], table["split"], strict=True))
    for label in labels:
        for split in ("train", "test"):
            if (label, split) not in found:
                raise InputError(
                    f"{source}: the class {label} has no {split} windows of {length} bases; sequences need at least "
                    "half of this length"
                )


def _clades(genomes: Sequence[Genome], rank: str, seed: int) -> list[tuple[str, list[tuple[Genome, str]]]]:
    """Clades with at least two genomes, by name, with the split of each genome."""
    by_clade: dict[str, list[Genome]] = {}
    for genome in genomes:
        name = genome.lineage[RANKS.index(rank)]
        if name:
            by_clade.setdefault(name, []).append(genome)
    by_clade = {name: sorted(found, key=lambda genome: genome.name) for name, found in sorted(by_clade.items())}
    by_clade = {name: found for name, found in by_clade.items() if len(found) > 1}
    if len(by_clade) < 2:
        raise InputError(
            f"{len(by_clade)} clades of the rank {rank} have two or more genomes; a task needs at least two such clades"
        )
    generator = np.random.default_rng(seed)
    clades = []
    for name, found in by_clade.items():
        tested = set(generator.permutation(len(found))[: max(1, len(found) // 4)].tolist())
        clades.append((name, [(genome, "test" if place in tested else "train") for place, genome in enumerate(found)]))
    return clades
