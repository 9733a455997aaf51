"""The settings of ``genestill student distil-transcripts``."""

from dataclasses import dataclass

from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, describe_objectives, parse_objective
from genestill.core.pooling import TRANSCRIPT_POOLINGS
from genestill.core.settings import Settings, setting
from genestill.student.settings import BACKBONES


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """Architecture and size of the student."""

    backbone: str = setting(
        "delta_hybrid",
        "Gated delta net with one layer of attention, attention in every layer, or gated delta net alone.",
        choices=BACKBONES,
    )
    pooling: str = setting(
        "mean",
        "Pooling over bases; regions: the means over 5'UTR, coding sequence and 3'UTR side by side.",
        choices=TRANSCRIPT_POOLINGS,
    )
    lengths: bool = setting(
        False, "Whether the embedding ends with the logarithms of the lengths of these regions; not used by any loss."
    )
    expansion: int = setting(
        0,
        "Width of the embedding, to which the bases' states are expanded before pooling; 0 is the width of the states.",
        minimum=0,
    )
    attention_window: int | None = setting(
        None,
        "Bases to each side that a position attends to; 0 is all, null the backbone's default (256, or all for "
        "transformer).",
        minimum=0,
    )
    compression_ratio: float = setting(
        200, "Parameters of the teacher divided by those of the student.", exclusive_minimum=1
    )
    parameters: int | None = setting(
        None, "Approximate number of parameters of the student; null uses compression_ratio.", minimum=1000
    )
    max_length: int = setting(12_288, "Maximum length of the student's input.", unit="bases", minimum=64)
    tracks: bool = setting(False, "Whether the CDS and splice tracks are read in addition to the bases.")


@dataclass(frozen=True)
class DistillationSettings(Settings):
    """Settings of the training; warm-up is a share of the steps."""

    objective: str = setting("mse", describe_objectives(TRANSCRIPT_OBJECTIVES))
    steps: int = setting(2000, "Optimiser steps; 0 does not train the student.", minimum=0)
    batch_bases: int = setting(16_384, "Bases per batch, with padding.", minimum=64)
    learning_rate: float = setting(2e-3, "Peak learning rate of AdamW.", exclusive_minimum=0)
    warm_up: float = 0.05
    weight_decay: float = 0.01
    clip: float = setting(1.0, "Largest gradient norm; 0 does not clip gradients.", minimum=0)
    dtype: str = setting(
        "auto",
        "Number format of the loss (autocast); auto is bfloat16 on a GPU and float32 elsewhere.",
        choices=("auto", "float32", "bfloat16"),
    )
    temperature: float = setting(2.0, "Temperature of the logits term.", exclusive_minimum=0)
    seed: int = 1

    def __post_init__(self):
        super().__post_init__()
        parse_objective(self.objective, TRANSCRIPT_OBJECTIVES)
