"""What a job cost, as Snakemake's ``benchmark:`` files say."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from genestill.core.errors import InputError


class Cost(NamedTuple):
    """Wall-clock seconds and peak resident memory in MB; the latter is NaN for a job too short to be measured."""

    seconds: float
    megabytes: float


def read_cost(path: str | Path) -> Cost:
    """The cost in the first row of a benchmark file (TSV with the columns ``s`` and ``max_rss``).

    Raises `InputError` for any other file.
    """
    try:
        measured = pd.read_csv(path, sep="\t", na_values="-").iloc[0]
        return Cost(float(measured["s"]), float(measured["max_rss"]))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: not a benchmark file of Snakemake ({error})") from None
