"""Targets of next-token prediction, for pretraining and for the check of a teacher."""

import numpy as np

from genestill.core.masking import IGNORED


def causal_targets(ids: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Targets of next-token prediction, int64 [b, t]: entry t is token t + 1; padding is ignored."""
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(attention[:, 1:] == 1, ids[:, 1:], IGNORED)
    return targets
