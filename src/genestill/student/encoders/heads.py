"""Encoders, DeBERTa and RoFormer students with a head: masked language models, and classifiers of sequences.

The pooling of a classifier is stored in config.json, so that the folder is sufficient to use it.
"""

import copy

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForMaskedLM,
    DebertaV2Config,
    DebertaV2Model,
    PretrainedConfig,
    PreTrainedModel,
    RoFormerConfig,
    RoFormerModel,
)
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2PreTrainedModel
from transformers.models.roformer.modeling_roformer import RoFormerPreTrainedModel

from genestill.core.pooling import pool, pooled_size
from genestill.core.windows import maximal_part
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.model import EncoderModel, EncoderPreTrainedModel, given


class LanguageHead(nn.Module):
    """From token features [..., H] to logits over the vocabulary [..., V]: dense, GELU, norm, decoder."""

    def __init__(self, hidden_size: int, vocabulary_size: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.GELU(),
            nn.LayerNorm(hidden_size),
            nn.Linear(hidden_size, vocabulary_size),
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of every position of ``hidden``."""
        return self.layers(hidden)


class EncoderForMaskedLM(EncoderPreTrainedModel):
    """An encoder and its language head."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.encoder = EncoderModel(config)
        self.language_head = LanguageHead(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **options,
    ) -> MaskedLMOutput | tuple:
        """Logits [B, L, V]; ``labels`` int64 [B, L] are -100 at positions that are not predicted."""
        found = self.encoder(input_ids, attention_mask, **options)
        logits = self.language_head(found.last_hidden_state)
        loss = functional.cross_entropy(logits.mT, labels) if labels is not None else None
        return given(MaskedLMOutput(loss=loss, logits=logits, hidden_states=found.hidden_states), return_dict, self)


@strict(accept_kwargs=True)
class DebertaClassifierConfig(DebertaV2Config):
    """A DeBERTa whose classifier uses ``pooling``; that of transformers uses only the first token."""

    model_type = "genestill-deberta-classifier"
    pooling: str = "mean"


@strict(accept_kwargs=True)
class RoFormerClassifierConfig(RoFormerConfig):
    """A RoFormer whose classifier uses ``pooling``."""

    model_type = "genestill-roformer-classifier"
    pooling: str = "mean"


class _Classifier(PreTrainedModel):
    """Code of all classifiers: the forward pass with a base model and a head."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        windows: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **options,
    ) -> SequenceClassifierOutput | tuple:
        """Logits of sequences.

        Args:
            input_ids: int64 [W, L], padded on the right; a row is a sequence, or a window of a sequence.
            attention_mask: [W, L].
            windows: int64 [W, 2], for each window its sequence (from 0) and its number of bases, the weight of the
                window in the mean; None if each row is a sequence.
            labels: int64 [sequences].

        Returns:
            ``logits`` float [sequences, classes], and ``loss`` (cross-entropy) with labels.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        found = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **options)
        pooling = self.base_model.pool if isinstance(self.base_model, EncoderModel) else pool
        pooled = pooling(found.last_hidden_state, mask, self.config.pooling)
        if windows is not None:
            count = None if labels is None else len(labels)
            pooled = combine_windows(pooled, windows[:, 0], windows[:, 1], self.config.pooling, count)
        logits = self.head(pooled)
        loss = functional.cross_entropy(logits.float(), labels) if labels is not None else None
        hidden = getattr(found, "hidden_states", None)
        return given(SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden), return_dict, self)


