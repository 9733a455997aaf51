"""The state of a training between steps: one file, written atomically, used only by the same training."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from genestill.core.errors import InputError
from genestill.core.files import sha256_of, write_aside
from genestill.core.logs import logger
from genestill.core.training.optimizer import AdamW
from genestill.core.training.selection import BestWeights

SECONDS_BETWEEN_CHECKPOINTS = 60.0


class Checkpoint:
    """A file with the state of one training, which no other training accepts.

    Args:
        path: the file.
        settings: settings of the training and the model, JSON-like.
        inputs: training data (files or folders) by role; they are identified by content, not by name. They are read
            when the file is first written or found, so not in a short training.
        teacher: identity of the teacher; empty without a teacher.
    """

    def __init__(
        self, path: str | Path, settings: Mapping, inputs: Mapping[str, str | Path], teacher: Mapping | None = None
    ):
        self.path, self._settings, self._inputs, self._teacher = Path(path), settings, inputs, teacher

    @cached_property
    def identity(self) -> dict:
        """Settings, checksums of the inputs, and teacher."""
        checksums = {role: sha256_of(file) for role, file in self._inputs.items()}
        identity = {"settings": dict(self._settings), "inputs": checksums, "teacher": dict(self._teacher or {})}
        return json.loads(json.dumps(identity, default=str))

    def save(self, model: nn.Module, optimizer: AdamW, history: list[dict], best: BestWeights | None = None) -> None:
        """Write weights, optimizer, random state, ``history`` (one dict per step) and the best weights so far."""
        state = {
            "identity": json.dumps(self.identity),
            "model": model.state_dict(),
            "optimizer": optimizer.state(),
            "history": json.dumps(history),
            "random": _random_state(optimizer.device),
            "best": best.state() if best else None,
        }
        # Opened here: torch reports a file that it cannot open as a RuntimeError without its path.
        with write_aside(self.path) as aside, open(aside, "wb") as handle:
            torch.save(state, handle)

    def resume(self, model: nn.Module, optimizer: AdamW, best: BestWeights | None = None) -> list[dict]:
        """Restore model, optimizer and best weights from the file; return its history, empty without a file.

        Raises `InputError` for a damaged file, or a checkpoint of another training.
        """
        if not self.path.is_file():
            return []
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            found, history, random = json.loads(state["identity"]), json.loads(state["history"]), state["random"]
            weights, moments, kept = state["model"], state["optimizer"], state["best"]
        except Exception as error:  # a truncated file or one that is not a checkpoint raises many types of errors
            raise InputError(
                f"{self.path}: the checkpoint cannot be read ({type(error).__name__}), so it is damaged; "
                "remove it to start again"
            ) from None
        if found != self.identity:
            differences = "; ".join(_differences(found, self.identity)[:3])
            raise InputError(
                f"{self.path}: the checkpoint of a training with other settings or inputs ({differences}); remove it "
                "to start again, or restore its settings and inputs"
            )
        model.load_state_dict(weights)
        optimizer.load_state(moments)
        if best:
            best.load_state(kept)
        _set_random_state(random, optimizer.device)
        logger.info("%s: resumed after %d steps", self.path, len(history))
        return history

    def remove(self) -> None:
        """Remove the file, once the finished model is saved."""
        self.path.unlink(missing_ok=True)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _differences(found, wanted, name: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        inner = [_differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [difference for differences in inner for difference in differences]
    return [] if found == wanted else [f"{name}: {found!r}, now {wanted!r}"]
