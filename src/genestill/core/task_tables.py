"""Task tables (sequence, label, split), for fine-tuning and evaluation."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.cells import is_missing, read_name, read_number
from genestill.core.errors import InputError
from genestill.core.files import write_compressed
from genestill.core.logs import logger
from genestill.core.near_copies import connected_rows, near_copies
from genestill.core.tables import read_tsv

SPLITS = ("train", "validation", "test")
MOST_NUMBERS = 10  # labels that are numbers, if most rows have different ones: more than these are measured values
NEAR_COPY = 40  # length of a shared stretch of bases that makes two sequences near copies


@dataclass(frozen=True)
class TaskTable:
    """One classification task.

    Attributes:
        sequences: n sequences of bases.
        labels: int64 [n], index into ``classes``.
        classes: the labels as written in the table, sorted as text.
        split: object [n], one of ``SPLITS``.
        folds: object [n], the name of the fold of each row, if the table has a column ``fold``.
        groups: object [n], the group of each row, if the table has a column ``group``: rows of one group, such as
            windows of one genome, are not independent.
    """

    sequences: list[str]
    labels: np.ndarray
    classes: list[str]
    split: np.ndarray
    folds: np.ndarray | None = None
    groups: np.ndarray | None = None

    def rows(self, *splits: str) -> np.ndarray:
        """Row numbers of these splits, ascending: int64 [rows]."""
        return np.flatnonzero(np.isin(self.split, splits))

    @property
    def train(self) -> np.ndarray:
        """Row numbers of all rows except the test rows: validation rows are held-out training rows."""
        return self.rows("train", "validation")

    @property
    def test(self) -> np.ndarray:
        """Row numbers of the test rows."""
        return self.rows("test")

    def of_rows(self, train: np.ndarray, test: np.ndarray) -> "TaskTable":
        """The same task with other training and test rows; the remaining rows belong to no split."""
        split = np.full(len(self.split), "", dtype=object)
        split[train], split[test] = "train", "test"
        return dataclasses.replace(self, split=split)


def read_task_table(path: str | Path, split_by: str = "random") -> TaskTable:
    """Read a TSV (gzipped or not) with the columns ``sequence``, ``label`` and ``split`` (train, validation, test).

    A table without the column ``split`` is split here, always in the same way: a tenth for validation, a tenth for
    testing. With ``random``, rows are drawn within each class; with ``homology``, sequences that share `NEAR_COPY`
    consecutive bases on either strand are in the same split. Rows of one group of a column ``group`` are always in the
    same split.

    Raises `InputError`, with the line, for a missing column, a split that is not one of ``SPLITS``, an empty
    sequence or label, letters that are not nucleotides, and labels that are the same number written in two ways (``1``
    and ``1.0``); and for a table without training or test rows, or with a class without training rows.
    """
    table = _read_rows(path, split_by)
    split = table["split"].to_numpy(dtype=object).copy()
    held = split == "test"
    if held.all() or not held.any():
        raise InputError(f"{path}: {(~held).sum()} training and {held.sum()} test rows; expected at least one of each")
    classes = sorted(set(table.loc[~held, "label"]))
    unseen = sorted(set(table["label"]) - set(classes))
    if unseen:
        raise InputError(f"{path}: the label {unseen[0]!r} does not occur in the training rows")
    if len(classes) < 2:
        raise InputError(f"{path}: all rows have the label {classes[0]!r}; expected at least two labels")
    codes = {name: number for number, name in enumerate(classes)}
    labels = np.array([codes[label] for label in table["label"]], dtype=np.int64)
    folds, groups = (
        table[column].map(read_name).to_numpy(dtype=object) if column in table.columns else None
        for column in ("fold", "group")
    )
    return TaskTable(table["sequence"].tolist(), labels, classes, split, folds, groups)


def write_task_table(path: str | Path, rows: pd.DataFrame) -> None:
    """Write a table for `read_task_table`: a TSV with all columns, gzipped if the name ends in ``.gz``."""
    with write_compressed(path) as handle:
        rows.to_csv(handle, sep="\t", index=False)


def keep_training_rows(table: TaskTable, rows: int | None, seed: int, path: str | Path) -> TaskTable:
    """The same task with ``rows`` training rows, drawn with ``seed`` in the proportions of the classes; None: all.

    Fewer rows with the same seed are a part of more rows, so that numbers of rows are compared in pairs. Validation
    rows of the table become training rows, because few of them would be left. Raises `InputError` as `keep_rows` does.
    """
    if rows is None:
        return table
    _refuse_number(table, "training", len(table.train), rows, path)
    kept = _in_proportion(table.labels[table.train], rows, np.random.default_rng(seed))
    return table.of_rows(table.train[kept], table.test)


def keep_rows(table: TaskTable, kind: str, rows: int, seed: int, path: str | Path) -> np.ndarray:
    """Draw ``rows`` row numbers of a kind, ``training`` or ``test``, in the proportions of the classes.

    Raises `InputError` if there are fewer such rows, or fewer than two per class are requested.
    """
    given = table.train if kind == "training" else table.test
    _refuse_number(table, kind, len(given), rows, path)
    if rows == len(given):
        return given
    from sklearn.model_selection import train_test_split

    labels = table.labels[given]
    try:
        return train_test_split(given, train_size=rows, stratify=labels, random_state=seed)[0]
    except ValueError:  # the rest would lack a class, or a class has one row
        return given[_in_proportion(labels, rows, np.random.default_rng(seed))]


def _refuse_number(table: TaskTable, kind: str, most: int, rows: int, path: str | Path) -> None:
    classes = len(table.classes)
    if not 2 * classes <= rows <= most:
        raise InputError(
            f"{path}: {rows} of {most} {kind} rows of {classes} classes are requested; expected {2 * classes} to {most}"
        )


def _in_proportion(labels: np.ndarray, rows: int, generator: np.random.Generator) -> np.ndarray:
    """Positions of ``rows`` of the labels, int64 [n], ascending, drawn in the proportions of the classes.

    One per class, then by the method of Sainte-Lague, in which more rows never mean fewer of a class.
    """
    drawn, quotients = [], []
    for label in np.unique(labels):
        of_label = generator.permutation(np.flatnonzero(labels == label))
        drawn.append(of_label)
        quotients.append(np.append(-1.0, np.arange(1.5, len(of_label))) / len(of_label))
    order = np.argsort(np.concatenate(quotients), kind="stable")
    return np.sort(np.concatenate(drawn)[order[:rows]])


def cross_validation(
    table: TaskTable, folds: int, seed: int, rows: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide training rows into folds: (rows to fit, rows held out), int64 and ascending, for each fold.

    Every fold has the proportions of the classes, as far as whole groups allow. Rows of one group are in one fold,
    unless a class would then be missing in the rows to fit.

    Args:
        table: the task.
        folds: number of folds; with groups, at most one per group.
        seed: seed of the division.
        rows: the training rows that are divided; None for all.

    Raises:
        InputError: there are fewer rows than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    rows = table.train if rows is None else rows
    labels = table.labels[rows]
    groups = groups_of_every_class(table, rows)
    try:
        if groups is not None:
            number = min(folds, len(set(groups)))
            divided = StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(rows, labels, groups)
            found = [(np.sort(rows[fit]), np.sort(rows[held])) for fit, held in divided]
            if all(len(set(table.labels[fit])) == len(set(labels)) for fit, _ in found):
                return found
        if table.groups is not None:
            logger.warning("some classes are in too few groups of rows; choices are made on rows of the same groups")
        divided = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
        return [(np.sort(rows[fit]), np.sort(rows[held])) for fit, held in divided]
    except ValueError as error:
        raise InputError(f"the training rows cannot be divided into folds ({error})") from None


def groups_of_every_class(table: TaskTable, rows: np.ndarray) -> np.ndarray | None:
    """The groups of ``rows``, object [rows], if every class of them is in at least two groups; else None."""
    if table.groups is None:
        return None
    groups = table.groups[rows]
    pairs = pd.DataFrame({"label": table.labels[rows], "group": groups}).drop_duplicates()
    return groups if pairs["label"].value_counts().min() > 1 else None


def hold_out(table: TaskTable, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the training rows within the classes: (rows to fit, a ``share`` held out).

    Rows of one group are on one side, unless a class would then be missing on a side.

    Raises `InputError`, with the label, if a class has too few rows.
    """
    from sklearn.model_selection import train_test_split

    labels = table.labels[table.train]
    if groups_of_every_class(table, table.train) is not None:
        for fit, held in cross_validation(table, round(1 / share), seed):
            if all(len(set(table.labels[rows])) == len(set(labels)) for rows in (fit, held)):
                return fit, held
    if table.groups is not None:
        logger.warning("no whole groups of rows contain every class; the held-out rows are drawn from all groups")
    try:
        fit, held = train_test_split(table.train, test_size=share, stratify=labels, random_state=seed)
    except ValueError:
        counts = np.bincount(labels, minlength=len(table.classes))
        rarest = int(counts.argmin())
        raise InputError(
            f"no validation rows can be drawn from the {len(labels)} training rows: {counts[rarest]} of them have the "
            f"label {table.classes[rarest]!r}; expected at least 2 of each label, and as many validation rows as labels"
        ) from None
    return fit, held


