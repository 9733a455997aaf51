"""Tables of README and documentation, generated from the published results.

A table is between two comments in Markdown; the words of the first select its rows::

    <!-- results: taxdistill headline -->
    <!-- results: taxdistill dataset=community stratum=all minus=MMseqs2 metric=f1 -->
    <!-- end -->

The first word is a table of results (`resources/results/<word>.tsv`); ``headline`` selects the rows of the README's
table, ``name=value`` those with this value (an empty value for none; ``+`` is a space, ``|`` separates several values).
There is one row per model, best first, and one column per task and metric; with the word ``by=stratum`` there is one
row per stratum. Tables with other columns (`results.EXCEPTIONS`) are shown unchanged, with the selected rows.
"""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import write_text
from genestill.core.kinds import named
from genestill.core.lineage import RANKS
from genestill.core.tables import read_tsv
from genestill.core.text import read_text
from genestill.evaluation.results import EXCEPTIONS, HELD, read_results
from genestill.evaluation.strata import place_of

MARKED = re.compile(r"(<!-- results: ([^\n]*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
# Metrics for which smaller is better.
_DOWN = (
    "absent_called",
    "absent_named",
    "risk",
    "ece",
    "ece_adaptive",
    "over_depth",
    "seconds",
    "cpu_seconds",
    "peak_memory_mb",
    "mse",
)
# Counts and sizes, shown without decimals.
_WHOLE = (
    "absent_called",
    "over_depth",
    "exact_answer",
    "seconds",
    "cpu_seconds",
    "peak_memory_mb",
    "diverged",
    "loss_spikes",
    *HELD,
)
_WORDS = {
    "f1": "F1",
    "ece": "calibration error",
    "absent_called": "named although absent",
    "absent_named": "share of absent named",
    "recall_known": "recall on known",
    "coverage_at_risk": "coverage, threshold in hindsight",
    "ece_adaptive": "calibration error",
    "own": "",
    "peak_memory_mb": "peak memory, MB",
    "seconds": "seconds",
    "cpu_seconds": "CPU seconds",
    "final_loss": "final loss",
    "final_loss_deviation": "its standard deviation",
    "gradient_norm_tail": "tail of gradient norms",
    "loss_spikes": "spikes of the loss",
    "novel_share": "absent",
    "novel_share_error": "error",
    "novel_share_true": "truth",
}


def fill_tables(text: str, results: str | Path, source: str) -> str:
    """``text`` with every marked table generated again from the folder ``results``; ``source`` is its name in messages.

    Raises `InputError` for a mark without an end, a missing table of results, and words that select no row.
    """
    if text.count("<!-- results: ") != len(MARKED.findall(text)):
        raise InputError(f"{source}: a mark '<!-- results: … -->' is not followed by a line '<!-- end -->'")
    read = functools.cache(_read_results)  # a page may have ten tables of one file of several MB
    return MARKED.sub(lambda mark: f"{mark[1]}\n{make_table(mark[2], results, source, read)}\n\n{mark[4]}", text)


def write_tables(files: Iterable[str | Path], results: str | Path, check: bool = False) -> list[str]:
    """Generate the marked tables of Markdown files again; return the files that changed. ``check`` writes nothing."""
    changed = []
    for file in map(Path, files):
        before = read_text(file)
        after = fill_tables(before, results, str(file))
        if after != before:
            changed.append(str(file))
            if not check:
                write_text(file, after)
    return changed


def _read_results(path: Path) -> pd.DataFrame:
    return read_tsv(path) if path.stem in EXCEPTIONS else read_results(path)


def make_table(
    words: str, results: str | Path, source: str, read: Callable[[Path], pd.DataFrame] = _read_results
) -> str:
    """The Markdown table selected by the words of a mark; ``read`` reads a table of results."""
    name, *chosen = words.split()
    by = "stratum" if "by=stratum" in chosen else "model"
    chosen = [word for word in chosen if word != "by=stratum"]
    path = Path(results) / f"{name}.tsv"
    if not path.is_file():
        raise InputError(f"{source}: the table {words!r} needs {path}, which does not exist")
    table = read(path)
    for word in chosen:
        column, equals, value = ("headline", "=", "yes") if word == "headline" else word.partition("=")
        if not equals or column not in table:
            raise InputError(f"{source}: {word!r} in {words!r}; expected headline, or a column of {path} with a value")
        table = table[table[column].isin([one.replace("+", " ") for one in value.split("|")])]
    if table.empty:
        raise InputError(f"{source}: {path} has no rows for {words!r}; publish the run first")
    if name in EXCEPTIONS:
        return _markdown(list(table.columns), table.to_numpy().tolist())
    return _wide(table, f"{source}: {words!r}", by)


def _wide(table: pd.DataFrame, source: str, by: str) -> str:
    """One row per model, with its variant and the subtracted model, or per stratum; one column per task and metric.

    Data sets, samples and similar have separate columns if there are several.
    """
    table = table.iloc[sorted(range(len(table)), key=lambda row: _place(table.iloc[row]))]
    models = [named(*pair) for pair in zip(table["model"], table["variant"], strict=True)]
    models = [f"{row} − {minus}" if minus else row for row, minus in zip(models, table["minus"], strict=True)]
    table = table.assign(model=models)
    rows = table[by].tolist()
    kinds = ("dataset", "sample", "stratum", "weight") if by == "model" else ("model", "dataset", "sample", "weight")
    several = {name: table[name].nunique() > 1 for name in kinds}
    columns = []
    for row in table.to_dict("records"):
        words = [row[name] for name in several if several[name]]
        task = "" if row["task"] in ("community", "training") else row["task"]
        words += [" ".join(word for word in (task, _WORDS.get(row["metric"], row["metric"])) if word)]
        columns.append(", ".join(word for word in words if word))
    cells = pd.DataFrame({"row": rows, "column": columns, "text": [_cell(row) for row in table.to_dict("records")]})
    cells["value"] = pd.to_numeric(table["value"]).to_numpy()
    if cells.duplicated(["row", "column"]).any():
        twice = cells[cells.duplicated(["row", "column"])].iloc[0]
        raise InputError(
            f"{source}: two rows for {twice['row']}, {twice['column']}; select one of them with another condition"
        )
    wide = cells.pivot(index="row", columns="column", values="text").fillna("")[list(dict.fromkeys(columns))]
    if by == "stratum":
        return _markdown([by, *wide.columns], [[row, *wide.loc[row]] for row in sorted(wide.index, key=place_of)])
    first = cells[cells["column"] == wide.columns[0]].set_index("row")["value"]
    down = table.iloc[0]["metric"] in _DOWN
    order = first.reindex(wide.index).sort_values(ascending=down, kind="stable").index
    body = [[row, *wide.loc[row]] for row in order]
    return _markdown(["model", *wide.columns], body)


def _place(row: pd.Series) -> tuple:
    """Sort key of a result in a table: scores before counts, the mean and low ranks before others."""
    metrics = ("f1", "own", "retained_fraction")
    place = metrics.index(row["metric"]) if row["metric"] in metrics else len(metrics)
    depth = RANKS.index(row["task"]) if row["task"] in RANKS else len(RANKS)
    return (row["dataset"], row["metric"] in _DOWN, place, row["metric"], -depth, row["task"], row["stratum"])


def _cell(row: dict) -> str:
    if not row["value"]:
        return ""
    signed = bool(row["minus"])
    value, low, high = (shown(row[end], row["metric"], signed) if row[end] else "" for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if low and high else value


def shown(value: str, metric: str, signed: bool = False) -> str:
    """A result formatted for tables: three decimals, counts and sizes as integers."""
    sign = "+" if signed else ""
    return f"{float(value):{sign},.0f}" if metric in _WHOLE else f"{float(value):{sign}.3f}"


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(columns), "|---" + "|--:" * (len(columns) - 1) + "|", *map(line, rows)])
