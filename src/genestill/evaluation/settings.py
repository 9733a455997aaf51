"""The settings of this stage's commands."""

from dataclasses import dataclass

from genestill.core.errors import InputError
from genestill.core.kinds import TASK_METRICS
from genestill.core.settings import Settings, setting

# Baselines of sequence tasks, with descriptions; each has a module in sequence_tasks/baselines/.
SEQUENCE_BASELINES = {
    "kmer": "logistic regression of k-mers of 1 to 6 bases",
    "gapped_kmer": "logistic regression of pairs of 3-mers with 1 to 8 bases between them",
    "position": "logistic regression of the bases and pairs of bases at each position",
    "linear": "logistic regression of those of these three kinds of features that cross-validation selects",
    "cnn": "the CNN of Genomic Benchmarks",
    "gated_cnn": "a gated, dilated CNN over both strands",
    "stack": "linear and gated_cnn together",
}
# Baselines of probe tasks, with descriptions; each has a module in probes/baselines/.
TRANSCRIPT_BASELINES = {
    "kmers": "counts of k-mers, with GC content, CDS length and number of exons",
    "composition": "frequencies and lengths",
    "frequencies": "frequencies of codons and of k-mers of 1 to 4 bases",
    "lengths": "lengths of the transcript, its regions and its longest open reading frame, and the number of exons",
    "codons": "frequencies of codons in frame",
    "regional_kmers": "k-mers of 1 to 6 bases by region, tf-idf",
    "exons": "density of exon junctions",
    "initiation": "upstream start codons and Kozak context",
    "folding": "folding energies of the 5' end and around the start codon",
    "motifs": "counts of AU-rich elements, Pumilio and other motifs",
    "union": "all of these except kmers",
    "boosting": "gradient boosting of 500 columns of the union",
}
# Fits of a probe: as in mRNABench, and with blocks of features at equal variance.
PROBE_FITS = ("mrnabench", "blocks")
# Recipes that read all keys of the section evaluation; the others only read the predictions to score.
_TAXONOMY = ("taxdistill", "taxdistill-published")


@dataclass(frozen=True)
class ComparisonSettings(Settings):
    """The models that are compared."""

    labels_name: str = setting(
        "MMseqs2",
        "Name of the labels in tables and figures: the tool that made them.",
        pattern="^[A-Za-z0-9][A-Za-z0-9_. -]*$",
        recipes=_TAXONOMY,
    )


@dataclass(frozen=True)
class IntervalSettings(Settings):
    """Estimation of intervals in the taxonomy recipes."""

    resamples: int = setting(
        2000, "Number of bootstrap resamples of genomes for intervals.", minimum=100, recipes=_TAXONOMY
    )


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """Seeds and fits of a probe."""

    split_seeds: tuple[int, ...] = setting(
        (2541, 413, 411, 412, 2547),
        "Seeds of the probes' splits; these are mRNABench's first five, its others 321, 421, 311, 2516 and 2515.",
        minimum=0,
    )
    fits: tuple[str, ...] = setting(
        PROBE_FITS,
        "How probes are fitted: mrnabench (features without scaling), blocks (every block of features at equal "
        "variance, "
        "its weight and the penalty chosen by leave-one-out).",
        choices=PROBE_FITS,
    )
    beside: tuple[str, ...] = setting(
        ("composition",),
        "Baselines that are combined with a model's embeddings, in one further fit each, to measure the improvement by "
        "the model; frequencies is composition without lengths.",
        choices=tuple(name for name in TRANSCRIPT_BASELINES if name != "boosting"),
    )


@dataclass(frozen=True)
class ProbeTableSettings(Settings):
    """Estimation of intervals in the recipe ``mrna``."""

    replicates: int = setting(1000, "Number of bootstrap replicates for intervals.", minimum=100)


def _described(baselines: dict[str, str]) -> str:
    return "; ".join(f"{name} ({what})" for name, what in baselines.items())


@dataclass(frozen=True)
class TranscriptBaselineSettings(Settings):
    """A baseline of the probe tasks."""

    features: str = setting(
        "kmers",
        f"Features to probe instead of a model's embeddings: {_described(TRANSCRIPT_BASELINES)}.",
        choices=tuple(TRANSCRIPT_BASELINES),
    )
    shortest: int = setting(3, "Shortest k-mer.", minimum=1, maximum=8)
    longest: int = setting(7, "Longest k-mer; 3 to 7 is mRNABench's baseline.", minimum=1, maximum=8)

    def __post_init__(self):
        super().__post_init__()
        if self.shortest > self.longest:
            raise InputError(f"shortest is {self.shortest} and longest {self.longest}; expected shortest <= longest")


@dataclass(frozen=True)
class SequenceTaskSettings(Settings):
    """Comparisons of students on sequence tasks."""

    baselines: tuple[str, ...] = setting(
        tuple(SEQUENCE_BASELINES),
        f"Models fitted from scratch that are listed in the same table: {_described(SEQUENCE_BASELINES)}.",
        choices=tuple(SEQUENCE_BASELINES),
    )
    maximum_training_rows: int | None = setting(
        None,
        "Maximum number of training rows of a task, drawn with the shares of the classes; null uses all.",
        minimum=4,
    )
    maximum_test_rows: int | None = setting(
        None, "Maximum number of test rows of a task, drawn with the shares of the classes; null uses all.", minimum=4
    )


@dataclass(frozen=True)
class BaselineSettings(Settings):
    """Fitting of baselines of sequence tasks."""

    metric: str = setting("mcc", "Metric of the task, for all choices on training rows.", choices=TASK_METRICS)
    rows: int | None = setting(None, "Number of training rows, drawn with the seed; null uses all.", minimum=1)
    epochs: int = setting(10, "Passes of the CNN of Genomic Benchmarks over the training rows.", minimum=1)
    most_epochs: int = setting(
        30,
        "Maximum number of passes of the gated CNN over the training rows; training ends when the validation score "
        "stops "
        "rising.",
        minimum=1,
    )


@dataclass(frozen=True)
class AdmissionSettings(Settings):
    """The measurement of a teacher before students are trained on it."""

    admission: str = setting(
        "warn",
        "Whether the features of the frozen teacher must improve the strongest baseline on the training rows of the "
        "tasks; warn only logs a failure, stop ends the run before a student is trained, off skips the measurement.",
        choices=("warn", "stop", "off"),
    )
    maximum_rows: int = setting(1500, "Training rows drawn per task; time grows with their cube.", minimum=100)


@dataclass(frozen=True)
class Kraken2SizeSettings(Settings):
    """Maximum size of the database of Kraken 2."""

    megabytes: int = setting(0, "Largest hash table of Kraken 2's database; 0 for no limit.", unit="MB", minimum=0)


@dataclass(frozen=True)
class Kraken2ReferenceSettings(Settings):
    """Number of virtual references on which Kraken 2 is run."""

    kraken2_references: int = setting(
        5,
        "Number of virtual references of each half on which Kraken 2 is run; each needs a separate database.",
        minimum=1,
    )