def variant_of(fit: str, rows: int | None) -> str:
    """How a model was fitted, as in the column ``variant``: ``fit=probe, rows=64``."""
    return ", ".join([*([f"fit={fit}"] if fit else []), *([f"rows={rows}"] if rows else [])])


def _read_rows(path: str | Path, split_by: str) -> pd.DataFrame:
    table = read_tsv(path, ("sequence", "label"))
    if "split" in table.columns:
        _refuse(path, table, "split", ~table["split"].isin(SPLITS), f"expected one of {', '.join(SPLITS)}")
    _refuse(path, table, "label", table["label"].map(is_missing), "every row needs a class")
    _refuse(path, table, "sequence", table["sequence"].map(is_missing), "expected nucleotides")
    strange = table["sequence"].str.strip("ACGTUNRYSWKMBDHVacgtunryswkmbdhv") != ""
    _refuse(path, table, "sequence", strange, "expected IUPAC nucleotide codes")
    spelt: dict[float, str] = {}
    for label in pd.unique(table["label"]):
        number = read_number(label)
        if number is not None and spelt.setdefault(number, label) != label:
            raise InputError(
                f"{path}: the labels {spelt[number]!r} and {label!r} are the same number; use one spelling"
            )
    if len(spelt) > max(MOST_NUMBERS, len(table) / 2):
        raise InputError(
            f"{path}: {len(spelt)} different numbers label {len(table)} rows; expected classes. Measured values "
            "cannot be predicted; divide them into classes first"
        )
    if "split" not in table.columns:
        table["split"] = _split(table, split_by)
        parts = table["split"].value_counts()
        logger.warning(
            "%s has no column split: made %s (%s)",
            path, ", ".join(f"{parts.get(name, 0)} {name}" for name in SPLITS), split_by,
        )  # fmt: skip
    return table


