"""Masking of groups in two stages: 6-mer groups of the teacher are masked, and the mask is applied to student tokens.

A group is one token of the Nucleotide Transformer's tokenizer. Whole groups are masked so that both models have the
same visible bases: with five visible bases of a masked group, the student would have more information than the teacher.
"""

import numpy as np

from genestill.core.errors import InputError
from genestill.core.kmers import cut_kmers

GROUP_SIZE = 6


def cut_groups(codes: np.ndarray) -> np.ndarray:
    """The groups of a sequence, int32 [groups + 1]: `kmers.cut_kmers` with ``GROUP_SIZE`` bases."""
    return cut_kmers(codes, GROUP_SIZE)


def check_groups(boundaries: np.ndarray, start: np.ndarray, stop: np.ndarray, name: str) -> None:
    """Refuse teacher tokens that are not the groups of the same sequence.

    Args:
        boundaries: int32 [groups + 1] of `cut_groups`.
        start, stop: int32 [tokens], the offsets stored with the teacher's features (``table_schemas.token_features``).
        name: id of the sequence, for the message.

    Raises:
        InputError: the teacher's tokens have other bounds, so that masks would not match.
    """
    if len(start) != len(boundaries) - 1 or (start != boundaries[:-1]).any() or (stop != boundaries[1:]).any():
        raise InputError(
            f"{name}: the teacher's tokens ({len(start)}, up to base {stop[-1] if len(stop) else 0}) differ from the "
            f"{len(boundaries) - 1} groups of {GROUP_SIZE} bases, from the left, of {boundaries[-1]} bases; "
            "do features and sequences belong to the same windows?"
        )


def mask_groups(boundaries: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Stage one: choose the groups to mask, ``share`` of them, at least one and never all.

    Args:
        boundaries: int32 [groups + 1].
        share: between 0 (no group) and 1.
        generator: random number generator; the choice depends on it and on the number of groups, not on the bases.

    Returns:
        bool [groups], True where masked.
    """
    groups = len(boundaries) - 1
    masked = np.zeros(groups, dtype=bool)
    if share > 0 and groups > 1:
        number = min(max(1, round(share * groups)), groups - 1)
        masked[generator.choice(groups, size=number, replace=False)] = True
    return masked
