"""The configuration of a released encoder student: ``config.json``."""

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
        hidden_size: size H of the residual stream and of the token representations.
        num_hidden_layers: total number of layers; each has a mixer (delta rule or attention) and a gated MLP.
        num_attention_heads: heads of attention and of the delta rule; H / heads is even.
        mlp_ratio: width of the gated MLP divided by H.
        tracks: number T of 0/1 input tracks per base (for mRNA 2: first base of each codon, splice junction).
        reverse_complement: average the representations of the sequence and of its reverse complement, position by
            position. Token representations are then equivariant and pooled ones invariant under reverse complement,
            at twice the cost. Off for stranded input such as transcripts.
        pooling: default pooling of `EncoderModel.embed` (see `core.pooling`).
        max_length: longest input in tokens for which the student was trained; longer input is cut into windows.
        attention_window: a position attends to this many neighbours on each side; 0 is full attention, whose cost
            grows with the square of the length. None is the default of the backbone: 256 for ``delta_hybrid``, whose
            delta layers transfer information over longer distances, and 0 for ``transformer``.
        convolution_width: odd width in bases of the short convolution before the delta rule, or in the transformer of
            the convolution after the token embedding, for interactions within a few bases without attention.
        expansion: size to which token representations are expanded, by a linear map and SiLU, before pooling; 0 for no
            expansion. A mean over tokens can count many different words only if it has many rectified dimensions.
        lengths: whether the logarithms of 1 + the bases of 5'UTR, coding sequence and 3'UTR are added to the embedding.
        teacher: the teacher of the distillation: name, revision, parameters, and so on.
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
        """Fill in values that depend on others, and raise `InputError` for a configuration that cannot be built."""
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
        """Width of the gated MLP: ``mlp_ratio`` x hidden size, rounded to a multiple of 8."""
        return max(8, round(self.mlp_ratio * self.hidden_size / 8) * 8)

    @property
    def embedding_size(self) -> int:
        """Size of the embedding: H or the expansion, three times that for some poolings, and three lengths."""
        return pooled_size(self.expansion or self.hidden_size, self.pooling) + self.lengths * len(REGIONS)

    @property
    def reads_regions(self) -> bool:
        """Whether the embedding depends on the position of the coding sequence."""
        return self.pooling == "regions" or self.lengths


def attention_layers(config: EncoderConfig) -> int:
    """Number of layers with self-attention; these are the last layers."""
    return {"delta_hybrid": 1, "transformer": config.num_hidden_layers, "delta": 0}[config.backbone]
