"""Training of students from files: pretraining, distillation, and fine-tuning with predictions."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.devices import choose_device, compile_on_gpu
from genestill.core.errors import InputError
from genestill.core.files import make_folder
from genestill.core.logs import logger
from genestill.core.seeds import seed_everything
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.core.shards import TEACHER_RECORD
from genestill.core.table_schemas import TASK_PREDICTIONS
from genestill.core.tables import write_table
from genestill.core.task_tables import variant_of
from genestill.core.training.batches import Batch, ShuffledRows, cut_rows
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import train, write_history
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import ComputedFeatures, StoredFeatures, Teacher, WindowFeatures
from genestill.student.dna.finetuning import fine_tune
from genestill.student.dna.held_out import held_out_rows, read_held_out
from genestill.student.dna.pretraining import MaskedLanguageModel, asked_batch, masked_batch
from genestill.student.dna.settings import (
    ComputedFeaturesSettings,
    DistillationSettings,
    FineTuning,
    Start,
    TrainingSettings,
)
from genestill.student.dna.students import (
    open_language_model,
    open_student,
    save_student,
)
from genestill.student.dna.tasks import read_task
from genestill.student.encoders.adapters import BytePairAdapter, TeacherAdapter, longest_input, without_full_mask
from genestill.student.encoders.heads import with_language_head


def pretrain_student(
    start: Start,
    sequences: str | Path,
    training: TrainingSettings,
    masking: str,
    share: float,
    output: str | Path,
    history: str | Path | None = None,
    device: str = "auto",
    both_strands: bool = False,
    compiled: bool = False,
) -> dict:
    """Masked language modelling over the windows of a FASTA file; ``training.steps`` 0 saves the student untrained.

    Windows have the same length in bases, so little of a batch is padding: none with single bases, 3 to 14 % with byte
    pairs. They are not packed as in the pretraining of teachers (`genestill.teacher.pretraining`), because blocks of
    several windows are longer, and the cost of attention grows with the square of the length.

    With ``both_strands`` half of the windows, drawn in each step, are reverse-complemented. With ``start.initial``, it
    is continual pretraining (the language head saved with the student is trained further too). ``compiled``: see
    `compile_on_gpu`. Returns the loss over the last ten steps.
    """
    seed_everything(training.seed)
    student, adapter = start.open()
    if masking == "groups" and isinstance(adapter, BytePairAdapter):
        raise InputError("group masking needs single bases; byte-pair students are masked by token")
    where = choose_device(device)
    whole = open_language_model(start.initial, student) if start.initial else with_language_head(student)
    model = MaskedLanguageModel(whole).to(where)
    longest = min(start.max_tokens, longest_input(student.config))
    compile_on_gpu(model.student, where, compiled)
    windows = [sequence for _, sequence in read_fasta(sequences)]
    held = held_out_rows(len(windows))
    learnt = np.delete(np.arange(len(windows)), held)
    shuffled = ShuffledRows(len(learnt), training.batch, training.seed)

    def draw(step: int, parts: int = 1) -> list[Batch]:
        generator = np.random.default_rng([training.seed, step])
        chosen = [windows[row] for row in learnt[shuffled.rows(step)]]
        if both_strands:
            turned = np.random.default_rng([training.seed, 1, step]).random(len(chosen)) < 0.5
            chosen = [reverse_complement(one) if turn else one for one, turn in zip(chosen, turned, strict=True)]
        batch, targets = masked_batch(chosen, adapter, masking, share, longest, generator)
        read = {name: batch[name] for name in ("input_ids", "attention_mask")} | {"targets": targets}
        return [asked_batch({name: values[rows] for name, values in read.items()})
                for rows in cut_rows(np.arange(len(chosen)), parts)]  # fmt: skip

    def draw_held_out() -> Iterator[Batch]:
        generator = np.random.default_rng(training.seed)
        for first in range(0, len(held), training.batch):
            chosen = [windows[row] for row in held[first : first + training.batch]]
            batch, targets = masked_batch(chosen, adapter, masking, share, longest, generator)
            yield asked_batch({name: batch[name] for name in ("input_ids", "attention_mask")} | {"targets": targets})

    def compute_loss(tensors):
        return model(**tensors), {}

    settings = {"stage": "pretrain", "masking": masking, "mask_fraction": share, **dataclasses.asdict(start)}
    settings["reverse_complement_augmentation"] = both_strands
    inputs = {"sequences": sequences} | start.inputs()
    checkpoint = _checkpoint(output, settings, training, inputs)
    reading = read_held_out(model, compute_loss, draw_held_out, training.steps, where)
    curve = _train(model, draw, compute_loss, training, checkpoint, len(learnt), history, reading)
    save_student(output, whole.cpu(), adapter, settings | dataclasses.asdict(training))
    checkpoint.remove()
    return {"final_loss": _last(curve)}


def distil_student(
    start: Start,
    sequences: str | Path,
    shards: Sequence[str | Path],
    training: TrainingSettings,
    objective: DistillationSettings,
    share: float,
    output: str | Path,
    history: str | Path | None = None,
    device: str = "auto",
    computed: ComputedFeaturesSettings | None = None,
    open_teacher: Callable[..., Teacher] | None = None,
    compiled: bool = False,
) -> dict:
    """Distil a student from the teacher's token features, over the sequences of a FASTA file.

    The features are read from ``shards``, which hold those of every sequence; or, without shards, the teacher of
    ``computed`` computes them in every step, of a new window of each sequence.

    ``open_teacher`` opens this teacher from folder, device, dtype and layer (`genestill.teacher.loading.load_teacher`).
    ``compiled``: see `compile_on_gpu`. Returns the loss over the last ten steps, and the teacher's name, revision,
    layer and pooling.
    """
    seed_everything(training.seed)
    student, adapter = start.open()
    where = choose_device(device)
    features = _features(shards, computed, open_teacher, dict(read_fasta(sequences)), where)
    model = Distillation(student, objective, *features.scale()).to(where)
    longest = min(start.max_tokens, longest_input(student.config))
    compile_on_gpu(student, where, compiled)

    def draw(step: int, parts: int = 1) -> list[Batch]:
        found = features.batches(step, training.batch, training.seed, adapter, share, longest, parts)
        return [Batch(without_full_mask(one), int(one["attention_mask"].sum())) for one in found]

    def draw_held_out() -> Iterator[Batch]:
        for batch in features.held_out(training.batch, training.seed, adapter, share, longest):
            yield Batch(without_full_mask(batch), 0)

    def compute_loss(tensors):
        return model(features.complete(tensors))

    settings = {"stage": "distil", "mask_fraction": share, **dataclasses.asdict(start), **dataclasses.asdict(objective)}
    inputs = {"sequences": sequences} | {f"features {number}": shard for number, shard in enumerate(shards)}
    if computed is not None and computed.teacher is not None:
        settings |= {"features": "computed", **dataclasses.asdict(computed)}
        inputs["teacher"] = computed.teacher
    inputs |= start.inputs()
    checkpoint = _checkpoint(output, settings, training, inputs, features.teacher)
    workers = features.workers if where.type == "cuda" else 0
    reading = read_held_out(model, compute_loss, draw_held_out, training.steps, where)
    curve = _train(model, draw, compute_loss, training, checkpoint, features.rows, history, reading, workers)
    student.config.teacher = features.teacher
    save_student(output, student.cpu(), adapter, settings | dataclasses.asdict(training))
    checkpoint.remove()
    told = {key: features.teacher[key] for key in TEACHER_RECORD if key in features.teacher}
    return {"final_loss": _last(curve), **told}


def _features(
    shards: Sequence[str | Path],
    computed: ComputedFeaturesSettings | None,
    open_teacher: Callable[..., Teacher] | None,
    sequences: dict[str, str],
    device,
) -> WindowFeatures:
    folder = None if computed is None else computed.teacher
    if shards and folder is None:
        return StoredFeatures(shards, sequences)
    if not shards and computed and folder and open_teacher:
        teacher = open_teacher(folder, device, computed.dtype, computed.layer)
        return ComputedFeatures(teacher, sequences, computed.window_length, computed.shortest_window)
    raise InputError("give either shards of the teacher's features, or a teacher that computes them")


def fine_tune_on_table(
    folder: str | Path,
    table: str | Path,
    task: str,
    model: str,
    settings: FineTuning,
    folds: int,
    fold: int,
    output: str | Path | None,
    device: str = "auto",
    kind: str = "student",
    output_model: str | Path | None = None,
    split_by: str = "random",
    rows: int | None = None,
    training: int | None = None,
) -> dict:
    """Fine-tune the student, or the teacher, in ``folder`` on a task table and write its predictions of the test rows.

    ``kind`` is the kind of the model in tables: one of `kinds.KINDS`. ``output_model`` is a folder for the classifier;
    either output may be None. ``training`` is the number of the student's training in the predictions. ``split_by``,
    ``rows``: see `read_task`. The state is stored in
    ``<output>.<rate>x<epochs>.checkpoint``, one file for each learning rate that is tried and one for the selected
    rate, and removed at the end. Returns the values selected with the validation rows: see `fine_tune`.
    """
    seed_everything(settings.seed)
    student, adapter = open_student(folder)
    written = output or output_model
    if written is None:
        raise InputError("no output: give a file for predictions, a folder for the classifier, or both")
    if output_model is not None and isinstance(adapter, TeacherAdapter):
        raise InputError(f"{folder}: a teacher, whose classifier cannot be saved; give only a file for predictions")
    data = read_task(table, folds, fold, settings.seed, split_by=split_by, rows=rows)
    described = dataclasses.asdict(settings) | {"folds": folds, "fold": fold, "rows": rows, "split_by": split_by}
    checkpoints: dict[tuple[float, int], Checkpoint] = {}

    def checkpoint(rate: float, epochs: int) -> Checkpoint:
        path = f"{written}.{rate:g}x{epochs}.checkpoint"
        inputs = {"student": folder, "task": table}
        return checkpoints.setdefault((rate, epochs), Checkpoint(path, described, inputs))

    make_folder(Path(written).parent)
    found = fine_tune(student, adapter, data, settings, choose_device(device), checkpoint)
    probabilities, classifier = found.pop("probabilities"), found.pop("model")
    if output_model is not None:
        save_student(output_model, classifier, adapter, {"task": task, **dataclasses.asdict(settings), **found})
    if output is not None:
        _write_predictions(output, data, probabilities, task, model, kind, settings, fold, rows, training)
    for kept in checkpoints.values():
        kept.remove()
    return found


def _write_predictions(output, data, probabilities, task, model, kind, settings, fold, fitted_rows, training) -> None:
    rows = data.rows("test")
    frame = pd.DataFrame(
        {
            "task": task,
            "model": model,
            "kind": kind,
            "variant": variant_of(settings.method, fitted_rows),
            "seed": settings.seed,
            "fold": np.int32(fold),
            "row": rows,
            "label": [data.classes[label] for label in data.labels[rows]],
            "predicted": [data.classes[label] for label in probabilities.argmax(axis=1)],
            "probabilities": list(probabilities),
        }
    )
    metadata = {"classes": json.dumps(data.classes), "training": json.dumps(training)}
    write_table(output, frame, TASK_PREDICTIONS, metadata)


def _checkpoint(output, settings: dict, training: TrainingSettings, inputs: dict, teacher=None) -> Checkpoint:
    output = Path(output)
    make_folder(output.parent)
    # A file is identified by its content, a published model by its name.
    named = {key: value for key, value in settings.items() if key not in inputs}
    path = output.parent / f"{output.name}.checkpoint"
    return Checkpoint(path, named | dataclasses.asdict(training), inputs, teacher)


def _train(model, draw, compute_loss, training, checkpoint, windows, history, reading, workers=None) -> pd.DataFrame:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    passes = training.steps * training.batch / windows
    logger.info(
        "%d parameters are trained for %d steps, %.2f passes over %d windows",
        parameters,
        training.steps,
        passes,
        windows,
    )
    schedule = Schedule(training.steps, training.learning_rate, training.warmup)
    optimizer = AdamW(parameter_groups(model, schedule.rate, training.weight_decay))
    # The last normalisation of an encoder; DeBERTa has no normalisation after its layers.
    stream = getattr(model.student, "norm", None)
    curve = train(
        model, optimizer, draw, compute_loss, training.steps, checkpoint=checkpoint, residual_stream=stream,
        after_step=reading, workers=workers, divisible=True,
    )  # fmt: skip
    if len(curve):
        logger.info("loss %.4f at the first step, %.4f over the last ten", curve["loss"].iloc[0], _last(curve))
    if history is not None:
        write_history(history, curve)
    return curve


def _last(curve: pd.DataFrame) -> float | None:
    return float(curve["loss"].tail(10).mean()) if len(curve) else None
