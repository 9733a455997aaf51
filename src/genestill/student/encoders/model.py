"""The encoder student."""

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from genestill.core.errors import InputError
from genestill.core.pooling import pool, region_lengths
from genestill.student.encoders.attention import Positions, SelfAttention
from genestill.student.encoders.configuration import EncoderConfig, attention_layers
from genestill.student.encoders.gated_delta_net import BidirectionalGatedDeltaNet
from genestill.student.encoders.tokenization import COMPLEMENT


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202)."""

    def __init__(self, hidden_size: int, intermediate_size: int):
        super().__init__()
        self.gate_up = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map [B, L, H] to [B, L, H]."""
        gate, up = self.gate_up(hidden).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class EncoderLayer(GradientCheckpointingLayer):
    """Pre-norm residual layer: a mixer over positions, then a gated MLP."""

    def __init__(self, config: EncoderConfig, mixer: nn.Module):
        super().__init__()
        self.mixer_norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.mixer = mixer
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: torch.Tensor, seen: torch.Tensor | Positions | None) -> torch.Tensor:
        """Map [B, L, H] to [B, L, H].

        ``seen`` is the argument of the mixer: `Positions` for attention; else bool [B, L], or None without padding.
        """
        hidden = hidden + self.mixer(self.mixer_norm(hidden), seen)
        return hidden + self.mlp(self.mlp_norm(hidden))


def build_mixers(config: EncoderConfig) -> list[nn.Module]:
    """One mixer per layer: the delta rule, except for the layers with attention, which are the last ones."""
    attentive = attention_layers(config)
    delta: list[nn.Module] = [
        BidirectionalGatedDeltaNet(
            config.hidden_size, config.num_attention_heads, config.convolution_width, config.norm_eps
        )
        for _ in range(config.num_hidden_layers - attentive)
    ]
    attention = [
        SelfAttention(config.hidden_size, config.num_attention_heads, config.attention_window or 0)
        for _ in range(attentive)
    ]
    return delta + attention


class EncoderPreTrainedModel(PreTrainedModel):
    """Base class of the encoder and its models with heads."""

    config_class = EncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ("EncoderLayer",)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, BidirectionalGatedDeltaNet):
            module.reset_gates()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding, [vocabulary, H]."""
        return self.base_model.token_embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.base_model.token_embedding = value


def given(output: ModelOutput, return_dict: bool | None, model: PreTrainedModel):
    """``output``, or the tuple of it, depending on ``return_dict`` or the model's configuration."""
    wanted = model.config.return_dict if return_dict is None else return_dict
    return output if wanted else output.to_tuple()


