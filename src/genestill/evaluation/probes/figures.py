"""Figures of the ``mrna`` recipe: scores, t-SNE maps of teacher and student side by side, loss and gradient curves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.probes.tables import read_features, read_task
from genestill.ground.files import write_aside


def _save(figure, path: str | Path) -> None:
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "genestill"
    with write_aside(path) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})
    plt.close(figure)


def _new(*arguments, **settings):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(*arguments, **settings)


def draw_maps(
    tasks: Sequence[str | Path], models: dict[str, Sequence[str | Path]], rows: int, seed: int, output: str | Path
) -> None:
    """t-SNE (van der Maaten and Hinton, 2008) of the same transcripts in each model's space, coloured by task.

    Args:
        tasks: probe tasks; classification tasks give one colour a class, others one colour.
        models: name to shards of embeddings; one panel each.
        rows: transcripts drawn a task at most.
        seed: of the draw and of t-SNE.
    """
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(seed)
    names, colours = [], []
    for path in tasks:
        table, metadata = read_task(path, None)
        table = table.iloc[np.sort(generator.choice(len(table), min(rows, len(table)), replace=False))]
        first = np.stack(table["targets"].tolist())[:, 0]
        by_class = metadata["kind"] == "classification"
        names += table["transcript"].tolist()
        colours += [f"{metadata['task']} {value:.0f}" if by_class else metadata["task"] for value in first]
    colours = np.array(colours)
    figure, axes = _new(1, len(models), figsize=(5 * len(models), 5), squeeze=False, layout="constrained")
    for axis, (model, shards) in zip(axes[0], models.items(), strict=True):
        scaled = StandardScaler().fit_transform(read_features(shards, names))
        places = TSNE(perplexity=min(30, (len(names) - 1) / 3), random_state=seed, init="pca").fit_transform(scaled)
        for colour in np.unique(colours):
            chosen = colours == colour
            axis.scatter(*places[chosen].T, s=4, label=colour)
        axis.set(title=model, xticks=[], yticks=[])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, markerscale=3, frameon=False)
    _save(figure, output)


def draw_scores(summary: pd.DataFrame, output: str | Path) -> None:
    """Mean probe score of every model with its interval, from `kept.summarise`."""
    figure, axis = _new(figsize=(7, 0.45 * len(summary) + 1.2), layout="constrained")
    ordered = summary.iloc[::-1]
    errors = np.abs(np.array([ordered["mean"] - ordered["mean_low"], ordered["mean_high"] - ordered["mean"]]))
    axis.errorbar(ordered["mean"], np.arange(len(ordered)), xerr=errors, fmt="o", capsize=3)
    axis.set_yticks(np.arange(len(ordered)), ordered["model"])
    axis.set_xlabel("mean over tasks (Pearson's r or AUROC), 95 % paired bootstrap interval")
    _save(figure, output)


def draw_training(records: dict[str, str | Path], output: str | Path) -> None:
    """Loss and gradient norm against step of every run (name to training.tsv), on logarithmic axes."""
    figure, (above, below) = _new(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    objectives = sorted({name.rsplit(".seed", 1)[0] for name in records})
    for name, path in sorted(records.items()):
        record = pd.read_csv(path, sep="\t")
        objective = name.rsplit(".seed", 1)[0]
        style = {"color": f"C{objectives.index(objective)}", "linewidth": 0.8}
        label = objective if name == min(n for n in records if n.rsplit(".seed", 1)[0] == objective) else None
        above.plot(record["step"], record["loss"] / record["loss"].iloc[0], label=label, **style)
        below.plot(record["step"], record["gradient_norm"], **style)
    above.set(yscale="log", ylabel="loss / loss of the first step")
    below.set(yscale="log", ylabel="gradient norm before clipping", xlabel="step")
    above.legend(ncols=3, frameon=False)
    _save(figure, output)
