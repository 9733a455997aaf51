"""Simulated evolution of genes by codons: gene families, the organisms that have them, and their genomes.

Every organism has a sequence of every gene family of the pool, and a list of the families in its genome. The sequence
of a lost gene continues to evolve, so that a lineage that gains the gene later gains a plausible descendant. All
families are at fixed offsets, so that a branch of the tree needs only a few array operations over all codons.

Not modelled: insertions and deletions within a gene, RNA genes, overlapping genes.
"""

from dataclasses import dataclass, replace

import numpy as np

AMINO_ACIDS = "ARNDCQEGHILKMFPSTWYV"
_STOP = len(AMINO_ACIDS)

# The standard genetic code (NCBI table 11 has the same amino acids), third base fastest, bases in the order TCAG.
_TCAG = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
_ORDER = ["TCAG".index(base) for base in "ACGT"]
_LETTERS = "".join(_TCAG[16 * a + 4 * b + c] for a in _ORDER for b in _ORDER for c in _ORDER)
AMINO_ACID_OF_CODON = np.array([AMINO_ACIDS.find(letter) % (_STOP + 1) for letter in _LETTERS], dtype=np.int8)
_BASES_OF_CODON = np.array([(a, b, c) for a in range(4) for b in range(4) for c in range(4)], dtype=np.uint8)
_GC_OF_CODON = np.isin(_BASES_OF_CODON, (1, 2)).sum(axis=1)

_STARTS = np.array([14, 46, 62], dtype=np.int8)  # ATG, GTG, TTG
_START_SHARES = np.array([0.83, 0.12, 0.05])
_STOPS = np.array([48, 50, 56], dtype=np.int8)  # TAA, TAG, TGA

# Half of a symmetric table, in the order of AMINO_ACIDS. Henikoff and Henikoff 1992, doi:10.1073/pnas.89.22.10915.
_BLOSUM62 = """
4
-1 5
-2 0 6
-2 -2 1 6
0 -3 -3 -3 9
-1 1 0 0 -3 5
-1 0 0 2 -4 2 5
0 -2 0 -1 -3 -2 -2 6
-2 0 1 -1 -3 0 0 -2 8
-1 -3 -3 -3 -1 -3 -3 -4 -3 4
-1 -2 -3 -4 -1 -2 -3 -4 -3 2 4
-1 2 0 -1 -3 1 1 -2 -1 -3 -2 5
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1 5
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0 6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4 7
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1 4
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1 5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2 7
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1 4
"""
_HALF_BIT = np.log(2) / 2  # the unit of the table above

# Shares of the amino acids in bacterial proteins, rounded; rows in the order of AMINO_ACIDS.
_AMINO_ACID_SHARES = np.array(
    [95, 55, 39, 54, 10, 39, 61, 73, 22, 60, 103, 49, 24, 39, 44, 58, 54, 12, 29, 71], dtype=float
)

# Synonymous substitutions of a codon, per amino acid replacement of an average site (dN/dS about 0.1).
SYNONYMOUS_RATE = 7.0
NONCODING_RATE = 4.0
_SITE_SHAPE = 0.7  # gamma shape of the rates of the sites of a protein
_FAMILY_SHAPE = 4.0  # gamma shape of the rates of gene families
_CORE_RATE = 0.75  # core genes change more slowly
_SHINE_DALGARNO = ("AGGAGG", "GGAGG", "AGGAG", "GAGG", "AGGA")
_SHINE_DALGARNO_SHARES = (0.25, 0.25, 0.2, 0.15, 0.15)
_GENES_WITHOUT_SITE = 0.1


def _read_exchange_odds() -> np.ndarray:
    scores = np.zeros((_STOP, _STOP))
    for row, line in enumerate(_BLOSUM62.split("\n")[1:-1]):
        scores[row, : row + 1] = scores[: row + 1, row] = np.array(line.split(), dtype=float)
    odds = np.exp(_HALF_BIT * scores)
    np.fill_diagonal(odds, 0)
    return odds


_EXCHANGE_ODDS = _read_exchange_odds()


