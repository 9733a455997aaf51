import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from genestill.core.errors import InputError
from genestill.teacher.architectures.nucleotide_transformer import NucleotideTransformerForMaskedLM
from genestill.teacher.loading import load_teacher, resolve_layer
from genestill.teacher.random_weights import randomise

pytestmark = pytest.mark.faults


@pytest.fixture
def copy(tmp_path, causal_folder):
    return shutil.copytree(causal_folder, tmp_path / "copy")


def edit(folder, **changes):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))


def test_each_architecture_is_loaded_with_its_kind_and_width(causal_folder, masked_folder, letters_folder):
    found = [load_teacher(folder) for folder in (causal_folder, masked_folder, letters_folder)]
    assert [teacher.kind for teacher in found] == ["causal", "masked", "masked"]
    assert [teacher.layers for teacher in found] == [3, 2, 2]
    assert [teacher.context for teacher in found] == [64, 48, 64]
    assert isinstance(found[1].model, NucleotideTransformerForMaskedLM)
    assert all(teacher.revision.startswith("sha256:") for teacher in found)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_of_the_hub_cache_is_identified_by_its_commit(causal_folder, tmp_path):
    snapshot = tmp_path / "models--someone--teacher" / "snapshots" / COMMIT
    shutil.copytree(causal_folder, snapshot)
    (snapshot / "teacher.json").unlink(missing_ok=True)
    assert load_teacher(snapshot).revision == COMMIT


def test_a_folder_downloaded_by_the_hub_client_is_identified_by_its_commit(causal_folder, tmp_path):
    from huggingface_hub._local_folder import write_download_metadata

    shutil.copytree(causal_folder, tmp_path / "teacher")
    (tmp_path / "teacher" / "teacher.json").unlink(missing_ok=True)
    write_download_metadata(tmp_path / "teacher", "config.json", commit_hash=COMMIT, etag="1")
    assert load_teacher(tmp_path / "teacher").revision == COMMIT


def test_gated_feed_forward_equals_that_of_the_published_model(masked_folder):
    layer = load_teacher(masked_folder).model.esm.encoder.layer[0]
    states = torch.randn(2, 5, 32)
    gate, value = (states @ layer.intermediate.dense.weight.T).split(128, dim=-1)
    expected = (torch.nn.functional.silu(gate) * value) @ layer.output.dense.weight.T + states
    assert torch.allclose(layer.output(layer.intermediate(states), states), expected, atol=1e-5)


def test_two_loads_give_identical_outputs(causal_folder):
    ids = torch.arange(5, 25)[None]
    outputs = [load_teacher(causal_folder).logits(ids, torch.ones_like(ids)) for _ in range(2)]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("layer", [0, 1, 2, "middle", -2, -1])
def test_omitted_layers_do_not_change_the_requested_layer(causal_folder, masked_folder, letters_folder, layer):
    for folder in (causal_folder, masked_folder, letters_folder):
        whole = load_teacher(folder)
        ids = torch.arange(5, 9)[None]
        states = whole.model.base_model(ids, output_hidden_states=True).hidden_states
        cut = load_teacher(folder, layer=layer)
        assert torch.allclose(cut.hidden(ids, torch.ones_like(ids)), states[resolve_layer(layer, whole.layers)])


@pytest.mark.parametrize("layer", [4, -5, "top", "1.5"])
def test_a_layer_missing_from_the_model_is_refused_with_a_clear_message(causal_folder, layer):
    with pytest.raises(InputError, match="layer"):
        load_teacher(causal_folder, layer=layer)


def test_a_folder_without_weights_is_refused(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights; expected model\.safetensors"):
        load_teacher(copy)


def test_pickled_weights_are_refused_by_name(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle"):
        load_teacher(copy)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_weights_are_refused(copy, share):
    file = copy / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_teacher(copy)


def test_a_missing_shard_of_weights_is_reported_by_name(copy):
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
    )
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    with pytest.raises(InputError, match="expected model-00002-of-00002"):
        load_teacher(copy)


def test_missing_tensors_are_refused_instead_of_initialised_at_random(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 tensors .* \(model\.layers\.1\.mlp\.up_proj\.weight\)"):
        load_teacher(copy)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            lambda tensor: tensor * float("nan"),
            r"up_proj\.weight has values that are not finite",
        ),
        (
            lambda tensor: (tensor * 100).to(torch.int8),
            r"up_proj\.weight has the type .*quantized",
        ),
    ],
)
def test_weights_that_are_not_finite_or_not_floating_point_are_refused_by_name(copy, value, sentence):
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] = value(tensors["model.layers.1.mlp.up_proj.weight"])
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=sentence):
        load_teacher(copy)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"intermediate_size": 77}, r"weights do not fit .* model\.layers\.0\.mlp\.\S+: \(.*\) in the file, .*77"),
        ({"architectures": ["MistralForSequenceClassification"]}, "expected a causal or masked language model"),
        ({"architectures": None}, "expected a causal or masked language model"),
        ({"model_type": "hyenadna", "auto_map": {"AutoConfig": "code.Config"}}, "never run"),
        ({"vocab_size": 200}, "weights do not fit"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "the model is quantized"),
    ],
)
def test_invalid_configurations_are_refused_with_a_clear_message(copy, changes, sentence):
    edit(copy, **changes)
    with pytest.raises(InputError, match=sentence):
        load_teacher(copy)


@pytest.mark.parametrize("layers", [1])
def test_fewer_layers_than_the_weights_have_are_refused(copy, layers):
    edit(copy, num_hidden_layers=layers)
    for layer in (0, -1):
        with pytest.raises(InputError, match=rf"are not part of .* \(model\.layers\.{layers}\.\S+, .* too few layers"):
            load_teacher(copy, layer=layer)


def test_an_adapter_beside_the_weights_is_refused_instead_of_applied(copy):
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="contains an adapter"):
        load_teacher(copy)


@pytest.mark.parametrize("changes", [{"num_attention_heads": 4}, {"num_hidden_layers": 1}])
def test_heads_or_layers_of_another_model_are_refused(masked_folder, tmp_path, changes):
    folder = shutil.copytree(masked_folder, tmp_path / "copy")
    edit(folder, **changes)
    for layer in (0, -1):
        with pytest.raises(InputError, match=r"do not fit .* layers times attention heads"):
            load_teacher(folder, layer=layer)


def test_code_beside_the_weights_is_never_run(copy):
    (copy / "evil.py").write_text("raise SystemExit('ran')\n")
    edit(copy, auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"})
    assert load_teacher(copy).kind == "causal"


def test_a_missing_folder_is_refused_with_a_clear_message(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_teacher(tmp_path / "nothing")


def test_a_random_teacher_has_the_same_architecture_and_tokenizer_but_different_weights(
    masked_folder, causal_folder, tmp_path
):
    for folder in (masked_folder, causal_folder):
        randomise(folder, tmp_path / folder.name, 1)
        given, made = load_teacher(folder), load_teacher(tmp_path / folder.name)
        assert type(made.model) is type(given.model)
        assert made.tokenizer.vocabulary == given.tokenizer.vocabulary
        assert made.context == given.context
        assert made.name == f"{given.name}.random"
        theirs, ours = given.model.state_dict(), made.model.state_dict()
        assert {name: weight.shape for name, weight in ours.items()} == {
            name: weight.shape for name, weight in theirs.items()
        }
        wide = [name for name, weight in ours.items() if weight.ndim > 1]
        assert wide
        assert all(ours[name].std() < 0.1 < theirs[name].std() for name in wide)
