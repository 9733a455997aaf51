"""Pictures of the DNA recipes: models over tasks with intervals, and t-SNE of frozen features."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.sequence_tasks.scores import MEAN
from genestill.ground.files import write_aside


def draw_scores(table: pd.DataFrame, path: str | Path) -> None:
    """One panel a task and one for the mean; measured rows with intervals filled, published ones hollow (SVG)."""
    from matplotlib.figure import Figure

    tasks = [*sorted(set(table["task"]) - {MEAN}), MEAN]
    height = 0.25 * max(table.groupby("task").size()) + 0.9
    columns = min(3, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(4.6 * columns, height * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(tasks) :]:
        panel.axis("off")
    for panel, task in zip(panels, tasks, strict=False):
        rows = table[table["task"] == task].iloc[::-1].reset_index(drop=True)
        for place, row in rows.iterrows():
            error = [[max(0, row["value"] - row["low"])], [max(0, row["high"] - row["value"])]]
            measured = row["kind"] == "measured"
            panel.errorbar(
                row["value"],
                place,
                xerr=None if np.isnan(error).any() else error,
                fmt="o",
                color="#1b5e8c" if measured else "#888888",
                markerfacecolor=None if measured else "white",
                capsize=2,
            )
        names = [row["model"] + ("" if row["kind"] == "measured" else " (published)") for _, row in rows.iterrows()]
        panel.set_yticks(range(len(rows)), names, fontsize=7)
        panel.set_title(f"{task}: {rows['metric'].iloc[0]}", fontsize=9)
    _save(figure, path)


def draw_tsne(features: dict[str, np.ndarray], labels: np.ndarray, classes: list[str], seed: int, path) -> None:
    """t-SNE of the same test rows under several models, side by side.

    Args:
        features: by model, float [n, width of the model].
        labels: int [n], index into ``classes``.
        classes: names.
        seed: of t-SNE.
        path: SVG.
    """
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    figure = Figure(figsize=(3.4 * len(features), 3.6), layout="constrained")
    for panel, (model, values) in zip(
        figure.subplots(1, len(features), squeeze=False)[0], features.items(), strict=True
    ):
        perplexity = min(30, (len(values) - 1) / 3)
        places = TSNE(random_state=seed, perplexity=perplexity).fit_transform(StandardScaler().fit_transform(values))
        for number, name in enumerate(classes):
            here = places[labels == number]
            panel.scatter(here[:, 0], here[:, 1], s=3, label=name, rasterized=True)
        panel.set_title(model, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=len(classes), markerscale=3)
    _save(figure, path)


def _save(figure, path: str | Path) -> None:
    from matplotlib import rc_context

    with write_aside(path) as aside, rc_context({"svg.hashsalt": "genestill"}):
        figure.savefig(aside, format="svg", metadata={"Date": None}, dpi=200)
