"""BERT's masking of tokens, for teachers and students."""

import numpy as np

MASKED_FRACTION = 0.15  # Devlin et al. 2019; Nucleotide Transformer and seqLens mask the same fraction
IGNORED = -100  # target that cross_entropy ignores


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    mask_id: int,
    words: np.ndarray,
    generator: np.random.Generator,
    fraction: float = MASKED_FRACTION,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose tokens; 80 % of them become the mask token, 10 % a random token, 10 % are unchanged (Devlin et al. 2019).

    Args:
        ids: int64 [b, t].
        maskable: bool [b, t], False for tokens that are never chosen (padding, separators).
        mask_id: id of the mask token.
        words: int64 [number of words], the ids from which random tokens are drawn.
        generator: random number generator.
        fraction: the probability of each maskable token to be chosen; at least one is chosen.

    Returns:
        Inputs and targets, both int64 [b, t]; targets are `IGNORED` at tokens that were not chosen.
    """
    chosen = (generator.random(ids.shape) < fraction) & maskable
    if not chosen.any() and maskable.any():
        chosen.flat[generator.choice(np.flatnonzero(maskable))] = True
    fate = generator.random(ids.shape)
    inputs = np.where(chosen & (fate < 0.8), mask_id, ids)
    random_words = words[generator.integers(len(words), size=ids.shape)]
    inputs = np.where(chosen & (fate >= 0.9), random_words, inputs)
    return inputs, np.where(chosen, ids, IGNORED)
