"""A task table as the student stage reads it: sequence, label, split, and a fold if the benchmark has folds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genestill.core.cells import read_name
from genestill.core.errors import InputError
from genestill.core.task_tables import read_task_rows


@dataclass(frozen=True)
class Task:
    """One classification task.

    Attributes:
        sequences: n sequences of bases.
        labels: int64 [n], index into ``classes``.
        split: object [n], one of `core.task_tables.SPLITS`.
        classes: the labels as they stand in the table, sorted as text.
    """

    sequences: list[str]
    labels: np.ndarray
    split: np.ndarray
    classes: list[str]

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split."""
        return np.flatnonzero(self.split == split)


def read_task(path: str | Path, folds: int = 0, fold: int = 0, seed: int = 1, share: float = 0.1) -> Task:
    """Read a TSV (gzipped or not) with the columns ``sequence``, ``label`` and ``split``.

    Validation rows, in this order of preference: those of ``fold`` in a column ``fold`` or in a stratified k-fold cut
    of the training rows (``folds`` > 0; one cut whatever the ``seed``, so that the folds are parts of one whole); those
    the table marks; ``share`` of the training rows, stratified, drawn by ``seed``. Test rows are never touched.

    Raises:
        InputError: a column or a split is missing, a sequence is empty, a split is unknown, or a class of the other
            splits never occurs in training.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    table = read_task_rows(path)
    split = table["split"].to_numpy(dtype=object).copy()
    for needed in ("train", "test"):
        if needed not in split:
            raise InputError(f"{path}: no row of the split {needed!r}")
    classes = sorted(set(table.loc[split == "train", "label"]))
    unseen = sorted(set(table["label"]) - set(classes))
    if unseen:
        raise InputError(f"{path}: the label {unseen[0]!r} occurs outside the training rows only")
    codes = {name: number for number, name in enumerate(classes)}
    labels = np.array([codes[label] for label in table["label"]], dtype=np.int64)
    if folds:
        pool = np.flatnonzero(split != "test")
        split[pool] = "train"
        if "fold" in table.columns:
            held = pool[table["fold"].map(read_name).to_numpy()[pool] == str(fold)]
        else:
            cut = StratifiedKFold(folds, shuffle=True, random_state=0)
            held = pool[_stratified(path, lambda: list(cut.split(pool, labels[pool]))[fold][1])]
        if not len(held):
            raise InputError(f"{path}: fold {fold} has no row")
        split[held] = "validation"
    elif "validation" not in split:
        pool = np.flatnonzero(split == "train")
        _, held = _stratified(
            path, lambda: train_test_split(pool, test_size=share, stratify=labels[pool], random_state=seed)
        )
        split[held] = "validation"
    return Task(table["sequence"].tolist(), labels, split, classes)


def _stratified(path: str | Path, cut):
    """``cut()``, or a sentence where a class has too few rows to be dealt out."""
    try:
        return cut()
    except ValueError as error:
        raise InputError(
            f"{path}: no validation rows can be taken from training ({error}); mark some, or add rows"
        ) from None
