"""Loading Hugging Face models completely: missing and unexpected tensors are errors.

Also saves tokenizers so that other versions of transformers can open them.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import read_json, write_json
from genestill.core.logs import logger

ADAPTER = "adapter_config.json"
# Keys of config.json that set the size of a model, by their names in the architectures of transformers.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTHS = (
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "n_embd",
    "n_inner",
    "d_model",
    "ffn_dim",
)
_HEADS = ("num_attention_heads", "num_key_value_heads", "n_head", "n_heads")
# Attention implementations of torch; other names need a compiled kernel, some of them from the hub.
_ATTENTION = (None, "eager", "sdpa")
# Tensors that are not weights and may be of integer type.
_COUNTED = ("position_ids", "token_type_ids", "num_batches_tracked")


def save_tokenizer(tokenizer, folder: str | Path) -> None:
    """``tokenizer.save_pretrained(folder)``, with a class name that exists in transformers 4 and 5."""
    tokenizer.save_pretrained(folder)
    file = Path(folder) / "tokenizer_config.json"
    settings = read_json(file)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        write_json(file, settings | {"tokenizer_class": "PreTrainedTokenizerFast"})


def open_whole(
    model_class,
    folder: str | Path,
    skipped: str | None = None,
    may_be_left: Callable[[str], bool] = lambda name: False,
    **options,
):
    """``model_class.from_pretrained(folder, **options)`` from safetensors, without code from the folder, and complete.

    transformers itself initialises missing tensors at random and ignores unexpected ones.

    Args:
        model_class: a model class of transformers, or an ``AutoModel…``.
        folder: model folder, or the name of a model on the hub.
        skipped: name of a tensor that the caller does not use, so that it may have another shape.
        may_be_left: whether a tensor of the file, by name, may be unused although the model has the part to which it
            belongs. Tensors of other parts (the head of another task) are always left unused, with a log line.
        options: options of ``from_pretrained``.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: a folder that cannot be opened; tensors that are missing, of another shape, or unused; an adapter
            beside the weights, which transformers would apply automatically.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()  # hides the table of mismatched tensors; they are reported below
    if Path(folder).is_dir():
        read_model_config(folder)
    if (Path(folder) / ADAPTER).is_file():
        raise InputError(
            f"{folder}: contains an adapter ({ADAPTER}), which would change the weights when they are loaded; merge it "
            "into the weights and save them, or remove it"
        )
    # Only auto classes have this option; other classes never run code from the folder.
    switch = {"trust_remote_code": False} if model_class.__name__.startswith("AutoModel") else {}
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            model, found = model_class.from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **switch,
                **options,
            )
    except Exception as error:  # transformers and safetensors raise many types of errors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{folder}: not a model that can be loaded ({lines[0]})") from None
    other = sorted(key for key in found["mismatched_keys"] if key[0] != skipped)
    if other:
        name, stored, expected = other[0]
        raise InputError(
            f"{folder}: the weights do not fit config.json ({len(other)} tensors, first {name}: {tuple(stored)} in the "
            f"file, {tuple(expected)} by config.json); the architecture of the model differs from the one in "
            "transformers, or the folder has files of different models"
        )
    missing = sorted(name for name in found["missing_keys"] if name != skipped)
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} tensors of {type(model).__name__} are missing from the weights "
            f"({_first(missing)}); they would be random numbers"
        )
    unused = sorted(name for name in found["unexpected_keys"] if name != skipped)
    lost = [name for name in unused if _belongs(model, name) and not may_be_left(name)]
    if lost:
        raise InputError(
            f"{folder}: the weights do not fit config.json: {len(lost)} tensors are not part of "
            f"{type(model).__name__} ({_first(lost)}); config.json may give too few layers"
        )
    if heads := [name for name in unused if not _belongs(model, name)]:
        logger.info("%s: %d tensors of other parts are not used (%s)", folder, len(heads), _first(heads))
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{folder}: {name} has values that are not finite; the weights are damaged")
    return model.eval()


def read_model_config(folder: str | Path) -> dict:
    """Read ``config.json`` of a model folder, and check the sizes in it before anything of these sizes is built.

    Raises:
        InputError: not a JSON object; a size that is not a positive integer, or that does not match the weights; a
            quantized model; attention by a kernel that is not part of torch.
    """
    file = Path(folder) / "config.json"
    settings = read_json(file)
    if not isinstance(settings, dict):
        raise InputError(f"{file}: {str(settings)[:40]!r}; expected an object with the settings of a model")
    if settings.get("quantization_config") is not None:
        raise InputError(
            f"{file}: the model is quantized (quantization_config), which is not supported; give the unquantized model"
        )
    for key in ("_attn_implementation", "attn_implementation"):
        if settings.get(key) not in _ATTENTION:
            raise InputError(
                f"{file}: {key} is {settings[key]!r}; expected eager or sdpa: other attention kernels are not supported"
            )
    shapes = weight_shapes(folder)
    widest = max((size for shape in shapes.values() for size in shape), default=0)
    for keys, most, what in (
        (_LAYERS, len(shapes), "tensors in the weights"),
        (_WIDTHS, widest, "is the longest side of a tensor in the weights"),
        (_HEADS, widest, "is the longest side of a tensor in the weights"),
    ):
        for key in keys:
            value = settings.get(key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{file}: {key} is {str(value)[:40]}; expected a whole number above zero")
            if value is not None and shapes and value > most:
                raise InputError(
                    f"{file}: {key} is {value}, but {most} {what}; the folder has files of different models, or is "
                    "damaged"
                )
    return settings


def weight_shapes(folder: str | Path) -> dict[str, list[int]]:
    """Shape of every tensor in the safetensors files of a folder, by name, from the headers of the files.

    Raises:
        InputError: a truncated file, or a weight that is not a floating-point number.
    """
    from safetensors import SafetensorError, safe_open

    found = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - a safetensors handle is not a dict
                    one = tensors.get_slice(name)
                    kind = str(one.get_dtype())
                    if not kind.startswith(("F", "BF")) and not name.endswith(_COUNTED):
                        raise InputError(
                            f"{file}: the tensor {name} has the type {kind}; expected floating-point numbers: "
                            "quantized "
                            "models are not supported"
                        )
                    found[name] = list(one.get_shape())
        except (SafetensorError, OSError) as error:
            size = file.stat().st_size
            raise InputError(
                f"{file}: not a complete safetensors file ({size} bytes; {error}); download it again"
            ) from None
    return found


def _belongs(model, name: str) -> bool:
    """Whether a tensor of the file belongs to a part that the model has, or could have by its configuration."""
    inside = name.removeprefix(f"{model.base_model_prefix}.")
    return any(hasattr(model, path.split(".")[0]) for path in (name, inside))


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
