"""Published results: one table per recipe under version control, updated cell by cell from the metrics of runs.

A cell is identified by the columns `CELL`; publishing a run replaces its cells and keeps all others, so rows may be of
different commits. The column ``configuration`` identifies how a cell was measured: the name of the configuration and a
checksum of its settings and of the version of genestill (`core.identity.identity_of_settings`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import make_folder
from genestill.core.lineage import RANKS
from genestill.core.locks import hold
from genestill.core.logs import logger
from genestill.core.table_schemas import METRICS, OUTCOME_COUNTS
from genestill.core.tables import read_table, read_tsv, write_tsv
from genestill.evaluation.benchmark import summarise_seeds
from genestill.evaluation.costs import read_cost

CELL = ("dataset", "sample", "task", "stratum", "metric", "weight", "model", "minus", "variant", "seed")
FIGURES = ("value", "low", "high", "n_trainings", "n_units", "n_clusters")
# Ranks at which all results of the taxonomy benchmark are published.
COMPARED_RANKS = ("species", "genus", "family")
COLUMNS = (*CELL[:7], "kind", *CELL[7:], *FIGURES, "teacher", "headline", "configuration", "commit")
# Tables of results with other columns.
EXCEPTIONS = {
    "cami2_strain_madness": ("table", "tool", "rank", "metric", "published", "ours", "amber"),
    "gpu": ("device", "part", "setting", "value", "unit", "share", "busy", "commit", "date"),
    "scale": ("species", "contigs", "hits", "step", "seconds", "cpu_seconds", "peak_gb", "commit", "date"),
}
# Metrics, tasks and strata in the README's table of each recipe, the same for every model. In had-real, ways of fitting
# have different tasks; the README has those of the probe.
HEADLINES: dict[str, dict[str, tuple]] = {
    "taxdistill": {
        "dataset": ("community",),
        "strata": ("all",),
        "cells": (
            ("species", "f1"),
            ("genus", "f1"),
            ("family", "f1"),
            ("species", "absent_called"),
            ("species", "ece"),
        ),
    },
    "mrna": {"dataset": ("mrna-real",), "strata": ("test",), "cells": (("mean of tasks", "own"),)},
    "had": {"dataset": ("had-real",), "strata": ("fit=probe",), "cells": (("mean of tasks", "own"),)},
    "seqlens": {"dataset": ("seqlens-real",), "strata": ("test", "fit=probe"), "cells": (("mean of tasks", "own"),)},
}
# Contents of a community, in the task "community".
HELD = ("contigs", "bases", "genomes", "genera", "families", "genera of several species")
# Accuracy of the novelty ledger.
NOVELTY = (
    "novel_share",
    "novel_share_true",
    "novel_share_error",
    "novel_share_covered",
    "novel_groups_called",
    "novel_groups_false",
    "novel_groups_found",
    "novel_groups_f1",
)
# Published metrics of the taxonomy benchmark, at the models' own thresholds.
_TAXONOMY_METRICS = (
    *HELD,
    "precision",
    "recall",
    "f1",
    "recall_known",
    "absent_named",
    "coverage",
    "risk",
    "coverage_at_risk",
    "absent_called",
    "ece",
    "ece_adaptive",
    "auprc",
    "exact_answer",
    "over_depth",
    *NOVELTY,
)
# Published metrics of a benchmark of many models on several communities, at `COMPARED_RANKS`.
_BENCHMARK_METRICS = (
    *HELD,
    "f1",
    "recall_known",
    "absent_named",
    "coverage",
    "risk",
    "coverage_at_risk",
    "ece_adaptive",
)


@dataclass(frozen=True)
class Run:
    """Description of a run for publishing.

    Attributes:
        recipe: recipe of its table of results.
        configuration: name of the configuration with the run's `core.identity.identity_of_settings`.
        teacher: teacher of the measured student; "none" without one.
        commit: commit of the code; empty if unknown.
        costs: model -> Snakemake's benchmark files of the steps that make it; or model@dataset -> those of its runs on
            this data set, of which the mean is published.
        variant: values that all rows have in common, such as ``rows=64``; may be empty.
        benchmark: whether it is a benchmark of several communities, of which fewer rows are published; see `rows_of`.
        outcome_counts: its tables of `table_schemas.OUTCOME_COUNTS`, for intervals over genomes and trainings.
        compared_with: the model from which the others of a benchmark are subtracted.
    """

    recipe: str
    configuration: str
    teacher: str = "none"
    commit: str = ""
    costs: dict[str, list[Path]] = field(default_factory=dict)
    variant: str = ""
    benchmark: bool = False
    outcome_counts: Sequence[str | Path] = ()
    compared_with: str | None = None


def read_results(path: str | Path) -> pd.DataFrame:
    """A table of published results as text, the columns of `COLUMNS`; empty if the file does not exist."""
    if not Path(path).exists():
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    table = read_tsv(path, COLUMNS)
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{path}: columns {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    if table.duplicated(list(CELL)).any():
        row = table[table.duplicated(list(CELL))].iloc[0]
        raise InputError(f"{path}: two rows for {', '.join(f'{name} {row[name]!r}' for name in CELL if row[name])}")
    return table


def standing(path: str | Path, dataset: str, configuration: str) -> pd.DataFrame:
    """The published cells of a data set that were measured with ``configuration`` (`Run.configuration`)."""
    table = read_results(path)
    return table[(table["dataset"] == dataset) & (table["configuration"] == configuration)]


def rows_of(metrics: pd.DataFrame, run: Run) -> pd.DataFrame:
    """The rows of `COLUMNS` that a run publishes, as text, from its table of `table_schemas.METRICS`.

    Results of single folds and splits are not published. For the taxonomy benchmark, the results at the models' own
    thresholds are published; for several communities only means over seeds at `COMPARED_RANKS`, with the intervals and
    differences of `benchmark.summarise_seeds`, and other weights only in the strata ``all`` and ``no exact``. Seconds,
    CPU seconds and peak memory (MB) of ``run.costs`` become rows of the task ``cost``.
    """
    table = metrics[metrics["fold"].isna()]
    taxonomy = table["benchmark"] == "taxonomy"
    wanted = table["metric"].isin(_TAXONOMY_METRICS) & table["threshold"].isin(["", "own"])
    wanted &= ~table["stratum"].str.startswith("length=")
    # Weights, points of curves and strata by identity only at the compared ranks.
    plain = (table["weight"] == "") & (table["variant"] == "") & ~table["stratum"].str.contains(", ANI ", regex=False)
    wanted &= plain | table["task"].isin((*COMPARED_RANKS, "community"))
    table = table[~taxonomy | wanted]
    if run.benchmark:
        table = _of_benchmark(table, run)
    if table.empty:
        raise InputError("no figures to publish: there are no metrics, or only metrics of single folds")
    costs = [row for model, files in run.costs.items() for row in _costs(table, model, files)]
    table = pd.concat([table, pd.DataFrame(costs)], ignore_index=True) if costs else table
    variants = [", ".join(part for part in (run.variant, own) if part) for own in table["variant"]]
    texts = {name: [_text(value) for value in table[name]] for name in (*CELL, "kind", *FIGURES)}
    found = pd.DataFrame(texts | {"variant": variants})
    with_teacher = table["kind"].isin(["student", "combined", "teacher"]).to_numpy()
    found["teacher"] = [run.teacher if of_teacher else "" for of_teacher in with_teacher]
    found["headline"] = _headline(found, run.recipe)
    return found.assign(configuration=run.configuration, commit=run.commit)[list(COLUMNS)]


def _of_benchmark(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    wanted = table["metric"].isin(_BENCHMARK_METRICS) & table["task"].isin((*COMPARED_RANKS, "community"))
    wanted &= (table["minus"] == "") & ((table["weight"] == "") | table["stratum"].isin(("all", "no exact")))
    table = table[wanted]
    cell = [name for name in CELL if name != "seed"]
    first = table.groupby(cell, sort=False)
    # The interval of a single seed is not the interval of a mean over seeds.
    of_one = first["seed"].transform("size") == 1
    table = table.assign(
        value=first["value"].transform("mean"),
        n_trainings=first["n_trainings"].transform("sum"),
        seed=None,
        low=table["low"].where(of_one),
        high=table["high"].where(of_one),
    )
    counts = [read_table(path, OUTCOME_COUNTS) for path in run.outcome_counts]
    means = [summarise_seeds(pd.concat(counts, ignore_index=True), run.compared_with)] if counts else []
    return pd.concat([*means, table], ignore_index=True).drop_duplicates(cell)


def publish(metrics: Sequence[str | Path], run: Run, output: str | Path) -> int:
    """Write the cells of a run into the table ``output``, replacing existing ones; return their number.

    The file is replaced atomically, and two commands cannot write it at the same time. Its order does not depend on the
    order of publishing.
    """
    tables = [read_table(path, METRICS) for path in metrics]
    new = rows_of(pd.concat(tables, ignore_index=True), run)
    if new.duplicated(list(CELL)).any():
        row = new[new.duplicated(list(CELL))].iloc[0]
        raise InputError(f"two values for {', '.join(f'{name} {row[name]!r}' for name in CELL if row[name])}")
    make_folder(Path(output).parent)
    with hold(Path(output).parent, wait=True):
        old = read_results(output)
        cells = pd.MultiIndex.from_frame(new[list(CELL)])
        kept = old[~pd.MultiIndex.from_frame(old[list(CELL)]).isin(cells)] if len(old) else old
        whole = pd.concat([kept, new], ignore_index=True)
        whole = whole.iloc[sorted(range(len(whole)), key=lambda row: _order(whole.iloc[row]))]
        write_tsv(output, whole)
    logger.info("%d cells written to %s; %d other cells are unchanged", len(new), output, len(kept))
    return len(new)


def _headline(found: pd.DataFrame, recipe: str) -> list[str]:
    headline = HEADLINES.get(recipe, {"dataset": (), "strata": (), "cells": ()})
    columns = ("dataset", "task", "metric", "minus", "stratum", "weight")
    rows = zip(*(found[column] for column in columns), strict=True)
    return [
        "yes"
        if dataset in headline["dataset"]
        and (task, metric) in headline["cells"]
        and not minus
        and not weight
        and stratum in headline["strata"]
        else ""
        for dataset, task, metric, minus, stratum, weight in rows
    ]


def _costs(table: pd.DataFrame, name: str, files: Sequence[Path]) -> list[dict]:
    model, of_dataset, dataset = name.partition("@")
    of_model = table[(table["model"] == model) & (table["dataset"] == dataset if of_dataset else True)]
    if of_model.empty:
        raise InputError(f"costs of {name!r}, but the models are {', '.join(table['model'].unique())}")
    measured = [read_cost(path) for path in files]
    runs = len(measured) if of_dataset else 1
    seconds = sum(cost.seconds for cost in measured) / runs
    cpu = sum(cost.cpu_seconds for cost in measured) / runs
    memory = max(cost.megabytes for cost in measured)
    same = of_model.iloc[0][["dataset", "kind", "seed", "n_trainings"]].to_dict()
    same |= {"model": model, "task": "cost", "stratum": "all", "n_units": len(measured)}
    same |= dict.fromkeys(("sample", "weight", "minus", "variant"), "")
    values = {"seconds": seconds, "cpu_seconds": cpu, "peak_memory_mb": memory}
    return [same | {"metric": metric, "value": value} for metric, value in values.items()]


def _text(value) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else f"{value:.6g}"


def _order(row: pd.Series) -> tuple:
    task = RANKS.index(row["task"]) if row["task"] in RANKS else len(RANKS)
    rest = (row["task"], row["stratum"], row["metric"], row["weight"], row["minus"], row["model"], row["variant"])
    return (row["dataset"], row["sample"], task, *rest, row["seed"].rjust(12))
