"""Changes of the labels in a new release of the database, and their reasons."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, Lineage, depth
from genestill.core.tables import read_abundances, read_table, sample_names

# Reasons for another lineage of a contig, with the text for the summary.
REASONS = {
    "renamed": "have the taxon's new name",
    "withdrawn": "lost a genome that was withdrawn",
    "added": "are more similar to a genome that was added",
    "withdrawn and added": "lost a genome that was withdrawn, and are similar to one that was added",
    "size of the database": "have other E-values, because the size of the database has changed",
}
SAME = "unchanged"


def explain(
    before: list[Lineage],
    between: list[Lineage],
    after: list[Lineage],
    now: dict[Lineage, set[Lineage]],
    any_withdrawn: bool,
) -> pd.DataFrame:
    """The highest rank at which each contig's lineage changed, the kind of change, and the reason.

    Args:
        before: lineages in the former release.
        between: lineages without the genomes that were withdrawn or added; only used where before and after differ.
        after: lineages in the new release.
        now: taxon of the former release (a lineage cut at its rank) -> the present taxa of its proteins.
        any_withdrawn: whether any proteins were withdrawn.

    Returns:
        Columns rank (empty without a change), change (same, other name, named, not named) and reason (a key of
        `REASONS` or `SAME`); one row per contig.
    """
    rows = []
    for old, middle, new in zip(before, between, after, strict=True):
        if old == new:
            rows.append(("", "same", SAME))
            continue
        rank = next(rank for rank in range(len(RANKS)) if old[rank] != new[rank])
        change = "named" if old[rank] is None else "not named" if new[rank] is None else "other name"
        lost, gained = not _is_renamed(old, middle, now), middle != new
        if lost and not any_withdrawn:
            reason = "added" if gained else "size of the database"
        else:
            reason = {(True, True): "withdrawn and added", (True, False): "withdrawn", (False, True): "added"}.get(
                (lost, gained), "renamed"
            )
        rows.append((RANKS[rank], change, reason))
    return pd.DataFrame(rows, columns=["rank", "change", "reason"])


def _is_renamed(old: Lineage, new: Lineage, now: dict[Lineage, set[Lineage]]) -> bool:
    """Whether ``new`` is the same taxon as ``old``, with its old or new name."""
    level = depth(old)
    return old == new or (depth(new) == level and new[:level] in now.get(old[:level], ()))


def count_changes(explained: pd.DataFrame, index: str | Path, abundance: str | Path | None) -> pd.DataFrame:
    """Count the contigs, and the share of bases, that changed in each sample.

    Args:
        explained: from `explain`, with the rows of the index.
        index: ``table_schemas.INDEX``.
        abundance: ``id`` and one column per sample, with the rows of the index; without it, or without samples, there
            is one sample, "all". A contig belongs to the samples in which its depth is above 0.

    Returns:
        Columns sample, rank, change, reason, contigs, share_of_contigs, bases, share_of_bases; one row for each
        combination that occurs.

    Raises:
        InputError: the abundances belong to other contigs.
    """
    table = read_table(index, table_schemas.INDEX)
    samples = {"all": np.ones(len(table), dtype=bool)}
    if abundance is not None and (names := sample_names(abundance)):
        depths = read_abundances(abundance)
        if depths["id"].tolist() != table["id"].tolist():
            raise InputError(f"{abundance}: its contigs differ from those of {index}, or are in another order")
        samples = {name: (depths[name] > 0).to_numpy() for name in names}
    explained = explained.assign(bases=table["length"].to_numpy())
    rows = []
    for sample, inside in samples.items():
        found = explained[inside]
        groups = found.groupby(["rank", "change", "reason"], sort=True)["bases"].agg(["size", "sum"]).reset_index()
        groups = groups.rename(columns={"size": "contigs", "sum": "bases"})
        groups["share_of_contigs"] = groups["contigs"] / max(1, len(found))
        groups["share_of_bases"] = groups["bases"] / max(1, found["bases"].sum())
        rows.append(groups.assign(sample=sample))
    columns = ["sample", "rank", "change", "reason", "contigs", "share_of_contigs", "bases", "share_of_bases"]
    return pd.concat(rows, ignore_index=True)[columns]


def describe_changes(counts: pd.DataFrame, genomes: dict[str, list[str]]) -> str:
    """The changes and their reasons, as lines for the terminal.

    Args:
        counts: from `count_changes`.
        genomes: names of the genomes that were added, withdrawn, changed and renamed.
    """
    numbers = [f"{len(names)} {what}" for what, names in genomes.items()]
    lines = [f"genomes of the reference: {', '.join(numbers)}"]
    for sample, found in counts.groupby("sample", sort=False):
        same = found[found["reason"] == SAME]
        lines.append(
            f"sample {sample}: {same['contigs'].sum()} of {found['contigs'].sum()} contigs "
            f"({same['share_of_bases'].sum():.1%} of the bases) keep their lineage"
        )
        by_rank = found[found["reason"] != SAME].groupby(["rank", "reason"])[["contigs", "share_of_bases"]].sum()
        for rank in RANKS:
            for reason, words in REASONS.items():
                if (rank, reason) in by_rank.index:
                    row = by_rank.loc[(rank, reason)]
                    lines.append(f"  {rank}: {row['contigs']:.0f} ({row['share_of_bases']:.1%} of the bases) {words}")
    return "\n".join([*lines, ""])
