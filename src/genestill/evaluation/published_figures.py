"""Comparison of published results of a corrector with our results on the same data sets."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.table_schemas import METRICS
from genestill.core.tables import number_columns, read_table, read_tsv, write_tsv

_COLUMNS = ("benchmark", "task", "model", "metric", "value", "protocol", "source")
_RANK = "species"  # of all published results


def published_communities(path: str | Path) -> set[str]:
    """The data sets in the table ``path``."""
    return set(read_tsv(path, _COLUMNS)["task"])


def compare_with_published(metrics: Sequence[str | Path], published: str | Path, output: str | Path) -> None:
    """Write a TSV of published results and ours: dataset, model, metric, published, ours, runs, protocol, source.

    Args:
        metrics: ``table_schemas.METRICS`` of data sets; ours is the mean over the runs of a model.
        published: TSV with the columns benchmark, task (the data set), model, metric, value, protocol and source.
        output: the table; ours is empty for a data set, model or metric that was not measured.

    Raises:
        InputError: none of the published data sets was measured.
    """
    # Imported here because they load SciPy, which is not needed for the names of communities when the workflow starts.
    from genestill.evaluation.strata import ALL
    from genestill.evaluation.taxonomy import OWN_THRESHOLD

    table = read_tsv(published, _COLUMNS)
    found = pd.concat([read_table(path, METRICS) for path in metrics], ignore_index=True)
    if not set(found["dataset"]) & set(table["task"]):
        raise InputError(f"{published}: none of its data sets was measured ({', '.join(sorted(set(table['task'])))})")
    plain = (found["stratum"] == ALL) & (found["threshold"] == OWN_THRESHOLD) & (found["task"] == _RANK)
    plain &= (found["weight"] == "") & (found["minus"] == "")
    ours = found[plain].groupby(["dataset", "model", "metric"])["value"].agg(ours="mean", runs="count")
    table = table.assign(published=number_columns(table, ["value"], published)[:, 0]).rename(
        columns={"task": "dataset"}
    )
    table = table.join(ours, on=["dataset", "model", "metric"])
    columns = ["dataset", "model", "metric", "published", "ours", "runs", "protocol", "source"]
    write_tsv(output, table[columns])
