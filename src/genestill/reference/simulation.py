"""Simulated genomes, which evolve along a taxonomy of seven ranks and depend only on settings and a seed.

They replace real genomes if none can be distributed or downloaded. They have the properties that taxonomic
classification needs: clades differ in GC and codon usage, proteins are less similar at higher ranks, genes are lost,
gained and transferred between clades, and species have strains. The model of evolution is in `evolution`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.files import folder_aside
from genestill.core.lineage import Lineage, format_lineage, named
from genestill.core.logs import logger
from genestill.core.sequences import write_fasta
from genestill.core.tables import write_tsv
from genestill.reference.evolution import GenePool, Organism, Usage
from genestill.reference.settings import SimulatedGenomeSettings

DOMAINS = ("Bacteria", "Archaea")


@dataclass(frozen=True)
class Branch:
    """Evolution from a clade to a child clade of some rank; see `GenePool.evolved`."""

    time: float
    drift: float
    turnover: float
    length_drift: float


# Times are computed from the protein identity within a clade (about .99 within a species, .83 genus, .67 family, .55
# order, .48 class, .43 phylum) with gamma-distributed rates: identity = (1 + distance / shape) ** -shape.
_LEVELS = {
    "phyla": Branch(0.30, 0.90, 0.50, 0.10),
    "classes": Branch(0.20, 0.45, 0.25, 0.10),
    "orders": Branch(0.20, 0.40, 0.20, 0.10),
    "families": Branch(0.20, 0.40, 0.20, 0.10),
    "genera": Branch(0.22, 0.30, 0.15, 0.10),
    "species": Branch(0.10, 0.14, 0.10, 0.05),
    "genomes": Branch(0.0055, 0.0, 0.03, 0.02),
}
_TIME_SPREAD = 0.3  # standard deviation of the log of the time of a branch
_CORE_SHARE = 0.45  # share of the genes of an average genome
_POOL_PER_GENOME = 3.5  # ratio of the families outside of the core in the pool and in an average genome
_PLASMID_SHARE = 0.3  # share of genomes with some genes on a second replicon


@dataclass(frozen=True)
class SimulatedGenome:
    """An assembly.

    Attributes:
        name: ``<Genus>_<epithet>__<assembly>``, the stem of its file.
        assembly: accession-like name of the assembly.
        lineage: seven names.
        organism: the simulated organism, for tests.
        replicons: (id, sequence) pairs, upper case.
        genes: one (replicon index, start, stop, is reverse, family) per gene; 0-based offsets of the coding sequence.
    """

    name: str
    assembly: str
    lineage: Lineage
    organism: Organism
    replicons: list[tuple[str, str]]
    genes: list[tuple[int, int, int, bool, int]]


def simulate_genomes(settings: SimulatedGenomeSettings, seed: int) -> tuple[GenePool, Iterator[SimulatedGenome]]:
    """Simulate genomes; return their gene families and an iterator over the genomes, in the order of the tree.

    The same settings and seed give the same genomes.
    """
    rng = np.random.default_rng(seed)
    core, families = _count_families(settings)
    pool = GenePool(families, core, rng)
    usage = Usage(0.2, rng.normal(0, 0.4, 64), np.zeros(20))
    ancestor = pool.first_organism(usage, settings.genome_length, rng)
    names = NameMaker(rng)
    clades = [((domain,), ancestor) for domain in DOMAINS[: settings.phyla]]
    for level, branch in _LEVELS.items():
        clades = _next_level(pool, clades, level, branch, settings, names, rng)
    return pool, (_assemble(pool, number, *clade, rng) for number, clade in enumerate(clades, 1))


def _count_families(settings: SimulatedGenomeSettings) -> tuple[int, int]:
    genes = settings.genome_length / 1080  # 1080: bases of an average unit
    core = max(1, round(_CORE_SHARE * genes))
    return core, core + max(1, round(_POOL_PER_GENOME * (genes - core)))


def _next_level(pool, clades, level: str, branch: Branch, settings: SimulatedGenomeSettings, names: "NameMaker", rng):
    """The clades one rank below: (names so far, organism) pairs; children of the same parent are contiguous."""
    children = []
    for (lineage, parent), count in zip(clades, _spread(getattr(settings, level), len(clades), rng), strict=True):
        for _ in range(count):
            length = parent.length * rng.lognormal(0, branch.length_drift)
            length = round(np.clip(length, 0.8 * settings.genome_length, 1.25 * settings.genome_length))
            time = branch.time * rng.lognormal(0, _TIME_SPREAD)
            child = pool.evolved(parent, time, branch.drift, branch.turnover, length, rng)
            children.append((lineage if level == "genomes" else (*lineage, names.make(level, lineage[-1])), child))
    if level != "species":
        return children
    organisms = [child for _, child in children]
    for index, (lineage, child) in enumerate(children):
        donors = organisms[:index] + organisms[index + 1 :]
        children[index] = lineage, pool.transferred(child, donors, settings.transfer, rng)
    return children


def _spread(total: int, parents: int, rng) -> np.ndarray:
    """Number of children of each parent: at least one, the rest at random."""
    return 1 + rng.multinomial(total - parents, np.full(parents, 1 / parents))


def _assemble(pool: GenePool, number: int, lineage: Lineage, organism: Organism, rng) -> SimulatedGenome:
    units = pool.spell_units(organism)
    genes = len(organism.genes)
    # A plasmid has the last genes of the list.
    cuts = [genes] if rng.random() >= _PLASMID_SHARE else [genes - max(1, genes // 16), genes]
    assembly = f"SIM_{number:06d}.1"
    replicons, coordinates, first = [], [], 0
    for index, last in enumerate(cuts):
        pieces, offset = [], 0
        for family, is_reverse in zip(organism.genes[first:last], organism.is_reverse[first:last], strict=True):
            piece = units[pool.unit_start[family] : pool.unit_start[family + 1]]
            start, stop = int(pool.gene_start[family]), int(pool.gene_stop[family])
            if is_reverse:
                piece = 3 - piece[::-1]
                start, stop = len(piece) - stop, len(piece) - start
            coordinates.append((index, offset + start, offset + stop, bool(is_reverse), int(family)))
            pieces.append(piece)
            offset += len(piece)
        bases = np.frombuffer(b"ACGT", dtype=np.uint8)[np.concatenate(pieces)].tobytes().decode("ascii")
        replicons.append((f"{assembly.replace('.', '_')}_{('chromosome', 'plasmid')[index]}", bases))
        first = last
    name = f"{named(lineage)[-1].replace(' ', '_')}__{assembly}"
    return SimulatedGenome(name, assembly, lineage, organism, replicons, coordinates)


_VOWELS = "aeiou"
_CONSONANTS = "bcdfglmnprstv"
_ONSETS = (*_CONSONANTS, "br", "cr", "dr", "gl", "pr", "tr")
_ENDINGS = {
    "phyla": ("ota",),
    "classes": ("ia",),
    "orders": ("ales",),
    "families": ("aceae",),
    "genera": ("bacter", "coccus", "monas", "vibrio", "spira", "bacterium", "ella", "thrix"),
    "species": ("ensis", "icola", "atus", "alis", "ivorans", "osus", "inus"),
}


class NameMaker:
    """Names that look like Latin, without repetitions."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._given: set[str] = set()

    def make(self, level: str, parent: str) -> str:
        """A new name; a species has the name of its genus (``parent``) and an epithet."""
        while True:
            stem = _ONSETS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS
            ending = self._pick(_ENDINGS[level])
            # A vowel is inserted before an ending that begins with a consonant.
            joint = "" if ending[0] in "aeiou" else self._pick("io")
            word = "".join(map(self._pick, stem)) + joint + ending
            if word not in self._given:
                self._given.add(word)
                return f"{parent} {word}" if level == "species" else word.capitalize()

    def _pick(self, parts):
        return parts[self._rng.integers(len(parts))]


