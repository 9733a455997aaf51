"""The benchmark of correctors over several communities and seeds: one table, one reading."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.artefacts import METRICS
from genestill.ground.files import write_text
from genestill.ground.tables import read_table, write_table

SEED_MARK = "-seed"
# (heading, task, metric): what a row of the summary shows, as a mean over communities of means over seeds.
SHOWN = (
    ("species F1", "species", "f1"),
    ("genus F1", "genus", "f1"),
    ("family F1", "family", "f1"),
    ("species F1 > .5", "species", "f1@0.5"),
    ("species F1 > .8", "species", "f1@0.8"),
    ("species F1 > .95", "species", "f1@0.95"),
    ("false species", "species", "absent_called"),
    ("ECE species", "species", "ece"),
)


def gather_benchmark(
    metrics: list[str | Path], costs: list[tuple[str, str | Path]], output: str | Path, summary: str | Path
) -> str:
    """Join the metric tables of several communities, and write and return the summary as plain text.

    A model called ``<name>-seed<n>`` is run n of the model ``<name>``. ``costs`` are (model, benchmark file of
    Snakemake) of training runs; the summary quotes the median seconds and the highest memory.
    """
    joined = pd.concat([read_table(path, METRICS) for path in metrics], ignore_index=True)
    parts = joined["model"].str.rsplit(SEED_MARK, n=1, expand=True).reindex(columns=[0, 1])
    joined["model"] = parts[0]
    joined["seed"] = pd.to_numeric(parts[1]).fillna(joined["seed"]).astype("int64")
    write_table(output, joined, METRICS)
    text = _summary(joined, _cost_table(costs))
    write_text(summary, text)
    return text


def _cost_table(costs: list[tuple[str, str | Path]]) -> pd.DataFrame:
    rows = []
    for model, path in costs:
        measured = pd.read_csv(path, sep="\t", na_values="-")
        rows.append((model, float(measured["s"].iloc[0]), float(measured["max_rss"].iloc[0])))
    table = pd.DataFrame(rows, columns=["model", "seconds", "megabytes"])
    return table.groupby("model").agg(seconds=("seconds", "median"), megabytes=("megabytes", "max"))


def _summary(joined: pd.DataFrame, costs: pd.DataFrame) -> str:
    whole = joined[joined["split"] == "all"]
    columns: dict[str, pd.Series] = {}
    for heading, task, metric in SHOWN:
        chosen = whole[(whole["task"] == task) & (whole["metric"] == metric)]
        by_community = chosen.groupby(["model", "dataset"])["value"].mean()
        columns[heading] = by_community.groupby("model").mean()
    table = pd.DataFrame(columns).join(costs).sort_values("species F1", ascending=False)
    runs = whole.groupby("model")["seed"].nunique()
    table.insert(0, "seeds", runs.reindex(table.index))
    lines = [f"{joined['dataset'].nunique()} communities: {', '.join(sorted(joined['dataset'].unique()))}", ""]
    lines.append(table.to_string(float_format=lambda value: f"{value:.4f}" if abs(value) < 10 else f"{value:.0f}"))
    spread = whole[(whole["task"] == "species") & (whole["metric"] == "f1")]
    by_dataset = spread.groupby(["model", "dataset"])["value"].agg(["mean", "std"])
    lines += ["", "species F1 by community, mean ± standard deviation over seeds"]
    for model in table.index:
        cells = [
            f"{dataset} {row['mean']:.4f}" + ("" if np.isnan(row["std"]) else f" ± {row['std']:.4f}")
            for dataset, row in by_dataset.loc[model].iterrows()
        ]
        lines.append(f"  {model}: {', '.join(cells)}")
    return "\n".join(lines) + "\n"
