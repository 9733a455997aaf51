"""Strata: parts of a community that are scored separately; and the weights of contigs."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from genestill.core.lineage import NO_LINEAGE, RANKS, format_lineage
from genestill.core.novelty import EXACT, OTHER, RIGHT_DEPTH, STATUSES, STRAIN
from genestill.evaluation.calls import UNNAMED, Community

ALL = "all"
# Without contigs of genomes in the reference, and without contigs that are not of prokaryotic chromosomes.
NO_EXACT = "no exact"
# For calibration: the taxon at the rank is absent from the reference.
ABSENT = "taxon absent"
LENGTHS = (
    ("<1 kb", 1, 1_000),
    ("1-2 kb", 1_000, 2_000),
    ("2-5 kb", 2_000, 5_000),
    ("5-10 kb", 5_000, 10_000),
    ("10-20 kb", 10_000, 20_000),
    (">=20 kb", 20_000, np.inf),
)
# Average nucleotide identity of the nearest genome of the reference: above the first number, up to the second.
STRAIN_IDENTITIES = ((">.99", 0.99, np.inf), (".97-.99", 0.97, 0.99), (".95-.97", 0.95, 0.97), ("<=.95", 0, 0.95))
RELATIVE_IDENTITIES = ((">.90", 0.90, np.inf), (".80-.90", 0.80, 0.90))
BELOW = "<.80"  # too distant for measuring the identity


def strata_of(community: Community) -> Iterator[tuple[str, np.ndarray]]:
    """(name, bool [n]) of every non-empty stratum of the community.

    ``all``; ``no exact``; ``status=…`` for every status, and its parts by identity of the nearest genome of the
    reference (``status=other strain, ANI >.99``); ``chimera=yes`` and ``chimera=no``; ``length=…``.
    """
    yield ALL, np.ones(len(community.ids), dtype=bool)
    yield from _present([(NO_EXACT, without_exact(community.status))])
    for status, members in statuses_of(community):
        yield f"status={status}", members
        if status not in (EXACT, OTHER):
            yield from _present(
                (f"status={status}, ANI {name}", part) for name, part in _by_identity(community, status, members)
            )
    if (community.chimera == 1).any():
        yield from _present([("chimera=yes", community.chimera == 1), ("chimera=no", community.chimera == 0)])
    yield from _present(
        (f"length={name}", (community.length >= low) & (community.length < high)) for name, low, high in LENGTHS
    )


def place_of(stratum: str) -> tuple[int, str]:
    """Sort key of a stratum in tables: all, no exact, each status with its parts, others."""
    status = stratum.removeprefix("status=").split(",")[0]
    order = [ALL, NO_EXACT, *STATUSES]
    return order.index(status) if status in order else len(order), stratum


def _present(parts) -> Iterator[tuple[str, np.ndarray]]:
    return ((name, members) for name, members in parts if members.any())


def statuses_of(community: Community) -> Iterator[tuple[str, np.ndarray]]:
    """(status, bool [n]) of every status that contigs have, in the order of `novelty.STATUSES`."""
    return _present((status, community.status == status) for status in STATUSES)


def without_exact(status: np.ndarray) -> np.ndarray:
    """Whether a status belongs to the stratum `NO_EXACT`: bool, in the shape of ``status``."""
    return np.isin(status.astype(str), [word for word in RIGHT_DEPTH if word != EXACT])


def _by_identity(community: Community, status: str, members: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    identity = community.identity
    if not (members & ~np.isnan(identity)).any():
        return
    for name, low, high in STRAIN_IDENTITIES if status == STRAIN else RELATIVE_IDENTITIES:
        yield name, members & (identity > low) & (identity <= high)
    if status != STRAIN:
        yield BELOW, members & ~(identity > RELATIVE_IDENTITIES[-1][1])


def weights_of(community: Community) -> dict[str, np.ndarray]:
    """Weights of contigs by name: one, its bases, its reads; float64 [n] each.

    The empty name is the weight one. Weights that are zero for all contigs are left out.
    """
    weights = {"": np.ones(len(community.ids)), "bases": community.length.astype(float), "reads": community.reads}
    return {name: weight for name, weight in weights.items() if weight.any()}


def cluster_names(community: Community, genomes: Sequence[str]) -> list[str]:
    """The unit of resampling of each contig: its genome, or its genus if that is absent, or its absent family.

    The genomes of an absent genus have the same nearest relatives, so they are not independent; if a rank above the
    family is absent, the family is the unit. ``genomes`` are n names.
    """
    genus, family = RANKS.index("genus"), RANKS.index("family")
    names = []
    for genome, status, path in zip(genomes, community.status, community.path, strict=True):
        right = RIGHT_DEPTH.get(status, len(RANKS))
        level = genus if right == genus else family if right <= family else None
        lineage = None
        if level is not None and path[level] != UNNAMED:
            lineage = (community.names[level][path[level]] + NO_LINEAGE)[: len(RANKS)]
        names.append(str(genome) if lineage is None else format_lineage(lineage))
    return names


def clusters_of(community: Community) -> tuple[np.ndarray, np.ndarray]:
    """The clusters of `cluster_names` as numbers; a genome with several statuses is a cluster in each of them.

    Returns:
        Number of the cluster of each contig, int64 [n], from 0; number of the status of each cluster, int64 [clusters].
    """
    names = cluster_names(community, community.genome.tolist())
    keys = pd.MultiIndex.from_arrays([community.status.astype(str), names])
    number, clusters = keys.factorize(sort=True)
    return number, pd.factorize(clusters.get_level_values(0))[0]
