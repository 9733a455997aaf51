"""Predictions in the formats of other tools.

All formats contain the *accepted* part of a prediction. Quantities per sample are sequenced bases: length x depth, or
the length if there are no abundances. They can be summed over contigs with lineages of any depth. Numbers of genome
copies (as in CAMI profiles of simulated communities) could not, because a contig assigned to a genus has no genome.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core.errors import InputError
from genestill.core.files import write_aside, write_text
from genestill.core.lineage import NO_LINEAGE, RANK_PREFIXES, RANKS, Lineage, depth, format_lineage, named
from genestill.core.logs import logger
from genestill.core.table_schemas import INDEX, PREDICTIONS, lineages_of
from genestill.core.tables import read_arrow, read_table, sample_names, write_tsv
from genestill.student.corrector.krona import write_krona
from genestill.student.corrector.taxids import Taxids

CAMI_RANKS = ("superkingdom", *RANKS[1:])
_KRAKEN_CODES = ("R", "D", "P", "C", "O", "F", "G", "S")


@dataclass(frozen=True)
class Calls:
    """The accepted lineages of n contigs and their weights in s samples.

    Attributes:
        ids, lengths: n contig ids and their lengths (base pairs).
        lineages: n accepted lineages.
        paths: the distinct lineages among them.
        code: int64 [n], index of each contig's lineage in ``paths``.
        samples: s names.
        bases: float64 [len(paths), s], length x depth summed over the contigs of a path.
    """

    ids: list[str]
    lengths: np.ndarray
    lineages: list[Lineage]
    paths: list[Lineage]
    code: np.ndarray
    samples: list[str]
    bases: np.ndarray

    @property
    def contigs(self) -> np.ndarray:
        """Number of contigs of each path: int64 [len(paths)]."""
        return np.bincount(self.code, minlength=len(self.paths))


def export_predictions(
    predictions: str | Path,
    index: str | Path,
    abundance: str | Path | None,
    taxonomy: str | Path | None,
    name: str,
    folder: str | Path,
) -> None:
    """Write all formats into ``folder``, each file atomically.

    The files are ``predictions.tsv``, ``taxometer.tsv``, ``NAME.binning``, ``NAME.profile``, ``kraken.report``,
    ``krona.html`` and ``krona.txt``.

    Args:
        predictions: table of `table_schemas.PREDICTIONS`, rows as in ``index``.
        index: table of `table_schemas.INDEX`.
        abundance: id and one float32 column per sample, rows as in ``index``; None or without samples: unknown.
        taxonomy: folder with ``lineages.tsv`` and ``nodes.dmp``. None: there are no taxids, the CAMI files are left
            out, and all taxids in the Kraken report are 0.
        name: SampleID of the binning file, and of the profile if there are no samples.
        folder: the folder to write to.

    Raises:
        InputError: tables of other contigs, an accepted depth that the path does not have, names with separators, a
            name that is a path.
    """
    if Path(name).name != name:
        raise InputError(f"the name of the data set is {name!r}; expected a name that can be part of a file's name")
    table = read_table(predictions, PREDICTIONS)
    calls = _collect_calls(predictions, table, index, abundance, name)
    taxids = Taxids.read(taxonomy) if taxonomy else None
    folder = Path(folder)
    write_predictions_tsv(folder / "predictions.tsv", table, calls)
    write_taxometer(folder / "taxometer.tsv", table, calls)
    if taxids is None:
        logger.info("no taxonomy, so no taxids: %s.binning and %s.profile are left out", name, name)
    else:
        write_cami_binning(folder / f"{name}.binning", calls, taxids, name)
        write_cami_profile(folder / f"{name}.profile", calls, taxids)
    write_kraken_report(folder / "kraken.report", calls, taxids)
    write_krona(folder, name, calls.paths, calls.samples, calls.bases, calls.contigs)
    stops = pd.Series([depth(lineage) for lineage in calls.lineages]).value_counts()
    logger.info(
        "exported %d contigs: %s",
        len(calls.ids),
        ", ".join(f"{stops[level]} to {('no rank', *RANKS)[level]}" for level in sorted(stops.index, reverse=True)),
    )


def _collect_calls(predictions, table: pd.DataFrame, index, abundance, name: str) -> Calls:
    contigs = read_table(index, INDEX, ["id", "length"])
    _require_same_contigs(predictions, table["id"].tolist(), index, contigs["id"].tolist())
    lineages = []
    for contig, full, accepted in zip(table["id"], lineages_of(table), table["accepted"], strict=True):
        if not 0 <= accepted <= depth(full):
            raise InputError(
                f"{predictions}: {contig} has {accepted} accepted ranks, but its path has only {depth(full)} ({full})"
            )
        lineages.append((full[:accepted] + NO_LINEAGE)[: len(RANKS)])
    code_of: dict[Lineage, int] = {}
    code = np.fromiter((code_of.setdefault(lineage, len(code_of)) for lineage in lineages), np.int64, len(lineages))
    for path in code_of:
        for word in named(path):
            if any(letter in word for letter in ";\t\r\n|"):
                raise InputError(f"{predictions}: the name {word!r} has a separator (one of ; | tab, line end)")
    lengths = contigs["length"].to_numpy()
    samples, depths = _read_abundance(abundance, index, contigs["id"].tolist())
    weights = lengths[:, None] * depths if samples else lengths[:, None].astype(np.float64)
    bases = np.zeros((len(code_of), weights.shape[1]))
    np.add.at(bases, code, weights)
    return Calls(table["id"].tolist(), lengths, lineages, list(code_of), code, samples or [name], bases)


def _read_abundance(abundance, index, ids: list[str]) -> tuple[list[str], np.ndarray]:
    if abundance is None:
        return [], np.zeros((len(ids), 0))
    found = read_arrow(abundance, pa.schema([("id", pa.string())]))["id"].to_pylist()
    _require_same_contigs(abundance, found, index, ids)
    samples = sample_names(abundance)
    depths = read_arrow(abundance, pa.schema([(sample, pa.float32()) for sample in samples])) if samples else {}
    return samples, np.array([depths[sample].to_numpy() for sample in samples], dtype=np.float64).T


def _require_same_contigs(path, found: list[str], index, expected: list[str]) -> None:
    if found == expected:
        return
    row = next((row for row, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
    if row is None:
        raise InputError(f"{path}: {len(found)} contigs, but {index} has {len(expected)}; expected the same rows")
    raise InputError(
        f"{path}: row {row + 1} is {found[row]!r}, but {expected[row]!r} in {index}; expected the same rows"
    )


def write_predictions_tsv(path: str | Path, table: pd.DataFrame, calls: Calls) -> None:
    """Write contig, length, accepted lineage, its deepest rank, candidate (the best path), confidences, reason."""
    out = pd.DataFrame({"contig": calls.ids, "length": calls.lengths})
    out["lineage"] = [format_lineage(lineage) for lineage in calls.lineages]
    out["rank"] = [("", *RANKS)[depth(lineage)] for lineage in calls.lineages]
    out["candidate"] = [format_lineage(lineage) for lineage in lineages_of(table)]
    for rank in RANKS:
        out[f"confidence_{rank}"] = table[f"confidence_{rank}"].round(5)
    out["reason"] = table["reason"].fillna("").str.replace(r"\s", " ", regex=True)
    write_tsv(path, out)


def write_taxometer(path: str | Path, table: pd.DataFrame, calls: Calls) -> None:
    """The output format of Taxometer (vamb 5): contigs, predictions, scores; the last two are equally long lists."""
    unique = dict(zip(calls.paths, distinct_names(calls.paths), strict=True))
    scores = table[[f"confidence_{rank}" for rank in RANKS]].to_numpy()
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8") as out:
        out.write("contigs\tpredictions\tscores\n")
        for contig, lineage, row in zip(calls.ids, calls.lineages, scores, strict=True):
            joined = ";".join(f"{score:.5f}" for score in row[: depth(lineage)])
            out.write(f"{contig}\t{';'.join(unique[lineage])}\t{joined}\n")


def distinct_names(lineages: list[Lineage]) -> list[tuple[str, ...]]:
    """Names with rank prefixes in which no name has two parents, as Taxometer requires.

    A homonym (the genus *Bacillus* of bacteria and of stick insects) is followed by its parent's name in brackets, for
    each of its parents, so that names do not depend on the order of the contigs.
    """
    named = [
        tuple(f"{prefix}__{word}" for prefix, word in zip(RANK_PREFIXES, path[: depth(path)], strict=False))
        for path in lineages
    ]
    while True:
        parents: dict[str, set[str]] = {}
        for path in named:
            for above, word in pairwise(path):
                parents.setdefault(word, set()).add(above)
        if all(len(above) == 1 for above in parents.values()):
            return named
        renamed = []
        for path in named:
            words = list(path)
            for level in range(1, len(words)):
                if len(parents[path[level]]) > 1:
                    words[level] = f"{path[level]} [{words[level - 1][3:]}]"
            renamed.append(tuple(words))
        named = renamed


def write_cami_binning(path: str | Path, calls: Calls, taxids: Taxids, sample: str) -> None:
    """bioboxes binning 0.10.0: the deepest accepted taxid of each contig; contigs without a taxid are left out."""
    deepest = [taxids.deepest(lineage) for lineage in calls.paths]
    shortened = sum(
        int(number)
        for (_, level), lineage, number in zip(deepest, calls.paths, calls.contigs, strict=True)
        if level < depth(lineage)
    )
    if shortened:
        logger.info(
            "%d contigs have shorter lineages in the CAMI files, because their lowest name has no taxid", shortened
        )
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8") as out:
        out.write(f"@Version:0.10.0\n@SampleID:{sample}\n@@SEQUENCEID\tTAXID\t_LENGTH\n")
        for contig, code, length in zip(calls.ids, calls.code, calls.lengths, strict=True):
            taxid, level = deepest[code]
            if level:
                out.write(f"{contig}\t{taxid}\t{length}\n")


def write_cami_profile(path: str | Path, calls: Calls, taxids: Taxids) -> None:
    """bioboxes profiling 0.9.1, one section per sample: percent of all bases of the sample, including unlabelled ones.

    Percentages are truncated, not rounded, after six decimals, so that a rank never adds up to more than 100.
    """
    total = calls.bases.sum(axis=0)
    share = np.divide(100 * calls.bases, total, out=np.zeros_like(calls.bases), where=total > 0)
    sums: dict[Lineage, np.ndarray] = {}
    for lineage, row in zip(calls.paths, share, strict=True):
        for level in range(1, depth(lineage) + 1):
            sums[lineage[:level]] = sums.get(lineage[:level], 0) + row
    order = sorted((prefix for prefix in sums if taxids.of(prefix)), key=lambda prefix: (len(prefix), prefix))
    lines = []
    for column, sample in enumerate(calls.samples):
        lines += [
            f"@SampleID:{sample}",
            "@Version:0.9.1",
            f"@Ranks:{'|'.join(CAMI_RANKS)}",
            "@@TAXID\tRANK\tTAXPATH\tTAXPATHSN\tPERCENTAGE",
        ]
        for prefix in order:
            percent = np.floor(min(sums[prefix][column], 100) * 1e6) / 1e6
            if percent > 0:
                numbers = [taxids.of(prefix[:level]) or "" for level in range(1, len(prefix) + 1)]
                names = [word or "" if number else "" for word, number in zip(prefix, numbers, strict=True)]
                rank, taxpath = CAMI_RANKS[len(prefix) - 1], "|".join(map(str, numbers))
                lines.append(f"{numbers[-1]}\t{rank}\t{taxpath}\t{'|'.join(names)}\t{percent:.6f}")
        lines.append("")
    write_text(path, "\n".join(lines))


def write_kraken_report(path: str | Path, calls: Calls, taxids: Taxids | None) -> None:
    """Kraken 2's report: percent, clade count, direct count, rank code, taxid, indented name; counts are contigs.

    Ranks without a taxid are left out, as in Kraken 2.
    """
    clade: dict[Lineage, int] = {(): 0}
    direct: dict[Lineage, int] = {(): 0}
    unclassified = 0
    for lineage, number in zip(calls.paths, calls.contigs.tolist(), strict=True):
        levels = [
            level
            for level in range(1, depth(lineage) + 1)
            if taxids is None or taxids.taxid_of_path.get(lineage[:level]) is not None
        ]
        if depth(lineage) == 0:
            unclassified += number
            continue
        for level in [0, *levels]:
            clade[lineage[:level]] = clade.get(lineage[:level], 0) + number
        deepest = lineage[: levels[-1]] if levels else ()
        direct[deepest] = direct.get(deepest, 0) + number
    children: dict[Lineage, list[Lineage]] = {}
    for node in clade:
        if node:
            above = next(node[:level] for level in range(len(node) - 1, -1, -1) if node[:level] in clade)
            children.setdefault(above, []).append(node)
    total = max(1, len(calls.ids))
    lines = []
    if unclassified:
        lines.append(f"{100 * unclassified / total:6.2f}\t{unclassified}\t{unclassified}\tU\t0\tunclassified")
    stack: list[tuple[Lineage, int]] = [((), 0)] if clade[()] else []
    while stack:
        node, indent = stack.pop()
        taxid = 1 if not node else taxids.taxid_of_path[node] if taxids else 0
        name = "  " * indent + (node[-1] or "" if node else "root")
        lines.append(
            f"{100 * clade[node] / total:6.2f}\t{clade[node]}\t{direct.get(node, 0)}\t{_KRAKEN_CODES[len(node)]}"
            f"\t{taxid}\t{name}"
        )
        largest_last = sorted(children.get(node, []), key=lambda child: (-clade[child], child), reverse=True)
        stack.extend((child, indent + 1) for child in largest_last)
    write_text(path, "\n".join(lines) + "\n")
