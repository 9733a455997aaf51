"""Figures of the DNA recipes: scores of models per task with intervals, and t-SNE of frozen features."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from genestill.evaluation.figures import COLOURS, GREY, STYLE, new_figure, save_svg
from genestill.evaluation.maps import draw_maps
from genestill.evaluation.sequence_tasks.scores import MEAN


def draw_scores(table: pd.DataFrame, path: str | Path) -> None:
    """One panel per task and one per mean; measured rows with intervals filled, published ones hollow (SVG)."""
    means = {task for task in table["task"] if task.startswith(MEAN)}
    tasks = [*sorted(set(table["task"]) - means), *sorted(means)]
    height = 0.25 * max(table.groupby("task").size()) + 0.9
    columns = min(3, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = new_figure(4.6 * columns, height * lines)
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(tasks) :]:
        panel.axis("off")
    for panel, task in zip(panels, tasks, strict=False):
        rows = table[table["task"] == task].iloc[::-1].reset_index(drop=True)
        for place, row in rows.iterrows():
            error = [[max(0, row["value"] - row["low"])], [max(0, row["high"] - row["value"])]]
            measured = row["origin"] == "measured"
            panel.errorbar(
                row["value"],
                place,
                xerr=None if np.isnan(error).any() else error,
                fmt="o",
                color=COLOURS[0] if measured else GREY,
                markerfacecolor=None if measured else "white",
                capsize=2,
            )
        names = [row["model"] + ("" if row["origin"] == "measured" else " (published)") for _, row in rows.iterrows()]
        panel.set_yticks(range(len(rows)), names, fontsize=7)
        panel.set_title(f"{task}: {rows['metric'].iloc[0]}", fontsize=9)
    save_svg(path, figure, f"{_worst_task(table)}Scores with 95 % intervals; hollow: published.")


def _worst_task(table: pd.DataFrame) -> str:
    """A sentence on the task on which the best student is worst compared with the best baseline."""
    own = table[(table["origin"] == "measured") & (table["task"] != MEAN)]
    student = own[own["kind"].isin(["student", "combined"])].groupby("task")["value"].max()
    baseline = own[own["kind"] == "baseline"].groupby("task")["value"].max()
    apart = (student - baseline).dropna()
    if apart.empty:
        return ""
    task = apart.idxmin()
    side = "below" if apart[task] < 0 else "above"
    return f"The worst task of the best student is {task}, {abs(apart[task]):.3f} {side} the best baseline. "


def draw_tsne(features: dict[str, np.ndarray], labels: np.ndarray, classes: list[str], seed: int, path) -> None:
    """t-SNE of the same test rows for several models, side by side (`maps.draw_maps`), written to the SVG ``path``.

    ``labels`` are int [n], indices into ``classes``; ``features`` by model, float [n, size of the model's features].
    """
    figure, _ = draw_maps(features, np.array(classes)[labels], seed)
    save_svg(path, figure, "Neighbouring points have similar features in the model (t-SNE of the same test rows).")