class EncoderModel(EncoderPreTrainedModel):
    """Single-nucleotide encoder; see `EncoderConfig` for its parts."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.track_embedding = nn.Linear(config.tracks, config.hidden_size, bias=False) if config.tracks else None
        self.stem = None
        if config.backbone == "transformer":
            width = config.convolution_width
            self.stem = nn.Conv1d(
                config.hidden_size, config.hidden_size, width, padding=width // 2, groups=config.hidden_size, bias=False
            )
        self.layers = nn.ModuleList(EncoderLayer(config, mixer) for mixer in build_mixers(config))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.expansion = nn.Linear(config.hidden_size, config.expansion) if config.expansion else None
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        tracks: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_,
    ) -> BaseModelOutput | tuple:
        """Token representations.

        Args:
            input_ids: int64 [B, L], padded on the right.
            attention_mask: [B, L], 1 at real tokens and 0 at padding; without it every token is real, and attention
                uses faster kernels of torch without a mask.
            tracks: float [B, L, T] if the student has tracks; without it all tracks are 0.
            output_hidden_states: whether to return the residual stream as well.
            return_dict: False for a tuple.

        Returns:
            ``last_hidden_state`` [B, L, H], zeros at padding; ``hidden_states``, if requested, the residual stream
            before the first layer and after each layer, [B, L, H], the last one normalised (``last_hidden_state``).

        Raises:
            InputError: another number of tracks than in the configuration.
        """
        mask = None if attention_mask is None else attention_mask.bool()
        if tracks is not None and tracks.shape[-1] != self.config.tracks:
            raise InputError(f"encoder: {tracks.shape[-1]} tracks were given; this student has {self.config.tracks}")
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states = self._encode(input_ids, mask, tracks, wanted)
        if self.config.reverse_complement:
            order = self._reversed_positions(input_ids, mask)
            complement = torch.tensor(COMPLEMENT, device=input_ids.device)
            other = complement[input_ids.gather(1, order)]
            if tracks is not None:
                tracks = tracks.gather(1, order.unsqueeze(-1).expand_as(tracks))
            others = self._encode(other, mask, tracks, wanted)
            states = [
                (one + two.gather(1, order.unsqueeze(-1).expand_as(two))) / 2
                for one, two in zip(states, others, strict=True)
            ]
        output = BaseModelOutput(last_hidden_state=states[-1], hidden_states=tuple(states) if wanted else None)
        return given(output, return_dict, self)

    def embed(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        tracks: torch.Tensor | None = None,
        pooling: str | None = None,
        regions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embeddings [B, E], where E is ``embedding_size`` of the configuration.

        Args:
            input_ids, attention_mask, tracks: see `forward`.
            pooling: pooling instead of that of the configuration.
            regions: integer [B, L], the region of every base (see `pooling.pool`), for a student that pools by region
                or has lengths.

        Raises:
            InputError: missing regions.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return self.embedding(self(input_ids, attention_mask, tracks).last_hidden_state, mask, pooling, regions)

    def embedding(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        pooling: str | None = None,
        regions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embeddings [B, E] from token representations [B, L, H] and a mask [B, L]; see `embed`."""
        pooled = self.pool(hidden, mask, pooling, regions)
        if not self.config.lengths:
            return pooled
        if regions is None:
            raise InputError(
                "encoder: the embedding of this student contains lengths of regions; give the region of every base"
            )
        return torch.cat([pooled, region_lengths(mask, regions).to(pooled.dtype)], dim=1)

    def pool(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        pooling: str | None = None,
        regions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pooled vectors, without lengths, from token representations [B, L, H] and a mask [B, L]; see `embed`."""
        if self.expansion is not None:
            hidden = functional.silu(self.expansion(hidden))
        return pool(hidden, mask, pooling or self.config.pooling, regions=regions)

    def _encode(self, input_ids, mask, tracks, all_layers: bool) -> list[torch.Tensor]:
        """The normalised end of the residual stream, zero at padding; if requested, preceded by that of each layer."""
        hidden = self.token_embedding(input_ids)
        if tracks is not None and self.track_embedding is not None:
            hidden = hidden + self.track_embedding(tracks.to(hidden.dtype))
        if self.stem is not None:
            real = hidden if mask is None else hidden * mask.unsqueeze(-1).to(hidden.dtype)
            hidden = hidden + self.stem(real.mT).mT
        attentive = (layer.mixer for layer in self.layers if isinstance(layer.mixer, SelfAttention))
        first = next(attentive, None)
        positions = None if first is None else first.positions(hidden, mask)
        states = []
        for layer in self.layers:
            if all_layers:
                states.append(hidden)
            hidden = layer(hidden, positions if isinstance(layer.mixer, SelfAttention) else mask)
        last = self.norm(hidden)
        return [*states, last if mask is None else last * mask.unsqueeze(-1).to(hidden.dtype)]

    def _reversed_positions(self, input_ids, mask) -> torch.Tensor:
        """int64 [B, L]: real bases in reversed order; a leading [CLS] and the padding keep their positions."""
        mask = torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask
        position = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        first = (input_ids[:, :1] == self.config.cls_token_id).long()
        mirrored = first + mask.sum(1, keepdim=True) - 1 - position
        return torch.where(mask & (position >= first), mirrored, position)
