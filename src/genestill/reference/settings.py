"""The settings of this stage's commands."""

from dataclasses import dataclass

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.settings import REQUIRED, Settings, setting

# Gene finders are trained on the genome and need at least 20 kb.
SHORTEST_GENOME = 30_000
# Statuses of community genomes with respect to the reference, from easy to hard; the last three are ranks.
STATUSES = ("exact", "known", "species", "genus", "family")


@dataclass(frozen=True)
class ContigSettings(Settings):
    """The selection of contigs."""

    minimum_length: int = setting(1000, "Shorter contigs are left out and counted.", unit="base pairs", minimum=1)


@dataclass(frozen=True)
class SimulatedGenomeSettings(Settings):
    """Numbers of simulated genomes and taxa; the numbers are totals, each at least as large as the previous one.

    Genomes beyond one per species are additional strains; their lengths vary by a quarter around ``genome_length``.
    """

    phyla: int = setting(4, "Number of phyla.", minimum=1)
    classes: int = setting(5, "Total number of classes.", minimum=1)
    orders: int = setting(6, "Total number of orders.", minimum=1)
    families: int = setting(8, "Total number of families.", minimum=1)
    genera: int = setting(14, "Total number of genera.", minimum=1)
    species: int = setting(28, "Total number of species.", minimum=2)
    genomes: int = setting(40, "Total number of genomes; those beyond one per species are further strains.", minimum=2)
    genome_length: int = setting(
        200_000,
        "Length of a genome; a gene finder cannot be trained on one shorter than the minimum.",
        unit="base pairs",
        minimum=SHORTEST_GENOME,
    )
    transfer: float = setting(0.015, "Share of genes that come from other clades.", minimum=0, maximum=1)

    def __post_init__(self):
        super().__post_init__()
        levels = ("phyla", "classes", "orders", "families", "genera", "species", "genomes")
        above, least = "domains", 1
        for below in levels:
            count = getattr(self, below)
            if count < least:
                raise InputError(
                    f"simulated_genomes: {count} {below} for {least} {above}; expected at least one per clade, so "
                    f"{least}"
                )
            above, least = below, count


