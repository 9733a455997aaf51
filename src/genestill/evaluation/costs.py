"""Time and memory of jobs, from Snakemake's ``benchmark:`` files."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from genestill.core.errors import InputError


class Cost(NamedTuple):
    """Wall-clock seconds, peak resident memory in MB, and CPU seconds of all threads and programs of a job.

    The last two are NaN for a job that was too short to be measured.
    """

    seconds: float
    megabytes: float
    cpu_seconds: float


def read_cost(path: str | Path) -> Cost:
    """The cost in the first row of a benchmark file (TSV with the columns ``s``, ``max_rss`` and ``cpu_time``).

    Raises `InputError` for any other file.
    """
    try:
        measured = pd.read_csv(path, sep="\t", na_values="-").iloc[0]
        return Cost(*(float(measured[column]) for column in ("s", "max_rss", "cpu_time")))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: not a benchmark file of Snakemake ({error})") from None
