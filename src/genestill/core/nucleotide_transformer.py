"""The Nucleotide Transformer v2, implemented here so that its weights can be loaded without downloaded code.

It is the ESM encoder of ``transformers`` except for the feed-forward block, which is gated and has no bias
(Dalla-Torre et al. 2025, Nature Methods 22:287, "v2" models): output(silu(a) * b), where a and b are the two halves of
a projection to twice the intermediate size. The `EsmForMaskedLM` of transformers has no parameters for these weights.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn
from transformers import EsmForMaskedLM

# The first projection of the feed-forward block in a checkpoint; its number of rows distinguishes v2 from ESM.
PROJECTION = "esm.encoder.layer.0.intermediate.dense.weight"


class GatedIntermediate(nn.Module):
    """silu(a) * b of hidden states, float [..., hidden]; returns float [..., intermediate]."""

    def __init__(self, config):
        super().__init__()
        bias = getattr(config, "add_bias_fnn", False)
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Project to both halves and multiply them."""
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


class NucleotideTransformerForMaskedLM(EsmForMaskedLM):
    """`EsmForMaskedLM` with the gated feed-forward block; parameter names are those of the published checkpoints."""

    def __init__(self, config):
        super().__init__(config)
        bias = getattr(config, "add_bias_fnn", False)
        for layer in self.esm.encoder.layer:
            layer.intermediate = GatedIntermediate(config)
            layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)
        self.post_init()


def class_of(config, files: list[Path]) -> type | None:
    """The class above for an ESM with a gated feed-forward block, from its safetensors files; None for other models."""
    if config.model_type == "esm":
        for file in files:
            with safe_open(file, framework="numpy") as tensors:
                if PROJECTION in tensors.keys():  # noqa: SIM118 - a safetensors handle is not a dict
                    height = tensors.get_slice(PROJECTION).get_shape()[0]
                    if height == 2 * config.intermediate_size:
                        return NucleotideTransformerForMaskedLM
    return None
