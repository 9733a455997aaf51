"""The novelty ledger as a summary, a table and a figure; with known truth, its accuracy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.novelty import LEDGER_RANKS, RIGHT_DEPTH, weights_by_sample
from genestill.core.table_schemas import (
    CONTIG_GROUPS,
    GROUPED_CONTIGS,
    INDEX,
    METRICS,
    NOVEL_SHARES,
    TRUTH,
    metrics_table,
)
from genestill.core.tables import read_table, write_table
from genestill.evaluation.calls import read_depths
from genestill.evaluation.figures import COLOURS, MARKERS, new_figure, save_figure
from genestill.evaluation.pages import Table, write_answer

MODEL = "ledger"  # in the table of metrics
_LARGE = 200_000  # minimum base pairs of a genome that should be found as a group
_MOST_OF_GENOME, _PURE = 0.5, 0.9  # minimum shares: of the genome in the group, of the group from the genome
_SHOWN = 40  # maximum number of samples and groups on the page
_ABSENT = (
    "absent: share of the bases with hits whose species, genus or family the reference lacks, with a 90 % interval. no "
    "hits: share of the bases without hits, which is left out of the other shares."
)
_NEW = (
    "new: highest rank at which the group is called new. proteins, nucleotides: identity to the nearest species. genus "
    "absent, family absent: probability that the reference lacks them."
)


@dataclass(frozen=True)
class Ledger:
    """The output of ``student novelty``: the tables NOVEL_SHARES, CONTIG_GROUPS and GROUPED_CONTIGS."""

    shares: pd.DataFrame
    groups: pd.DataFrame
    contigs: pd.DataFrame


def read_ledger(folder: str | Path) -> Ledger:
    """Read a folder written by ``student novelty``."""
    tables = (("shares", NOVEL_SHARES), ("groups", CONTIG_GROUPS), ("contigs", GROUPED_CONTIGS))
    return Ledger(*(read_table(Path(folder) / f"{name}.parquet", schema) for name, schema in tables))


def novelty_sentence(shares: pd.DataFrame) -> str:
    """A sentence with the shares of all samples that the reference lacks, by bases, from the table NOVEL_SHARES."""
    whole = shares[(shares["sample"] == "") & (shares["weight"] == "bases")].set_index("rank")
    if whole["share"].isna().all():
        return "What the reference lacks is not known: no contig has a hit."
    parts = [f"the {rank} of {_percent(whole.loc[rank])}" for rank in LEDGER_RANKS]
    if whole["low"].isna().all():
        return (
            f"The reference probably lacks {parts[0]} of the bases with hits, {parts[1]} and {parts[2]}. These shares "
            "are not calibrated: too few families of the sample are in the reference."
        )
    return f"The reference lacks {parts[0]} of the bases with hits, {parts[1]} and {parts[2]}."


def _percent(row: pd.Series) -> str:
    numbers = [100 * row[name] for name in ("share", "low", "high")]
    digits = 1 if max(number for number in numbers if not np.isnan(number)) < 10 else 0
    share, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{share} %" if np.isnan(row["low"]) else f"{share} % ({low} to {high} %)"


def report_novelty(folder: str | Path, name: str, output: str | Path) -> str:
    """Write ``table.txt`` with its page, and the figure ``shares.svg`` with its data; return the text.

    Args:
        folder: folder written by ``student novelty``.
        name: name of the data set.
        output: the folder to write to.
    """
    ledger, output = read_ledger(folder), Path(output)
    _draw_shares(ledger.shares, output)
    blocks = [novelty_sentence(ledger.shares), *ledger_tables(ledger)]
    return write_answer(output / "table.txt", f"{name}: what the reference lacks", blocks)


def ledger_tables(ledger: Ledger) -> list[str | Table]:
    """The shares of each sample and the groups that are called novel, as tables, with explanations."""
    shares = ledger.shares[ledger.shares["weight"] == "bases"]
    samples = shares["sample"].unique()
    rows = []
    for sample in samples[:_SHOWN]:
        own = shares[shares["sample"] == sample].set_index("rank")
        cells = [_percent(own.loc[rank]) if pd.notna(own.loc[rank, "share"]) else "-" for rank in LEDGER_RANKS]
        rows.append([sample or "all", _megabases(own["bases"].iloc[0]), *cells, f"{own['silent'].iloc[0]:.1%}"])
    columns = ["sample", "Mb", *(f"{rank} absent" for rank in LEDGER_RANKS), "no hits"]
    blocks: list[str | Table] = [Table(columns, rows, "What the reference lacks" + _first(samples, "samples"))]
    novel = ledger.groups[ledger.groups["novel"].notna()]
    if novel.empty:
        return [*blocks, f"None of {len(ledger.groups)} groups of contigs is called new.", _ABSENT]
    title = f"Groups of contigs that are probably new: {len(novel)} of {len(ledger.groups)}"
    rows = []
    for row in novel.head(_SHOWN).itertuples():
        nearest = "-" if pd.isna(row.nearest) else row.nearest.rpartition("__")[2]
        depth = "-" if pd.isna(row.depth) else f"{row.depth:.1f}"
        identities = [_identity(row.identity_proteins), _identity(row.identity_nucleotides)]
        absent = [f"{row.absent_genus:.2f}", f"{row.absent_family:.2f}"]
        size = [_megabases(row.bases), str(row.contigs), depth]
        rows.append([str(row.group), row.novel, *size, *identities, *absent, nearest])
    columns = ["group", "new", "Mb", "contigs", "depth", "proteins", "nucleotides", "genus absent", "family absent"]
    columns.append("nearest species")
    blocks.append(Table(columns, rows, title + _first(novel, "groups")))
    return [*blocks, f"{_ABSENT} {_NEW}"]


def _first(all_of_them, what: str) -> str:
    return f" (the first {_SHOWN} of {len(all_of_them)} {what})" if len(all_of_them) > _SHOWN else ""


def _megabases(bases: float) -> str:
    return f"{bases / 1e6:.2f}"


def _identity(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def _draw_shares(shares: pd.DataFrame, output: Path) -> None:
    data = shares[shares["weight"] == "bases"].copy()
    data["sample"] = data["sample"].replace("", "all")
    samples = data["sample"].unique()[:_SHOWN]
    figure = new_figure(7.0, 1.6 + 0.35 * len(samples))
    axes = figure.subplots()
    for number, rank in enumerate(LEDGER_RANKS):
        part = data[data["rank"] == rank].set_index("sample").reindex(samples)
        place = np.arange(len(samples)) + (number - 1) * 0.2
        errors = [part["share"] - part["low"], part["high"] - part["share"]]
        drawn = np.clip(np.nan_to_num(errors), 0, None)
        axes.errorbar(
            part["share"],
            place,
            xerr=drawn,
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle="none",
            capsize=2,
            label=f"{rank} absent",
        )
    axes.set_yticks(range(len(samples)), samples)
    axes.invert_yaxis()
    axes.set(xlabel="share of the bases with hits", ylabel="sample", xlim=(0, None))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="best")
    save_figure(output, "shares", figure, novelty_sentence(shares), data)


def score_novelty(
    folder: str | Path,
    truth: str | Path,
    index: str | Path,
    abundance: str | Path | None,
    dataset: str,
    seed: int,
    output: str | Path,
) -> pd.DataFrame:
    """Compare a ledger with the ground truth: the table of `table_schemas.METRICS` at ``output``.

    For every sample, rank and weight: ``novel_share`` (of the ledger), ``novel_share_true``, ``novel_share_error``
    (absolute difference) and ``novel_share_covered`` (1 if the interval contains the true share). For every rank:
    ``novel_groups_found`` (share of the genomes with at least 200,000 bases and an absent taxon for which a group
    called novel contains at least half of the bases and little else), ``novel_groups_false`` (share of the groups
    called novel that are mostly of genomes with a present taxon) and ``novel_groups_f1``, the harmonic mean of the
    first and 1 - the second.

    The true shares are of the contigs that the ledger's shares are about, those of groups with hits, except contigs
    with an unknown status and those that are not of prokaryotic chromosomes.
    """
    ledger = read_ledger(folder)
    lengths = read_table(index, INDEX, ["id", "length"])
    depths, samples = (None, []) if abundance is None else read_depths(abundance, lengths["id"].tolist())
    answers = read_table(truth, TRUTH).set_index("id").reindex(lengths["id"])
    right = answers["status"].map(RIGHT_DEPTH).to_numpy(dtype=np.float64)
    absent = np.column_stack([right <= RANKS.index(rank) for rank in LEDGER_RANKS])
    weights = weights_by_sample(lengths["length"].to_numpy(), depths)
    genome = pd.factorize(answers["genome"])[0]
    group = ledger.contigs["group"].fillna(0).to_numpy(dtype=np.int64)
    counted = ~np.isnan(right) & np.isin(group, ledger.groups.loc[ledger.groups["genes"] > 0, "group"])
    rows = list(_score_shares(ledger.shares, absent, counted, weights, samples))
    rows += _score_groups(ledger.groups, group, genome, absent, ~np.isnan(right), lengths["length"].to_numpy())
    same = {"benchmark": "taxonomy", "dataset": dataset, "model": MODEL, "kind": "student", "seed": seed}
    table = metrics_table(rows, **same, stratum="all", n_trainings=1)
    write_table(output, table, METRICS)
    logger.info("%d metrics in %s", len(table), output)
    return table


def _score_shares(shares, absent, counted, weights, samples):
    for row in shares[shares["share"].notna()].itertuples():
        weight = weights[row.weight][:, ["", *samples].index(row.sample)]
        total = weight[counted].sum()
        if not total:
            continue
        true = float(weight[counted] @ absent[counted, LEDGER_RANKS.index(row.rank)] / total)
        values = {"novel_share": row.share, "novel_share_true": true, "novel_share_error": abs(row.share - true)}
        if not np.isnan(row.low):
            values["novel_share_covered"] = float(row.low <= true <= row.high)
        for metric, value in values.items():
            yield {
                "task": row.rank,
                "sample": row.sample,
                "weight": row.weight,
                "metric": metric,
                "value": value,
                "n_units": int(counted.sum()),
            }


def _score_groups(groups, group, genome, absent, known, lengths):
    inside = (genome >= 0) & known
    places = pd.MultiIndex.from_arrays([group[inside], genome[inside]], names=["group", "genome"])
    bases = pd.Series(lengths[inside], index=places, name="bases").groupby(level=[0, 1]).sum()
    of_group = pd.Series(lengths).groupby(group).sum()
    of_genome = bases.groupby(level=1).sum()
    majority = bases.sort_values().reset_index().groupby("group")["genome"].last()
    first = pd.Series(np.flatnonzero(inside), index=genome[inside]).groupby(level=0).first()
    for rank, name in enumerate(LEDGER_RANKS):
        called = groups.loc[groups["novel"].isin(LEDGER_RANKS[rank:]), "group"]
        called = [number for number in called if number in majority.index]
        novel = {one for one in of_genome.index if absent[first[one], rank]}
        false = sum(majority[number] not in novel for number in called)
        wanted = [one for one in novel if of_genome[one] >= _LARGE]
        found = sum(
            any(
                bases.get((number, one), 0) >= max(_MOST_OF_GENOME * of_genome[one], _PURE * of_group[number])
                for number in called
            )
            for one in wanted
        )
        values = {"novel_groups_called": float(len(called))}
        if called:
            values["novel_groups_false"] = false / len(called)
        if wanted:
            values["novel_groups_found"] = found / len(wanted)
            precision, recall = 1 - false / max(len(called), 1), found / len(wanted)
            values["novel_groups_f1"] = 2 * precision * recall / (precision + recall) if found else 0.0
        for metric, value in values.items():
            yield {"task": name, "metric": metric, "value": value, "n_units": len(wanted)}
