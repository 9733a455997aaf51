"""Figures of the ``mrna`` recipe: scores, t-SNE maps of teacher and student side by side, loss and gradient curves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from genestill.evaluation import maps
from genestill.evaluation.figures import COLOURS, STYLE, label_log_axis, new_figure, save_svg
from genestill.evaluation.probes.tables import read_features, read_task


def draw_maps(
    tasks: Sequence[str | Path], models: dict[str, Sequence[str | Path]], rows: int, seed: int, output: str | Path
) -> None:
    """t-SNE of the same transcripts in each model's space, coloured by task (`maps.draw_maps`).

    Args:
        tasks: probe tasks; classification tasks have one colour per class, others one colour.
        models: name -> shards of embeddings; one panel each.
        rows: maximum number of transcripts per task.
        seed: seed of the draw and of t-SNE.
        output: the figure.
    """
    generator = np.random.default_rng(seed)
    names, colours = [], []
    for path in tasks:
        table, metadata = read_task(path, None)
        table = table.iloc[np.sort(generator.choice(len(table), min(rows, len(table)), replace=False))]
        first = np.stack(table["targets"].tolist())[:, 0]
        by_class = metadata["kind"] == "classification"
        names += table["transcript"].tolist()
        colours += [f"{metadata['task']} {value:.0f}" if by_class else metadata["task"] for value in first]
    features = {model: read_features(shards, names) for model, shards in models.items()}
    figure, _ = maps.draw_maps(features, np.array(colours), seed)
    save_svg(output, figure, "Neighbouring points have similar features in the model (t-SNE of the same transcripts).")


def draw_scores(summary: pd.DataFrame, output: str | Path) -> None:
    """Mean probe score of every model with its interval, from `retained.summarise`."""
    means = summary[(summary["metric"] == "own") & (summary["minus"] == "")]
    figure = new_figure(7, 0.45 * len(means) + 1.4)
    with matplotlib.rc_context(STYLE):
        axis = figure.subplots()
    ordered = means.iloc[::-1]
    errors = np.abs(np.array([ordered["value"] - ordered["low"], ordered["high"] - ordered["value"]]))
    axis.errorbar(ordered["value"], np.arange(len(ordered)), xerr=errors, fmt="o", capsize=3, color=COLOURS[0])
    axis.set_yticks(np.arange(len(ordered)), ordered["model"])
    axis.set_xlabel("mean over tasks (Pearson's r or AUROC), 95 % paired bootstrap interval")
    best = means.loc[means["value"].idxmax()]
    save_svg(output, figure, f"{best['model']} has the highest mean score, {best['value']:.3f}.")


def draw_training(records: Sequence[tuple[str, Path]], output: str | Path) -> None:
    """Loss and gradient norm by step for every run (its model and training.tsv), on logarithmic axes."""
    figure = new_figure(8, 7)
    with matplotlib.rc_context(STYLE):
        above, below = figure.subplots(2, 1, sharex=True)
    models = sorted({model for model, _ in records})
    drawn = set()
    for model, path in sorted(records):
        record = pd.read_csv(path, sep="\t")
        style = {"color": COLOURS[models.index(model) % len(COLOURS)], "linewidth": 0.8}
        label = None if model in drawn else model
        drawn.add(model)
        above.plot(record["step"], record["loss"] / record["loss"].iloc[0], label=label, **style)
        below.plot(record["step"], record["gradient_norm"], **style)
    above.set(yscale="log", ylabel="loss / loss of the first step")
    below.set(yscale="log", ylabel="gradient norm before clipping", xlabel="step")
    for panel in (above, below):
        label_log_axis(panel.yaxis)
    above.legend(ncols=3)
    save_svg(output, figure, "Loss and gradient of every run; one line per seed.")
