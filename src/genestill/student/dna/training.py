"""The training loop of pretraining and distillation: resumes to the same numbers, stops at the first bad loss."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from genestill.core.errors import CheckFailed
from genestill.core.logs import progress
from genestill.student.dna.settings import Schedule
from genestill.student.encoders.checkpoints import resume, save_checkpoint


def train(
    model: nn.Module,
    compute_loss: Callable[[int], tuple[torch.Tensor, dict[str, float]]],
    schedule: Schedule,
    checkpoint: str | Path,
    task: dict,
) -> pd.DataFrame:
    """Train ``model`` in place.

    Args:
        model: all that learns, student and heads alike.
        compute_loss: from the number of a step to (loss, its parts). It must draw everything from (seed, step), so
            that a run that was killed and one that was not give the same model.
        schedule: see `Schedule`.
        checkpoint: file that holds the state between checkpoints; an existing one is resumed, and it is removed by
            whoever has saved the finished model.
        task: what is trained on what; a checkpoint of another task or schedule is refused.

    Returns:
        One row a step: step, loss, its parts, gradient_norm, learning_rate.

    Raises:
        CheckFailed: the loss or the gradient is not a number.
        InputError: the checkpoint belongs to other settings.
    """
    optimizer = torch.optim.AdamW(_groups(model, schedule.weight_decay), lr=schedule.learning_rate)
    identity = {"schedule": dataclasses.asdict(schedule), "task": task}
    history = resume(checkpoint, model, optimizer, identity)
    model.train()
    for step in progress(range(len(history), schedule.steps), schedule.steps - len(history), "steps", "training"):
        rate = schedule.learning_rate * schedule.factor(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, parts = compute_loss(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), schedule.clip))
        if not (math.isfinite(loss.item()) and math.isfinite(norm)):
            raise CheckFailed(
                f"training stopped at step {step}: loss {loss.item()}, gradient norm {norm}; "
                f"the last checkpoint is of step {step - step % schedule.checkpoint_every}; try a lower learning rate"
            )
        optimizer.step()
        history.append({"step": step, "loss": loss.item(), **parts, "gradient_norm": norm, "learning_rate": rate})
        if (step + 1) % schedule.checkpoint_every == 0 and step + 1 < schedule.steps:
            save_checkpoint(checkpoint, model, optimizer, history, identity)
    model.eval()
    return pd.DataFrame(history)


def _groups(model: nn.Module, weight_decay: float) -> list[dict]:
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]
