"""Opening a folder of a pretrained model, with errors that give the reason if it cannot be opened.

Weights are read only from safetensors, and only code of this program is used: no pickle, no ``trust_remote_code``.
"""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genestill.core.errors import InputError
from genestill.core.files import read_json, sha256_of
from genestill.core.models import open_whole, read_model_config
from genestill.core.tokenization import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    import torch

# Used for a model whose context is not known; the cost of attention grows with the square of the window.
DEFAULT_CONTEXT = 2048
LEAST_CONTEXT = 8  # tokens of one input, special ones included
DESCRIPTION = "teacher.json"  # written by fetch and pretrain beside the weights
# Models in which attention is always causal, independent of their configuration.
ONLY_BACKWARD = ("gpt2", "gpt_neox", "llama", "mistral", "mixtral", "qwen2", "qwen3")
CONTACTS = "esm.contact_head.regression.weight"


@dataclass(frozen=True)
class Teacher:
    """A model on its device, in evaluation mode, with the values that are recorded with its outputs.

    kind: "causal" or "masked"; layers: number of layers of the whole model; layer: the hidden state returned by
    `hidden`, from 0 for the embedding layer to ``layers`` for the last; context: maximum number of tokens of one input,
    including special ones.
    """

    model: Any
    tokenizer: Tokenizer
    kind: str
    name: str
    revision: str
    layers: int
    layer: int
    hidden_size: int
    context: int
    device: "torch.device"
    dtype: str
    description: dict = field(default_factory=dict)

    def must_see(self, mask: np.ndarray) -> bool:
        """Whether the model needs an attention mask [b, t] with padding on the right; it is faster without one.

        A mask is not needed without padding, or if attention is causal: outputs at the padding are never used.
        """
        return not (self.model.config.model_type in ONLY_BACKWARD or mask.all())

    def hidden(self, ids, mask):
        """Hidden states, float [b, t, hidden_size], of layer ``layer`` for ids, int64 [b, t], on the device.

        ``mask`` is the attention mask [b, t], or None: see `must_see`.
        """
        if self.layer == self.layers:
            return self.model.base_model(ids, attention_mask=mask, **self._no_cache).last_hidden_state
        states = self.model.base_model(ids, attention_mask=mask, output_hidden_states=True, **self._no_cache)
        return states.hidden_states[self.layer]

    def logits(self, ids, mask):
        """Logits, float [b, t, vocabulary], of the language-model head; ``mask`` as for `hidden`."""
        return self.model(ids, attention_mask=mask, **self._no_cache).logits

    @property
    def _no_cache(self) -> dict:
        return {"use_cache": False} if self.kind == "causal" else {}


def resolve_layer(layer: int | str, layers: int) -> int:
    """Convert ``layer`` ("middle", or an index; negative ones count from the end) to a number from 0 to ``layers``."""
    if layer == "middle":
        return layers // 2
    try:
        number = int(layer)
    except ValueError:
        raise InputError(f"layer {layer!r}: expected a whole number or 'middle'") from None
    found = number + layers + 1 if number < 0 else number
    if not 0 <= found <= layers:
        raise InputError(f"layer {number}: the model has {layers} layers; expected {-layers - 1} to {layers}")
    return found


def load_teacher(folder: str | Path, device="cpu", dtype: str = "auto", layer: int | str = -1) -> Teacher:
    """Open the causal or masked language model in ``folder``.

    Args:
        folder: Hugging Face folder: config.json, safetensors, tokenizer.json or vocab.txt.
        device: torch device.
        dtype: float32, bfloat16, float16 or auto (bfloat16 on CUDA, float32 on other devices).
        layer: the required hidden state; layers above it are not loaded, and `logits` must not be used then.

    Returns:
        The model.

    Raises:
        InputError: a folder without weights or tokenizer, truncated weights or missing tensors, an architecture that
            needs downloaded code, or a model that is not a language model.
    """
    import torch

    folder = Path(folder)
    config, kind = _read_config(folder)
    files = _require_weights(folder)
    tokenizer = load_tokenizer(folder)
    layers = _layers(config, folder)
    _require_heads(folder, config, files)
    wanted = resolve_layer(layer, layers)
    if wanted < layers:
        # One layer more than required, because transformers returns the last state only after the final normalisation.
        config.num_hidden_layers = wanted + 1
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: wanted + 1]
    if dtype == "auto":
        dtype = "bfloat16" if torch.device(device).type == "cuda" else "float32"
    model_class = _model_class(config, kind, files)
    left = functools.partial(_may_be_left, lowest=config.num_hidden_layers, layers=layers)
    # ESM's contact head is not used, has another shape if layers are left out, and was checked by `_require_heads`.
    model = open_whole(
        model_class, folder, skipped=CONTACTS, may_be_left=left, config=config, dtype=getattr(torch, dtype)
    )
    if len(tokenizer.vocabulary) > config.vocab_size:
        raise InputError(
            f"{folder}: the tokenizer has {len(tokenizer.vocabulary)} tokens, the model only {config.vocab_size}; "
            "they belong to different models"
        )
    description = describe(folder)
    return Teacher(
        model=model.to(device).eval().requires_grad_(False),
        tokenizer=tokenizer,
        kind=kind,
        name=description.get("name") or folder.resolve().name,
        revision=description.get("revision") or _commit_of(folder) or f"sha256:{weights_checksum(files)}",
        layers=layers,
        layer=wanted,
        hidden_size=config.hidden_size,
        context=_context(config, tokenizer, description),
        device=torch.device(device),
        dtype=dtype,
        description=description,
    )


