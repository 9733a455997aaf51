"""Task tables (sequence, label, split): what the student stage and the evaluation stage both ask of them."""

from pathlib import Path

import pandas as pd

from genestill.core.cells import is_missing, read_number
from genestill.core.errors import InputError
from genestill.core.tables import read_tsv

SPLITS = ("train", "validation", "test")


def read_task_rows(path: str | Path) -> pd.DataFrame:
    """The rows of a TSV (gzipped or not) with the columns ``sequence``, ``label`` and ``split``, as text.

    Raises `InputError`, with the line, for a missing column, a split that is none of ``SPLITS``, an empty sequence or
    label, letters that are no nucleotides, and labels that are one number in two spellings (``1`` and ``1.0``).
    """
    table = read_tsv(path, ("sequence", "label", "split"))
    _refuse(path, table, "split", ~table["split"].isin(SPLITS), f"expected one of {', '.join(SPLITS)}")
    _refuse(path, table, "label", table["label"] == "", "every row needs its class")
    _refuse(path, table, "sequence", table["sequence"].map(is_missing), "expected nucleotides")
    strange = table["sequence"].str.strip("ACGTUNRYSWKMBDHVacgtunryswkmbdhv") != ""
    _refuse(path, table, "sequence", strange, "expected IUPAC nucleotide codes")
    spelt: dict[float, str] = {}
    for label in pd.unique(table["label"]):
        number = read_number(label)
        if number is not None and spelt.setdefault(number, label) != label:
            raise InputError(f"{path}: the labels {spelt[number]!r} and {label!r} are one number; spell it in one way")
    return table


def _refuse(path: str | Path, table: pd.DataFrame, column: str, rows: pd.Series, expected: str) -> None:
    if rows.any():
        line = table.index[rows.to_numpy()][0]
        raise InputError(f"{path}: line {line} has the {column} {table.at[line, column][:60]!r}; {expected}")
