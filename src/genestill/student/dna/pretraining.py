"""Masked language modelling: the seqLens recipe, and the control without a teacher in the had recipe."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.sequences import encode_bases
from genestill.student.dna.masking import corrupt_tokens, cut_groups, mask_groups
from genestill.student.dna.tokens import Tokens, collate


class MaskedLanguageModel(nn.Module):
    """A student and its language head; the loss is the cross-entropy of the chosen tokens."""

    def __init__(self, student: nn.Module, head: nn.Module):
        super().__init__()
        self.student, self.head = student, head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean loss in nats; ``targets`` int64 [B, L], -100 where nothing is asked."""
        hidden = self.student(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        asked = targets != -100
        return functional.cross_entropy(self.head(hidden[asked]).float(), targets[asked])


def masked_batch(
    sequences: Sequence[str], cutter, masking: str, share: float, longest: int, generator: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Corrupted tokens and what is asked of them.

    Args:
        sequences: bases of one batch.
        cutter: a cutter of `tokens`.
        masking: ``tokens`` (each token on its own, 80/10/10; seqLens) or ``groups`` (the teacher's 6-mer groups, all
            of them by mask tokens; had's control. Single-base students only ask for whole groups).
        share: of tokens or groups.
        longest: tokens a row.
        generator: source of randomness.

    Returns:
        (batch of `tokens.collate`, targets int64 [B, L] with -100 where nothing is asked).
    """
    rows, answers = [], []
    for sequence in sequences:
        whole = cutter.cut(sequence)
        if masking == "groups":
            boundaries = cut_groups(encode_bases(sequence))
            shown = cutter.cut_masked(sequence, boundaries, mask_groups(boundaries, share, generator))
            known = np.isin(whole.ids, cutter.ordinary)
            answers.append(np.where(shown.masked & known, whole.ids, -100))
            rows.append(shown)
        else:
            special = ~np.isin(whole.ids, cutter.ordinary)
            made = corrupt_tokens(whole.ids, special, cutter.mask, cutter.ordinary, share, generator)
            rows.append(Tokens(made.tokens, whole.start, whole.stop, made.chosen))
            answers.append(np.where(made.chosen, whole.ids, -100))
    batch = collate(rows, cutter.pad, longest)
    targets = np.full(batch["input_ids"].shape, -100, dtype=np.int64)
    for number, answer in enumerate(answers):
        length = min(len(answer), targets.shape[1])
        targets[number, :length] = answer[:length]
    return batch, torch.from_numpy(targets)
