"""Random sequences for tests."""

import numpy as np


def random_dna(seed: int | np.random.Generator, length: int) -> str:
    """Independent bases, each of the four equally likely."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))
