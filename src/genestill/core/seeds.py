"""Seeding of all random number generators."""

import random

import numpy as np


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python, NumPy and torch (with deterministic kernels), and return a NumPy generator with this seed."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that use the global state
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return np.random.default_rng(seed)
