"""The peers, the evidence that they need, and their possible thresholds.

For a new peer, add one entry here. A threshold is chosen with the fitting half of the virtual references (`selection`),
never with the judging half.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from genestill.core.lineage import Lineage
from genestill.core.logs import logger
from genestill.core.programs import has_program
from genestill.evaluation.contig_peers.alignment_rules import by_alignment, by_group
from genestill.evaluation.contig_peers.bin_rules import by_bins
from genestill.evaluation.contig_peers.evidence import Evidence, to_genus
from genestill.evaluation.contig_peers.gene_rules import by_genes


@dataclass(frozen=True)
class Peer:
    """A classifier of contigs.

    Attributes:
        needs: attributes of `Evidence` that it needs in addition to the labels.
        thresholds: possible values, in ascending order.
        usual: the value of ``thresholds`` that is used if none was chosen.
        meaning: meaning of the threshold.
        call: function from evidence and threshold to a lineage per contig.
    """

    needs: tuple[str, ...]
    thresholds: tuple[float, ...]
    usual: float
    meaning: str
    call: Callable[[Evidence, float], list[Lineage]]


@dataclass(frozen=True)
class Program:
    """A program that makes evidence: the name of its executable, and where to get it."""

    executable: str
    package: str

    def missing(self) -> str | None:
        """Why its evidence cannot be made here; None if the program is found."""
        if has_program(self.executable):
            return None
        return f"the program {self.executable} is not on PATH ({self.package})"


def _labels(evidence: Evidence, threshold: float) -> list[Lineage]:
    return evidence.labels


def _kraken2(evidence: Evidence, threshold: float) -> list[Lineage]:
    return evidence.kraken2[threshold]


def _kraken2_species(evidence: Evidence, threshold: float) -> list[Lineage]:
    """The species of Kraken 2 if it calls one, else MMseqs2's genus."""
    pairs = zip(evidence.kraken2[threshold], evidence.labels, strict=True)
    return [theirs if theirs[-1] is not None else to_genus(label) for theirs, label in pairs]


def _metabuli(evidence: Evidence, threshold: float) -> list[Lineage]:
    return evidence.metabuli


KRAKEN2_CONFIDENCES = (0.0, 0.05, 0.1, 0.2, 0.3)
_IDENTITIES = (0.93, 0.94, 0.95, 0.96, 0.965, 0.97, 0.975, 0.98)

# By name in tables.
PEERS = {
    "MMseqs2": Peer((), (0.0,), 0.0, "none", _labels),
    "kraken2": Peer(("kraken2",), KRAKEN2_CONFIDENCES, 0.05, "--confidence", _kraken2),
    "kraken2-genus": Peer(("kraken2",), KRAKEN2_CONFIDENCES, 0.05, "--confidence", _kraken2_species),
    "minimap2": Peer(("alignments",), _IDENTITIES, 0.95, "gap-compressed identity of the contig", by_alignment),
    "bag-rule": Peer(("alignments", "depth"), _IDENTITIES, 0.97, "median identity of the group", by_group),
    "cat-rule": Peer(("genes",), (0.5, 0.6, 0.7, 0.8, 0.9), 0.5, "share f of the bit scores", by_genes),
    "vamb-bins": Peer(
        ("alignments", "genes", "bins"), _IDENTITIES, 0.95, "gap-compressed identity of the bin", by_bins
    ),
    "metabuli": Peer(("metabuli",), (0.0,), 0.0, "none", _metabuli),
}
# Peers that a rule trains on labels -> the evidence from which these labels are made.
TRAINED = {"taxometer": (), "taxometer-kraken2": ("kraken2",)}
# Kraken 2 for comparison with students that classify without a database: name -> size of its database (MB),
# --confidence. The confidences were chosen on a community simulated with seed 11; they are low because with a sample of
# the minimizers, few of a contig are found.
KRAKEN2_OF_SIZE = {"kraken2-10mb": (10, 0.0), "kraken2-40mb": (40, 0.05), "kraken2-150mb": (150, 0.05)}
# The programs that make the evidence of the peers.
PROGRAMS = {
    "kraken2": Program("kraken2", "Debian or bioconda: kraken2"),
    "alignments": Program("minimap2", "Debian or bioconda: minimap2"),
    "genes": Program("diamond", "Debian: diamond-aligner; bioconda: diamond"),
    "metabuli": Program("metabuli", "bioconda: metabuli"),
}


def peer_at(model: str) -> tuple[str, float | None]:
    """The peer of a model of a benchmark, and the threshold in its name, if any.

    ``kraken2-at0.2`` is ``kraken2`` at .2, independent of the chosen threshold, to show results with hindsight.
    """
    name, _, threshold = model.rpartition("-at")
    return (name, float(threshold)) if re.fullmatch(r"[0-9.]+", threshold) and name else (model, None)


def is_trained(model: str) -> bool:
    """Whether a model of a benchmark depends on a seed: peers that follow a rule do not; bins are trained."""
    if model in KRAKEN2_OF_SIZE:
        return False
    peer = PEERS.get(peer_at(model)[0])
    return peer is None or "bins" in peer.needs


def missing_evidence(programs_known: bool, genomes_known: bool) -> dict[str, str]:
    """Evidence of peers that cannot be made here -> the reason; see `leave_out`."""
    looked_for = {} if programs_known else PROGRAMS
    missing = {need: reason for need, program in looked_for.items() if (reason := program.missing()) is not None}
    if not genomes_known:
        missing |= dict.fromkeys(PROGRAMS, "the genomes of an existing database are not known")
    return missing


def leave_out(models: Iterable[str], programs_known: bool, genomes_known: bool) -> dict[str, str]:
    """Peer -> why it is left out, for those of ``models`` that cannot run here; each is logged as a warning.

    Args:
        models: models of a benchmark; models that are not peers are ignored.
        programs_known: all programs are available (from conda); otherwise they are searched on PATH.
        genomes_known: whether the reference is made from genomes; those of an existing database are unknown.
    """
    missing = missing_evidence(programs_known, genomes_known)
    needs = {name: peer.needs for name, peer in PEERS.items()} | TRAINED
    left = {model: missing[need] for model in models for need in needs.get(peer_at(model)[0], ()) if need in missing}
    for model, reason in left.items():
        logger.warning("benchmark: %s is left out: %s", model, reason)
    return left
