"""The settings of this stage's commands."""

from dataclasses import dataclass
from typing import Literal

from genestill.core.errors import InputError
from genestill.core.pooling import TRANSCRIPT_POOLINGS
from genestill.core.recipes import REPRESENTATIONS
from genestill.core.settings import Settings, setting

# Architectures of teachers that are pretrained here, with descriptions; each has a module in architectures/
ARCHITECTURES = {
    "genomeocean": "a causal Mistral over byte-pair tokens",
    "nucleotide-transformer": "a masked ESM encoder with rotary positions and gated feed-forward blocks over k-mers",
}


@dataclass(frozen=True)
class PretrainingSettings(Settings):
    """Settings of pretraining; on a CPU, equal settings and genomes give equal weights, unless there is a time limit.

    The feed-forward block is 4 times as wide as the hidden states. The learning rate rises in a linear warm-up and
    decreases along a cosine to a tenth; with ``minutes`` it follows time or steps, whichever is closer to its end. The
    seed is used for weights, windows and masks.
    """

    architecture: str = setting(
        "genomeocean",
        "; ".join(f"{name} is {what}" for name, what in ARCHITECTURES.items()) + ".",
        choices=tuple(ARCHITECTURES),
    )
    hidden_size: int = setting(128, "Width of the hidden states; an even multiple of heads.", minimum=8)
    layers: int = setting(3, "Number of layers.", minimum=1)
    heads: int = setting(4, "Attention heads.", minimum=1)
    vocabulary: int = setting(
        1024,
        "Number of byte-pair tokens, including five special ones; 9 gives single nucleotides, which the objective "
        "logits of the recipe mrna needs (or k-mers, for which this number has no effect).",
        minimum=9,
    )
    k: int = setting(
        6,
        "Bases of a k-mer of nucleotide-transformer; 3 reads codons, as for coding sequences (teacher.reads: cds).",
        minimum=1,
        maximum=8,
    )
    strands: str = setting(
        "both",
        "Strands from which windows are taken; one uses the given strand, for transcripts, and starts windows at "
        "multiples of "
        "the k-mer from the first base, so that coding sequences are read in frame.",
        choices=("one", "both"),
    )
    context: int = setting(256, "Tokens of one input.", minimum=8)
    lengths: str = setting(
        "full",
        "Lengths of the inputs: all of one context, or varied, half of the steps with shorter ones (from an eighth of "
        "the context) and with lengths that are not multiples of the k-mer.",
        choices=("full", "varied"),
    )
    batch: int = setting(8, "Inputs per step.", minimum=1)
    steps: int = setting(500, "Optimiser steps.", minimum=1)
    minutes: float | None = setting(
        None, "Stop after this time, even if steps remain; weights then vary from run to run.", exclusive_minimum=0
    )
    learning_rate: float = setting(4e-3, "Peak learning rate of AdamW.", exclusive_minimum=0)
    warmup: float = setting(0.05, "Share of the steps in which the learning rate rises.", minimum=0, maximum=1)
    scaled_projections: bool = setting(
        False,
        "Whether projections that add to the residual stream are initialised with smaller weights, divided by the "
        "root of twice the number of layers, as those of GPT-2 are.",
    )
    held_out: float = setting(
        0.0,
        "Share of the genomes that is held out from training; its loss is recorded in the history at ten points.",
        minimum=0,
        maximum=0.5,
    )
    seed: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.hidden_size % (2 * self.heads):
            raise InputError(
                f"hidden_size is {self.hidden_size} over {self.heads} heads; expected an even whole number per head "
                "(rotary positions rotate pairs)"
            )


@dataclass(frozen=True)
class CheckSettings(Settings):
    """The requirements for a teacher."""

    maximum_relative_loss: float | None = setting(
        None,
        "The loss on known genomes must be below this share of ln(vocabulary), the loss of a uniform guess; null is "
        "0.93, or 0.98 for k-mers.",
        exclusive_minimum=0,
        exclusive_maximum=1,
    )
    windows: int = setting(64, "Number of windows, of one context each, on which the loss is measured.", minimum=1)


@dataclass(frozen=True)
class EmbeddingSettings(Settings):
    """The outputs to compute; recorded in the metadata of the file.

    ``last`` pooling of the window ``first`` is TaxDistill as published.
    """

    representation: str = setting(
        "sequence",
        "One vector per sequence, one per token, or the probabilities of A, C, G and T at every base.",
        choices=REPRESENTATIONS,
    )
    layer: int | Literal["middle"] = setting(
        -1,
        "Hidden state from which embeddings are taken; 0 is the embedding layer, -1 the last, middle the middle one.",
    )
    pooling: str = setting(
        "mean",
        "Over the tokens of a window. mean and max take tokens that cover a known base, cls and last the first and the "
        "last token of the input; concatenated is cls, max and mean side by side; regions, for transcripts, the means "
        "over 5'UTR, coding sequence and 3'UTR. Windows are then averaged by their known bases (max takes the maximum, "
        "regions count tokens).",
        choices=TRANSCRIPT_POOLINGS,
    )
    window: int | Literal["first"] | None = setting(
        None,
        "Bases of a window; every base of a sequence is in one window. null uses the whole context of the model; "
        "first uses only the first 512 tokens of a sequence.",
        minimum=1,
    )
    strands: str = setting(
        "one",
        "both averages the embeddings of a sequence and of its reverse complement, in twice the time.",
        choices=("one", "both"),
    )
    batch_tokens: int | None = setting(
        None, "Tokens per batch, with padding; null is 65,536 on a GPU and 2,048 elsewhere.", minimum=1
    )
    masked_passes: int = setting(
        7,
        "For the base log-probabilities of a masked teacher; one in this many tokens is masked per pass, 0 masks none.",
        minimum=0,
        recipes=["mrna"],
    )
    dtype: str = setting(
        "auto",
        "Number format of the model; auto is bfloat16 on a GPU and float32 elsewhere.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )

    def __post_init__(self):
        super().__post_init__()
        for name, value in (("window", "first"), ("strands", "both")):
            if self.representation != "sequence" and getattr(self, name) == value:
                raise InputError(
                    f"{name} {value} is only for the representation sequence; {self.representation} covers every "
                    "base of one strand"
                )
        if self.pooling == "regions" and (self.strands == "both" or self.window == "first"):
            raise InputError(
                "pooling regions reads whole transcripts on one strand; expected strands one and no window first"
            )


@dataclass(frozen=True)
class ShardSettings(Settings):
    """How the work is distributed."""

    shards: int = setting(
        1,
        "Number of jobs among which each set of sequences is divided, by bases; each can be restarted alone. A "
        "student that is "
        "distilled on windows holds one shard in memory (10,000 windows of 1,020 bases with 1,024 numbers per token"
        " are 3.5 GB).",
        minimum=1,
    )
    processes: int = setting(1, "Processes within a job; on GPUs, one per GPU.", minimum=1)


@dataclass(frozen=True)
class SoftLabelSettings(Settings):
    """How soft labels are cross-fitted."""

    folds: int = setting(
        5,
        "Number of heads for soft labels, each trained without one part of the contigs, which it then labels; 1 is one "
        "head that labels its own training data.",
        minimum=1,
        recipes=["taxdistill", "taxdistill-published"],
    )
