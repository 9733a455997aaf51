"""The catalogue of benchmarks with their protocols, and published results."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.kinds import TASK_METRICS
from genestill.core.tables import read_tsv

CATALOGUE_COLUMNS = ("benchmark", "task", "metric", "folds", "seeds", "epochs")
PUBLISHED_COLUMNS = ("benchmark", "task", "model", "metric", "value", "spread", "protocol", "source")


@dataclass(frozen=True)
class Protocol:
    """Protocol of a task: metric, folds (0: one split), seeds, epochs of fine-tuning (None: not specified)."""

    metric: str = "mcc"
    folds: int = 0
    seeds: int = 1
    epochs: int | None = None


def read_catalogue(path: str | Path) -> dict[str, Protocol]:
    """The protocol of each ``benchmark/task``; raises `InputError` for an unknown metric and for invalid numbers."""
    found = {}
    for row in _read(path, CATALOGUE_COLUMNS).itertuples():
        name = f"{row.benchmark}/{row.task}"
        if row.metric not in TASK_METRICS:
            raise InputError(f"{path}: metric {row.metric!r} of {name}; expected one of {', '.join(TASK_METRICS)}")
        try:
            found[name] = Protocol(row.metric, int(row.folds), int(row.seeds), int(row.epochs) if row.epochs else None)
        except ValueError as error:
            raise InputError(f"{path}: folds, seeds and epochs of {name}: {error}") from None
    return found


def protocol_of(task: str, catalogue: dict[str, Protocol]) -> Protocol:
    """The protocol of ``benchmark/task``: MCC and one split for a benchmark that is not in the catalogue.

    Raises `InputError` for an unknown task of a benchmark in the catalogue, because its metric would be wrong.
    """
    benchmark = task.partition("/")[0]
    same = [name for name in catalogue if name.startswith(f"{benchmark}/")]
    if same and task not in catalogue:
        near = difflib.get_close_matches(task, same, n=1, cutoff=0)[0]
        raise InputError(
            f"{task} is not a task of the benchmark {benchmark} (resources/sequence_tasks.tsv); did you mean {near}?"
        )
    return catalogue.get(task, Protocol())


def published_protocols(tasks: Iterable[str], catalogue: str | Path) -> dict[str, Protocol]:
    """The protocol of each task.

    Raises `InputError` as `read_catalogue` and `protocol_of` do.
    """
    known = read_catalogue(catalogue)
    return {task: protocol_of(task, known) for task in tasks}


def read_published(paths: list[str | Path]) -> pd.DataFrame:
    """Published rows; ``task`` becomes ``benchmark/task``, value and spread become numbers. Each row needs a source."""
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
