"""The composition as an interactive chart (one HTML file, no network) and as text for KronaTools."""

import html
import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from genestill.core.files import write_text
from genestill.core.lineage import Lineage, named

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def write_krona(
    folder: str | Path, title: str, paths: list[Lineage], samples: list[str], bases: np.ndarray, contigs: np.ndarray
) -> None:
    """Write ``krona.html`` and ``krona.txt`` into ``folder``.

    Args:
        folder: the folder to write to.
        title: heading of the chart.
        paths: distinct lineages, the empty one for unlabelled contigs.
        samples: s names, at least one.
        bases: float64 [len(paths), s], weight of each path in each sample.
        contigs: int64 [len(paths)], number of contigs of each path.

    ``krona.txt`` is the text format of KronaTools (``ktImportText krona.txt``): bases over all samples, then the names.
    The HTML page shows all samples together first, and contains every sample and the numbers of contigs. Names are
    stored as JSON with ``<``, ``>`` and ``&`` escaped, and shown as text nodes, so that no name can be interpreted as
    markup.
    """
    folder = Path(folder)
    lines = [
        f"{sum(row):.10g}\t" + ("\t".join(named(path)) or "unclassified")
        for path, row in sorted(zip(paths, bases.tolist(), strict=True), key=lambda item: -sum(item[1]))
    ]
    write_text(folder / "krona.txt", "\n".join(lines) + "\n")
    # The page shows all samples together first.
    together = [bases.sum(axis=1)] if len(samples) > 1 else []
    views = ["all samples"] * len(together) + [*samples, "number of contigs"]
    tree = _tree(paths, np.column_stack([*together, bases, contigs]).tolist())
    data = json.dumps({"views": views, "root": tree}, separators=(",", ":"))
    for letter, escape in _ESCAPES.items():
        data = data.replace(letter, escape)
    page = files("genestill.student.corrector").joinpath("krona.html").read_text(encoding="utf-8")
    # Data are inserted last, so that a name cannot be interpreted as a placeholder.
    write_text(folder / "krona.html", page.replace("{{title}}", html.escape(title)).replace("{{data}}", data))


def _tree(paths: list[Lineage], weights: list[list[float]]) -> dict:
    """Nested nodes: n name, w weight in each view, c children in descending order of weight."""
    root: dict = {"n": "all contigs", "w": [0.0] * len(weights[0]) if weights else [], "c": {}}
    for path, row in zip(paths, weights, strict=True):
        node = root
        names = named(path) or ("unclassified",)
        _add(node, row)
        for name in names:
            node = node["c"].setdefault(name, {"n": name, "w": [0.0] * len(row), "c": {}})
            _add(node, row)
    return _sorted_children(root)


def _add(node: dict, row: list[float]) -> None:
    node["w"] = [weight + more for weight, more in zip(node["w"], row, strict=True)]


def _sorted_children(node: dict) -> dict:
    below = sorted(node["c"].values(), key=lambda child: (-sum(child["w"]), child["n"]))
    sorted_node = {"n": node["n"], "w": [float(f"{weight:.6g}") for weight in node["w"]]}
    if below:
        sorted_node["c"] = [_sorted_children(child) for child in below]
    return sorted_node