@dataclass(frozen=True)
class Usage:
    """Codon and amino acid usage of a clade, towards which its sequences evolve.

    Attributes:
        gc: log odds of G or C against A or T where the protein does not determine the base.
        codon: float [64], log weight of each codon in addition to ``gc``.
        amino_acid: float [20], log weight of each amino acid in addition to the common shares.
    """

    gc: float
    codon: np.ndarray
    amino_acid: np.ndarray

    def drifted(self, size: float, rng: np.random.Generator) -> "Usage":
        """The usage of a child clade; ``size`` is the standard deviation of the change of ``gc``."""
        return Usage(
            float(np.clip(self.gc + rng.normal(0, size), -1.5, 1.5)),
            self.codon + rng.normal(0, 0.7 * size, 64),
            self.amino_acid + rng.normal(0, 0.15 * size, _STOP),
        )

    def codon_shares(self) -> np.ndarray:
        """float [20, 64], share of each codon among those of an amino acid, cumulated along the codons."""
        weights = np.exp(self.gc * _GC_OF_CODON + self.codon)
        shares = np.where(np.arange(_STOP)[:, None] == AMINO_ACID_OF_CODON, weights, 0)
        return _cumulated(shares)

    def amino_acid_shares(self) -> np.ndarray:
        """float [20], share of each amino acid in the proteins towards which the clade evolves."""
        gc_of_amino_acid = np.array([_GC_OF_CODON[index == AMINO_ACID_OF_CODON].mean() for index in range(_STOP)])
        shares = _AMINO_ACID_SHARES * np.exp(0.4 * self.gc * (gc_of_amino_acid - 1.5) + self.amino_acid)
        return shares / shares.sum()

    def replacement_shares(self) -> np.ndarray:
        """float [20, 20], share of each amino acid among the replacements of another, cumulated."""
        return _cumulated(_EXCHANGE_ODDS * self.amino_acid_shares())

    def base_shares(self) -> np.ndarray:
        """float [4], cumulated shares of A, C, G, T between genes."""
        gc = 1 / (1 + np.exp(-0.8 * self.gc + 0.2))
        return np.cumsum([(1 - gc) / 2, gc / 2, gc / 2, 1.0])


def _cumulated(shares: np.ndarray) -> np.ndarray:
    cumulated = np.cumsum(shares, axis=-1)
    cumulated /= cumulated[..., -1:]
    return cumulated


