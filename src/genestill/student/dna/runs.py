"""The runs behind the commands: read, train, write a student or its predictions."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.devices import choose_device
from genestill.core.errors import InputError
from genestill.core.files import sha256_of, write_aside
from genestill.core.logs import logger
from genestill.core.seeds import seed_everything
from genestill.core.sequences import read_fasta
from genestill.core.shards import teacher_of
from genestill.core.table_schemas import TASK_PREDICTIONS, embeddings
from genestill.core.tables import write_table
from genestill.core.task_tables import read_task_table
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import TeacherFeatures
from genestill.student.dna.finetuning import embed_sequences, fine_tune
from genestill.student.dna.pretraining import MaskedLanguageModel, masked_batch
from genestill.student.dna.settings import DistillationSettings, FineTuning, Schedule, Start
from genestill.student.dna.students import (
    LanguageHead,
    open_language_head,
    open_student,
    save_student,
)
from genestill.student.dna.tasks import read_task
from genestill.student.dna.tokens import BytePairs
from genestill.student.dna.training import train


def pretrain_student(
    start: Start,
    sequences: str | Path,
    schedule: Schedule,
    masking: str,
    share: float,
    output: str | Path,
    history: str | Path | None = None,
    device: str = "auto",
) -> dict:
    """Masked language modelling over the windows of a FASTA file; ``schedule.steps`` 0 saves the student untrained.

    With ``start.initial`` this is continual pretraining (the language head saved beside the student goes on too).
    Returns the loss over the last ten steps.
    """
    seed_everything(schedule.seed)
    student, cutter = start.open()
    if masking == "groups" and isinstance(cutter, BytePairs):
        raise InputError("group masking asks for single bases; byte-pair students are masked token by token")
    where = choose_device(device)
    hidden = student.config.hidden_size
    head = (
        open_language_head(start.initial, hidden, cutter.size) if start.initial else LanguageHead(hidden, cutter.size)
    )
    model = MaskedLanguageModel(student, head).to(where)
    windows = [sequence for _, sequence in read_fasta(sequences)]

    def compute_loss(step: int):
        generator = np.random.default_rng([schedule.seed, step])
        places = (divmod(step * schedule.batch + row, len(windows)) for row in range(schedule.batch))
        chosen = [windows[_order(len(windows), epoch, schedule.seed)[place]] for epoch, place in places]
        batch, targets = masked_batch(chosen, cutter, masking, share, start.max_tokens, generator)
        loss = model(batch["input_ids"].to(where), batch["attention_mask"].to(where), targets.to(where))
        return loss, {"masked": loss.item()}

    settings = {"stage": "pretrain", "masking": masking, "share": share, **dataclasses.asdict(start)}
    inputs = {"sequences": sequences} | start.inputs()
    curve = _train_and_tell(model, compute_loss, schedule, len(windows), output, settings, inputs, history)
    save_student(output, student.cpu(), cutter, settings | dataclasses.asdict(schedule), head.cpu())
    _checkpoint(output).unlink(missing_ok=True)
    return {"final_loss": _last(curve)}


def distil_student(
    start: Start,
    sequences: str | Path,
    shards: Sequence[str | Path],
    schedule: Schedule,
    objective: DistillationSettings,
    share: float,
    output: str | Path,
    history: str | Path | None = None,
    device: str = "auto",
) -> dict:
    """Distil a student from shards of the teacher's token features over the windows of a FASTA file.

    Returns the loss over the last ten steps, and the teacher's name, revision, layer and pooling.
    """
    seed_everything(schedule.seed)
    student, cutter = start.open()
    where = choose_device(device)
    features = TeacherFeatures(shards, dict(read_fasta(sequences)))
    model = Distillation(student, objective, *features.scale()).to(where)

    def compute_loss(step: int):
        batch = features.batch(step, schedule.batch, schedule.seed, cutter, share, start.max_tokens)
        return model({name: value.to(where) for name, value in batch.items()})

    settings = {"stage": "distil", "share": share, **dataclasses.asdict(start), **dataclasses.asdict(objective)}
    inputs = {"sequences": sequences} | {f"features {number}": shard for number, shard in enumerate(shards)}
    inputs |= start.inputs()
    curve = _train_and_tell(model, compute_loss, schedule, features.rows, output, settings, inputs, history)
    student.config.teacher = features.teacher
    save_student(output, student.cpu(), cutter, settings | dataclasses.asdict(schedule))
    _checkpoint(output).unlink(missing_ok=True)
    return {"final_loss": _last(curve), **teacher_of(shards[0])}


def fine_tune_on_table(
    folder: str | Path,
    table: str | Path,
    task: str,
    model: str,
    settings: FineTuning,
    folds: int,
    fold: int,
    output: str | Path,
    device: str = "auto",
    kind: str = "student",
) -> dict:
    """Fine-tune the student of ``folder`` on a task table and write its predictions of the test rows.

    ``kind`` is what the model stands for in the tables: one of `kinds.KINDS`. Returns what was chosen on the validation
    rows: see `fine_tune`.
    """
    seed_everything(settings.seed)
    student, cutter = open_student(folder)
    data = read_task(table, folds, fold, settings.seed)
    found = fine_tune(student, cutter, data, settings, choose_device(device))
    rows = data.rows("test")
    probabilities = found.pop("probabilities")
    frame = pd.DataFrame(
        {
            "task": task,
            "model": model,
            "kind": kind,
            "variant": f"fit={settings.method}",
            "seed": settings.seed,
            "fold": np.int32(fold),
            "row": rows,
            "label": [data.classes[label] for label in data.labels[rows]],
            "predicted": [data.classes[label] for label in probabilities.argmax(axis=1)],
            "probabilities": list(probabilities),
        }
    )
    write_table(output, frame, TASK_PREDICTIONS, {"classes": json.dumps(data.classes)})
    return found


def embed_table(
    folder: str | Path, table: str | Path, pooling: str, batch: int, output: str | Path, device: str = "auto"
) -> None:
    """Embed every row of a task table with a frozen student: ``embeddings``, the id is the row's number."""
    student, cutter = open_student(folder)
    data = read_task_table(table)
    features, tokens, truncated = embed_sequences(
        student, cutter, data.sequences, pooling, batch, choose_device(device)
    )
    frame = pd.DataFrame(
        {
            "id": [str(row) for row in range(len(features))],
            "embedding": list(features.astype(np.float16)),
            "tokens": tokens,
            "truncated": truncated,
        }
    )
    write_table(output, frame, embeddings(features.shape[1]), {"pooling": pooling})


@functools.lru_cache(maxsize=2)
def _order(number: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1, epoch]).permutation(number)


def _checkpoint(output: str | Path) -> Path:
    return Path(output).parent / f"{Path(output).name}.checkpoint"


def _train_and_tell(model, compute_loss, schedule, windows, output, settings, inputs, history) -> pd.DataFrame:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    passes = schedule.steps * schedule.batch / windows
    logger.info(
        "%s: %d parameters learn for %d steps, %.2f passes over %d windows",
        *(settings["stage"], parameters, schedule.steps, passes, windows),
    )
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    task = settings | {"inputs": {role: sha256_of(path) for role, path in inputs.items()}}
    curve = train(model, compute_loss, schedule, _checkpoint(output), task)
    if len(curve):
        logger.info("loss %.4f at the first step, %.4f over the last ten", curve["loss"].iloc[0], _last(curve))
    if history is not None:
        with write_aside(history) as aside:
            curve.to_csv(aside, sep="\t", index=False)
    return curve


def _last(curve: pd.DataFrame) -> float | None:
    return float(curve["loss"].tail(10).mean()) if len(curve) else None
