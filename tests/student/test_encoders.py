"""The encoder students: padding, tracks, reverse complement, poolings, tokens, sizes, folders."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from genestill.core.bpe import train_bpe
from genestill.core.errors import InputError
from genestill.core.models import save_tokenizer
from genestill.core.pooling import POOLINGS, pool
from genestill.core.sequences import reverse_complement
from genestill.core.windows import CombinedWindows
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.encoders.attention import allowed_within, attend_within
from genestill.student.encoders.heads import combine_windows, with_classifier, with_language_head
from genestill.student.encoders.sizing import PRESETS, count_parameters, size_for_budget
from genestill.student.encoders.tokenization import build_tokenizer, encode_batch

BACKBONES = ("delta_hybrid", "transformer")
BYTE_PAIRS = train_bpe(["".join(np.random.default_rng(5).choice(list("ACGT"), 400))], 64)


def build(backbone, **settings):
    torch.manual_seed(0)
    settings = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "attention_window": 16} | settings
    return EncoderModel(EncoderConfig(backbone=backbone, **settings)).eval()


def encode(*sequences, cls=False):
    return tuple(torch.from_numpy(x) for x in encode_batch(sequences, cls=cls))


def draw_sequence(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("window", [0, 16])
def test_a_sequence_has_the_same_representation_alone_and_in_a_batch_with_longer_ones(backbone, window):
    model = build(backbone, attention_window=window)
    short, long = draw_sequence(45), draw_sequence(120, 1)
    with torch.inference_mode():
        together = model(*encode(long, short)).last_hidden_state
        alone = model(*encode(short)).last_hidden_state
    torch.testing.assert_close(together[1, :45], alone[0], rtol=1e-4, atol=1e-5)
    assert together[1, 45:].abs().max() == 0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_base_and_track_affects_every_representation(backbone):
    model = build(backbone, attention_window=0, tracks=2)
    input_ids, mask = encode(draw_sequence(50))
    tracks = torch.zeros(1, 50, 2)
    with torch.inference_mode():
        base = model(input_ids, mask, tracks).last_hidden_state
        assert torch.equal(base, model(input_ids, mask).last_hidden_state)
        for position in (0, 49):
            changed = input_ids.clone()
            changed[0, position] = (changed[0, position] + 1) % 4
            assert ((model(changed, mask, tracks).last_hidden_state - base).abs().amax(-1) > 0).all()
        tracks[0, 30, 1] = 1
        assert ((model(input_ids, mask, tracks).last_hidden_state - base).abs().amax(-1) > 0).all()
    with pytest.raises(InputError, match="1 tracks were given; this student has 2"):
        model(input_ids, mask, tracks[..., :1])


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("cls", [False, True])
def test_reverse_complement_reverses_token_embeddings_and_keeps_pooled_embeddings(backbone, cls):
    model = build(backbone, reverse_complement=True, tracks=1)
    sequences = [draw_sequence(70), draw_sequence(33, 1)]
    input_ids, mask = encode(*sequences, cls=cls)
    other_ids, _ = encode(*map(reverse_complement, sequences), cls=cls)
    first = int(cls)
    tracks = torch.zeros(*input_ids.shape, 1)
    tracks[:, first + 3] = 1
    other_tracks = torch.zeros_like(tracks)
    for row, length in enumerate((70, 33)):
        other_tracks[row, first + length - 4] = 1
    with torch.inference_mode():
        one = model(input_ids, mask, tracks).last_hidden_state
        other = model(other_ids, mask, other_tracks).last_hidden_state
    for row, length in enumerate((70, 33)):
        real = slice(first, first + length)
        torch.testing.assert_close(one[row, real], other[row, real].flip(0), rtol=1e-4, atol=1e-5)
    for how in ("mean", "max", *(["cls", "concatenated"] if cls else [])):
        torch.testing.assert_close(pool(one, mask, how), pool(other, mask, how), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("length", [5, 8, 9, 40])
def test_windowed_attention_equals_full_attention_with_a_band_mask(length, learning):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, length, 4, dtype=torch.float64, requires_grad=learning).unbind(0)
    mask = torch.arange(length)[None] < torch.tensor([[length], [length - 3]])
    position = torch.arange(length)
    band = (position[:, None] - position).abs() <= 8
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=band & mask[:, None, None, :]
    )
    allowed = allowed_within(mask, length, 8, mask.device).repeat_interleave(2, 0)
    found = attend_within(query, key, value, allowed, 8)
    for row, real in enumerate((length, length - 3)):
        torch.testing.assert_close(found[row, :, :real], expected[row, :, :real])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_parameter_gets_a_gradient_even_with_padding_longer_than_the_window(backbone):
    model = build(backbone, tracks=1).train()
    input_ids, mask = encode(draw_sequence(100), "ACGT")
    model.embed(input_ids, mask, torch.ones(2, 100, 1)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient_checkpointing_does_not_change_the_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = build("delta_hybrid").train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.embed(*encode(draw_sequence(60))).square().sum().backward()
        gradients.append(model.token_embedding.weight.grad)
    torch.testing.assert_close(*gradients)


@settings(max_examples=50, deadline=None)
@given(
    sequences=st.lists(st.text("ACGTUNRYSWKMBDHVacgtunryswkmbdhv", min_size=1, max_size=40), min_size=1, max_size=5),
    cls=st.booleans(),
)
def test_the_fast_path_gives_the_token_ids_of_the_saved_tokenizer(sequences, cls):
    expected = build_tokenizer(cls)(sequences, padding=True, return_tensors="np")
    input_ids, mask = encode_batch(sequences, cls=cls)
    np.testing.assert_array_equal(input_ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"])


def test_tokens_are_as_documented():
    assert build_tokenizer()("ACGTUNacgtunRX-")["input_ids"] == [0, 1, 2, 3, 3, 4, 0, 1, 2, 3, 3, 4, 4, 9, 9]
    assert build_tokenizer(cls=True)("AC")["input_ids"] == [7, 0, 1]
    assert build_tokenizer()("A[MASK]C")["input_ids"] == [0, 6, 1]
    input_ids, mask = encode_batch(["ACG", "A"], cls=True, multiple_of=8)
    assert input_ids.tolist() == [[7, 0, 1, 2, 5, 5, 5, 5], [7, 0, 5, 5, 5, 5, 5, 5]]
    assert mask.sum(1).tolist() == [4, 2]
    assert encode_batch([])[0].shape == (0, 0)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("budget", [20_000, 300_000, 1_100_000, 2_500_000])
def test_the_size_of_a_student_is_within_three_per_cent_of_its_budget(backbone, budget):
    config = size_for_budget(backbone, budget, tracks=2)
    parameters = sum(parameter.numel() for parameter in EncoderModel(config).parameters())
    assert parameters == count_parameters(config)
    assert abs(parameters - budget) <= 0.03 * budget
    assert 16 <= config.hidden_size // config.num_attention_heads <= 64


def test_an_expansion_widens_the_embedding_within_the_same_budget():
    config = size_for_budget("transformer", 40_000, expansion=96)
    model = EncoderModel(config).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(config)
    assert abs(count_parameters(config) - 40_000) <= 1_200
    input_ids, mask = encode(draw_sequence(20), draw_sequence(9, 1))
    with torch.inference_mode():
        embedding = model.embed(input_ids, mask)
        expanded = model.expansion(model(input_ids, mask).last_hidden_state[1, :9])
    assert embedding.shape == (2, 96) == (2, config.embedding_size)
    torch.testing.assert_close(embedding[1], (expanded * expanded.sigmoid()).mean(0))


def test_the_had_preset_has_the_published_size():
    assert round(count_parameters(EncoderConfig(**PRESETS["had"])) / 1e6, 1) == 1.1


def test_invalid_settings_are_refused_with_a_clear_message():
    with pytest.raises(InputError, match="no student of 100 parameters"):
        size_for_budget("transformer", 100)
    with pytest.raises(InputError, match="backbone is 'mamba'"):
        EncoderConfig(backbone="mamba")
    with pytest.raises(InputError, match="pooling is 'sum'"):
        EncoderConfig(pooling="sum")
    with pytest.raises(InputError, match="hidden_size 30 over 4 heads"):
        EncoderConfig(hidden_size=30)


@pytest.mark.parametrize(
    "backbone", [BACKBONES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES[1:])]
)
def test_a_saved_folder_gives_equal_embeddings_in_a_new_process_without_network(backbone, tmp_path):
    model = build(backbone, tracks=1, reverse_complement=True, pooling="max", teacher={"name": "a", "revision": "b"})
    model.save_pretrained(tmp_path / "student")
    build_tokenizer(max_length=model.config.max_length).save_pretrained(tmp_path / "student")
    sequences = [draw_sequence(60), draw_sequence(31, 1)]
    input_ids, mask = encode(*sequences)
    with torch.inference_mode():
        expected = model.embed(input_ids, mask)
    program = (
        "import json, sys, torch\n"
        "import genestill.student.encoders\n"
        "from transformers import AutoModel, AutoTokenizer\n"
        "model = AutoModel.from_pretrained(sys.argv[1]).eval()\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "batch = tokenizer(json.loads(sys.argv[2]), padding=True, return_tensors='pt')\n"
        "with torch.inference_mode():\n"
        "    print(json.dumps([model.embed(**batch).tolist(), model.config.teacher]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "student"), json.dumps(sequences)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    embeddings, teacher = json.loads(done.stdout)
    torch.testing.assert_close(torch.tensor(embeddings), expected, rtol=1e-5, atol=1e-6)
    assert teacher == {"name": "a", "revision": "b"}
    assert sorted(path.suffix for path in (tmp_path / "student").iterdir()) == [
        ".json",
        ".json",
        ".json",
        ".safetensors",
    ]


def test_auto_classes_load_a_saved_folder_like_our_classes(tmp_path):
    model = build("delta_hybrid")
    with_language_head(model).save_pretrained(tmp_path)
    save_tokenizer(build_tokenizer(), tmp_path)
    alone = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(alone, EncoderModel)
    inputs = encode(draw_sequence(20))
    with torch.inference_mode():
        assert torch.equal(alone(*inputs).last_hidden_state, model(*inputs).last_hidden_state)
        logits = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()(*inputs, labels=inputs[0])
    assert logits.logits.shape == (1, 20, model.config.vocab_size)
    assert logits.loss > 0
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3).eval()
    assert classifier(*inputs).logits.shape == (1, 3)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token_id == model.config.pad_token_id


@pytest.mark.parametrize("reverse_complement", [False, True])
def test_hidden_states_and_tuples_are_returned_as_by_transformers_models(reverse_complement):
    model = build("delta_hybrid", reverse_complement=reverse_complement)
    inputs = encode(draw_sequence(20), draw_sequence(9))
    with torch.inference_mode():
        found = model(*inputs, output_hidden_states=True)
        assert [state.shape for state in found.hidden_states] == [(2, 20, 32)] * 4
        assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
        assert torch.equal(found.last_hidden_state, model(*inputs).last_hidden_state)
        assert model(*inputs).hidden_states is None
        (alone,) = model(*inputs, return_dict=False)
        assert torch.equal(alone, found.last_hidden_state)


@given(st.text("ACGTN", min_size=1, max_size=60))
def test_decoding_an_encoded_sequence_gives_the_sequence(sequence):
    for tokenizer in (build_tokenizer(), BYTE_PAIRS):
        assert tokenizer.decode(tokenizer(sequence)["input_ids"], skip_special_tokens=True) == sequence


@pytest.mark.parametrize("pooling", POOLINGS)
def test_combining_windows_in_torch_equals_numpy(pooling):
    generator = np.random.default_rng(3)
    vectors, rows = generator.normal(size=(6, 9)).astype(np.float32), np.array([0, 2, 1, 0, 1, 1])
    weights = generator.integers(1, 50, 6)
    combined = CombinedWindows(3, 9, pooling)
    combined.add(rows, vectors, weights)
    found = combine_windows(torch.from_numpy(vectors), torch.from_numpy(rows), torch.from_numpy(weights), pooling)
    np.testing.assert_allclose(found.numpy(), combined.vectors(), rtol=1e-4, atol=1e-6)


def test_a_classifier_is_loaded_as_it_was_saved(tmp_path):
    student = build("transformer")
    model = with_classifier(student, ["enhancer", "promoter"], "concatenated").eval()
    assert model.base_model is student
    model.save_pretrained(tmp_path)
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert opened.config.id2label == {0: "enhancer", 1: "promoter"}
    inputs = encode(draw_sequence(30), draw_sequence(12))
    with torch.inference_mode():
        torch.testing.assert_close(opened(*inputs).logits, model(*inputs).logits)
        whole = model(*inputs, windows=torch.tensor([[0, 30], [1, 12]])).logits
    torch.testing.assert_close(whole, model(*inputs).logits)
