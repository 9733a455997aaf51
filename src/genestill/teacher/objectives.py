"""The two pretraining losses, shared by pretraining and the sanity gate."""

import numpy as np

MASKED_SHARE = 0.15  # Devlin et al. 2019; Nucleotide Transformer masks the same share
IGNORED = -100  # what cross_entropy leaves out


def causal_targets(ids: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Targets [b, t] of next-token prediction: entry t is token t + 1; padding is ignored."""
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(attention[:, 1:] == 1, ids[:, 1:], IGNORED)
    return targets


def mask_tokens(
    ids: np.ndarray, maskable: np.ndarray, mask_id: int, words: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """BERT's masking of 15 % of ``maskable``: of those 80 % masked, 10 % a random one of ``words``, 10 % as they are.

    Returns:
        Inputs and targets, both int64 [b, t]; targets are `IGNORED` where nothing was chosen.
    """
    chosen = (generator.random(ids.shape) < MASKED_SHARE) & maskable
    fate = generator.random(ids.shape)
    inputs = np.where(chosen & (fate < 0.8), mask_id, ids)
    random_words = words[generator.integers(len(words), size=ids.shape)]
    inputs = np.where(chosen & (fate >= 0.9), random_words, inputs)
    return inputs, np.where(chosen, ids, IGNORED)
