"""Binning metrics of several tools as a table, with those of AMBER on the same files and published ones.

AMBER (Meyer et al. 2018, GigaScience; cami-amber 2.0.8, GPL-3) runs as an external program on the files of
`write_amber_files`: ``amber.py -g gold.binning -l NAMES --ncbi_dir taxdump -p 1 -o FOLDER NAME.binning …``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import folder_aside
from genestill.core.lineage import RANKS, Lineage, is_filled
from genestill.core.logs import logger
from genestill.core.table_schemas import PREDICTIONS, TRUTH, lineages_of
from genestill.core.tables import read_table, read_tsv, write_tsv
from genestill.core.taxonomy_folder import dump_file
from genestill.core.text import text_lines
from genestill.evaluation.binning import NO_TAXON, measure_binning

TOLERANCE = 1e-6
# Our names of metrics -> those in results.tsv of AMBER, and in the tables of its web pages (published by CAMI); first
# for base pairs, then for sequences.
_NAMES = {
    "accuracy": ("accuracy_{}", "Accuracy ({})"),
    "adjusted_rand_index": ("adjusted_rand_index_{}", "Adjusted Rand index ({})"),
    "average_completeness": ("recall_avg_{}", "Average completeness ({})"),
    "average_completeness_error": ("recall_avg_{}_sem", "Std error of av. completeness ({})"),
    "average_purity": ("precision_avg_{}", "Average purity ({})"),
    "average_purity_error": ("precision_avg_{}_sem", "Std error of av. purity ({})"),
    "binned": ("percentage_of_assigned_{}s", "Percentage of binned {}"),
    "completeness": ("recall_weighted_{}", "Completeness ({})"),
    "f1_of_sample": ("f1_score_per_{}", "F1 score for sample ({})"),
    "f1_score": ("f1_score_{}", "F1 score ({})"),
    "misclassification": ("misclassification_{}", "Misclassification rate ({})"),
    "purity": ("precision_weighted_{}", "Purity ({})"),
    "rand_index": ("rand_index_{}", "Rand index ({})"),
}
_COLUMNS = ["tool", "rank", "metric", "value"]


def score_binnings(truth: str | Path, predictions: dict[str, str | Path], output: str | Path) -> pd.DataFrame:
    """Write the metrics of `measure_binning` of each tool to the TSV ``output``: tool, rank, metric, value.

    Ranks and metrics have the names of CAMI's published tables. Contigs that are not in ``predictions`` are not binned;
    ranks filled by `fill_gaps` are not taxa.

    Args:
        truth: table of `table_schemas.TRUTH`, with the lengths of all contigs.
        predictions: name of the tool -> table of `table_schemas.PREDICTIONS`.
        output: the table.

    Raises:
        InputError: a contig without a length.
    """
    answers = read_table(truth, TRUTH)
    if answers["length"].isna().any():
        contig = answers["id"][answers["length"].isna()].iloc[0]
        raise InputError(
            f"{truth}: {contig!r} has no length, which is needed as its weight; expected a column of lengths"
        )
    taxa: dict[Lineage, int] = {}
    true = _numbers(lineages_of(answers), taxa)
    rows = pd.Index(answers["id"])
    tables = []
    for tool, path in predictions.items():
        table = read_table(path, PREDICTIONS)
        cut = [lineage[:accepted] for lineage, accepted in zip(lineages_of(table), table["accepted"], strict=True)]
        called = np.full(true.shape, NO_TAXON)
        place = rows.get_indexer(pd.Index(table["id"]))
        called[place[place >= 0]] = _numbers(cut, taxa)[place >= 0]
        found = measure_binning(true, called, answers["length"].to_numpy(dtype=np.int64))
        tables.append(found.assign(tool=tool))
    scores = pd.concat(tables, ignore_index=True)
    scores["metric"] = [
        _published_name(*row) for row in zip(scores["metric"], scores["unit"], scores["filtered"], strict=True)
    ]
    scores["rank"] = scores["rank"].replace("domain", "superkingdom")
    write_tsv(output, scores[_COLUMNS], digits=10)
    logger.info("binning: %d contigs, %d tools, %d values", len(answers), len(predictions), len(scores))
    return scores[_COLUMNS]


def _numbers(lineages: Sequence[Lineage], taxa: dict[Lineage, int]) -> np.ndarray:
    """Number of the taxon of each lineage at each rank, int64 [n, 7]; new taxa are added to ``taxa``."""
    known: dict[Lineage, list[int]] = {}
    for lineage in lineages:
        if lineage not in known:
            known[lineage] = [
                taxa.setdefault(lineage[: rank + 1], len(taxa))
                if rank < len(lineage) and lineage[rank] is not None and not is_filled(lineage[rank], rank)
                else NO_TAXON
                for rank in range(len(RANKS))
            ]
    return np.array([known[lineage] for lineage in lineages], dtype=np.int64).reshape(len(lineages), len(RANKS))


def _published_name(metric: str, unit: str, filtered: bool) -> str:
    word = "sequences" if metric == "binned" and unit == "seq" else unit
    return _NAMES[metric][1].format(word) + ("" if filtered else " (unfiltered)")


def write_amber_files(
    truth: Sequence[str | Path], predictions: dict[str, str | Path], taxdump: str | Path, folder: str | Path
) -> None:
    """Write files in CAMI's binning format for AMBER: ``gold.binning``, ``NAME.binning`` and ``taxdump/``.

    Rows are copied unchanged; several files of ``truth`` are joined, with the header of the first.

    Raises:
        InputError: files of ``truth`` with different headers, a name that AMBER does not accept.
    """
    for name in predictions:
        if name == "gold" or any(letter in name for letter in ",/"):
            raise InputError(f"the name {name!r} cannot be used with AMBER: no comma, no slash, not 'gold'")
    with folder_aside(folder) as aside:
        (aside / "taxdump").mkdir()
        for name in ("nodes", "names", "merged"):
            _copy_lines(aside / "taxdump" / f"{name}.dmp", _lines_of(dump_file(taxdump, name)))
        _copy_lines(aside / "gold.binning", _joined(truth))
        for name, path in predictions.items():
            if not next(text_lines(path), "").startswith(("@", "#")):
                raise InputError(
                    f"{path}: not in CAMI's binning format, which AMBER reads; expected lines @SampleID, …"
                )
            _copy_lines(aside / f"{name}.binning", text_lines(path))


def _lines_of(path: Path) -> Iterator[str]:
    return text_lines(path) if path.exists() else iter(())


def _joined(paths: Sequence[str | Path]) -> Iterator[str]:
    first = None
    for path in paths:
        header = []
        for line in text_lines(path):
            if not line.startswith(("@", "#")) and line.strip():
                yield line
                continue
            if line.startswith("@"):
                header.append(line)
            if first is None:
                yield line
        first = first or header
        if header != first:
            raise InputError(f"{path}: its header differs from that of {paths[0]}; expected parts of one gold standard")


def _copy_lines(path: Path, lines: Iterator[str]) -> None:
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in lines)


def compare_binnings(
    ours: dict[str, str | Path],
    amber: dict[str, str | Path],
    published: dict[str, str | Path],
    output: str | Path,
) -> pd.DataFrame:
    """Write our values with those of AMBER and published ones: table, tool, rank, metric, published, ours, amber.

    Args:
        ours: name of the table -> file written by `score_binnings`.
        amber: name of the table -> ``results.tsv`` of AMBER on the same files; may be empty.
        published: name of the table -> published results of AMBER. A tool is matched with the published tool whose name
            begins with its name; other tools have no published value.
        output: the table; written before the check.

    Raises:
        InputError: a table with other columns.
        CheckFailed: a value of ours that differs from AMBER's by more than 0.000001.
    """
    rows, was_published = [], []
    for table, path in ours.items():
        scores = read_tsv(path, _COLUMNS)
        scores["value"] = pd.to_numeric(scores["value"], errors="coerce")
        theirs = _results(amber[table], 0) if table in amber else None
        public = _results(published[table], 1) if table in published else None
        tools = _published_tools(scores["tool"].unique(), public)
        for tool, rank, metric, value in scores[_COLUMNS].itertuples(index=False):
            rows.append(
                {
                    "table": table,
                    "tool": tool,
                    "rank": rank,
                    "metric": metric,
                    "published": _value(public, tools.get(tool), rank, metric),
                    "ours": value,
                    "amber": _value(theirs, tool, rank, metric),
                }
            )
            was_published.append(public is not None and (tools.get(tool), rank) in public.index)
    found = pd.DataFrame(rows)
    write_tsv(output, found)
    _report_shares(found[was_published])
    if amber:
        _refuse_differences(found)
    return found


def _results(path: str | Path, column: int) -> pd.DataFrame:
    """AMBER's results with our names of metrics: one column per metric, index (tool, rank)."""
    table = read_tsv(path, ["Tool", "rank"])
    named = {}
    for names in _NAMES.items():
        metric = names[0]
        for unit in ("bp", "seq"):
            for filtered in (True, False):
                word = "sequences" if column == 1 and metric == "binned" and unit == "seq" else unit
                theirs = names[1][column].format(word) + ("" if filtered else " (unfiltered)")
                if theirs not in table:
                    raise InputError(f"{path}: no column {theirs!r}; expected results of AMBER")
                values = pd.to_numeric(table[theirs], errors="coerce")
                named[_published_name(metric, unit, filtered)] = values.to_numpy()
    return pd.DataFrame(named, index=pd.MultiIndex.from_frame(table[["Tool", "rank"]]))


