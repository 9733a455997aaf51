"""Hugging Face models opened whole: every tensor comes from the file, or a sentence says which does not.

And tokenizers saved so that other versions of transformers open them.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import read_json, write_json
from genestill.core.logs import logger

ADAPTER = "adapter_config.json"


def save_tokenizer(tokenizer, folder: str | Path) -> None:
    """``tokenizer.save_pretrained(folder)``, under a class name that transformers 4 has as well as 5."""
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
    """``model_class.from_pretrained(folder, **options)`` from safetensors, without code of the folder, and complete.

    transformers itself fills missing tensors with random numbers and passes over those that it has no place for.

    Args:
        model_class: a model class of transformers, or an ``AutoModel…``.
        folder: model folder, or the name of one on the hub.
        skipped: name of a tensor that the caller does not use, so it may have another shape.
        may_be_left: whether a tensor of the file, by name, may be left unused although it belongs to a part that the
            model has. Tensors of other parts (the head of another task) are always left unused, with a line in the log.
        options: of ``from_pretrained``.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: nothing that opens; tensors that are missing, of another shape, or left unused; an adapter beside
            the weights, which transformers would apply without asking.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()  # its table of what does not fit; the sentences below say it
    if (Path(folder) / ADAPTER).is_file():
        raise InputError(
            f"{folder}: holds an adapter ({ADAPTER}), which would change the weights when they are loaded; merge it "
            "into the weights and save them, or remove it"
        )
    # Auto classes take the switch; a class that is named has no code of the folder to begin with.
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
    except Exception as error:  # transformers, its checks of settings and safetensors have dozens of kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{folder}: no model that opens ({lines[0]})") from None
    other = sorted(key for key in found["mismatched_keys"] if key[0] != skipped)
    if other:
        name, stored, expected = other[0]
        raise InputError(
            f"{folder}: the weights do not fit config.json ({len(other)} tensors, first {name}: {tuple(stored)} in the "
            f"file, {tuple(expected)} by config.json); the model needs another architecture than the one that "
            "transformers has, or the folder is mixed"
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
            f"{folder}: the weights do not fit config.json: {len(lost)} tensors have no place in "
            f"{type(model).__name__} ({_first(lost)}); config.json may give too few layers"
        )
    if heads := [name for name in unused if not _belongs(model, name)]:
        logger.info("%s: %d tensors of other parts are left unused (%s)", folder, len(heads), _first(heads))
    return model.eval()


def _belongs(model, name: str) -> bool:
    """Whether a tensor of the file is of a part that the model has, or could have by its configuration."""
    inside = name.removeprefix(f"{model.base_model_prefix}.")
    return any(hasattr(model, path.split(".")[0]) for path in (name, inside))


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