@dataclass(frozen=True)
class CommunitySettings(Settings):
    """Properties of a community.

    Contig lengths are log-normal between the limits; the median is the value before applying the limits, the spread is
    the standard deviation of the log. The shares exact to family add up to 1, see `novelty`.
    """

    samples: int = setting(6, "Number of samples.", minimum=1)
    contigs: int = setting(5000, "Maximum number of contigs; there are fewer if the genomes are too small.", minimum=1)
    minimum_length: int = setting(1000, "Shortest contig.", unit="base pairs", minimum=1)
    maximum_length: int = setting(50_000, "Longest contig.", unit="base pairs", minimum=1)
    median_length: int = setting(
        3500, "Median of the log-normal lengths before the limits.", unit="base pairs", minimum=1
    )
    length_spread: float = setting(1.0, "Standard deviation of the natural log of the lengths.", exclusive_minimum=0)
    exact: float = setting(0.58, "Share of community genomes that are in the reference.", minimum=0, maximum=1)
    known: float = setting(0.18, "Share of genomes of which another strain is in the reference.", minimum=0, maximum=1)
    species: float = setting(0.12, "Share of genomes whose species the reference lacks.", minimum=0, maximum=1)
    genus: float = setting(0.08, "Share of genomes whose genus the reference lacks.", minimum=0, maximum=1)
    family: float = setting(0.04, "Share of genomes whose family the reference lacks.", minimum=0, maximum=1)
    decoys: float = setting(0.3, "Share of all genomes that are only in the reference.", minimum=0, exclusive_maximum=1)
    dropout: float = setting(0.15, "Probability that a genome is absent from a sample.", minimum=0, exclusive_maximum=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.minimum_length < self.median_length < self.maximum_length:
            raise InputError(
                f"community: minimum, median and maximum length are {self.minimum_length}, {self.median_length} and "
                f"{self.maximum_length}; expected them in ascending order"
            )
        total = sum(self.shares().values())
        if abs(total - 1) > 1e-6:
            listed = ", ".join(f"{status} {share:g}" for status, share in self.shares().items())
            raise InputError(f"community: the shares of the statuses add up to {total:g} ({listed}); expected 1")

    def shares(self) -> dict[str, float]:
        """The share of each status."""
        return {status: getattr(self, status) for status in STATUSES}


@dataclass(frozen=True)
class WithheldSettings(Settings):
    """The number of virtual references, and the shares of the families of a half that each of them withholds."""

    number: int = setting(100, "Virtual references per half, over all communities.", minimum=1)
    families: float = setting(0.1, "Share of the families that a reference withholds.", minimum=0, maximum=1)
    genera: float = setting(0.2, "Share of the remaining genera that a reference withholds.", minimum=0, maximum=1)
    species: float = setting(0.2, "Share of the remaining species that a reference withholds.", minimum=0, maximum=1)


@dataclass(frozen=True)
class AssemblySettings(Settings):
    """Simulation of the reads of an assembled community."""

    bases: int = setting(800_000_000, "Sequenced bases of all samples together.", unit="base pairs", minimum=100_000)
    other: float = setting(
        0.1,
        "Share of the bases from plasmids and eukaryotes, divided equally if there are both.",
        minimum=0,
        exclusive_maximum=1,
    )
    read_length: int = setting(150, "Length of a read.", unit="base pairs", minimum=50, maximum=150)
    fragment_length: int = setting(350, "Mean length of a fragment.", unit="base pairs", minimum=150)


@dataclass(frozen=True)
class WindowSettings(Settings):
    """The windows that are cut out of genomes."""

    length: int = setting(1020, "Length of a window.", unit="bases", minimum=60)
    shortest: int | None = setting(
        None,
        "Shortest window; lengths are uniform from here to length, so that models are trained on short inputs and on "
        "lengths that are not multiples of a k-mer. With null, all windows have the same length.",
        unit="bases",
        minimum=20,
    )
    number: int = setting(10_000, "Number of windows.", minimum=10)
    clade: str | None = setting(None, "Only genomes whose lineage starts with this (d__…;p__…).")
    evenly_by: str = setting(
        "genome",
        "Units with equal numbers of windows; with a rank, all its clades, independent of their numbers of genomes.",
        choices=("genome", "domain", "phylum", "class", "order", "family", "genus", "species"),
    )
    strands: str = setting(
        "one",
        "Whether all windows are from the strand in the file, or half of them, drawn at random, from the other strand, "
        "so "
        "that teacher and students are trained on both.",
        choices=("one", "both"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.shortest is not None and self.shortest > self.length:
            raise InputError(f"shortest is {self.shortest}, more than the length of {self.length} bases")


@dataclass(frozen=True)
class TranscriptSettings(Settings):
    """The transcripts that are kept, and their maximum length."""

    shortest: int = setting(64, "Shorter transcripts are left out.", unit="bases", minimum=1)
    longest: int = setting(
        12_288, "Longer transcripts are cut to a window; 0 keeps their full length.", unit="bases", minimum=0
    )


@dataclass(frozen=True)
class HomologySettings(Settings):
    """When two transcripts count as related."""

    identity: float = setting(0.6, "Identity of the aligned bases.", minimum=0, maximum=1)
    protein_identity: float = setting(0.4, "Identity of the aligned amino acids.", minimum=0, maximum=1)
    coverage: float = setting(
        0.3, "Share of the shorter sequence, or of the shorter protein, that is aligned.", minimum=0, maximum=1
    )
    evalue: float = setting(1e-5, "Largest E-value.", exclusive_minimum=0)


@dataclass(frozen=True)
class ProbeTaskSettings(Settings):
    """The target of a probe task, and its rows."""

    kind: str = setting(REQUIRED, "Kind of the target.", choices=("regression", "classification", "multilabel"))
    split: str = setting(
        "homology",
        "How test rows are chosen.",
        choices=("default", "homology", "kmer", "hard-kmer", "chromosome"),
    )
    sample: int = setting(0, "Number of rows to draw; 0 uses all.", minimum=0)
    logarithm: bool = setting(False, "Whether the natural logarithm of the target is probed.")
    most_left_out: float = setting(
        0.2, "Share of rows without a usable target above which a table is refused.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class OriginTaskSettings(Settings):
    """Classes and windows of a task of origin."""

    classes: str = setting(
        REQUIRED,
        "plasmid or chromosome, of genomes that have both; or kingdom: the column origin of the table of genomes, else "
        "the domain.",
        choices=("plasmid", "kingdom"),
    )
    length: int = setting(1000, "Length of a window.", unit="bases", minimum=20)
    number: int = setting(2000, "Number of windows, the same for every class.", minimum=4)
    test_share: float = setting(0.4, "Share of the windows in the test rows.", exclusive_minimum=0, exclusive_maximum=1)


@dataclass(frozen=True)
class CladeTaskSettings(Settings):
    """Classes and windows of a clade task."""

    rank: str = setting("phylum", "Rank of the clades.", choices=RANKS)
    length: int = setting(300, "Length of a window.", unit="bases", minimum=1)
    number: int = setting(2000, "Number of windows.", minimum=1)