def _published_tools(tools: Sequence[str], public: pd.DataFrame | None) -> dict[str, str]:
    if public is None:
        return {}
    names = sorted(set(public.index.get_level_values(0)))
    return {tool: name for tool in tools for name in names if name.lower().startswith(tool.lower())}


def _value(table: pd.DataFrame | None, tool: str | None, rank: str, metric: str) -> float:
    if table is None or (tool, rank) not in table.index:
        return np.nan
    return float(table.loc[(tool, rank), metric])


def _report_shares(found: pd.DataFrame) -> None:
    for table, part in found.groupby("table", sort=False):
        difference = (part["ours"] - part["published"]).abs()
        difference[part["ours"].isna() & part["published"].isna()] = 0  # undefined in both
        logger.info(
            "%s: %d published values; %.1f %% within .01, %.1f %% within .001",
            table,
            len(part),
            100 * (difference <= 0.01).mean(),
            100 * (difference <= 0.001).mean(),
        )


def _refuse_differences(found: pd.DataFrame) -> None:
    one_missing = found["ours"].isna() != found["amber"].isna()
    difference = (found["ours"] - found["amber"]).abs()
    wrong = found[one_missing | (difference > TOLERANCE)]
    if len(wrong):
        row = wrong.iloc[0]
        raise CheckFailed(
            f"{len(wrong)} of {len(found)} values differ from AMBER's; the first: {row['metric']} of {row['tool']} at "
            f"{row['rank']} in {row['table']} is {row['ours']:.6f}, AMBER's {row['amber']:.6f}"
        )
    logger.info("AMBER agrees with all %d values (largest difference %.1g)", len(found), difference.max())
