"""A comparison of models over communities (`benchmark.compare`) as a table and as figures."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.table_schemas import METRICS
from genestill.core.tables import read_table
from genestill.evaluation.benchmark import COMPARED_RANKS
from genestill.evaluation.figures import COLOURS, GREY, MARKERS, STYLE, new_figure, save_figure
from genestill.evaluation.pages import Table, write_answer
from genestill.evaluation.strata import ALL, NO_EXACT
from genestill.evaluation.taxonomy import OWN_THRESHOLD

MEANS = ("open", "closed")
_TEXT = {"stratum": str, "scope": str, "rank": str, "model": str, "threshold": str}


def read_comparison(path: str | Path) -> pd.DataFrame:
    """Read a table of `benchmark.gather_benchmark`; raises `InputError` for other files."""
    try:
        table = pd.read_csv(path, sep="\t", dtype=_TEXT)
        return table.assign(name=[_name(row) for row in table.itertuples()])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: not a comparison of a benchmark ({error})") from None


def _name(row) -> str:
    return row.model if row.threshold == OWN_THRESHOLD else f"{row.model} > {row.threshold}"


def write_benchmark_table(comparison: str | Path, ours: str, output: str | Path) -> str:
    """Write and return the comparison as plain text: a block per mean, then species F1 in each community."""
    whole = _worth_showing(read_comparison(comparison))
    blocks: list[str | Table] = []
    for stratum, table in whole.groupby("stratum", sort=False):
        blocks += [_block(table, stratum, scope, ours) for scope in MEANS if scope in set(table["scope"])]
        species = table[(table["rank"] == "species") & ~table["scope"].isin(MEANS)]
        if len(species):
            wide = species.pivot(index="name", columns="scope", values="f1")
            wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
            rows = [
                [name, *("-" if np.isnan(value) else f"{value:.3f}" for value in row)]
                for name, row in zip(wide.index, wide.to_numpy(), strict=True)
            ]
            blocks.append(Table(["", *wide.columns], rows, f"species F1 by community, {_STRATA[stratum]}"))
    return write_answer(output, "Correctors compared", [*blocks, _LEGEND])


def _worth_showing(table: pd.DataFrame) -> pd.DataFrame:
    """Every model at its own threshold, and at the best fixed one if that is better: species F1 over all scopes."""
    mean = table[table["rank"] == "species"].groupby(["model", "threshold"])["f1"].mean().round(5).reset_index()
    # The model's own threshold is first, so that it is used in case of a tie.
    mean = mean.sort_values("threshold", key=lambda threshold: threshold != OWN_THRESHOLD, ignore_index=True)
    best = mean.loc[mean.groupby("model")["f1"].idxmax()]
    better = pd.MultiIndex.from_frame(best[["model", "threshold"]])
    shown = (table["threshold"] == OWN_THRESHOLD) | pd.MultiIndex.from_frame(table[["model", "threshold"]]).isin(better)
    return table[shown]


_STRATA = {NO_EXACT: "without contigs of genomes in the reference", ALL: "all contigs"}

_LEGEND = """A name without "> x": calls at the model's own threshold; with it: calls above that score, the best of .5,
.8 and .95 in hindsight, if it is better than the model's own. "-at x": a peer at that threshold, also in hindsight.
F1 = 2 P R / (P + R), P = correct / (correct + wrong), R = correct / all contigs;
mean over seeds, then over communities.
[ ]: 95 % interval, genomes (genera and families where these are absent) resampled within their status over all
communities together; gain: paired, the first model minus that of the row.
absent called: contigs of species that the reference lacks and the model names; of all, mean over seeds.
"""


def _block(table: pd.DataFrame, stratum: str, scope: str, ours: str) -> Table:
    part = table[table["scope"] == scope]
    species = part[part["rank"] == "species"].set_index("name").sort_values("f1", ascending=False)
    shown = pd.DataFrame(index=species.index)
    shown["species F1"] = [_with_interval(*row) for row in species[["f1", "f1_low", "f1_high"]].to_numpy()]
    shown[f"gain of {ours}"] = [
        "" if name == ours else _with_interval(value, low, high, signed=True)
        for name, (value, low, high) in zip(
            species.index, species[["gain", "gain_low", "gain_high"]].to_numpy(), strict=True
        )
    ]
    for rank in COMPARED_RANKS[1:]:
        shown[f"{rank} F1"] = part[part["rank"] == rank].set_index("name")["f1"].map("{:.3f}".format)
    shown["absent called"] = [
        f"{called:.0f} of {absent:.0f}" for called, absent in species[["absent_called", "absent"]].to_numpy()
    ]
    shown["recall on known"] = species["recall_known"].map("{:.3f}".format)
    for column, heading, form in (
        ("ece", "ECE", "{:.3f}"),
        ("seconds", "seconds", "{:.0f}"),
        ("cpu_seconds", "CPU s", "{:.0f}"),
        ("megabytes", "MB", "{:.0f}"),
    ):
        if column in species and species[column].notna().any():
            shown[heading] = ["" if np.isnan(value) else form.format(value) for value in species[column]]
    number, contigs, clusters = (int(species[column].iloc[0]) for column in ("communities", "contigs", "clusters"))
    heading = f"{scope} communities (mean over {number}), {_STRATA[stratum]}: {contigs:,} contigs, {clusters} clusters"
    rows = [[name, *row] for name, row in zip(shown.index, shown.to_numpy(dtype=str), strict=True)]
    return Table(["", *shown.columns], rows, heading)


def _with_interval(value: float, low: float, high: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def draw_benchmark(comparison: str | Path, metrics: str | Path, ours: str, folder: str | Path) -> list[str]:
    """Draw the comparison into ``folder`` (an SVG and a TSV each); return the names of the figures.

    ``metrics`` has those of all communities, see `benchmark.gather_benchmark`.
    """
    table = read_comparison(comparison)
    # The harder stratum, if there is one.
    stratum = table["stratum"].iloc[0]
    table = table[table["stratum"] == stratum]
    with matplotlib.rc_context(STYLE):
        drawn = {"species_f1": _species_f1(table, ours), "absent_and_known": _absent_and_known(table, ours)}
        drawn["risk_coverage"] = _risk_coverage(read_table(metrics, METRICS), stratum, ours)
        if "seconds" in table and table["seconds"].notna().any():
            drawn["cost"] = _cost(table, ours)
    for name, (figure, reading, data) in drawn.items():
        save_figure(folder, f"benchmark_{name}", figure, reading, data)
    return list(drawn)


def _species_f1(table: pd.DataFrame, ours: str):
    data = table[table["rank"] == "species"][["scope", "name", "f1", "f1_low", "f1_high"]]
    scopes = [scope for scope in MEANS if scope in set(data["scope"])]
    scopes += sorted(set(data["scope"]) - set(MEANS))
    order = data.groupby("name")["f1"].mean().sort_values().index.tolist()
    figure = new_figure(1.2 + 1.75 * len(scopes), 1.2 + 0.24 * len(order))
    panels = figure.subplots(1, len(scopes), sharey=True, squeeze=False)[0]
    panels[0].set_yticks(range(len(order)), order, fontsize=8)
    for scope, axes in zip(scopes, panels, strict=True):
        part = data[data["scope"] == scope].set_index("name").loc[order]
        colours = [COLOURS[0] if name == ours else GREY for name in order]
        errors = [part["f1"] - part["f1_low"], part["f1_high"] - part["f1"]]
        axes.errorbar(part["f1"], range(len(order)), xerr=np.maximum(errors, 0), fmt="none", ecolor=colours)
        axes.scatter(part["f1"], range(len(order)), c=colours, s=18, zorder=3)
        axes.set_title(scope if scope not in MEANS else f"{scope} (mean)", fontsize=9)
    figure.supxlabel("species F1, 95 % interval over genomes and trainings", fontsize=9)
    own = data[data["name"] == ours].set_index("scope")["f1"]
    means = ", ".join(f"{own[scope]:.3f} in {scope} communities (mean)" for scope in scopes if scope in MEANS)
    reading = f"{ours} has its lowest species F1 in {own.idxmin()}, {own.min():.3f}"
    return figure, f"{reading}; {means}." if means else f"{reading}.", data


def _absent_and_known(table: pd.DataFrame, ours: str):
    scope = "open" if "open" in set(table["scope"]) else table["scope"].iloc[0]
    data = table[(table["scope"] == scope) & (table["rank"] == "species")]
    data = data[["name", "absent", "absent_called", "recall_known"]].assign(
        share=data["absent_called"] / data["absent"].where(data["absent"] > 0)
    )
    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    for number, row in enumerate(data.itertuples()):
        axes.scatter(
            row.share,
            row.recall_known,
            color=COLOURS[0] if row.name == ours else COLOURS[1 + number % (len(COLOURS) - 1)],
            marker="*" if row.name == ours else MARKERS[number % (len(MARKERS) - 1)],
            s=140 if row.name == ours else 36,
            label=row.name,
        )
    axes.set_xlabel("share of contigs of absent species that get a species name")
    axes.set_ylabel("share of contigs of known species that get the right one")
    figure.legend(loc="outside right center", fontsize=7.5)
    own = data.set_index("name").loc[ours]
    reading = (
        f"Of {own['absent']:.0f} contigs of species that the reference lacks, {ours} names {own['absent_called']:.0f}, "
        f"at a recall of {own['recall_known']:.3f} on known ones."
    )
    return figure, reading, data


def _risk_coverage(metrics: pd.DataFrame, stratum: str, ours: str):
    data = metrics[(metrics["metric"] == "risk") & (metrics["task"] == "species") & (metrics["stratum"] == stratum)]
    data = data.assign(coverage=data["variant"].str.removeprefix("coverage=").astype(float))
    by_model = ["dataset", "model"]
    data = data.groupby([*by_model, "coverage"], sort=False)["value"].agg(["mean", "size"]).reset_index()
    # Points that only some seeds reach are left out, because they are not means over all seeds.
    data = data[data["size"] == data.groupby(by_model)["size"].transform("max")]
    data = data.rename(columns={"mean": "risk"}).drop(columns="size")
    communities, models = data["dataset"].unique().tolist(), sorted(data["model"].unique())
    columns = min(4, max(1, len(communities)))
    rows = max(1, -(-len(communities) // columns))
    figure = new_figure(1.2 + 2.4 * columns, 1.2 + 2.2 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for community, axes in zip(communities, panels, strict=False):
        axes.set_title(community, fontsize=9)
        for number, model in enumerate(models):
            part = data[(data["dataset"] == community) & (data["model"] == model)].sort_values("coverage")
            colour = COLOURS[0] if model == ours else COLOURS[1 + number % (len(COLOURS) - 1)]
            marker = "*" if model == ours else MARKERS[number % (len(MARKERS) - 1)]
            label = model if community == communities[0] else None
            axes.plot(part["coverage"], part["risk"], color=colour, marker=marker, markersize=4, label=label)
    for axes in panels[len(communities) :]:
        axes.set_axis_off()
    figure.supxlabel("coverage (named / all contigs)", fontsize=9)
    figure.supylabel("risk (wrong / named)", fontsize=9)
    if models:
        figure.legend(loc="outside right center", fontsize=7.5)
    return figure, f"Risk against coverage at species, stratum {stratum!r}, mean over seeds.", data


def _cost(table: pd.DataFrame, ours: str):
    data = table.dropna(subset=["seconds"]).drop_duplicates("model")[["model", "seconds", "megabytes"]]
    data = data.sort_values("seconds").reset_index(drop=True)
    figure = new_figure(7.5, 1.2 + 0.3 * len(data))
    left, right = figure.subplots(1, 2, sharey=True)
    colours = [COLOURS[0] if model == ours else GREY for model in data["model"]]
    for axes, column, label in ((left, "seconds", "seconds (median)"), (right, "megabytes", "memory, MB (highest)")):
        axes.barh(range(len(data)), data[column], color=colours)
        axes.set_xlabel(label)
    left.set_yticks(range(len(data)), data["model"], fontsize=8)
    own = data.set_index("model")["seconds"]
    reading = f"{ours} needs {own[ours]:.0f} s to train and predict." if ours in own else "Time that each model needs."
    return figure, reading, data
