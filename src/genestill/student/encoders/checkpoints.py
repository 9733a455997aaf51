"""The state of a training between steps: one file, written whole, taken up by the same run only."""

import json
from pathlib import Path

import torch
from torch import nn

from genestill.core.errors import InputError
from genestill.core.files import write_aside
from genestill.core.logs import logger


def save_checkpoint(path: str | Path, model: nn.Module, optimizer, record: list[dict], identity: dict) -> None:
    """Write weights, optimiser and ``record`` (one dict a step taken) of the run that ``identity`` describes."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with write_aside(path) as aside:
        torch.save(state | {"record": json.dumps(record), "identity": _text(identity)}, aside)


def resume(path: str | Path, model: nn.Module, optimizer, identity: dict) -> list[dict]:
    """Take ``model`` and ``optimizer`` to where the checkpoint left them; return its record, empty if there is none.

    Raises `InputError` for a file that is no checkpoint, or that of a run with another ``identity``.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        record, found = json.loads(state["record"]), state["identity"]
    except Exception as error:  # a file that was cut or is no checkpoint raises many kinds
        raise InputError(f"{path}: not a checkpoint that can be read ({error}); remove it") from None
    if found != _text(identity):
        raise InputError(
            f"{path}: made with other settings or inputs ({found}) than now ({_text(identity)}); "
            "remove it or go back to its settings"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("%s: resumed after %d steps", path, len(record))
    return record


def _text(identity: dict) -> str:
    return json.dumps(identity, sort_keys=True, default=str)
