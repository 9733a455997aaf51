"""Attention of DeBERTa by strides equals that of transformers by gathering."""

import copy

import pytest
import torch
from transformers import DebertaV2Config, DebertaV2Model
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

from genestill.student.encoders import disentangled

SHAPE = {
    "vocab_size": 30,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "max_position_embeddings": 64,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "initializer_range": 0.5,
}


def states_and_gradients(model, ids, mask):
    model = copy.deepcopy(model)
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    states.pow(3).sum().backward()
    return states.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("length", [1, 2, 5, 40])
@pytest.mark.parametrize(
    "other",
    [{}, {"share_att_key": False}, {"pos_att_type": ["c2p"]}, {"pos_att_type": ["p2c"]}, {"position_buckets": -1}],
    ids=str,
)
def test_states_and_gradients_equal_those_of_transformers(length, other, monkeypatch):
    torch.manual_seed(length)
    model = DebertaV2Model(DebertaV2Config(**(SHAPE | other))).double()
    ids = torch.randint(0, 30, (3, length))
    mask = torch.ones_like(ids)
    mask[0, (length + 1) // 2 :] = 0
    ours, our_gradients = states_and_gradients(model, ids, mask)
    with monkeypatch.context() as gathered:
        gathered.setattr(DisentangledSelfAttention, "disentangled_attention_bias", disentangled._GATHERED)
        theirs, their_gradients = states_and_gradients(model, ids, mask)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert their_gradients.keys() == our_gradients.keys()
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-8, atol=1e-8)


def test_no_index_is_gathered():
    model = DebertaV2Model(DebertaV2Config(**SHAPE))
    with torch.profiler.profile() as profile:
        model(input_ids=torch.zeros(2, 10, dtype=torch.long)).last_hidden_state.sum().backward()
    assert not {event.name for event in profile.events()} & {"aten::gather", "aten::scatter_add_"}
