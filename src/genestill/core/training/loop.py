"""The training loop: steps, clipping, mixed precision, checks for finite values, checkpoints and history."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from genestill.core.devices import name_of
from genestill.core.errors import CheckFailed, InputError
from genestill.core.logs import logger, progress
from genestill.core.tables import write_tsv
from genestill.core.training import checkpoints
from genestill.core.training.batches import Batch, prepared
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.optimizer import AdamW
from genestill.core.training.selection import BestWeights

STEPS_BETWEEN_READINGS = {"cpu": 1, "cuda": 20}  # reading empties the queue of a GPU


class Diverged(CheckFailed):
    """Loss or gradient is not finite. ``history`` ends with that step; the weights are those before the step."""

    def __init__(self, message: str, history: pd.DataFrame):
        super().__init__(message)
        self.history = history


def train(
    model: nn.Module,
    optimizer: AdamW,
    draw: Callable[..., list[Batch]],
    compute_loss: Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, dict[str, torch.Tensor]]],
    steps: int,
    *,
    name: str = "training",
    clip: float = 1.0,
    checkpoint: Checkpoint | None = None,
    minutes: float | None = None,
    residual_stream: nn.Module | None = None,
    best: BestWeights | None = None,
    after_step: Callable[[int], dict[str, float]] | None = None,
    workers: int | None = None,
    divisible: bool = False,
) -> pd.DataFrame:
    """Train ``model`` in place, on the device of its parameters.

    On a GPU the loss is computed in bfloat16 where that is safe (autocast) and otherwise in TF32, and losses are read
    every few steps, so that the device never waits; on a CPU everything is float32. On a CPU, a training that was
    killed and resumed gives exactly the same weights as one without interruption.

    If a step does not fit into the memory of a GPU and ``divisible`` is set, the rows of this and all later steps are
    processed in twice as many parts, with a warning.

    Args:
        model: everything that is trained, for example a student with its heads.
        optimizer: optimizer of the parameters to train.
        draw: function from the number of a step (from 0) to its batches; the step uses the mean of their losses
            (gradient accumulation). It must depend only on seed and step, and may run in another process. If
            ``divisible``, its second argument is the number of parts into which the rows of the step are cut; it
            returns fewer parts if there are fewer rows.
        compute_loss: function from the tensors of a batch to (loss, its parts); parts are scalars for the history.
        steps: optimizer steps.
        name: what is trained, for messages.
        clip: largest norm of the gradient; 0 for no clipping.
        checkpoint: resumed if the file exists, and written once per minute; to be removed after the finished model is
            saved.
        minutes: time limit; the learning rate then follows time or steps, whichever is closer to its end.
        residual_stream: the module whose input is the end of the residual stream (a model's last normalisation); the
            root mean square of this input is recorded in the history.
        best: scores the model at the end of every epoch, and may end the training; saved in the checkpoint.
        after_step: called after each step with the number of steps so far; returns further values for the history,
            usually none.
        workers: see `prepared`.
        divisible: whether ``draw`` accepts a number of parts.

    Returns:
        The history, one row per step: step (from 1), loss, its parts, gradient_norm (before clipping), residual_norm,
        learning_rate, tokens, tokens_per_second, seconds (since the start), validation (score of ``best``, at the end
        of an epoch), and the values of ``after_step``.

    Raises:
        Diverged: loss or gradient is not finite.
        InputError: the checkpoint is damaged or belongs to another training, or a step does not fit into the memory of
            the GPU, even in parts of one row.
    """
    device = optimizer.device
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    history = checkpoint.resume(model, optimizer, best) if checkpoint else []
    clock = _Clock(history[-1]["seconds"] if history else 0.0)
    between_readings = STEPS_BETWEEN_READINGS.get(device.type, 1)
    limit = 60 * minutes if minutes else math.inf
    # After a step that is not finite, no later step changes the weights, even if this is detected later.
    broken = torch.zeros((), device=device)
    unread: list[dict] = []
    saved = time.monotonic()
    first = len(history)
    number = 1  # number of parts of a step
    batches = prepared(draw, range(first, steps), device, workers, lambda: number)
    with _residual_norm(residual_stream) as seen:
        lines = progress(batches, steps - first, "steps", name, lambda: _latest(history))
        for step, parts in enumerate(lines, first):
            if clock.seconds() >= limit or (best is not None and best.ended):
                break
            if not model.training:
                model.train()
            while (found := _gradients(parts, compute_loss, optimizer)) is None:
                number *= 2
                parts = _divided(draw, step, number, name, device) if divisible else []
                if len(parts) < number:
                    raise InputError(
                        f"{name}: a step does not fit into the memory of {name_of(device)}"
                        f"{', even in parts of one row' if divisible else ''}; use a smaller model or batch, or "
                        "shorter inputs"
                    )
            loss, terms = found
            norm = nn.utils.clip_grad_norm_(optimizer.moved(), clip or math.inf)
            broken = torch.maximum(broken, (~(torch.isfinite(loss) & torch.isfinite(norm))).float())
            rate = optimizer.step(max(step, steps * clock.seconds() / limit), broken)
            measured = {"loss": loss, **terms, "gradient_norm": norm, **seen}
            unread.append({"step": step + 1, "measured": measured, "learning_rate": rate,
                           "tokens": sum(part.tokens for part in parts), "found": {}})  # fmt: skip
            due = checkpoint is not None and time.monotonic() - saved >= checkpoints.SECONDS_BETWEEN_CHECKPOINTS
            if len(unread) >= between_readings or due:
                _read(unread, history, clock)
                _require_finite(history, len(unread), name, checkpoint)
                unread.clear()
            latest = unread[-1]["found"] if unread else history[-1]
            if best is not None:
                latest.update(best(step + 1))
            if after_step is not None:
                latest.update(after_step(step + 1) or {})
            if due and checkpoint is not None and step + 1 < steps:
                saved = time.monotonic()
                checkpoint.save(model, optimizer, history, best)
    _read(unread, history, clock)
    _require_finite(history, len(unread), name, checkpoint)
    model.eval()
    return pd.DataFrame(history)


def write_history(path: str | Path, history: pd.DataFrame) -> None:
    """Write a history as TSV."""
    write_tsv(path, history)


class _Clock:
    """Seconds since the start of a training, including the time before an interruption."""

    def __init__(self, elapsed: float):
        self._elapsed, self._began = elapsed, time.monotonic()
        self.read = elapsed

    def seconds(self) -> float:
        return self._elapsed + time.monotonic() - self._began


def _gradients(
    parts: list[Batch], compute_loss, optimizer: AdamW
) -> tuple[torch.Tensor, dict[str, torch.Tensor]] | None:
    """Compute the gradient of the mean loss of ``parts``; return this loss and the means of its parts.

    Parts are processed one after another, so a step can be divided further here. Returns None, without a gradient, if
    a part does not fit into the memory of the GPU.
    """
    terms: dict[str, list[torch.Tensor]] = {}
    losses, device = [], optimizer.device
    try:
        for part in parts:
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                loss, found = compute_loss(part.to(device))
            (loss / len(parts)).backward()
            losses.append(loss.detach())
            for term, value in found.items():
                terms.setdefault(term, []).append(torch.as_tensor(value).detach())
    except torch.OutOfMemoryError:
        for parameter in optimizer.moved():
            parameter.grad = None
        return None
    return _mean(losses), {term: _mean(values) for term, values in terms.items()}


def _divided(draw, step: int, number: int, name: str, device: torch.device) -> list[Batch]:
    """The batches of a step whose rows are cut into ``number`` parts, after half as many parts did not fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    parts = draw(step, number)
    if len(parts) >= number:
        logger.warning(
            "%s: the memory of %s is too small for the batch of step %d; from here on it is processed in %d "
            "parts of about %d tokens, and the step uses the mean of their losses",
            name, name_of(device), step + 1, number, parts[0].tokens,
        )  # fmt: skip
    return parts


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean()


def _read(unread: list[dict], history: list[dict], clock: _Clock) -> None:
    """Append ``unread`` rows to ``history``, with one copy from the device for all numbers."""
    if not unread:
        return
    measured = [value.double() for row in unread for value in row["measured"].values()]
    numbers = iter(torch.stack(measured).tolist())
    seconds = clock.seconds()
    speed = sum(row["tokens"] for row in unread) / max(seconds - clock.read, 1e-9)
    clock.read = seconds
    for row in unread:
        values = {name: next(numbers) for name in row["measured"]}
        history.append(
            {
                "step": row["step"],
                **values,
                "learning_rate": row["learning_rate"],
                "tokens": row["tokens"],
                "tokens_per_second": speed,
                "seconds": seconds,
                **row["found"],
            }
        )


def _require_finite(history: list[dict], latest: int, name: str, checkpoint: Checkpoint | None) -> None:
    for number in range(len(history) - latest, len(history)):
        row = history[number]
        if math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"]):
            continue
        kept = "there is no checkpoint"
        if checkpoint and checkpoint.path.is_file():
            kept = f"the checkpoint of an earlier step is {checkpoint.path}"
        raise Diverged(
            f"{name}: the loss is {row['loss']:g} and the norm of its gradient {row['gradient_norm']:g} at step "
            f"{row['step']} (learning rate {row['learning_rate']:g}); {kept}; lower the learning rate",
            pd.DataFrame(history[: number + 1]),
        )


def _latest(history: list[dict]) -> str:
    if not history:
        return ""
    return f"loss {history[-1]['loss']:.4g}, {history[-1]['tokens_per_second']:.3g} tokens/s"


@contextmanager
def _residual_norm(module: nn.Module | None) -> Iterator[dict[str, torch.Tensor]]:
    seen: dict[str, torch.Tensor] = {}
    if module is None:
        yield seen
        return

    def look(_, inputs) -> None:
        seen["residual_norm"] = inputs[0].detach().float().square().mean().sqrt()

    handle = module.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()
