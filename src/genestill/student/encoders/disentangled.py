"""Disentangled attention of DeBERTa (He et al. 2021, equation 4) without tables of indices.

The class of transformers multiplies every query and key with all relative positions and gathers one value per pair of
tokens. A score of content to position depends on the pair only through the distance ``i - j``; so the positions are
ordered by distance, and row i of the product with all distances contains its N scores side by side: they are a view
with other strides, and no value is gathered. On one core a training step takes about half the time. Weights,
configuration and results (up to rounding) are those of transformers.
"""

from functools import reduce

import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention, scaled_size_sqrt

_GATHERED = DisentangledSelfAttention.disentangled_attention_bias


def install() -> None:
    """Every DeBERTa of this process computes its scores of relative positions by `disentangled_attention_bias`."""
    DisentangledSelfAttention.disentangled_attention_bias = disentangled_attention_bias


def disentangled_attention_bias(
    self: DisentangledSelfAttention,
    query_layer: torch.Tensor,
    key_layer: torch.Tensor,
    relative_pos: torch.Tensor | None,
    rel_embeddings: torch.Tensor,
    scale_factor: int,
) -> torch.Tensor:
    """Scores of content to position plus position to content, [B * heads, N, N]; a method of the class of transformers.

    Args:
        self: one layer of attention.
        query_layer, key_layer: [B * heads, N, size of a head].
        relative_pos: int64 [1, N, N], a function of the distance ``i - j`` of its row and column.
        rel_embeddings: [2 * span, hidden size].
        scale_factor: number of the terms of attention; scores are divided by the square root of it times the size.

    An exported graph, and positions that differ between sequences, use the original method.
    """
    length = query_layer.shape[-2]
    common = relative_pos is not None and relative_pos.numel() == length**2 and key_layer.shape[-2] == length
    if relative_pos is None or not common or not self.pos_att_type or torch.compiler.is_compiling():
        return _GATHERED(self, query_layer, key_layer, relative_pos, rel_embeddings, scale_factor)
    span = self.pos_ebd_size
    positions = relative_pos.reshape(length, length).to(query_layer.device, torch.long)
    # Buckets of the distances N-1 ... 1-N of i - j: one row of a product is read from left to right, as j increases.
    buckets = torch.cat([positions[:, 0].flip(0), positions[0, 1:]])
    rel_embeddings = rel_embeddings[: 2 * span]
    scale = scaled_size_sqrt(query_layer, scale_factor).to(query_layer.dtype)
    key_of, query_of = ("key_proj", "query_proj") if self.share_att_key else ("pos_key_proj", "pos_query_proj")
    terms = []
    if "c2p" in self.pos_att_type:
        keys = getattr(self, key_of)(rel_embeddings)[(buckets + span).clamp(0, 2 * span - 1)]
        terms.append(_by_distance(query_layer, keys / scale, self.num_attention_heads))
    if "p2c" in self.pos_att_type:
        queries = getattr(self, query_of)(rel_embeddings)[(span - buckets).clamp(0, 2 * span - 1)]
        terms.append(_by_distance(key_layer, queries / scale, self.num_attention_heads).transpose(-1, -2))
    return reduce(torch.add, terms).reshape(-1, length, length)


def _by_distance(content: torch.Tensor, positions: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, heads, N, N]: row i, column j is content i times the position at distance ``j - i + N - 1``.

    ``content`` is [B * heads, N, size], ``positions`` [2 * N - 1, heads * size].
    """
    length, size = content.shape[-2:]
    by_head = content.view(-1, heads, length, size).transpose(0, 1).reshape(heads, -1, size)
    products = torch.bmm(by_head, positions.view(-1, heads, size).permute(1, 2, 0)).view(
        heads, -1, length, 2 * length - 1
    )
    strides = (*products.stride()[:2], 2 * length - 2, 1)
    return products.as_strided((*products.shape[:3], length), strides, length - 1).transpose(0, 1)
