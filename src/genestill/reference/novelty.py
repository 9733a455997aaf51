"""Dividing genomes into community and reference, for a given novelty."""

from dataclasses import dataclass

import numpy as np

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, Lineage
from genestill.reference.settings import STATUSES

_ATTEMPTS = 200


@dataclass(frozen=True)
class Split:
    """The use of each genome.

    Attributes:
        status: for each genome one of `STATUSES`, or None if it is not in the community.
        in_reference: bool [genomes].
        wanted: requested number of genomes of each status.
    """

    status: list[str | None]
    in_reference: np.ndarray
    wanted: dict[str, int]

    def counts(self) -> dict[str, int]:
        """The number of genomes of the community per status."""
        return {status: self.status.count(status) for status in STATUSES}

    def decoys(self) -> int:
        """The number of genomes that are only in the reference."""
        return sum(held and status is None for status, held in zip(self.status, self.in_reference, strict=True))

    def left_out(self) -> int:
        """The number of unused genomes: not allowed in the reference and not needed in the community."""
        return len(self.status) - self.decoys() - sum(self.counts().values())


def split_genomes(lineages: list[Lineage], shares: dict[str, float], decoys: float, rng: np.random.Generator) -> Split:
    """Choose the community and the reference.

    A community genome of status ``exact`` is in the reference; for ``known``, another assembly of the species is; for
    ``species``, ``genus`` and ``family``, the reference lacks this rank and has the rank above. If the taxonomy does
    not allow the shares, the best of many random splits is used.

    Args:
        lineages: seven names for each genome.
        shares: shares of the community's genomes with each of `STATUSES`; they add up to 1.
        decoys: share of all genomes that should be only in the reference.
        rng: random number generator.

    Raises:
        InputError: fewer than two species in the reference.
    """
    total = max(1, round((1 - decoys) * len(lineages)))
    wanted = _whole_numbers(total, shares)
    clades = np.empty((len(RANKS) + 1, len(lineages)), dtype=np.int64)
    for rank in range(len(clades)):
        numbers: dict[Lineage, int] = {}
        clades[rank] = [numbers.setdefault(lineage[:rank], len(numbers)) for lineage in lineages]
    best, best_score = None, None
    for _ in range(_ATTEMPTS):
        split = _split_once(clades, wanted, rng)
        if len(np.unique(clades[-1][split.in_reference])) < 2:
            continue
        counts = split.counts()
        score = (sum(abs(counts[status] - wanted[status]) for status in STATUSES), split.left_out())
        if best_score is None or score < best_score:
            best, best_score = split, score
        if best_score == (0, 0):
            break
    if best is None:
        species = len(np.unique(clades[-1]))
        raise InputError(
            f"community: the reference would have fewer than two species ({len(lineages)} genomes of {species} "
            "species in all); expected more genomes, or larger shares of exact genomes or decoys"
        )
    return best


def _whole_numbers(total: int, shares: dict[str, float]) -> dict[str, int]:
    """Divide ``total`` into integers in proportion to the shares, by largest remainder."""
    exact = np.array([shares[status] * total for status in STATUSES])
    parts = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(parts - exact, kind="stable")[: total - parts.sum()]:
        parts[index] += 1
    return dict(zip(STATUSES, parts.tolist(), strict=True))


def _split_once(clades: np.ndarray, wanted: dict[str, int], rng: np.random.Generator) -> Split:
    in_reference = np.ones(clades.shape[1], dtype=bool)
    status: list[str | None] = [None] * clades.shape[1]
    # From high to low ranks: later removals always leave a relative, so the conditions of earlier statuses still hold.
    for name in ("family", "genus", "species"):
        depth = RANKS.index(name) + 1
        left = wanted[name]
        for clade in rng.permutation(np.unique(clades[depth])):
            if left == 0:
                break
            members = rng.permutation(np.flatnonzero(in_reference & (clades[depth] == clade)))
            if not len(members):
                continue
            same_parent = clades[depth - 1] == clades[depth - 1, members[0]]
            if not np.any(in_reference & same_parent & (clades[depth] != clade)):
                continue
            in_reference[members] = False
            for genome in members[:left]:
                status[genome] = name
            left -= len(members[:left])
    left = wanted["known"]
    for genome in rng.permutation(np.flatnonzero(in_reference)):
        if left and np.sum(in_reference & (clades[-1] == clades[-1, genome])) > 1:
            in_reference[genome] = False
            status[genome] = "known"
            left -= 1
    for genome in rng.permutation(np.flatnonzero(in_reference))[: wanted["exact"]]:
        status[genome] = "exact"
    return Split(status, in_reference, wanted)
