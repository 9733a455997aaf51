"""Grouped masking in two stages: the teacher's 6-mer groups are masked, and the mask is carried to the student's bases.

A group is one token of the Nucleotide Transformer's tokeniser. Masking whole groups is what keeps the two models'
views equal: a student that saw five bases of a group which its teacher must fill in would be given the answer.
"""

import numpy as np

from genestill.core.errors import InputError
from genestill.core.kmers import cut_kmers

GROUP_SIZE = 6


def cut_groups(codes: np.ndarray) -> np.ndarray:
    """The groups of a sequence, int32 [groups + 1]: `kmers.cut_kmers` of ``GROUP_SIZE`` bases."""
    return cut_kmers(codes, GROUP_SIZE)


def check_groups(boundaries: np.ndarray, start: np.ndarray, stop: np.ndarray, name: str) -> None:
    """Refuse teacher tokens that are not the groups of the same sequence.

    Args:
        boundaries: int32 [groups + 1] of `cut_groups`.
        start, stop: int32 [tokens], the offsets stored with the teacher's features (``table_schemas.token_features``).
        name: id of the sequence, for the message.

    Raises:
        InputError: the teacher cut the sequence elsewhere, so a mask of groups would leak or misalign.
    """
    if len(start) != len(boundaries) - 1 or (start != boundaries[:-1]).any() or (stop != boundaries[1:]).any():
        raise InputError(
            f"{name}: the teacher's tokens ({len(start)}, up to base {stop[-1] if len(stop) else 0}) are not the "
            f"{len(boundaries) - 1} groups that {GROUP_SIZE}-mers from the left give over {boundaries[-1]} bases; "
            "are features and sequences of the same windows?"
        )


def mask_groups(boundaries: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Stage one: choose the groups to mask, ``share`` of them, at least one and never all.

    Args:
        boundaries: int32 [groups + 1].
        share: between 0 (no group at all) and 1.
        generator: source of randomness; the choice depends on it and on the number of groups, never on the bases.

    Returns:
        bool [groups], True where masked.
    """
    groups = len(boundaries) - 1
    masked = np.zeros(groups, dtype=bool)
    if share > 0 and groups > 1:
        number = min(max(1, round(share * groups)), groups - 1)
        masked[generator.choice(groups, size=number, replace=False)] = True
    return masked
