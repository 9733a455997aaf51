"""Masked language modelling: the seqLens recipe, and the control without a teacher in the had recipe."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from genestill.core.masking import IGNORED, mask_tokens
from genestill.core.sequences import encode_bases
from genestill.core.training.batches import Batch
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
        """The student alone."""
        return self.model.base_model

    def forward(
        self,
        input_ids: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss in nats; what is asked are the tokens ``targets`` int64 [asked] at ``places`` int64 [asked].

        Places are counted in the flattened ``input_ids``, int64 [B, L].
        """
        hidden = self.student(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        head = self.model.language_head if isinstance(self.model, EncoderForMaskedLM) else self.model.cls
        return functional.cross_entropy(head(hidden.flatten(0, 1)[places]).float(), targets)


def asked_batch(tensors: dict[str, torch.Tensor]) -> Batch:
    """What `MaskedLanguageModel` reads, from ``input_ids``, ``attention_mask`` and ``targets``, int64 [B, L].

    ``targets`` are -100 where nothing is asked. Where something is asked is told here, on the CPU: a GPU would have to
    be waited for.
    """
    targets = tensors["targets"].flatten()
    places = torch.nonzero(targets != IGNORED).flatten()
    read = without_full_mask({name: tensors[name] for name in ("input_ids", "attention_mask")})
    return Batch(read | {"places": places, "targets": targets[places]}, int(tensors["attention_mask"].sum()))


def masked_batch(
    sequences: Sequence[str], adapter, masking: str, share: float, longest: int, generator: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Corrupted tokens and what is asked of them.

    Args:
        sequences: bases of one batch.
        adapter: an adapter of `encoders.adapters`.
        masking: ``tokens`` (each token on its own, 80/10/10; seqLens) or ``groups`` (the teacher's 6-mer groups, all
            of them by mask tokens; had's control. Single-base students only ask for whole groups).
        share: of tokens or groups.
        longest: tokens per row.
        generator: source of randomness.

    Returns:
        (batch of `adapters.collate`, targets int64 [B, L] with -100 where nothing is asked).
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