def _split(table: pd.DataFrame, split_by: str) -> np.ndarray:
    """The split of each row, object [n]; the largest group of every class is in the training split."""
    sequences, labels = table["sequence"].tolist(), pd.factorize(table["label"])[0]
    groups = np.arange(len(sequences)) if split_by == "random" else near_copies(sequences, NEAR_COPY)
    if "group" in table.columns:
        given = groups.max() + 1 + pd.factorize(table["group"])[0]
        rows = np.tile(np.arange(len(groups)), 2)
        groups = connected_rows(rows, np.concatenate([groups, given]), len(groups))
    # Number of rows of each class in each group.
    counts = np.zeros((groups.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    place = np.full(len(counts), "train", dtype=object)
    free = np.ones(len(counts), dtype=bool)
    free[counts.argmax(axis=0)] = False
    left = {part: np.maximum(1, np.round(0.1 * counts.sum(axis=0))) for part in ("test", "validation")}
    for group in np.random.default_rng(0).permutation(np.flatnonzero(free)):
        # Complete groups, if a class still needs rows and no class gets more than it needs.
        for part, wanted in left.items():
            if (counts[group] <= wanted).all():
                place[group], left[part] = part, wanted - counts[group]
                break
    return place[groups]


def _refuse(path: str | Path, table: pd.DataFrame, column: str, rows: pd.Series, expected: str) -> None:
    if rows.any():
        line = table.index[rows.to_numpy()][0]
        raise InputError(f"{path}: line {line} has the {column} {table.at[line, column][:60]!r}; {expected}")
