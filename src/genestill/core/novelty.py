"""Statuses of genomes with respect to a reference: the values of the column ``status``, and how they are determined.

A status is what is missing: ``absent genus`` means that the reference has the family of a genome but not its genus.
Species within the species radius of each other are one set (`species_sets`); the reference has a species if it has any
species of its set.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from genestill.core.lineage import RANKS, Lineage, depth

EXACT = "exact copy"
STRAIN = "other strain"
OTHER = "no prokaryotic chromosome"
# Number of ranks of the true lineage: it stops above the highest rank that the reference lacks.
RIGHT_DEPTH = {EXACT: 7, STRAIN: 7} | {f"absent {rank}": RANKS.index(rank) for rank in reversed(RANKS)}
# In the order used in tables.
STATUSES = (*RIGHT_DEPTH, OTHER)
_SHORT = {"exact": EXACT, "known": STRAIN} | {rank: f"absent {rank}" for rank in RANKS}

# Species with representatives of at least this identity are one set. Above the usual radius of .95, because names
# within it differ between releases (GTDB r202 has Escherichia coli, flexneri and dysenteriae; from R207 on only one).
SET_IDENTITY = 0.965
SET_ALIGNED = 0.5


def status_word(text: str) -> str:
    """The status of `STATUSES` for a cell with the status or a short form (exact, known, species, genus, family, …).

    Raises `ValueError` for any other text.
    """
    word = _SHORT.get(text, text)
    if word not in STATUSES:
        raise ValueError(text)
    return word


def species_sets(representatives: Mapping[Lineage, str], identities: pd.DataFrame) -> dict[Lineage, Lineage]:
    """Species that count as the same: single linkage of representatives within the species radius and a genus.

    Args:
        representatives: genome of each species (a lineage with seven names); the first species gives a set its name.
        identities: table with the columns genome, other, identity, aligned, aligned_other (shares), one row per pair.

    Returns:
        Species -> its set, which is the lineage of the first species of the set.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    species = list(representatives)
    number = {representatives[lineage]: row for row, lineage in enumerate(species)}
    near = identities[
        (identities["identity"] >= SET_IDENTITY)
        & (identities[["aligned", "aligned_other"]].max(axis=1) >= SET_ALIGNED)
        & identities["genome"].isin(number)
        & identities["other"].isin(number)
    ]
    pairs = [(number[one], number[other]) for one, other in zip(near["genome"], near["other"], strict=True)]
    pairs = [(one, other) for one, other in pairs if species[one][:-1] == species[other][:-1]]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(species), len(species)))
    first: dict[int, Lineage] = {}
    component = connected_components(links, directed=False)[1].tolist()
    return {lineage: first.setdefault(part, lineage) for lineage, part in zip(species, component, strict=True)}


def genome_statuses(
    sources: Mapping[str, Lineage],
    reference: Mapping[str, Lineage],
    sets: Mapping[Lineage, Lineage],
    identities: pd.DataFrame,
) -> dict[str, tuple[str, float | None]]:
    """Status of genomes with respect to a reference, and identity of the nearest genome of the reference.

    Args:
        sources: lineage of each genome, by file; lineages that do not reach species are left out.
        reference: lineage of each genome of the reference, by file.
        sets: see `species_sets`; a missing species is a set by itself.
        identities: see `species_sets`.

    Returns:
        For each source, a status of `RIGHT_DEPTH` and the average nucleotide identity (share) of the nearest genome of
        the reference; None if no genome is similar enough for a measurement (about .8).
    """
    held = [_clades(reference.values(), sets, level) for level in range(len(RANKS))]
    both = pd.concat([identities, identities.rename(columns={"genome": "other", "other": "genome"})])
    nearest = both[both["other"].isin(reference.keys())].groupby("genome")["identity"].max()
    found: dict[str, tuple[str, float | None]] = {}
    for genome, lineage in sources.items():
        if depth(lineage) < len(RANKS):
            continue
        if genome in reference:
            found[genome] = (EXACT, 1.0)
            continue
        own = [next(iter(_clades([lineage], sets, level))) for level in range(len(RANKS))]
        absent = next((level for level in range(len(RANKS)) if own[level] not in held[level]), None)
        status = STRAIN if absent is None else f"absent {RANKS[absent]}"
        found[genome] = (status, float(nearest[genome]) if genome in nearest.index else None)
    return found


def _clades(lineages: Iterable[Lineage], sets: Mapping[Lineage, Lineage], level: int) -> set[Lineage]:
    """The clades of ``lineages`` at a rank (0 to 6)."""
    return {sets.get(lineage, lineage)[: level + 1] for lineage in lineages if depth(lineage) > level}


# Ranks for which the novelty ledger estimates what the reference lacks, the lowest first.
LEDGER_RANKS = ("species", "genus", "family")
PRESENT_DEPTH = 1.0  # minimum depth of a contig that is present in a sample


def weights_by_sample(lengths: np.ndarray, depths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Weights of contigs in shares of all samples and of each sample: float64 [contigs, 1 + samples] by kind.

    Args:
        lengths: base pairs, int [contigs].
        depths: float [contigs, samples]; None if unknown.

    Returns:
        ``bases``: the length of a contig, in the samples in which its depth is at least `PRESENT_DEPTH`; ``reads``,
        if depths are given: its sequenced bases.
    """
    lengths = lengths[:, None].astype(np.float64)
    if depths is None:
        return {"bases": lengths}
    depths = depths.astype(np.float64)
    every = np.hstack([depths.sum(axis=1, keepdims=True), depths])
    return {"bases": np.hstack([lengths, lengths * (depths >= PRESENT_DEPTH)]), "reads": lengths * every}
