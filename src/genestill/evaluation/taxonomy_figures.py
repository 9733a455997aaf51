"""The figures of contig classification: scores by rank, calibration, depth of calls, and composition of samples."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.table_schemas import INDEX
from genestill.core.tables import read_abundances, read_table, sample_names
from genestill.evaluation.calibration import area_under_precision_recall, reliability, sweep
from genestill.evaluation.calls import UNNAMED, Community, Model, Predictions, read_calls
from genestill.evaluation.figures import COLOURS, GREY, MARKERS, STYLE, add_legend, new_figure, save_figure
from genestill.evaluation.strata import ALL, NO_EXACT, statuses_of, without_exact
from genestill.evaluation.taxonomy import OWN_THRESHOLD, judge, scored_calls
from genestill.evaluation.taxonomy_table import read_taxonomy_metrics

SPECIES = RANKS.index("species")
STOPS = ("no rank", *RANKS)
_CURVE_POINTS = 400
_CURVE = ["threshold", "precision", "recall", "coverage", "model"]
_KINDS = {"kept": "#8C8C8C", "deeper": "#009E73", "shallower": "#56B4E9", "renamed": "#D55E00"}
_COMPOSITION_RANK = RANKS.index("family")
_COMPOSITION_NAMES = 7


def draw_taxonomy(
    metrics: str | Path,
    truth: str | Path | None,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    index: str | Path | None,
    abundance: str | Path | None,
    folder: str | Path,
    labels_name: str = "MMseqs2",
) -> list[str]:
    """Draw all figures for which there is input into ``folder`` (an SVG and a TSV each); return their names.

    Always coverage; with labels label_changes, with an index composition, both of the first model that is not the
    labels; with a truth f1_by_rank, precision_recall, risk_coverage, reliability, by_status, by_length. ``metrics`` is
    the result of `evaluate_taxonomy` for the same tables.
    """
    if not predictions:
        raise InputError("figures need at least one table of predictions")
    table = read_taxonomy_metrics(metrics)
    community, models = read_calls(truth, labels, predictions, labels_name)
    with matplotlib.rc_context(STYLE):
        drawn = {"coverage": _coverage(table)}
        model = next(model for model in models if not model.is_labels)
        if labels is not None:
            drawn["label_changes"] = _label_changes(models[0], model)
        if index is not None:
            drawn["composition"] = _composition(community, model, index, abundance)
        if community.has_truth:
            drawn["f1_by_rank"] = _f1_by_rank(table)
            drawn["precision_recall"] = _precision_recall(community, models)
            drawn["risk_coverage"] = _risk_coverage(community, models)
            drawn["reliability"] = _reliability(community, models)
            drawn["by_status"] = _by_status(community, models)
            drawn["by_length"] = _by_length(table)
    for name, (figure, reading, data) in drawn.items():
        save_figure(folder, name, figure, reading, data)
    logger.info("%d figures in %s", len(drawn), folder)
    return list(drawn)


def _by_rank(data: pd.DataFrame, column: str, label: str, low: str | None = None, high: str | None = None):
    figure = new_figure()
    axes = figure.subplots()
    models = data["model"].drop_duplicates().tolist()
    for number, model in enumerate(models):
        part = data[data["model"] == model]
        # Models are shifted horizontally, so that intervals do not overlap.
        x = part["rank"].map(RANKS.index) + (number - (len(models) - 1) / 2) * 0.1
        errors = np.clip([part[column] - part[low], part[high] - part[column]], 0, None) if low else None
        axes.errorbar(
            x,
            part[column],
            yerr=errors,
            color=COLOURS[number % 8],
            marker=MARKERS[number % 8],
            capsize=2,
            label=model,
        )
    axes.set_xticks(range(len(RANKS)), RANKS)
    axes.set_ylabel(label)
    axes.grid(axis="x", visible=False)
    add_legend(axes, loc="lower left")
    return figure


def _coverage(table: pd.DataFrame):
    data = table[(table["stratum"] == "all") & (table["metric"] == "coverage")].rename(
        columns={"task": "rank", "value": "coverage"}
    )
    data = data[["rank", "model", "coverage", "n_units"]].rename(columns={"n_units": "n"})
    species = data[data["rank"] == "species"].set_index("model")["coverage"]
    reading = "Contigs named down to species: " + ", ".join(f"{name} {value:.0%}" for name, value in species.items())
    return _by_rank(data, "coverage", "share of contigs named"), reading + ".", data


def _f1_by_rank(table: pd.DataFrame):
    data = table[(table["stratum"] == "all") & (table["metric"] == "f1") & (table["minus"] == "")]
    data = data[data["threshold"] == OWN_THRESHOLD]
    order = table["model"].drop_duplicates().tolist()
    data = data.rename(columns={"task": "rank", "value": "f1"})[["rank", "model", "f1", "low", "high"]]
    data["model"] = pd.Categorical(data["model"], order)
    data["rank"] = pd.Categorical(data["rank"], RANKS)
    data = data.sort_values(["model", "rank"]).astype({"model": str, "rank": str})
    known = data.dropna(subset=["f1"])
    lowest = known.loc[known.groupby("model", sort=False)["f1"].idxmin()].sort_values("f1")
    reading = "Lowest F1: " + ", ".join(f"{row.model} {row.f1:.3f} at {row.rank}" for row in lowest.itertuples())
    reading += ". Bars: 95 % interval over genomes; compare models by the paired differences in the table."
    return _by_rank(data, "f1", "F1", "low", "high"), reading, data


def _precision_recall(community: Community, models: list[Model]):
    figure = new_figure(6, 4.6)
    axes = figure.subplots()
    parts, areas = [], {}
    for number, model in enumerate(models):
        confidence, correct, total = scored_calls(community, model, SPECIES)
        curve = sweep(confidence, correct, total)
        if curve.empty:
            continue
        areas[model.name] = area_under_precision_recall(curve)
        rows = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).astype(int))
        curve = curve.iloc[rows].assign(model=model.name)
        parts.append(curve)
        colour, marker = COLOURS[number % 8], MARKERS[number % 8]
        if model.has_confidence:
            axes.plot(curve["recall"], curve["precision"], color=colour, label=model.name)
        own = judge(community, model)
        called, right = (own.correct | own.wrong)[:, SPECIES].sum(), own.correct[:, SPECIES].sum()
        if called:
            axes.plot(right / total, right / called, marker=marker, color=colour, markersize=9, linestyle="none",
                      label=None if model.has_confidence else model.name)  # fmt: skip
    axes.set(xlabel="recall (correct / all contigs)", ylabel="precision (correct / called)")
    add_legend(axes, loc="lower left")
    if not parts:
        return figure, "No contig has a true species.", pd.DataFrame(columns=_CURVE)
    reading = "Precision and recall at species over all thresholds; markers: accepted calls. Area: " + ", ".join(
        f"{name} {area:.3f}" for name, area in sorted(areas.items(), key=lambda item: item[1])
    )
    data = pd.concat(parts)
    return figure, reading + ".", data


def _risk_coverage(community: Community, models: list[Model]):
    # The harder stratum, if there is one.
    members = without_exact(community.status)
    stratum = NO_EXACT if members.any() else ALL
    members = members | (stratum == ALL)
    figure = new_figure(6, 4.6)
    axes = figure.subplots()
    parts, shares = [], []
    for number, model in enumerate(models):
        confidence, correct, total = scored_calls(community, model, SPECIES, members)
        curve = sweep(confidence, correct, total)
        if curve.empty:
            continue
        rows = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).astype(int))
        curve = curve.assign(risk=1 - curve["precision"], model=model.name).iloc[rows]
        parts.append(curve[["threshold", "coverage", "risk", "model"]])
        colour, marker = COLOURS[number % 8], MARKERS[number % 8]
        if model.has_confidence:
            axes.plot(curve["coverage"], curve["risk"], color=colour, label=model.name)
        own = judge(community, model)
        wrong, right = (int(part[members, SPECIES].sum()) for part in (own.wrong, own.correct))
        if wrong + right:
            coverage, risk = (wrong + right) / total, wrong / (wrong + right)
            axes.plot(coverage, risk, marker=marker, color=colour, markersize=9, linestyle="none",
                      label=None if model.has_confidence else model.name)  # fmt: skip
            shares.append((risk, f"{model.name} names {coverage:.0%}, {risk:.1%} of them wrong"))
    axes.set(xlabel="coverage (named / all contigs)", ylabel="risk (wrong / named)", xlim=(0, 1.02), ylim=(0, None))
    add_legend(axes, loc="upper left")
    told = "; ".join(share for _, share in sorted(shares, reverse=True))
    where = " without exact copies of reference genomes" if stratum == NO_EXACT else ""
    reading = f"Species of contigs{where} at the accepted threshold (markers): {told}"
    reading += ". Other points of the curves are thresholds in hindsight"
    columns = ["threshold", "coverage", "risk", "model"]
    return figure, reading + ".", pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def _reliability(community: Community, models: list[Model]):
    figure = new_figure(8, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    parts, gaps = [], []
    for axes, rank in zip(panels, ("genus", "species"), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for number, model in enumerate(models):
            if not model.has_confidence:
                continue
            confidence, correct, _ = scored_calls(community, model, RANKS.index(rank))
            curve = reliability(confidence, correct)
            parts.append(curve.assign(model=model.name, rank=rank))
            colour, marker = COLOURS[number % 8], MARKERS[number % 8]
            axes.plot(curve["confidence"], curve["accuracy"], color=colour, label=model.name)
            sizes = 12 + 120 * curve["n"] / max(1, curve["n"].sum())
            axes.scatter(curve["confidence"], curve["accuracy"], s=sizes, color=colour, marker=marker)
            if len(confidence):
                gap = float(confidence.mean() - correct.mean())
                kind = "overconfident" if gap > 0 else "underconfident"
                told = f"at {rank} {model.name} is {abs(gap):.0%} {kind} on average"
                gaps.append((abs(gap), told))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence (larger points contain more calls)", title=rank)
    panels[0].set_ylabel("share of calls that are right")
    add_legend(panels[0], loc="upper left")
    told = "; ".join(gap for _, gap in sorted(gaps, reverse=True))
    reading = f"{told[:1].upper()}{told[1:]}. On the dotted line, confidences are calibrated"
    if not parts:
        columns = ["low", "high", "confidence", "accuracy", "n", "model", "rank"]
        return figure, "No model gives confidences.", pd.DataFrame(columns=columns)
    return figure, reading + ".", pd.concat(parts)


def _by_status(community: Community, models: list[Model]):
    rows = []
    for status, members in statuses_of(community):
        for model in models:
            own = judge(community, model)
            for outcome, part in vars(own).items():
                rows.append((status, model.name, outcome, int(part[members, SPECIES].sum())))
    data = pd.DataFrame(rows, columns=["status", "model", "outcome", "contigs"])
    figure = new_figure(8, 4.2)
    axes = figure.subplots()
    statuses = data["status"].drop_duplicates().tolist()
    width = 0.8 / len(models)
    shades = {"correct": "#009E73", "none": "#D9D9D9", "wrong": "#D55E00"}
    for number, model in enumerate(models):
        for place, status in enumerate(statuses):
            part = data[(data["model"] == model.name) & (data["status"] == status)].set_index("outcome")["contigs"]
            x, bottom = place + (number - (len(models) - 1) / 2) * width, 0.0
            for outcome, shade in shades.items():
                share = part[outcome] / max(1, part.sum())
                label = outcome if number == place == 0 else None
                style = {"color": shade, "hatch": "///" if outcome == "wrong" else None, "label": label}
                axes.bar(x, share, width * 0.92, bottom=bottom, edgecolor="#444444", linewidth=0.4, **style)
                bottom += share
            axes.text(x, 1.01, model.name, rotation=90, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(statuses)), statuses)
    axes.set(ylabel="share of contigs, at species", xlabel="novelty status", ylim=(0, 1))
    axes.grid(axis="x", visible=False)
    add_legend(axes, loc="center left", bbox_to_anchor=(1, 0.5))
    wide = data.pivot_table(index=["model", "status"], columns="outcome", values="contigs", sort=False)
    wide = wide[wide.sum(axis=1) > 0]
    if wide.empty:
        return figure, "It is not known which genomes are in the reference.", data
    share = wide["wrong"] / wide.sum(axis=1)
    worst = [
        f"{model.name} on '{status}': {wide.loc[(model.name, status), 'wrong']:.0f} of "
        f"{wide.loc[(model.name, status)].sum():.0f}"
        for model in models
        for status in [share[model.name].idxmax()]
    ]
    reading = "Most wrong names at species: " + "; ".join(worst)
    return figure, reading + ". Where the reference lacks the species, no name is right.", data


def _by_length(table: pd.DataFrame):
    wanted = table[
        table["stratum"].str.startswith("length=") & (table["metric"] == "f1") & (table["task"] == "species")
    ]
    data = wanted.assign(length=wanted["stratum"].str.removeprefix("length="))[["length", "model", "value", "n_units"]]
    data = data.rename(columns={"value": "f1", "n_units": "n"})
    bins = data.drop_duplicates("length").set_index("length")["n"]
    figure = new_figure()
    axes = figure.subplots()
    for number, model in enumerate(data["model"].drop_duplicates()):
        part = data[data["model"] == model].set_index("length")["f1"].reindex(bins.index)
        axes.plot(range(len(bins)), part, color=COLOURS[number % 8], marker=MARKERS[number % 8], label=model)
    axes.set_xticks(range(len(bins)), [f"{name}\n{count} contigs" for name, count in bins.items()])
    axes.set(ylabel="F1 at species", xlabel="contig length")
    add_legend(axes)
    if bins.empty:
        return figure, "The lengths of the contigs are not known.", data
    known = data.dropna(subset=["f1"])
    lowest = known.loc[known.groupby("model", sort=False)["f1"].idxmin()]
    told = ", ".join(f"{row.model} {row.f1:.3f} ({row.length})" for row in lowest.sort_values("f1").itertuples())
    return figure, f"Lowest F1 at species: {told}.", data


def _label_changes(labels: Model, model: Model):
    before, after = labels.accepted.sum(axis=1), model.accepted.sum(axis=1)
    both = labels.accepted & model.accepted
    renamed = (both & (labels.path != model.path)).any(axis=1)
    kind = np.select([renamed, after > before, after < before], ["renamed", "deeper", "shallower"], "kept")
    data = (
        pd.DataFrame({"label": before, "prediction": after, "kind": kind})
        .value_counts()
        .rename("contigs")
        .reset_index()
        .sort_values(["label", "prediction", "kind"], ascending=[False, False, True])
    )
    figure = new_figure(7.5, 5.2)
    axes = figure.subplots()
    axes.set_axis_off()
    total, gap = len(before), 0.04
    places = []
    for column in ("label", "prediction"):
        top, place = 1.0, {}
        for level, count in data.groupby(column)["contigs"].sum().sort_index(ascending=False).items():
            place[level] = top
            x = 0.0 if column == "label" else 1.0
            height = count / total
            axes.add_patch(matplotlib.patches.Rectangle((x - 0.015, top - height), 0.03, height, color="#333333"))
            text, side = f"{STOPS[level]}  {count:,}", ("right" if x == 0 else "left")
            axes.text(x + (0.03 if x else -0.03), top - height / 2, text, ha=side, va="center", fontsize=9)
            top -= height + gap
        places.append(place)
    shown = set()
    for row in data.itertuples():
        height = row.contigs / total
        left, right = places[0][row.label], places[1][row.prediction]
        places[0][row.label] -= height
        places[1][row.prediction] -= height
        points = [(0.015, left), (0.5, left), (0.5, right), (0.985, right), (0.985, right - height),
                  (0.5, right - height), (0.5, left - height), (0.015, left - height), (0.015, left)]  # fmt: skip
        codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
        axes.add_patch(
            PathPatch(
                Outline(points, codes),
                facecolor=_KINDS[row.kind],
                alpha=0.65,
                edgecolor="none",
                label=None if row.kind in shown else row.kind,
            )
        )
        shown.add(row.kind)
    axes.text(0, 1.03, f"label of {labels.name} ends at", ha="center", fontsize=9)
    axes.text(1, 1.03, f"{model.name} ends at", ha="center", fontsize=9)
    axes.set(xlim=(-0.28, 1.28), ylim=(-gap * len(STOPS) - 0.12, 1.06))
    add_legend(axes, loc="lower center", ncols=4)
    counts = pd.Series(kind).value_counts()
    changed = total - counts.get("kept", 0)
    reading = f"{changed:,} of {total:,} labels changed: " + ", ".join(
        f"{counts.get(word, 0):,} {word}" for word in ("deeper", "shallower", "renamed")
    )
    for column in ("label", "prediction"):
        data[column] = [STOPS[level] for level in data[column]]
    return figure, reading + ".", data


def _composition(community: Community, model: Model, index, abundance):
    lengths = read_table(index, INDEX, ["id", "length"]).set_index("id")["length"].reindex(community.ids)
    if lengths.isna().any():
        raise InputError(f"{index}: has no contig {lengths.index[lengths.isna()][0]!r}, which has a label")
    samples = sample_names(abundance) if abundance else []
    weights = pd.DataFrame({"all contigs": lengths.to_numpy(dtype=float)})
    if samples:
        depths = read_abundances(abundance).set_index("id").reindex(community.ids)
        weights = depths.fillna(0).astype(float).mul(lengths.to_numpy(), axis=0).reset_index(drop=True)
    accepted = model.accepted[:, _COMPOSITION_RANK]
    number = np.where(accepted, model.path[:, _COMPOSITION_RANK], UNNAMED)
    sums = weights.groupby(number).sum()
    share = sums.div(sums.sum().replace(0, np.nan), axis=1).fillna(0)
    named = share.drop(index=UNNAMED, errors="ignore")
    largest = named.sum(axis=1).sort_values(ascending=False, kind="stable").index[:_COMPOSITION_NAMES].tolist()
    bars = {community.names[_COMPOSITION_RANK][row][-1]: share.loc[row] for row in largest}
    bars["other families"] = named.drop(index=largest).sum()
    bars["stops above family"] = share.loc[UNNAMED] if UNNAMED in share.index else 0 * share.sum()
    figure = new_figure(max(6.0, 3.6 + 0.42 * len(share.columns)), 4.4)
    axes = figure.subplots()
    bottom = np.zeros(len(share.columns))
    shades = [*COLOURS[:6], COLOURS[7]]
    for place, (name, row) in enumerate(bars.items()):
        colour = {"other families": "#B8B8B8", "stops above family": "#FFFFFF"}.get(name) or shades[place % 7]
        axes.bar(range(len(row)), row, 0.8, bottom=bottom, color=colour, edgecolor="#444444", linewidth=0.4, label=name)
        bottom += row.to_numpy()
    axes.set_xticks(range(len(share.columns)), share.columns, rotation=45 if len(share.columns) > 8 else 0)
    axes.set_ylabel("share of bases (length x depth)" if samples else "share of bases (length)")
    axes.grid(axis="x", visible=False)
    add_legend(axes, loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    data = pd.DataFrame(bars).T.rename_axis("family").reset_index()
    mean = pd.DataFrame(bars).mean()
    reading = f"Families in the samples by {model.name}: {mean.index[0]} leads with {mean.iloc[0]:.0%} of the bases; "
    stops = mean["stops above family"]
    return figure, f"{reading}{'<1%' if 0 < stops < 0.005 else f'{stops:.0%}'} stop above family.", data
