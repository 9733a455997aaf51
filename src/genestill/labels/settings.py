"""Every parameter of the search in one place."""

from dataclasses import dataclass, field


def _setting(default: float, words: str):
    return field(default=default, metadata={"help": words})


@dataclass(frozen=True)
class SearchSettings:
    """Parameters of ``mmseqs taxonomy``. The defaults are those of release 18, written out so that they stay."""

    sensitivity: float = _setting(2.0, "-s: 1 fast, 7.5 sensitive")
    kmer: int = _setting(0, "-k, amino acids; 0: MMseqs2 chooses 6 or 7 by the size of the database")
    evalue: float = _setting(1.0, "-e, highest E-value of a match")
    lca_mode: int = _setting(3, "--lca-mode: 1 single search, 3 approximate 2bLCA, 4 top hit")
    majority: float = _setting(0.5, "--majority, least share of the weighted fragments that must agree")
    vote_mode: int = _setting(1, "--vote-mode, weights of fragments: 0 uniform, 1 minus log E-value, 2 score")
    orf_filter: int = _setting(1, "--orf-filter, 1: drop fragments without any match in a fast search first")
    orf_filter_evalue: float = _setting(100.0, "--orf-filter-e, highest E-value in that fast search")
    orf_filter_sensitivity: float = _setting(2.0, "--orf-filter-s, sensitivity of that fast search")
    candidates: int = _setting(300, "--max-seqs, candidates of the prefilter a fragment")
    accepted: int = _setting(30, "--max-accept, matches a fragment after which the alignment stops")
    rejected: int = _setting(5, "--max-rejected, failures in a row after which it stops")
    minimum_fragment: int = _setting(30, "--min-length, shortest open reading frame, codons")
    translation_table: int = _setting(1, "--translation-table, NCBI number of the genetic code")
    hits: int = _setting(10, "targets kept a fragment as evidence")
    hits_evalue: float = _setting(0.001, "highest E-value of a hit kept as evidence")