class EncoderForSequenceClassification(_Classifier, EncoderPreTrainedModel):
    """An encoder, its pooling and a linear head."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.encoder, self.head = EncoderModel(config), classification_head(config)
        self.post_init()


class DebertaOfClassifier(DebertaV2Model):
    """A fine-tuned DeBERTa without its head, for `AutoModel`."""

    config_class = DebertaClassifierConfig


class DebertaForSequenceClassification(_Classifier, DebertaV2PreTrainedModel):
    """A DeBERTa, a pooling and a linear head."""

    config_class = DebertaClassifierConfig

    def __init__(self, config: DebertaClassifierConfig):
        super().__init__(config)
        self.deberta, self.head = DebertaV2Model(config), classification_head(config)
        self.post_init()


class RoFormerOfClassifier(RoFormerModel):
    """A fine-tuned RoFormer without its head, for `AutoModel`."""

    config_class = RoFormerClassifierConfig


class RoFormerForSequenceClassification(_Classifier, RoFormerPreTrainedModel):
    """A RoFormer, a pooling and a linear head."""

    config_class = RoFormerClassifierConfig

    def __init__(self, config: RoFormerClassifierConfig):
        super().__init__(config)
        self.roformer, self.head = RoFormerModel(config), classification_head(config)
        self.post_init()


class TeacherForSequenceClassification(_Classifier):
    """A teacher of any architecture, a pooling and a linear head, for fine-tuning as a comparison; it is not saved."""

    base_model_prefix = "body"
    # Determined by the body, because the head has no attention.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: PretrainedConfig, body: PreTrainedModel):
        super().__init__(config)
        self.body, self.head = body, classification_head(config)


def classification_head(config) -> nn.Module:
    """Norm and linear map from a pooled vector to the classes of ``config``."""
    width = pooled_size(getattr(config, "expansion", 0) or config.hidden_size, config.pooling)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.num_labels))


def with_classifier(student: PreTrainedModel, classes: list[str], pooling: str) -> PreTrainedModel:
    """A classifier with ``student`` or the body of a teacher (the same object, not a copy) and a new head."""
    names = {"id2label": dict(enumerate(classes)), "label2id": {name: code for code, name in enumerate(classes)}}
    if not isinstance(student, EncoderModel | DebertaV2Model | RoFormerModel):
        config = copy.deepcopy(student.config)
        for key, value in (names | {"pooling": pooling, "use_cache": False}).items():
            setattr(config, key, value)
        return TeacherForSequenceClassification(config, student)
    settings = student.config.to_dict() | names | {"pooling": pooling}
    for key in ("model_type", "architectures", "num_labels"):
        settings.pop(key, None)
    if isinstance(student, EncoderModel):
        model = EncoderForSequenceClassification(EncoderConfig(**settings))
    elif isinstance(student, RoFormerModel):
        model = RoFormerForSequenceClassification(RoFormerClassifierConfig(**settings))
    else:
        model = DebertaForSequenceClassification(DebertaClassifierConfig(**settings))
    setattr(model, model.base_model_prefix, student)
    return model


def with_language_head(student: PreTrainedModel) -> PreTrainedModel:
    """A masked language model with ``student`` (the same object, not a copy) and a new head."""
    model = AutoModelForMaskedLM.from_config(student.config)
    setattr(model, model.base_model_prefix, student)
    model.tie_weights()
    return model


def combine_windows(
    vectors: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor, pooling: str, count: int | None = None
) -> torch.Tensor:
    """One vector per sequence from those of its windows, combined as in `windows.CombinedWindows`.

    Args:
        vectors: float [W, width], pooled windows.
        rows: int64 [W], the sequence of each window, from 0; every sequence has a window.
        weights: [W], number of bases of each window.
        pooling: pooling of the windows; with the maximum, the maximum over windows is used.
        count: number of sequences; without it, a GPU must be synchronised.

    Returns:
        float [sequences, width].
    """
    count = int(rows.max()) + 1 if count is None else count
    weights = weights.to(vectors.dtype)
    total = torch.zeros(count, device=vectors.device, dtype=vectors.dtype).index_add(0, rows, weights)
    shares = (weights / total[rows])[:, None]
    mean = torch.zeros(count, vectors.shape[1], device=vectors.device, dtype=vectors.dtype)
    mean = mean.index_add(0, rows, vectors * shares)
    width = vectors.shape[1]
    maximal = maximal_part(width, pooling)
    if maximal.stop == 0:
        return mean
    part = vectors[:, maximal]
    index = rows[:, None].expand_as(part)
    highest = torch.zeros_like(mean[:, maximal]).scatter_reduce(0, index, part, "amax", include_self=False)
    return torch.cat([mean[:, : maximal.start], highest, mean[:, maximal.stop :]], dim=1)
