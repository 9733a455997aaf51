"""Importing predictions of other programs for the test rows of a task, as a table like our own predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.cells import read_number
from genestill.core.errors import InputError
from genestill.core.logs import log_counts
from genestill.core.table_schemas import TASK_PREDICTIONS
from genestill.core.tables import number_columns, read_tsv, write_table
from genestill.core.task_tables import TaskTable, read_task_table


def import_sequence_predictions(
    predictions: str | Path, path: str | Path, task: str, model: str, output: str | Path
) -> None:
    """Check predictions of a task's test rows and write them as `table_schemas.TASK_PREDICTIONS`, of the kind ``peer``.

    Args:
        predictions: TSV with the column ``id`` (ids of the FASTA file of `runs.write_rows`: row numbers of the task
            table, from 0) and either one column per class with its score, where the highest score is the prediction,
            or the column ``target`` with the predicted class.
        path: the task table.
        task: ``benchmark/task``.
        model: its name in tables.
        output: the table; ``probabilities`` has the unchanged scores, or null if only classes were given.

    Rows of the task that are not test rows are left out and counted.

    Raises:
        InputError: an id that is not a row of the task or is repeated, a test row without prediction, an unknown
            class, a score that is not a finite number; each with its line. As the functions that read the tables.
    """
    table = read_task_table(path)
    given = read_tsv(predictions, ("id",))
    rows = _rows_of(given, table, predictions, path)
    chosen = given[np.isin(rows, table.test)]
    # Test rows are in ascending order, and all of them are given.
    chosen = chosen.iloc[np.argsort(rows[np.isin(rows, table.test)])]
    log_counts("predictions", {"rows_that_are_no_test_rows": len(given) - len(chosen)})
    columns = {name: _class_of(name, table.classes) for name in given.columns if name != "id"}
    if set(table.classes) <= set(columns.values()):
        scores = _scores(chosen, columns, predictions)[
            :, [list(columns.values()).index(name) for name in table.classes]
        ]
        predicted = [table.classes[place] for place in scores.argmax(axis=1)]
        probabilities = list(scores.astype(np.float32))
    elif "target" in columns:
        predicted = _classes(chosen["target"], table.classes, predictions)
        probabilities = None
    else:
        raise InputError(
            f"{predictions}: columns {', '.join(given.columns)[:200]}; expected id and target, or id and one column "
            f"per class: {', '.join(table.classes)[:200]}"
        )
    frame = pd.DataFrame(
        {
            "task": task,
            "model": model,
            "kind": "peer",
            "variant": "",
            "seed": 0,
            "fold": np.int32(0),
            "row": table.test,
            "label": [table.classes[label] for label in table.labels[table.test]],
            "predicted": predicted,
            "probabilities": probabilities,
        }
    )
    write_table(output, frame, TASK_PREDICTIONS, {"classes": json.dumps(table.classes)})


def _rows_of(given: pd.DataFrame, table: TaskTable, source: str | Path, path: str | Path) -> np.ndarray:
    """Row of the task table for each row of ``given``, int64 [rows of given]."""
    numbers = {str(row): row for row in range(len(table.sequences))}
    seen: dict[str, int] = {}
    for line, name in given["id"].items():
        if name not in numbers:
            raise InputError(
                f"{source}: line {line} has the id {name[:60]!r}, which is not a row of {path}; expected a row number, "
                f"0 to {len(numbers) - 1}"
            )
        if name in seen:
            raise InputError(
                f"{source}: line {line} repeats the id {name!r} of line {seen[name]}; expected each id once"
            )
        seen[name] = line
    missing = [row for row in table.test if str(row) not in seen]
    if missing:
        raise InputError(
            f"{source}: no prediction for {len(missing)} of {len(table.test)} test rows of {path} (the first: id "
            f"{str(missing[0])!r})"
        )
    return given["id"].map(numbers).to_numpy(dtype=np.int64)


def _class_of(text: str, classes: list[str]) -> str | None:
    """The class in a cell; ``1.0``, as spreadsheets and pandas write 1, is the class ``1``."""
    if text in classes:
        return text
    number = read_number(text)
    return next((name for name in classes if number is not None and read_number(name) == number), None)


def _classes(cells: pd.Series, classes: list[str], source: str | Path) -> list[str]:
    named = {text: name for text in cells.unique() if (name := _class_of(text, classes)) is not None}
    for line, text in cells.items():
        if text not in named:
            raise InputError(
                f"{source}: line {line} has the target {text[:60]!r}; expected one of {', '.join(classes)[:200]}"
            )
    return [named[text] for text in cells]


def _scores(given: pd.DataFrame, columns: dict[str, str | None], source: str | Path) -> np.ndarray:
    """The scores, float64 [rows, columns], columns in the order of the file."""
    for name, of_class in columns.items():
        if of_class is None:
            raise InputError(f"{source}: the column {name[:60]!r} is not a class of the task, but others are")
    if len(set(columns.values())) < len(columns):
        raise InputError(f"{source}: two columns are for the same class: {', '.join(columns)[:200]}")
    return number_columns(given, list(columns), source)
