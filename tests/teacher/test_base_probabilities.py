import numpy as np
import pytest
import torch

from genestill.core.errors import InputError
from genestill.teacher.base_probabilities import base_log_probabilities
from genestill.teacher.loading import load_teacher
from genestill.teacher.windows import cut_windows

SEQUENCE = "ACGTTGCATGNACCGTANNGGCATCAGGA"


def found(teacher, sequences, passes):
    windows = cut_windows(sequences, teacher.tokenizer, 30, teacher.context)
    return base_log_probabilities(teacher, sequences, windows, 100, passes)


@pytest.mark.parametrize("passes", [0, 7])
@pytest.mark.parametrize("folder", ["masked_folder", "letters_folder"])
def test_probabilities_of_the_four_bases_sum_to_one_at_every_base(request, folder, passes):
    sequences = [SEQUENCE, "AC", "N" * 8, "ACGT" * 20]
    for array, sequence in zip(found(load_teacher(request.getfixturevalue(folder)), sequences, passes), sequences,
                               strict=True):  # fmt: skip
        assert array.shape == (len(sequence), 4)
        np.testing.assert_allclose(np.exp(array).sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("passes", [0, 3])
def test_k_mers_are_marginalised_as_by_brute_force(masked_folder, passes):
    teacher = load_teacher(masked_folder)
    tokenizer = teacher.tokenizer
    tokens = tokenizer.encode([SEQUENCE])[0]
    expected = np.full((len(SEQUENCE), 4), np.nan)
    for place, (start, stop) in enumerate(zip(tokens.start, tokens.stop, strict=True)):
        ids = torch.from_numpy(tokenizer.wrap(tokens.ids))[None]
        if passes:
            masked = [place % passes + passes * turn for turn in range(len(tokens))]
            ids[0, [1 + other for other in masked if other < len(tokens)]] = tokenizer.mask
        logits = teacher.logits(ids, torch.ones_like(ids))[0, 1 + place].double().numpy()
        weights = np.zeros((stop - start, 4))
        for index, word in enumerate(tokenizer.vocabulary):
            if len(word) == stop - start and set(word) <= set("ACGT"):
                for letter, base in enumerate(word):
                    weights[letter, "ACGT".index(base)] += np.exp(logits[index])
        expected[start:stop] = np.log(weights / weights.sum(1, keepdims=True))
    np.testing.assert_allclose(found(teacher, [SEQUENCE], passes)[0], expected, atol=1e-4)


def test_the_probability_of_a_masked_base_does_not_depend_on_itself(letters_folder):
    teacher = load_teacher(letters_folder)
    one, other = (found(teacher, [text], 40)[0] for text in ("ACGTACGTAC", "ACGTTCGTAC"))
    np.testing.assert_allclose(one[4], other[4], atol=1e-5)
    assert np.abs(one[5] - other[5]).max() > 1e-3


def test_a_causal_model_predicts_each_base_from_those_before_it(letters_folder, tmp_path):
    import json
    import shutil

    from transformers import MistralConfig, MistralForCausalLM

    folder = shutil.copytree(letters_folder, tmp_path / "causal")
    MistralForCausalLM(
        MistralConfig(vocab_size=10, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                      num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5)
    ).save_pretrained(folder)  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["model_type"] == "mistral"
    teacher = load_teacher(folder)
    array = found(teacher, ["ACGTA"], 7)[0]
    ids = torch.tensor([[1, 5, 6, 7, 8, 5, 2]])
    logits = teacher.logits(ids, torch.ones_like(ids))[0, :5, 5:9]
    np.testing.assert_allclose(array, torch.log_softmax(logits, -1).numpy(), atol=1e-4)


def test_byte_pair_models_are_refused_with_a_clear_message(causal_folder):
    with pytest.raises(InputError, match="byte-pair encoding"):
        found(load_teacher(causal_folder), [SEQUENCE], 7)
