"""The validation rows of a task table for fine-tuning a student."""

import dataclasses
from pathlib import Path

import numpy as np

from genestill.core.errors import InputError
from genestill.core.task_tables import TaskTable, cross_validation, hold_out, keep_training_rows, read_task_table

_ADVICE = "mark validation rows in the column split, or add rows"


def read_task(
    path: str | Path,
    folds: int = 0,
    fold: int = 0,
    seed: int = 1,
    fraction: float = 0.1,
    split_by: str = "random",
    rows: int | None = None,
) -> TaskTable:
    """Read a task table and hold out its validation rows.

    Validation rows, in this order of preference: those of ``fold`` in a column ``fold`` or in a stratified k-fold
    division of the training rows (``folds`` > 0; independent of ``seed``, so that the folds are disjoint); those marked
    in the table; ``fraction`` of the training rows, stratified, drawn with ``seed``. Test rows are never used.
    ``rows``: see `keep_training_rows`.

    Raises:
        InputError: as `read_task_table`; a fold that is not one of ``folds``; and if there are too few rows for
            validation or a class is left without training rows.
    """
    if (fold and not folds) or (folds and not 0 <= fold < folds):
        raise InputError(f"fold {fold} of {folds} folds; expected --folds, and a fold from 0 to one less")
    table = keep_training_rows(read_task_table(path, split_by), rows, seed, path)
    split = table.split.copy()
    if folds:
        split[table.train] = "train"
        split[_rows_of_fold(path, table, folds, fold)] = "validation"
    elif "validation" not in split:
        split[_rows_at_random(path, table, fraction, seed)] = "validation"
    task = dataclasses.replace(table, split=split)
    left = np.bincount(table.labels[task.rows("train")], minlength=len(table.classes))
    if not left.all():
        name = table.classes[int(left.argmin())]
        raise InputError(f"{path}: all training rows of the label {name!r} are held out for validation")
    return task


def _rows_of_fold(path: str | Path, table: TaskTable, folds: int, fold: int) -> np.ndarray:
    if table.folds is not None:
        held = table.train[table.folds[table.train] == str(fold)]
    else:
        try:
            divided = cross_validation(table, folds, seed=0)
        except InputError as error:
            raise InputError(f"{path}: {error}; {_ADVICE}") from None
        held = divided[fold][1] if fold < len(divided) else []
    if not len(held):
        raise InputError(f"{path}: fold {fold} has no rows")
    return held


def _rows_at_random(path: str | Path, table: TaskTable, fraction: float, seed: int) -> np.ndarray:
    try:
        return hold_out(table, fraction, seed)[1]
    except InputError as error:
        raise InputError(f"{path}: {error}; {_ADVICE}") from None
