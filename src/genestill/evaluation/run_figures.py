"""Figures of a run: training curves, costs of steps, and maps of contigs in the spaces of teacher and student."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.shards import Embeddings, chosen_rows
from genestill.core.table_schemas import PREDICTIONS, TRUTH, lineages_of
from genestill.core.tables import read_table
from genestill.evaluation.costs import read_cost
from genestill.evaluation.figures import COLOURS, STYLE, label_log_axis, new_figure, save_figure
from genestill.evaluation.maps import REST, draw_maps

MAPPED = 1500  # maximum number of contigs on a map, because more would overlap
_COLOUR_RANK = "family"
_NAMED_GROUPS = 11


def draw_run(
    training: str | Path | None,
    costs: list[str | Path],
    representations: Mapping[str, Sequence[str | Path]],
    predictions: str | Path,
    truth: str | Path | None,
    seed: int,
    folder: str | Path,
) -> list[str]:
    """Draw all available figures of a run into ``folder`` (an SVG and a TSV each); return their names.

    Args:
        training: training.tsv of the student, one row per step (loss in nats, gradient_norm, and held_out_loss at the
            end of each epoch); None: not drawn.
        costs: Snakemake's benchmark files, named ``<stage>/<step>.tsv``; missing files are left out.
        representations: model -> shards of embeddings of the contigs, all in the order of ``predictions``.
        predictions, truth: determine the colours of the maps; the truth is used if it is known.
        seed: seed for choosing contigs and for t-SNE.
        folder: the folder to write to.
    """
    drawn = {"cost": _cost(costs)}
    if training is not None:
        drawn["training"] = _training(training)
    if representations:
        drawn["maps"] = _maps(representations, predictions, truth, seed)
    for name, (figure, reading, data) in drawn.items():
        save_figure(folder, name, figure, reading, data)
    return list(drawn)


def _cost(paths: list[str | Path]):
    rows = []
    for path in map(Path, paths):
        if not path.exists():
            logger.warning("%s: no such file; the cost of this step is not shown", path)
            continue
        rows.append((path.parent.name, path.stem, *read_cost(path)))
    if not rows:
        raise InputError(f"{paths[0]}: no such file; expected a benchmark file of Snakemake for at least one step")
    data = pd.DataFrame(rows, columns=["stage", "step", "seconds", "megabytes", "cpu_seconds"]).sort_values("seconds")
    stages = list(dict.fromkeys(data["stage"]))
    colours = [COLOURS[stages.index(stage) % len(COLOURS)] for stage in data["stage"]]
    figure = new_figure(8, 1.3 + 0.24 * len(data))
    with matplotlib.rc_context(STYLE):
        left, right = figure.subplots(1, 2, sharey=True)
    left.barh(range(len(data)), data["seconds"], color=colours)
    right.barh(range(len(data)), data["megabytes"], color=colours)
    left.set(xlabel="seconds", yticks=range(len(data)), yticklabels=data["stage"] + ": " + data["step"])
    left.tick_params(axis="y", labelsize=8)
    right.set(xlabel="memory, MB (highest)")
    longest, largest = data.iloc[-1], data.loc[data["megabytes"].fillna(0).idxmax()]
    reading = (
        f"The steps took {data['seconds'].sum() / 60:.1f} minutes one after the other, the longest {longest['step']} "
        f"({longest['seconds']:.0f} s); none more than {largest['megabytes']:.0f} MB."
    )
    return figure, reading, data


def _training(path: str | Path):
    try:
        steps = pd.read_csv(path, sep="\t")[["loss", "held_out_loss", "gradient_norm"]]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not the training record of a student ({error})") from None
    ended = steps["held_out_loss"].notna()
    epoch = (ended.cumsum() - ended + 1).rename("epoch")
    data = steps.groupby(epoch).agg({"loss": "mean", "held_out_loss": "last", "gradient_norm": "median"})
    data = data.reset_index()
    figure = new_figure(7, 5.4)
    with matplotlib.rc_context(STYLE):
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    axes.plot(data["epoch"], data["loss"], color=COLOURS[0], marker="o", markersize=3, label="training")
    axes.plot(data["epoch"], data["held_out_loss"], color=COLOURS[1], marker="s", markersize=3, label="held out")
    axes.set(ylabel="cross-entropy, nats", yscale="log")
    below.plot(data["epoch"], data["gradient_norm"], color=COLOURS[0], marker="o", markersize=3)
    below.set(xlabel="epoch", ylabel="gradient norm", yscale="log")
    for panel in (axes, below):
        label_log_axis(panel.yaxis)
    axes.legend(frameon=False)
    last = data.iloc[-1]
    reading = f"After {last['epoch']:.0f} epochs the loss is {last['loss']:.3f}"
    reading += f", on contigs held out {last['held_out_loss']:.3f}."
    return figure, reading, data


def _maps(
    representations: Mapping[str, Sequence[str | Path]], predictions: str | Path, truth: str | Path | None, seed: int
):
    table = read_table(predictions, PREDICTIONS)
    ids = table["id"].tolist()
    if truth is not None:
        table = read_table(truth, TRUTH).set_index("id").reindex(ids)
    family = pd.Series([lineage[RANKS.index(_COLOUR_RANK)] for lineage in lineages_of(table)]).fillna(REST[1])
    common = family.value_counts().index[:_NAMED_GROUPS]
    groups = family.where(family.isin(common), REST[0]).to_numpy(dtype=str)
    rows = np.sort(np.random.default_rng(seed).choice(len(ids), min(MAPPED, len(ids)), replace=False))
    features = {model: chosen_rows(Embeddings(shards, ids), rows) for model, shards in representations.items()}
    figure, places = draw_maps(features, groups[rows], seed)
    data = pd.DataFrame({"contig": np.array(ids, dtype=object)[rows], _COLOUR_RANK: groups[rows]})
    for model, found in places.items():
        data[f"{model} x"], data[f"{model} y"] = found.T
    reading = f"{len(rows):,} contigs in the space of {' and '.join(places)} (t-SNE), coloured by "
    if truth is not None:
        reading += f"true {_COLOUR_RANK}: families that the model distinguishes are separate."
    else:
        reading += (
            f"the {_COLOUR_RANK} predicted by the student, so a cluster of one colour does not show that it is right."
        )
    return figure, reading, data
