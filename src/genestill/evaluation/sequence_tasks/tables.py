"""Task tables, the catalogue of what each benchmark measures, and the published rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.sequence_tasks.metrics import METRICS
from genestill.ground.errors import InputError
from genestill.ground.tables import read_tsv

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

    Raises `InputError` for a missing column or split, and for a class that training never shows.
    """
    table = _read(path, ("sequence", "label", "split"))
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


def read_catalogue(path: str | Path) -> dict[str, str]:
    """Which metric each ``benchmark/task`` reports; raises `InputError` for an unknown metric."""
    table = _read(path, CATALOGUE_COLUMNS)
    strange = sorted(set(table["metric"]) - set(METRICS))
    if strange:
        raise InputError(f"{path}: metric {strange[0]!r}; expected one of {', '.join(METRICS)}")
    return dict(zip(table["benchmark"] + "/" + table["task"], table["metric"], strict=True))


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
