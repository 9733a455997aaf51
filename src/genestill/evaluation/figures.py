"""Style and saving of figures: readable with colour blindness, a sentence above, the data in a TSV beside it."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from genestill.core.files import write_aside
from genestill.core.tables import write_tsv

# The palette of Okabe and Ito, ordered so that consecutive colours also differ in lightness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#8C8C8C"

STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text is stored as text, so that it can be searched and read by screen readers
    "svg.hashsalt": "genestill",
}


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """An empty figure in the common style; width and height in inches."""
    with matplotlib.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def add_legend(axes, **options) -> None:
    """A legend of the labelled lines and points; none if nothing was drawn. ``options`` are those of Matplotlib."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**options)


def label_log_axis(axis) -> None:
    """Plain numbers on a logarithmic axis (1, 2, 5, 10, not powers), for any range."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save_figure(folder: str | Path, name: str, figure: Figure, reading: str, data: pd.DataFrame) -> None:
    """Write ``name.svg`` with the sentence ``reading`` above the axes, and its ``data`` as ``name.tsv``; atomic."""
    folder = Path(folder)
    write_tsv(folder / f"{name}.tsv", data)
    save_svg(folder / f"{name}.svg", figure, reading)


def save_svg(path: str | Path, figure: Figure, reading: str) -> None:
    """Write a figure with the sentence ``reading`` above the axes; equal figures give equal bytes; atomic."""
    with matplotlib.rc_context(STYLE), write_aside(path) as aside:
        figure.suptitle(reading, x=0.01, ha="left", fontsize=10.5, wrap=True)
        figure.savefig(
            aside, format="svg", dpi=200, metadata={"Date": None, "Title": Path(path).stem, "Description": reading}
        )
