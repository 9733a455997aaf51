"""Task tables, the catalogue of what each benchmark measures, and the published rows."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.tables import read_tsv
from genestill.core.task_tables import read_task_rows
from genestill.evaluation.sequence_tasks.metrics import METRICS

CATALOGUE_COLUMNS = ("benchmark", "task", "metric", "folds", "seeds", "epochs")
PUBLISHED_COLUMNS = ("benchmark", "task", "model", "metric", "value", "spread", "protocol", "source")


@dataclass(frozen=True)
class TaskTable:
    """Sequences with labels; ``train`` and ``test`` are row numbers, validation rows count as training rows."""

    sequences: list[str]
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray
    classes: list[str]


def read_task_table(path: str | Path) -> TaskTable:
    """Read a TSV (gzipped or not) with the columns ``sequence``, ``label`` and ``split`` (train, validation, test).

    Raises `InputError` as `read_task_rows` does, and for a missing split or a class that training never shows.
    """
    table = read_task_rows(path)
    train = np.flatnonzero(table["split"].isin(["train", "validation"]))
    test = np.flatnonzero(table["split"] == "test")
    if not len(train) or not len(test):
        raise InputError(f"{path}: {len(train)} training and {len(test)} test rows; expected some of both")
    classes = sorted(set(table["label"].iloc[train]))
    unseen = sorted(set(table["label"]) - set(classes))
    if unseen:
        raise InputError(f"{path}: the label {unseen[0]!r} occurs outside the training rows only")
    codes = {name: number for number, name in enumerate(classes)}
    labels = np.array([codes[label] for label in table["label"]], dtype=np.int64)
    return TaskTable(table["sequence"].tolist(), labels, train, test, classes)


@dataclass(frozen=True)
class Protocol:
    """How a benchmark defines a task: metric, folds (0: one split), seeds, passes of fine-tuning (None: not said)."""

    metric: str = "mcc"
    folds: int = 0
    seeds: int = 1
    epochs: int | None = None


def read_catalogue(path: str | Path) -> dict[str, Protocol]:
    """The protocol of each ``benchmark/task``; raises `InputError` for an unknown metric and for what is no number."""
    found = {}
    for row in _read(path, CATALOGUE_COLUMNS).itertuples():
        name = f"{row.benchmark}/{row.task}"
        if row.metric not in METRICS:
            raise InputError(f"{path}: metric {row.metric!r} of {name}; expected one of {', '.join(METRICS)}")
        try:
            found[name] = Protocol(row.metric, int(row.folds), int(row.seeds), int(row.epochs) if row.epochs else None)
        except ValueError as error:
            raise InputError(f"{path}: folds, seeds and epochs of {name}: {error}") from None
    return found


def protocol_of(task: str, catalogue: dict[str, Protocol]) -> Protocol:
    """The protocol of ``benchmark/task``: Matthews correlation over one split for a benchmark that is not catalogued.

    Raises `InputError` for a task that a catalogued benchmark does not have: it would be scored by the wrong metric.
    """
    benchmark = task.partition("/")[0]
    same = [name for name in catalogue if name.startswith(f"{benchmark}/")]
    if same and task not in catalogue:
        near = difflib.get_close_matches(task, same, n=1, cutoff=0)[0]
        raise InputError(
            f"{task} is no task of the benchmark {benchmark} (resources/sequence_tasks.tsv); {near} is one"
        )
    return catalogue.get(task, Protocol())


def read_published(paths: list[str | Path]) -> pd.DataFrame:
    """Published rows; ``task`` becomes ``benchmark/task``, value and spread numbers. Every row must name its source."""
    table = pd.concat([_read(path, PUBLISHED_COLUMNS) for path in paths], ignore_index=True)
    if (table["source"] == "").any():
        raise InputError(f"{paths[0]}: a published row without a source")
    for column in ("value", "spread"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        strange = table.loc[numbers.isna() & (table[column] != ""), column]
        if len(strange):
            raise InputError(f"{paths[0]} …: {column} is {strange.iloc[0]!r}; expected a number")
        table[column] = numbers
    return table.assign(task=table["benchmark"] + "/" + table["task"])


def _read(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    return read_tsv(path, columns)
