"""The settings of this stage's commands."""

from dataclasses import dataclass

from genestill.core.label_formats.registry import FORMATS
from genestill.core.settings import Settings, setting


@dataclass(frozen=True)
class ImportSettings(Settings):
    """How a table of labels is read."""

    format: str = setting(
        "auto", "Format of the table of labels; auto detects it from the first lines.", choices=FORMATS
    )


@dataclass(frozen=True)
class SearchSettings(Settings):
    """Parameters of ``mmseqs taxonomy``. The defaults are those of release 18, fixed here for later releases."""

    sensitivity: float = setting(2.0, "-s of the search; 1 is fast, 7.5 sensitive.", minimum=1, maximum=8.5)
    kmer: int = setting(
        0,
        "-k of the search, amino acids; 0 lets MMseqs2 choose by the size of the database. 5 is for very small ones.",
        choices=(0, 5, 6, 7),
    )
    evalue: float = setting(1.0, "-e, highest E-value of a match.", minimum=0)
    lca_mode: int = setting(
        3, "--lca-mode; 1 is a single search, 3 approximate 2bLCA, 4 the top hit.", choices=(1, 3, 4)
    )
    majority: float = setting(
        0.5,
        "--majority, minimum share of the weighted fragments of a contig that must agree.",
        minimum=0,
        maximum=1,
    )
    vote_mode: int = setting(
        1, "--vote-mode, weights of fragments; 0 uniform, 1 minus log E-value, 2 score.", choices=(0, 1, 2)
    )
    orf_filter: int = setting(
        1,
        "--orf-filter; 1 first removes fragments without matches in a fast search. 0 is faster for very small "
        "databases.",
        choices=(0, 1),
    )
    orf_filter_evalue: float = setting(100.0, "--orf-filter-e, highest E-value in that fast search.", minimum=0)
    orf_filter_sensitivity: float = setting(
        2.0, "--orf-filter-s, sensitivity of that fast search.", minimum=1, maximum=8.5
    )
    candidates: int = setting(300, "--max-seqs, candidates of the prefilter per fragment.", minimum=1)
    accepted: int = setting(30, "--max-accept, matches of a fragment after which the alignment stops.", minimum=1)
    rejected: int = setting(
        5, "--max-rejected, failures in a row after which the alignment of a fragment stops.", minimum=1
    )
    minimum_fragment: int = setting(30, "--min-length, shortest open reading frame.", unit="codons", minimum=10)
    translation_table: int = setting(1, "--translation-table, NCBI number of the genetic code.", minimum=1, maximum=31)
    hits: int = setting(10, "Targets kept per fragment as evidence.", minimum=1)
    hits_evalue: float = setting(0.001, "Highest E-value of a hit kept as evidence.", minimum=0)