def write_simulated_genomes(output: str | Path, settings: SimulatedGenomeSettings, seed: int) -> pd.DataFrame:
    """Simulate genomes and write the folder ``output`` atomically.

    Writes one ``<name>.fna.gz`` per genome, ``genomes.tsv`` with the columns file, lineage (``d__…;s__…``), assembly,
    n_seqs, bp, gc (share) and genes. Returns the table. For the same settings and seed, all files are identical.
    """
    _, genomes = simulate_genomes(settings, seed)
    rows = []
    with folder_aside(output) as folder:
        for genome in genomes:
            write_fasta(folder / f"{genome.name}.fna.gz", genome.replicons)
            sequence = "".join(sequence for _, sequence in genome.replicons)
            rows.append(
                {
                    "file": f"{genome.name}.fna.gz",
                    "lineage": format_lineage(genome.lineage),
                    "assembly": genome.assembly,
                    "n_seqs": len(genome.replicons),
                    "bp": len(sequence),
                    "gc": round((sequence.count("G") + sequence.count("C")) / len(sequence), 4),
                    "genes": len(genome.genes),
                }
            )
        table = pd.DataFrame(rows)
        write_tsv(folder / "genomes.tsv", table)
    logger.info(
        "simulated %d genomes of %d species in %d genera, %.1f Mb, GC %.2f to %.2f: %s",
        len(table),
        table["lineage"].nunique(),
        settings.genera,
        table["bp"].sum() / 1e6,
        table["gc"].min(),
        table["gc"].max(),
        output,
    )
    return table
