import numpy as np
import pytest

from genestill.core.masking import IGNORED, mask_tokens


def test_masking_selects_15_percent_of_tokens_and_splits_them_80_10_10():
    generator, words = np.random.default_rng(1), np.arange(10, 1010)
    ids = np.full((100, 1000), 5)
    maskable = np.zeros(ids.shape, dtype=bool)
    maskable[:, :800] = True
    inputs, targets = mask_tokens(ids, maskable, 2, words, generator)
    chosen = targets != IGNORED
    assert not chosen[:, 800:].any()
    assert (inputs[~chosen] == 5).all()
    assert chosen[:, :800].mean() == pytest.approx(0.15, abs=0.005)
    assert (inputs[chosen] == 2).mean() == pytest.approx(0.8, abs=0.02)
    assert (inputs[chosen] == 5).mean() == pytest.approx(0.1, abs=0.02)
    assert (inputs[chosen] >= 10).mean() == pytest.approx(0.1, abs=0.02)


def test_a_batch_without_a_selected_token_gets_one_that_may_be_selected():
    maskable = np.array([[False, True, False]])
    _, targets = mask_tokens(np.array([[1, 7, 2]]), maskable, 4, np.array([7]), np.random.default_rng(1), 1e-9)
    assert targets.tolist() == [[IGNORED, 7, IGNORED]]
