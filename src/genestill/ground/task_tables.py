"""Task tables (sequence, label, split): what the student stage and the evaluation stage both ask of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.errors import InputError
from genestill.ground.tables import read_tsv

SPLITS = ("train", "validation", "test")


def read_task_rows(path: str | Path) -> pd.DataFrame:
    """The rows of a TSV (gzipped or not) with the columns ``sequence``, ``label`` and ``split``, as text.

    Raises `InputError` for a missing column, a split that is none of ``SPLITS``, and an empty sequence.
    """
    table = read_tsv(path, ("sequence", "label", "split"))
    strange = set(table["split"]) - set(SPLITS)
    if strange:
        raise InputError(f"{path}: split {sorted(strange)[0]!r}; expected one of {', '.join(SPLITS)}")
    empty = np.flatnonzero(table["sequence"].str.len() == 0)
    if len(empty):
        raise InputError(f"{path}: row {empty[0] + 1} has an empty sequence")
    return table