def _draw(cumulated: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw for each of ``rows`` from the shares in that row of ``cumulated``."""
    columns = cumulated.shape[1]
    # The values of row r are shifted to [r, r + 1], so that one search finds the columns of all draws.
    flat = (cumulated + np.arange(len(cumulated))[:, None]).ravel()
    found = np.searchsorted(flat, rows + rng.random(len(rows)), side="right") - rows.astype(np.int64) * columns
    return np.minimum(found, columns - 1)


class GenePool:
    """The gene families of simulated genomes, as units: spacer, start codon, codons, stop codon, spacer.

    Attributes (f families, s codons between start and stop, n bases in spacers):
        is_core: bool [f], families that no lineage loses.
        codon_start: int64 [f + 1], first codon of each family.
        unit_start: int64 [f + 1], first base of each unit.
        gene_start, gene_stop: int64 [f], the coding sequence, including start and stop codons, within its unit.
        rate: float32 [s], replacements of each codon's amino acid per unit of time.
    """

    def __init__(self, families: int, core: int, rng: np.random.Generator):
        self.is_core = np.arange(families) < core
        codons = np.clip(rng.lognormal(np.log(270), 0.5, families), 60, 900).astype(np.int64)
        before = 20 + np.minimum(rng.exponential(45, families), 280).astype(np.int64)
        after = 5 + np.minimum(rng.exponential(15, families), 95).astype(np.int64)
        coding = 3 * (codons + 2)
        self.codon_start = np.concatenate([[0], np.cumsum(codons)])
        self.unit_start = np.concatenate([[0], np.cumsum(before + coding + after)])
        self.gene_start, self.gene_stop = before, before + coding
        starts = self.unit_start[:-1] + before
        self._start_at = starts[:, None] + np.arange(3)
        self._stop_at = (starts + coding - 3)[:, None] + np.arange(3)
        first = np.repeat(starts + 3 - 3 * self.codon_start[:-1], codons)
        self._codon_at = (first + 3 * np.arange(self.codon_start[-1]))[:, None] + np.arange(3)
        is_coding = np.zeros(self.unit_start[-1] + 1, dtype=np.int64)
        np.add.at(is_coding, starts, 1)
        np.add.at(is_coding, starts + coding, -1)
        self._spacer_at = np.flatnonzero(np.cumsum(is_coding)[:-1] == 0)
        of_family = rng.gamma(_FAMILY_SHAPE, 1 / _FAMILY_SHAPE, families) * np.where(self.is_core, _CORE_RATE, 1)
        of_site = rng.gamma(_SITE_SHAPE, 1 / _SITE_SHAPE, self.codon_start[-1])
        self.rate = (of_site * np.repeat(of_family, codons)).astype(np.float32)
        self._site_at, self._site_bases = self._place_binding_sites(starts, rng)

    @staticmethod
    def _place_binding_sites(starts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        positions, bases = [], []
        motifs = rng.choice(len(_SHINE_DALGARNO), len(starts), p=_SHINE_DALGARNO_SHARES)
        distances = rng.integers(5, 10, len(starts))
        for family in np.flatnonzero(rng.random(len(starts)) >= _GENES_WITHOUT_SITE):
            motif = _SHINE_DALGARNO[motifs[family]]
            stop = starts[family] - distances[family]
            positions.append(np.arange(stop - len(motif), stop))
            bases.append(["ACGT".index(base) for base in motif])
        if not positions:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
        return np.concatenate(positions), np.concatenate(bases).astype(np.uint8)

    @property
    def unit_length(self) -> np.ndarray:
        """int64 [f], bases of each unit."""
        return np.diff(self.unit_start)

    def first_organism(self, usage: Usage, length: int, rng: np.random.Generator) -> "Organism":
        """The common ancestor: all core families, and others up to a genome of ``length`` base pairs."""
        families = len(self.is_core)
        amino_acids = rng.choice(_STOP, self.codon_start[-1], p=usage.amino_acid_shares())
        organism = Organism(
            usage=usage,
            codons=_draw(usage.codon_shares(), amino_acids, rng).astype(np.int8),
            starts=rng.choice(_STARTS, families, p=_START_SHARES),
            stops=rng.choice(_STOPS, families, p=_stop_shares(usage)),
            spacers=np.searchsorted(usage.base_shares(), rng.random(len(self._spacer_at))).astype(np.uint8),
            genes=rng.permutation(np.flatnonzero(self.is_core)),
            is_reverse=np.empty(0, dtype=bool),
            length=length,
        )
        # Adjacent genes are often on the same strand, as in operons: runs of four genes on average.
        flips = rng.random(len(organism.genes)) < 0.25
        organism = replace(organism, is_reverse=np.cumsum(flips) % 2 == 1)
        return self.grown(organism, rng)

    def evolved(
        self, parent: "Organism", time: float, drift: float, turnover: float, length: int, rng: np.random.Generator
    ) -> "Organism":
        """A descendant of ``parent``.

        Args:
            parent: the ancestor.
            time: replacements of the amino acid of an average site along the branch.
            drift: change of codon usage and GC, see `Usage.drifted`.
            turnover: share of the families outside of the core that is lost and replaced by others.
            length: base pairs of the genome.
            rng: random number generator.
        """
        usage = parent.usage.drifted(drift, rng) if drift else parent.usage
        codons = self._evolved_codons(parent.codons, usage, time, rng)
        renewed = rng.random(len(parent.starts)) < 1 - np.exp(-time)
        starts = np.where(renewed, rng.choice(_STARTS, len(renewed), p=_START_SHARES), parent.starts)
        stops = np.where(renewed, rng.choice(_STOPS, len(renewed), p=_stop_shares(usage)), parent.stops)
        spacers = parent.spacers.copy()
        changed = np.flatnonzero(rng.random(len(spacers), dtype=np.float32) < 1 - np.exp(-NONCODING_RATE * time))
        spacers[changed] = np.searchsorted(usage.base_shares(), rng.random(len(changed)))
        kept = self.is_core[parent.genes] | (rng.random(len(parent.genes)) >= turnover)
        genes, is_reverse = parent.genes[kept], parent.is_reverse[kept]
        for _ in range(rng.poisson(0.1 * turnover * len(genes))):
            left, right = np.sort(rng.integers(0, len(genes) + 1, 2))
            genes[left:right] = genes[left:right][::-1].copy()
            is_reverse[left:right] = ~is_reverse[left:right][::-1]
        child = Organism(usage, codons, starts, stops, spacers, genes, is_reverse, length)
        return self.grown(child, rng)

    def _evolved_codons(self, codons: np.ndarray, usage: Usage, time: float, rng: np.random.Generator) -> np.ndarray:
        codons = codons.copy()
        replaced = np.flatnonzero(rng.random(len(codons), dtype=np.float32) < 1 - np.exp(-time * self.rate))
        amino_acids = _draw(usage.replacement_shares(), AMINO_ACID_OF_CODON[codons[replaced]], rng)
        respelt = np.flatnonzero(rng.random(len(codons), dtype=np.float32) < 1 - np.exp(-time * SYNONYMOUS_RATE))
        shares = usage.codon_shares()
        codons[respelt] = _draw(shares, AMINO_ACID_OF_CODON[codons[respelt]], rng)
        codons[replaced] = _draw(shares, amino_acids, rng)
        return codons

    def grown(self, organism: "Organism", rng: np.random.Generator) -> "Organism":
        """Gain missing families, at random positions, until the genome has its length."""
        missing = organism.length - self.unit_length[organism.genes].sum()
        absent = rng.permutation(np.setdiff1d(np.arange(len(self.is_core)), organism.genes))
        gained = absent[np.cumsum(self.unit_length[absent]) <= missing]
        return _inserted(organism, gained, rng)

    def transferred(
        self, recipient: "Organism", donors: list["Organism"], share: float, rng: np.random.Generator
    ) -> "Organism":
        """Horizontal transfer: ``share`` of the recipient's genes are replaced by the sequences of ``donors``."""
        count = rng.binomial(len(recipient.genes), share) if donors else 0
        if not count:
            return recipient
        organism = replace(recipient, codons=recipient.codons.copy())
        for _ in range(count):
            donor = donors[rng.integers(len(donors))]
            family = rng.choice(donor.genes)
            sites = slice(self.codon_start[family], self.codon_start[family + 1])
            organism.codons[sites] = donor.codons[sites]
            if family not in organism.genes:
                organism = _inserted(organism, np.array([family]), rng)
        return organism

    def spell_units(self, organism: "Organism") -> np.ndarray:
        """All units of the pool with the sequences of the organism, forward strand: uint8 [bases of all units]."""
        bases = np.empty(self.unit_start[-1], dtype=np.uint8)
        bases[self._spacer_at] = organism.spacers
        bases[self._start_at] = _BASES_OF_CODON[organism.starts]
        bases[self._codon_at] = _BASES_OF_CODON[organism.codons]
        bases[self._stop_at] = _BASES_OF_CODON[organism.stops]
        bases[self._site_at] = self._site_bases
        return bases


@dataclass(frozen=True)
class Organism:
    """One node of the tree; array sizes as in `GenePool`.

    Attributes:
        usage: codon and amino acid usage.
        codons: int8 [s], 16 a + 4 b + c for the base codes of each codon between start and stop.
        starts, stops: int8 [f], start and stop codons.
        spacers: uint8 [n], bases outside of genes.
        genes: int64 [genes], the families of its genome, in order.
        is_reverse: bool [genes], True on the reverse strand.
        length: intended base pairs of the genome.
    """

    usage: Usage
    codons: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    spacers: np.ndarray
    genes: np.ndarray
    is_reverse: np.ndarray
    length: int


def _inserted(organism: Organism, families: np.ndarray, rng: np.random.Generator) -> Organism:
    places = rng.integers(0, len(organism.genes) + 1, len(families))
    neighbours = organism.is_reverse[np.minimum(places, len(organism.genes) - 1)] if len(organism.genes) else False
    return replace(
        organism,
        genes=np.insert(organism.genes, places, families),
        is_reverse=np.insert(organism.is_reverse, places, neighbours),
    )


def _stop_shares(usage: Usage) -> np.ndarray:
    weights = np.exp(usage.gc * np.array([0, 1, 1])) * np.array([0.6, 0.1, 0.3])
    return weights / weights.sum()
