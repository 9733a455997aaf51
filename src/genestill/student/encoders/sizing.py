"""Sizes of students: named presets, and the closest fit to a parameter budget."""

from genestill.core.errors import InputError
from genestill.student.encoders.configuration import EncoderConfig, attention_layers
from genestill.student.settings import BACKBONES

# had: 1.1 million parameters, as the HAD student (arXiv 2505.20836, which gives the size but not the shape).
PRESETS = {
    "had": {
        "backbone": "delta_hybrid",
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "mlp_ratio": 2.0,
    }
}

HEAD_SIZES = (32, 64)  # size of a head for hidden sizes below 512, and from 512
MOST_LAYERS = 32


def count_parameters(config: EncoderConfig) -> int:
    """Number of parameters of the model with ``config``, without building it."""
    size, heads = config.hidden_size, config.num_attention_heads
    attention = 4 * size**2
    delta = 5 * size**2 + 3 * size * config.convolution_width + 4 * heads * size + 4 * heads + size // heads
    attentive = attention_layers(config)
    mixers = attentive * attention + (config.num_hidden_layers - attentive) * delta
    shared = config.num_hidden_layers * (2 * size + 3 * size * config.intermediate_size)
    ends = (config.vocab_size + config.tracks + 1) * size + config.expansion * (size + 1)
    stem = size * config.convolution_width if config.backbone == "transformer" else 0
    return ends + stem + mixers + shared


def size_for_budget(backbone: str, parameters: int, tracks: int = 0, vocab: int = 10, **settings) -> EncoderConfig:
    """The configuration with reasonable proportions whose number of parameters is closest to ``parameters``.

    Width and depth grow together: of the widths (multiples of the head size), the one is chosen whose depth for this
    budget is closest to width / 24, with at least 2 layers; the MLP uses the remaining parameters, between 1.5 and 3
    times the width.

    Args:
        backbone: one of `BACKBONES`.
        parameters: budget, for example 1/200 of the teacher's parameters.
        tracks: number of input tracks.
        vocab: number of tokens.
        settings: further keys of `EncoderConfig`.

    Raises:
        InputError: an unknown backbone, or a budget too small for any student (below about 10,000).
    """
    if backbone not in BACKBONES:
        raise InputError(f"encoder: backbone is {backbone!r}; expected one of {', '.join(BACKBONES)}")
    best, best_cost = None, float("inf")
    for hidden_size in [16, *range(32, 512, 32), *range(512, 4097, 64)]:
        head = 16 if hidden_size < 32 else HEAD_SIZES[hidden_size >= 512]
        layers = min(MOST_LAYERS, max(2, round(hidden_size / 24)))
        for depth in {max(2, layers - 2), max(2, layers - 1), layers, layers + 1, layers + 2}:
            config = EncoderConfig(
                backbone=backbone,
                vocab_size=vocab,
                hidden_size=hidden_size,
                num_hidden_layers=depth,
                num_attention_heads=hidden_size // head,
                tracks=tracks,
                **settings,
            )
            # The count is linear in the width of the MLP: 3 H weights per layer and unit.
            rest = parameters - count_parameters(config)
            width = config.intermediate_size + rest / (3 * hidden_size * depth)
            ratio = min(3.0, max(1.5, width / hidden_size))
            config.mlp_ratio = round(ratio * hidden_size / 8) * 8 / hidden_size
            gap = abs(count_parameters(config) - parameters) / parameters
            cost = gap + 0.01 * abs(ratio - 2.0) + 0.01 * abs(depth - layers)
            if cost < best_cost:
                best, best_cost, best_gap = config, cost, gap
    assert best is not None  # several widths and depths were tried
    if best_gap > 0.1:
        raise InputError(
            f"encoder: no student of {parameters:,} parameters; the closest has {count_parameters(best):,}"
        )
    return best
