"""What a released encoder student remembers of itself: ``config.json``."""

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

from genestill.core.errors import InputError
from genestill.core.pooling import REGIONS, TRANSCRIPT_POOLINGS, pooled_size
from genestill.student.settings import BACKBONES

DEFAULT_WINDOW = 256  # bases to each side


@strict(accept_kwargs=True)
class EncoderConfig(PretrainedConfig):
    """Configuration of `EncoderModel`.

    Attributes:
        backbone: ``delta_hybrid`` (bidirectional gated delta net layers, the last layer with self-attention),
            ``transformer`` (self-attention in every layer) or ``delta`` (no self-attention).
        vocab_size: number of tokens; the first five are A, C, G, T, N (see ``tokenization``).
        hidden_size: width H of the residual stream and of the token representations.
        num_hidden_layers: layers in all; each is a mixer (delta rule or attention) and a gated MLP.
        num_attention_heads: heads of attention and of the delta rule; H / heads is even.
        mlp_ratio: width of the gated MLP over H.
        tracks: number T of 0/1 input tracks a base (for mRNA 2: first base of each codon, splice junction).
        reverse_complement: average the representations of the sequence and of its reverse complement, position by
            position. Token representations are then equivariant and pooled ones invariant under reverse complement,
            at twice the cost. Off for stranded input such as transcripts.
        pooling: what `EncoderModel.embed` does by default (see `core.pooling`).
        max_length: longest input in tokens that the student was trained for; longer input is cut into windows.
        attention_window: a position attends to this many neighbours to each side; 0 is full attention, whose cost
            grows with the square of the length. None takes the backbone's default: 256 for ``delta_hybrid``, whose
            delta layers carry what is further away, and 0 for ``transformer``.
        convolution_width: odd width in bases of the short convolution before the delta rule, or in the transformer of
            the one after the token embedding: what lies within a few bases is then seen without attention.
        expansion: width to which token representations are taken, by a linear map and SiLU, before they are pooled;
            0 pools them as they are. A mean over tokens of few dimensions cannot count many words, one over many
            rectified ones can.
        lengths: whether the embedding ends with the logarithms of 1 + the bases of 5'UTR, coding sequence and 3'UTR.
        teacher: what the student was distilled from: name, revision, parameters, and so on.
        provenance: free-form JSON: training data, settings, compute, versions.
    """

    model_type = "genestill-encoder"

    backbone: str = "delta_hybrid"
    vocab_size: int = 10
    hidden_size: int = 128
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    mlp_ratio: float | int = 2.0
    tracks: int = 0
    reverse_complement: bool = False
    pooling: str = "mean"
    max_length: int = 12_288
    attention_window: int | None = None
    convolution_width: int = 5
    expansion: int = 0
    lengths: bool = False
    initializer_range: float = 0.02
    norm_eps: float = 1e-6
    pad_token_id: int = 5
    mask_token_id: int = 6
    cls_token_id: int = 7
    sep_token_id: int = 8
    unk_token_id: int = 9
    teacher: dict | None = None
    provenance: dict | None = None

    def __post_init__(self, **kwargs):
        """Fill what depends on other values, and refuse what cannot be built (`InputError`)."""
        super().__post_init__(**kwargs)
        if self.backbone not in BACKBONES:
            raise InputError(f"encoder: backbone is {self.backbone!r}; expected one of {', '.join(BACKBONES)}")
        if self.pooling not in TRANSCRIPT_POOLINGS:
            raise InputError(f"encoder: pooling is {self.pooling!r}; expected one of {', '.join(TRANSCRIPT_POOLINGS)}")
        if self.num_attention_heads < 1 or self.hidden_size % (2 * self.num_attention_heads):
            raise InputError(
                f"encoder: hidden_size {self.hidden_size} over {self.num_attention_heads} heads is not an even number"
            )
        if self.convolution_width % 2 == 0:
            raise InputError(f"encoder: convolution_width is {self.convolution_width}; expected an odd number of bases")
        if self.attention_window is None:
            self.attention_window = 0 if self.backbone == "transformer" else DEFAULT_WINDOW

    @property
    def intermediate_size(self) -> int:
        """Width of the gated MLP: ``mlp_ratio`` x hidden size, to a multiple of 8."""
        return max(8, round(self.mlp_ratio * self.hidden_size / 8) * 8)

    @property
    def embedding_size(self) -> int:
        """Width of the embedding: H or the expansion, three times that by some poolings, and three lengths."""
        return pooled_size(self.expansion or self.hidden_size, self.pooling) + self.lengths * len(REGIONS)

    @property
    def reads_regions(self) -> bool:
        """Whether the embedding depends on where the coding sequence lies."""
        return self.pooling == "regions" or self.lengths


def attention_layers(config: EncoderConfig) -> int:
    """How many of the layers, which are the last, mix by self-attention."""
    return {"delta_hybrid": 1, "transformer": config.num_hidden_layers, "delta": 0}[config.backbone]
