"""The rank table: labels and models side by side, in plain text."""

from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.table_schemas import METRICS
from genestill.core.tables import read_table
from genestill.evaluation.pages import Table, write_answer
from genestill.evaluation.taxonomy import OWN_THRESHOLD


def read_taxonomy_metrics(path: str | Path, seed: int | None = None, weight: str = "") -> pd.DataFrame:
    """The table of metrics of one run of ``evaluation taxonomy``; ``seed`` selects among the seeds of a model.

    Only values of models with this ``weight`` ("": each contig counts once), without points of curves.

    Raises `InputError` if the file has no such metrics, or those of several data sets or seeds.
    """
    table = read_table(path, METRICS)
    table = table[(table["benchmark"] == "taxonomy") & (table["weight"] == weight) & (table["variant"] == "")]
    table = table[table["model"] != ""]
    if seed is not None:
        table = table[table["seed"].isna() | (table["seed"] == seed)]
    if table.empty and not weight:
        raise InputError(f"{path}: no metrics of the benchmark 'taxonomy'")
    if table["dataset"].nunique() > 1 or (table.dropna(subset=["seed"]).groupby("model")["seed"].nunique() > 1).any():
        raise InputError(f"{path}: metrics of several data sets, or of several seeds of a model; expected one of each")
    return table


def write_rank_table(metrics: str | Path, output: str | Path, baseline: str | None = None) -> str:
    """Write the table to ``output``, and as a page beside it, and return it.

    ``baseline`` is the model with which the others are compared; None for the first in the table of metrics (the
    labels).
    """
    table = read_taxonomy_metrics(metrics)
    models = table["model"].drop_duplicates().tolist()
    baseline = baseline or models[0]
    if baseline not in models:
        raise InputError(f"{metrics}: no model {baseline!r}; found {', '.join(models)}")
    models = [baseline, *(model for model in models if model != baseline)]
    whole = table[(table["stratum"] == "all") & table["threshold"].isin(["", OWN_THRESHOLD])]
    whole = whole.set_index(["task", "model", "metric", "minus"]).sort_index()
    has_truth = "f1" in whole.index.get_level_values("metric")
    blocks = _scores(whole, models) if has_truth else _coverage(whole, models)
    name = table["dataset"].iloc[0]
    return write_answer(output, f"{name}: labels and student, rank by rank", [name, *blocks])


def _value(whole: pd.DataFrame, task: str, model: str, metric: str, digits: int = 3) -> str:
    if (task, model, metric, "") not in whole.index:
        return "-"
    value = whole.loc[(task, model, metric, ""), "value"]
    return "-" if pd.isna(value) else f"{value:.{digits}f}"


def _difference(whole: pd.DataFrame, task: str, model: str, baseline: str) -> tuple[str, str]:
    """The difference in F1 and its interval; "-" for models of different seeds, which are not compared."""
    if (task, model, "f1", baseline) not in whole.index:
        return "-", "-"
    found = whole.loc[(task, model, "f1", baseline)]
    ends = "-" if pd.isna(found["low"]) else f"{found['low']:+.3f} to {found['high']:+.3f}"
    return f"{found['value']:+.3f}", ends


def _scores(whole: pd.DataFrame, models: list[str]) -> list[str | Table]:
    baseline = models[0]
    ranks = [rank for rank in RANKS if (rank, baseline, "f1", "") in whole.index]
    blocks: list[str | Table] = []
    for model in models[1:] or models:
        pair = list(dict.fromkeys([baseline, model]))
        columns = ["rank", "contigs", *(f"{name} {word}" for name in pair for word in ("P", "R", "F1"))]
        if len(pair) == 2:
            columns += ["F1 difference", "95 % interval"]
        rows = []
        for rank in ranks:
            row = [rank, str(whole.loc[(rank, baseline, "f1", ""), "n_units"])]
            row += [_value(whole, rank, name, metric) for name in pair for metric in ("precision", "recall", "f1")]
            if len(pair) == 2:
                row += _difference(whole, rank, model, baseline)
            rows.append(row)
        blocks.append(Table(columns, rows))
    rows = []
    absent = {rank: (rank, baseline, "absent_called", "") for rank in RANKS}
    for rank, key in absent.items():
        if key in whole.index:
            name = f"{rank} called for {whole.loc[key, 'n_units']} contigs whose {rank} the reference lacks"
            rows.append([name, *(_value(whole, rank, model, "absent_called", 0) for model in models)])
    for metric, name, digits in (
        ("ece", "expected calibration error at species", 3),
        ("auprc", "area under precision-recall at species", 3),
    ):
        rows.append([name, *(_value(whole, "species", model, metric, digits) for model in models)])
    if ("lineage", baseline, "exact_answer", "") in whole.index:
        total = whole.loc[("lineage", baseline, "exact_answer", ""), "n_units"]
        for metric, name in (("exact_answer", "lineages exactly right"), ("over_depth", "lineages called too deep")):
            rows.append([f"{name}, of {total}", *(_value(whole, "lineage", model, metric, 0) for model in models)])
    genomes = whole.loc[(ranks[-1], baseline, "f1", ""), "n_clusters"]
    legend = (
        "P = correct / (correct + wrong), R = correct / all contigs, F1 = 2 P R / (P + R);\n"
        f"intervals: paired bootstrap over {genomes:.0f} genomes."
    )
    return [*blocks, Table(["", *models], rows), legend]


def _coverage(whole: pd.DataFrame, models: list[str]) -> list[str | Table]:
    baseline = models[0]
    blocks: list[str | Table] = ["The truth is not known: shares of named contigs, and changes of the labels."]
    for model in models[1:] or models:
        pair = list(dict.fromkeys([baseline, model]))
        kinds = ("same", "added", "removed", "renamed") if len(pair) == 2 else ()
        rows = []
        for rank in RANKS:
            row = [rank, str(whole.loc[(rank, baseline, "coverage", ""), "n_units"])]
            row += [_value(whole, rank, name, "coverage") for name in pair]
            rows.append(row + [_value(whole, rank, model, kind, 0) for kind in kinds])
        blocks.append(Table(["rank", "contigs", *(f"{name} named" for name in pair), *kinds], rows))
    blocks.append("same, added, removed, renamed: contigs whose label at a rank was kept, given, withdrawn, replaced.")
    return blocks
