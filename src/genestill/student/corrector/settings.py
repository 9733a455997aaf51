"""The settings of the correctors' commands, in a module that does not import torch."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from genestill.core.errors import InputError
from genestill.core.settings import Settings, setting


@dataclass(frozen=True)
class Source:
    """A source of evidence.

    Attributes:
        table: its table, relative to the results folder of a run.
        what: description.
        behind_labels: whether the labels were made from it, so that they add no information to it.
        needs_genomes: whether its table is made from the genomes of the reference, which are not known for an existing
            database.
    """

    table: str
    what: str
    behind_labels: bool = False
    needs_genomes: bool = False


# Sources of evidence other than the labels; each has a module in evidence/.
EVIDENCE = {
    "hits": Source("labels/hits.parquet", "the best protein hits of every gene, from the search", behind_labels=True),
    "agreeing_hits": Source(
        "labels/hits.parquet", "the same, with the agreement of a contig's genes on a group", behind_labels=True
    ),
    "alignments": Source(
        "labels/alignments.parquet", "nucleotide alignments to the reference's genomes, by minimap2", needs_genomes=True
    ),
}


def refuse_same_search(names: Iterable[str], where: str) -> None:
    """Raise `InputError`, beginning with ``where``, if two of the sources of evidence use the same search."""
    searches = [name for name in names if name in EVIDENCE and EVIDENCE[name].behind_labels]
    if len(searches) > 1:
        raise InputError(f"{where}: {' and '.join(searches)} use the same search; expected one of them")


@dataclass(frozen=True)
class EvidenceSettings(Settings):
    """The inputs of the corrector."""

    evidence: tuple[str, ...] = setting(
        ("agreeing_hits",),
        "Evidence about contigs in addition to their labels: "
        + "; ".join(f"{name} ({source.what})" for name, source in EVIDENCE.items())
        + ". Without hits, labels are used with a limited weight. With reference.genomes, [agreeing_hits, alignments] "
        "is recommended; it needs minimap2.",
        choices=tuple(EVIDENCE),
        recipes=("taxdistill",),
    )


@dataclass(frozen=True)
class CorrectorSettings(Settings):
    """How the corrector is trained; the defaults are those of the recipe ``taxdistill``.

    Attributes:
        batch_size, weight_decay: of AdamW with a one-cycle learning rate.
        dropout: of the perceptron.
        drop_abundance, drop_evidence: probability of hiding the abundances, or the evidence, of a contig in training.
        held_out: share of contigs that are held out from training to fit the temperature.
    """

    neighbours: bool = setting(
        True,
        "Whether evidence is pooled over neighbours in composition, abundance and teacher space; never without "
        "abundances.",
    )
    epochs: int = setting(25, "Passes over the contigs.", minimum=1)
    hidden_size: int = setting(256, "Width of a hidden layer (posterior objective).", minimum=8)
    layers: int = setting(2, "Number of hidden layers (posterior objective).", minimum=1)
    learning_rate: float = setting(3e-3, "Peak learning rate of AdamW (posterior objective).", exclusive_minimum=0)
    fragments: int = setting(
        0,
        "Number of fragments per reference genome that are added to the contigs in training, with lengths of contigs "
        "(posterior objective). They improve predictions for new contigs without a search.",
        minimum=0,
    )
    batch_size: int = 256
    weight_decay: float = 1e-3
    dropout: float = 0.1
    drop_abundance: float = 0.15
    drop_evidence: float = 0.4
    held_out: float = 0.1


@dataclass(frozen=True)
class AcceptanceSettings(Settings):
    """Which names are accepted. A change affects no training."""

    threshold: float = setting(0.5, "Confidence above which a name is accepted.", minimum=0, maximum=1)


PUBLISHED_THRESHOLD = 0.8  # of TaxDistill's own code


@dataclass(frozen=True)
class PublishedSettings(Settings):
    """README of the authors' code: alpha 0.3, temperature 4, batches of 64; the rest is fixed in their code.

    ``alpha`` is the weight of the labels, 1 - alpha that of the teacher (as in the code; their README says the
    reverse).
    """

    teacher: str = setting(
        "embeddings",
        "Teacher in addition to the labels: the teacher's embeddings, none, or (published objective only) self, an "
        "earlier training of the student.",
        choices=("embeddings", "none", "self"),
    )
    alpha: float = setting(0.3, "Weight of the labels relative to the teacher (published).", minimum=0, maximum=1)
    temperature: float = setting(4.0, "Temperature of the distillation (published objective).", exclusive_minimum=0)
    epochs: int = setting(100, "Passes over the contigs.", minimum=1)
    batch_size: int = setting(64, "Contigs per batch (published objective).", minimum=2)
    learning_rate: float = 1e-3
    head_learning_rate: float = 1e-4
    accumulation: int = 8


def published_variant(model: str) -> tuple[str, dict[str, float]]:
    """Split the name of a published corrector into its name without settings, and these settings.

    ``taxdistill-published-alpha0.5-temperature2`` is ``taxdistill-published`` with alpha .5 and temperature 2.
    """
    found = re.fullmatch(r"(.+?)(?:-alpha([0-9.]+))?(?:-temperature([0-9.]+))?", model)
    name, *values = found.groups() if found else (model,)
    given = zip(("alpha", "temperature"), values, strict=False)
    return name, {setting: float(value) for setting, value in given if value is not None}


@dataclass(frozen=True)
class VirtualTrainingSettings(Settings):
    """The number of trainings of the corrector for each virtual reference."""

    corrector_seeds: int = setting(
        1,
        "Number of seeds of the corrector on every virtual reference of the judging half; 0 leaves it out.",
        minimum=0,
    )


@dataclass(frozen=True)
class NoveltySettings(Settings):
    """When a group of contigs is called novel."""

    false_discovery_rate: float = setting(
        0.05,
        "False discovery rate: maximum share of the groups called novel at a rank whose taxon is in the reference.",
        exclusive_minimum=0,
        exclusive_maximum=1,
        recipes=("taxdistill",),
    )
    smallest_group: int = setting(
        20_000,
        "Groups of contigs with fewer bases are not called novel.",
        unit="base pairs",
        minimum=0,
        recipes=("taxdistill",),
    )
