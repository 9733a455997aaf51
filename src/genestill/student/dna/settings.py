"""The settings of the commands ``genestill student`` for DNA, in a module that does not import torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genestill.core.errors import InputError
from genestill.core.kinds import TASK_METRICS
from genestill.core.objectives import DNA_OBJECTIVES, describe_objectives, parse_objective
from genestill.core.pooling import POOLINGS
from genestill.core.settings import Settings, setting

# Single-base encoders, then DeBERTa over byte pairs or k-mers.
ARCHITECTURES = (
    "had", "had-mixer", "had-attention", "had-small", "had-tiny", "transformer-tiny", "deberta-tiny", "deberta-1M-at",
    "deberta-15M", "deberta-23M-at-xsmall", "deberta-27M", "deberta-46M", "deberta-47M-at-small", "deberta-89M-at-base",
)  # fmt: skip
ATTENTIONS = ("disentangled", "absolute", "rotary")


@dataclass(frozen=True)
class TokenizerSettings(Settings):
    """Settings of the byte-pair tokenizer."""

    vocabulary: int = setting(
        4096,
        "Tokens of the byte-pair tokenizer that deberta students read; trained on the windows.",
        minimum=64,
        maximum=65_536,
    )
    kmer: int | None = setting(
        None, "k-mers of this length instead of byte pairs; 1 reads single bases.", minimum=1, maximum=8
    )


@dataclass(frozen=True)
class Start(Settings):
    """The initial student: an architecture, or the folder (or published name) of a student to continue from."""

    architecture: str | None = setting(
        None,
        "For a student that starts from scratch; had… and transformer… read single bases, deberta… byte pairs or "
        "k-mers. had-mixer has no attention layer, had-attention only attention layers.",
        choices=ARCHITECTURES,
    )
    parameters: int | None = setting(
        None,
        "Approximate number of parameters, in the proportions of the encoders, for had… and transformer…, such as a "
        "share of the teacher's; null is the size of the architecture.",
        minimum=10_000,
    )
    attention: str | None = setting(
        None,
        "How a deberta student encodes positions: disentangled attention, absolute positions, or rotary ones (it is "
        "then a RoFormer of the same shape); null is the default of the architecture.",
        choices=ATTENTIONS,
    )
    initial: str | None = setting(None, "Folder of a student to start from, instead of an architecture.", path="folder")
    tokenizer: str | None = None
    reverse_complement: bool = setting(False, "Whether both strands are averaged; not for deberta.")
    cls: bool = setting(
        False,
        "Whether a [CLS] is read before the first base (deberta always has one); pooling cls uses it.",
    )
    max_tokens: int = setting(1024, "Longest input.", unit="tokens of the student", minimum=16)

    def open(self):
        """Open or build it: (model, adapter)."""
        from genestill.student.dna.students import build_student, open_student

        if (self.architecture is None) == (self.initial is None):
            raise InputError("give either an architecture (to train from scratch) or a student to start from")
        if self.initial is not None:
            if self.tokenizer or self.reverse_complement or self.cls or self.parameters or self.attention:
                raise InputError(
                    f"{self.initial}: the tokenizer, strands, [CLS], size and attention are those of the student to "
                    "start from; "
                    "they cannot be given as well"
                )
            model, adapter = open_student(self.initial)
            if not hasattr(adapter, "encode"):
                raise InputError(f"{self.initial}: a teacher; expected the folder of a student to start from")
            return model, adapter
        return build_student(
            self.architecture,
            self.tokenizer,
            self.reverse_complement,
            self.cls,
            self.max_tokens,
            self.parameters,
            self.attention,
        )

    def inputs(self) -> dict[str, str]:
        """Files and folders from which it is read, by role; empty for a published name."""
        given = {"initial": self.initial, "tokenizer": self.tokenizer}
        return {role: path for role, path in given.items() if path and Path(path).exists()}


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Length and learning rate of pretraining and distillation.

    seqLens: learning rate 5e-4, warm-up 0.05, weight decay 0.1. ``seed`` and the number of a step determine its batch
    and masks.
    """

    steps: int = setting(10_000, "Optimiser steps; 0 does not train the student.", minimum=0)
    batch: int = setting(32, "Windows per step.", minimum=1)
    learning_rate: float = setting(5e-4, "Peak learning rate of AdamW.", exclusive_minimum=0)
    warmup: float = setting(0.05, "Share of the steps in which the learning rate rises.", minimum=0, maximum=1)
    weight_decay: float = setting(0.1, "Weight decay of AdamW; norms, gates and biases do not decay.", minimum=0)
    seed: int = 1