def describe(folder: str | Path) -> dict:
    """The content of ``teacher.json`` of a model folder; empty if it was neither fetched nor pretrained here."""
    file = Path(folder) / DESCRIPTION
    found = read_json(file) if file.is_file() else {}
    if not isinstance(found, dict):
        raise InputError(f"{file}: {str(found)[:40]!r}; expected an object")
    for key, kind, what in (("name", str, "a name"), ("revision", str, "a name"), ("context", int, "a whole number")):
        value = found.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool) or value in ("", 0)):
            raise InputError(f"{file}: {key} is {str(value)[:40]!r}; expected {what}")
    if found.get("context") is not None and found["context"] < LEAST_CONTEXT:
        raise InputError(f"{file}: context is {found['context']}; expected at least {LEAST_CONTEXT} tokens")
    return found


def _are_names(values) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _commit_of(folder: Path) -> str | None:
    """The commit of a folder that was downloaded by the hub's client, from its path or files; None if not found.

    These are ``<cache>/models--…/snapshots/<commit>``, or a first line beside the files of ``--local-dir``.
    """
    trace = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    told = trace.read_text(encoding="utf-8").split("\n", 1)[0] if trace.is_file() else folder.resolve().name
    return told if re.fullmatch("[0-9a-f]{40}", told) else None


def weights_checksum(files: list[Path]) -> str:
    """First 16 hex digits of the SHA-256 of the weights file, or of the checksums of several files in name order."""
    import hashlib

    sums = [sha256_of(file) for file in sorted(files)]
    return (sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest())[:16]


def _read_config(folder: Path):
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a Hugging Face model folder")
    settings = read_model_config(folder)
    named = settings.get("architectures") or [""]
    architecture = named[0] if isinstance(named, list) else named
    if not isinstance(architecture, str):
        raise InputError(f"{folder}/config.json: architectures is {str(named)[:40]}; expected a list of names")
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")):
        kind = "masked"
    elif architecture.endswith(("ForCausalLM", "LMHeadModel")):
        kind = "causal"
    else:
        raise InputError(
            f"{folder}/config.json: architecture {architecture or 'not given'!r}; expected a causal or masked language "
            "model (…ForCausalLM, …ForMaskedLM), whose loss can be checked"
        )
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False), kind
    except Exception as error:  # transformers raises many types of errors for invalid settings
        raise InputError(
            f"{folder}/config.json: model type {settings.get('model_type')!r} is unknown to transformers "
            f"{transformers.__version__} or its settings are wrong, and code in a model folder is never run "
            f"({(str(error).strip().splitlines() or [type(error).__name__])[0]})"
        ) from None


def _require_weights(folder: Path) -> list[Path]:
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = read_json(index)
        placed = content.get("weight_map") if isinstance(content, dict) else None
        names = set(placed.values()) if isinstance(placed, dict) and _are_names(placed.values()) else None
        if names is None or any("/" in name for name in names):
            raise InputError(f"{index}: expected weight_map, the file of each tensor by its name")
        files = [folder / name for name in sorted(names)]
    else:
        files = [folder / "model.safetensors"]
    absent = [file.name for file in files if not file.is_file()]
    if absent or not files:
        pickles = sorted(file.name for file in folder.glob("*.bin"))
        also = f"; {pickles[0]} is a pickle, which is never loaded: convert it to safetensors" if pickles else ""
        raise InputError(f"{folder}: no weights; expected {', '.join(absent) or 'safetensors files'}{also}")
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                if not list(tensors.keys()):
                    raise InputError(f"{file}: has no tensors")
        except (SafetensorError, OSError) as error:
            size = file.stat().st_size
            raise InputError(
                f"{file}: not a complete safetensors file ({size} bytes; {error}); download it again"
            ) from None
    return files


def _layers(config, folder: Path) -> int:
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int) or not isinstance(getattr(config, "hidden_size", None), int):
        raise InputError(f"{folder}/config.json: has no number of layers and hidden size under a known name")
    return layers


def _require_heads(folder: Path, config, files: list[Path]) -> None:
    """Check ESM's contact head (one weight per layer and head), which shows a wrong number of heads or layers."""
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            if CONTACTS in tensors.keys():  # noqa: SIM118 - a safetensors handle is not a dict
                weights = tensors.get_slice(CONTACTS).get_shape()[-1]
                if weights != config.num_hidden_layers * config.num_attention_heads:
                    raise InputError(
                        f"{folder}: the weights do not fit config.json: {weights} layers times attention heads by "
                        f"{CONTACTS}, {config.num_hidden_layers} times {config.num_attention_heads} by config.json"
                    )


def _context(config, tokenizer: Tokenizer, description: dict) -> int:
    if description.get("context"):
        return int(description["context"])
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type == "esm":
        positions -= 2  # ESM numbers positions from the padding id + 1
    limits = [limit for limit in (positions, tokenizer.model_max_length) if limit]
    return min([DEFAULT_CONTEXT, *limits])


def _model_class(config, kind: str, files: list[Path]):
    import transformers

    from genestill.teacher.architectures.architecture import class_of_folder

    own = class_of_folder(config, files)
    return own or (transformers.AutoModelForMaskedLM if kind == "masked" else transformers.AutoModelForCausalLM)


def _may_be_left(name: str, lowest: int, layers: int) -> bool:
    """Whether a tensor belongs to a layer from ``lowest`` to ``layers``, which is not needed, or to no layer."""
    number = re.search(r"\.(\d+)\.", name)
    return number is None or lowest <= int(number[1]) < layers or name.endswith(("inv_freq", "position_ids"))
