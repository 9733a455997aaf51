"""Masked language modelling: the method of seqLens, and the control without a teacher in the recipe had."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from genestill.core.masking import IGNORED, mask_tokens
from genestill.core.sequences import encode_bases
from genestill.core.training.batches import Batch
from genestill.core.training.losses import mean_cross_entropy
from genestill.student.dna.masking import cut_groups, mask_groups
from genestill.student.encoders.adapters import collate, without_full_mask
from genestill.student.encoders.heads import EncoderForMaskedLM


class MaskedLanguageModel(nn.Module):
    """A student with its language head; the loss is the cross-entropy of the chosen tokens."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    @property
    def student(self) -> PreTrainedModel:
        """The student without the head."""
        return self.model.base_model

    def forward(
        self,
        input_ids: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss in nats (0 without tokens) of the tokens ``targets``, int64 [asked], at ``places``, int64 [asked].

        Places are indices into the flattened ``input_ids``, int64 [B, L].
        """
        hidden = self.student(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        head = self.model.language_head if isinstance(self.model, EncoderForMaskedLM) else self.model.cls
        return mean_cross_entropy(head(hidden.flatten(0, 1)[places]), targets)


def asked_batch(tensors: dict[str, torch.Tensor]) -> Batch:
    """Make the input of `MaskedLanguageModel` from ``input_ids``, ``attention_mask`` and ``targets``, int64 [B, L].

    ``targets`` are -100 at tokens that are not predicted. The positions of the others are determined here, on the CPU,
    because a GPU would have to be synchronised.
    """
    targets = tensors["targets"].flatten()
    places = torch.nonzero(targets != IGNORED).flatten()
    read = without_full_mask({name: tensors[name] for name in ("input_ids", "attention_mask")})
    return Batch(read | {"places": places, "targets": targets[places]}, int(tensors["attention_mask"].sum()))


def masked_batch(
    sequences: Sequence[str], adapter, masking: str, share: float, longest: int, generator: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Masked tokens and the targets of the prediction.

    Args:
        sequences: bases of one batch.
        adapter: an adapter of `encoders.adapters`.
        masking: ``tokens`` (each token independently, 80/10/10, as in seqLens) or ``groups`` (the teacher's 6-mer
            groups, always with mask tokens; the control of had). With single-base students, only whole groups are
            predicted.
        share: share of tokens or groups.
        longest: maximum number of tokens per row.
        generator: random number generator.

    Returns:
        (batch of `adapters.collate`, targets int64 [B, L] with -100 at tokens that are not predicted).
    """
    batch = collate([adapter.encode(sequence) for sequence in sequences], adapter.pad, longest)
    whole = batch["input_ids"].numpy()
    ordinary = np.isin(whole, adapter.ordinary)
    if masking == "groups":
        boundaries = [cut_groups(encode_bases(sequence)) for sequence in sequences]
        shown = [
            adapter.encode_masked(sequence, places, mask_groups(places, share, generator))
            for sequence, places in zip(sequences, boundaries, strict=True)
        ]
        batch = collate(shown, adapter.pad, longest)
        targets = np.where(batch["masked"].numpy() & ordinary, whole, IGNORED)
    else:
        inputs, targets = mask_tokens(whole, ordinary, adapter.mask, adapter.ordinary, generator, share)
        batch |= {"input_ids": torch.from_numpy(inputs), "masked": torch.from_numpy(targets != IGNORED)}
    return batch, torch.from_numpy(targets)
