"""Maps of representations: the same sequences in the feature spaces of several models, side by side."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from genestill.evaluation.figures import COLOURS, MARKERS, STYLE, new_figure

REST = ("others", "not named")


def draw_maps(features: dict[str, np.ndarray], groups: np.ndarray, seed: int) -> tuple[Figure, dict[str, np.ndarray]]:
    """t-SNE (van der Maaten and Hinton 2008, JMLR 9:2579) of every model's features, coloured by group.

    Args:
        features: model -> float [n, size of the model's features], the same n sequences for all.
        groups: n names; each group has a different colour or, if there are more groups than colours, marker.
        seed: seed of t-SNE.

    Returns:
        The figure, one panel per model, and the coordinates: model -> float32 [n, 2].
    """
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    places = {}
    for model, values in features.items():
        perplexity = min(30, (len(values) - 1) / 3)
        scaled = StandardScaler().fit_transform(values)
        places[model] = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(scaled)
    # The groups in REST are last, so that the colours of other groups do not depend on them.
    order = sorted(dict.fromkeys(groups), key=lambda group: group in REST)
    figure = new_figure(4.4 * len(features), 4.9)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        panels = figure.subplots(1, len(features), squeeze=False)[0]
    for panel, (model, found) in zip(panels, places.items(), strict=True):
        for number, group in enumerate(order):
            chosen = groups == group
            panel.scatter(
                *found[chosen].T,
                s=7,
                linewidths=0,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
                label=group,
                rasterized=True,
            )
        panel.set(title=model, xticks=[], yticks=[])
    handles, labels = panels[0].get_legend_handles_labels()
    # As many columns as there is space for: a letter has about 0.065 inches, marker and gaps half an inch.
    columns = int(0.95 * 4.4 * len(features) / (0.5 + 0.065 * max(map(len, labels), default=1)))
    with matplotlib.rc_context(STYLE):
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(4, max(1, columns)), markerscale=2.5, fontsize=8
        )
    return figure, places