@dataclass(frozen=True)
class Masking(Settings):
    """The input of a student for a window: masked tokens and strand."""

    mask_fraction: float = setting(0.15, "Share of tokens or groups that are masked.", exclusive_minimum=0, maximum=1)
    masking: str = setting(
        "tokens",
        "Of method pretrain; single tokens, or all bases of a 6-mer, as for a distilled student.",
        choices=("tokens", "groups"),
    )
    reverse_complement_augmentation: bool = setting(
        False,
        "Of method pretrain; whether half of the windows are reverse-complemented at random. A distilled student reads "
        "the same strand of a window as its teacher.",
    )


@dataclass(frozen=True)
class ComputedFeaturesSettings(Settings):
    """A teacher that computes the features of its tokens in every step of a distillation."""

    teacher: str | None = setting(
        None,
        "Folder of the teacher, which computes the features of a new window, of a random strand, of each sequence in "
        "every step; instead of stored features.",
        path="folder",
    )
    layer: int | Literal["middle"] = setting(
        -1, "Of computed features: the hidden state; 0 is the embedding layer, -1 the last, middle the middle one."
    )
    dtype: str = setting(
        "auto",
        "Of computed features: precision of the teacher; auto is bfloat16 on a GPU, float32 on a CPU.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    window_length: int = setting(1000, "Of computed features: length of a window.", unit="bases", minimum=12)
    shortest_window: int | None = setting(
        None,
        "Of computed features: lengths of windows are drawn between this and the longest one; null: all are the same.",
        unit="bases",
        minimum=12,
    )


@dataclass(frozen=True)
class DistillationSettings(Settings):
    """The loss of the distillation, including choices that the paper does not specify.

    The scope ``visible`` is that of HAD, ``masked`` and ``all`` are controls.
    """

    objective: str = setting("alignment+reconstruction", f"Of method distil. {describe_objectives(DNA_OBJECTIVES)}")
    scope: str = setting(
        "visible", "Of method distil; the 6-mers whose features are aligned.", choices=("visible", "masked", "all")
    )
    alignment_pooling: str = setting(
        "pooled",
        "Of method distil; the vector of a 6-mer is compared with the mean over its bases, or with each of its bases.",
        choices=("pooled", "repeated"),
    )

    def __post_init__(self):
        super().__post_init__()
        parse_objective(self.objective, DNA_OBJECTIVES)


@dataclass(frozen=True)
class FineTuning(Settings):
    """How a student is fine-tuned.

    If there are several learning rates, each is tried for ``search_epochs``, and the best on validation rows is used.
    The state of the best validation epoch is kept. ``lora`` has rank 8, alpha 32, dropout 0.1, as in seqLens.
    """

    method: str = setting(
        "full",
        "Parameters that are trained: all weights, low-rank adapters of all linear maps or of the queries and values "
        "of attention "
        "(the default of peft, as in seqLens), or only the head.",
        choices=("full", "lora", "lora-attention", "frozen"),
    )
    pooling: str = setting(
        "mean",
        "How token vectors become one vector, for students and teacher; cls is the first token ([CLS] if the student "
        "reads one, else the first base), last the last, and concatenated is cls, max and mean side by side.",
        choices=POOLINGS,
    )
    learning_rates: tuple[float, ...] = setting(
        (1e-3,),
        "Peak learning rates of fine-tuning; if there are several, one is chosen on validation rows, separately for "
        "each method.",
        exclusive_minimum=0,
    )
    epochs: int = setting(20, "Passes over the training rows.", minimum=1)
    search_epochs: int = setting(2, "Passes for each candidate learning rate.", minimum=1)
    batch: int = setting(128, "Sequences per step of fine-tuning.", minimum=1)
    weight_decay: float = 0.01
    reverse_complement_augmentation: bool = setting(
        False, "Whether half of the training sequences are reverse-complemented at random."
    )
    metric: str = setting(
        "mcc",
        "Metric of the task, by which the learning rate and the epoch are chosen on validation rows.",
        choices=TASK_METRICS,
    )
    seed: int = 1


@dataclass(frozen=True)
class CrossValidation(Settings):
    """The choice of validation rows."""

    folds: int | None = setting(
        None,
        "Number of folds of the training rows for cross-validation, with another validation fold for each seed; null "
        "uses the table's validation rows, or a tenth of its training rows drawn with the seed.",
        minimum=2,
    )
    fold: int = setting(0, "Number of the validation fold, from 0.", minimum=0)
    rows: int | None = setting(
        None, "Number of training rows, including validation rows, drawn with the seed; null uses all.", minimum=1
    )
