"""The outcomes of contigs, with or without a truth: the depth of their lineages, and why they stop there."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.predictions import read_reason
from genestill.core.table_schemas import INDEX, PREDICTIONS, lineages_of
from genestill.core.tables import read_abundances, read_table, sample_names
from genestill.evaluation.figures import STYLE, new_figure, save_figure

NAMED = "named to species"
ABSENT = {
    "species": "no closer species in the reference",
    "genus": "no closer genus in the reference",
    "family": "no closer family in the reference",
    "": "no closer order or higher in the reference",
}
ENDS = "the reference has no names below"
UNDECIDED = "undecided"
UNEXPLAINED = "stops above species"
OUTCOMES = (NAMED, *ABSENT.values(), ENDS, UNDECIDED, UNEXPLAINED)
_SHADES = dict(
    zip(OUTCOMES, ("#0072B2", "#F0E442", "#E69F00", "#D55E00", "#882255", "#BBBBBB", "#666666", "#666666"), strict=True)
)
_DRAWN_SAMPLES = 30


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of n contigs in s samples.

    Attributes:
        outcome: one of `OUTCOMES` per contig.
        lengths: int64 [n], base pairs.
        samples: s names; one, ``all contigs``, without depths.
        bases: float64 [n, s], sequenced bases: length x depth, or the length without depths.
        groups: contigs that stop at the same node with the same nearest name, in descending order of bases; columns
            rank (absent), within, nearest, contigs, megabases, share (of the sequenced bases in all samples).
    """

    outcome: pd.Series
    lengths: np.ndarray
    samples: list[str]
    bases: np.ndarray
    groups: pd.DataFrame

    def count(self, *outcomes: str) -> int:
        """Number of contigs with any of ``outcomes``."""
        return int(self.outcome.isin(outcomes).sum())

    def shares(self) -> pd.DataFrame:
        """One row per outcome that occurs: contigs, megabases, and the share of the bases of all samples and each."""
        seen = [outcome for outcome in OUTCOMES if (self.outcome == outcome).any()]
        members = np.array([(self.outcome == outcome).to_numpy() for outcome in seen])
        total = self.bases.sum(axis=0)
        by_sample = members @ self.bases
        table = pd.DataFrame({"outcome": seen, "contigs": members.sum(axis=1)})
        table["contigs, share"] = table["contigs"] / max(1, len(self.outcome))
        table["megabases"] = members @ self.lengths / 1e6
        table["all samples"] = by_sample.sum(axis=1) / max(total.sum(), 1e-300)
        if len(self.samples) > 1:
            table[self.samples] = by_sample / np.maximum(total, 1e-300)
        return table


def read_outcomes(predictions: str | Path, index: str | Path, abundance: str | Path | None) -> Outcomes:
    """The outcomes of the contigs of ``index``; ``predictions`` and ``abundance`` have the same rows."""
    table = read_table(predictions, PREDICTIONS)
    contigs = read_table(index, INDEX, ["id", "length"])
    if table["id"].tolist() != contigs["id"].tolist():
        raise InputError(f"{predictions}: its contigs differ from those of {index}, or are in another order")
    lengths = contigs["length"].to_numpy()
    samples, bases = _bases(abundance, index, contigs["id"].tolist(), lengths)
    accepted = table["accepted"].to_numpy()
    stops = [read_reason(reason) for reason in table["reason"]]
    outcome = pd.Series(
        [
            NAMED if depth == len(RANKS) else _outcome(stop.kind, stop.rank)
            for depth, stop in zip(accepted, stops, strict=True)
        ],
        dtype=object,
    )
    within = [
        f"{RANKS[depth - 1]} {lineage[depth - 1]}" if depth else "no rank"
        for depth, lineage in zip(accepted, lineages_of(table), strict=True)
    ]
    found = pd.DataFrame(
        {
            "rank": [stop.rank for stop in stops],
            "within": within,
            "nearest": [stop.nearest for stop in stops],
            "megabases": lengths / 1e6,
            "share": bases.sum(axis=1) / max(bases.sum(), 1e-300),
        }
    )[outcome.isin(list(ABSENT.values())).to_numpy()]
    groups = found.groupby(["rank", "within", "nearest"], sort=True)
    groups = groups.agg(contigs=("share", "size"), megabases=("megabases", "sum"), share=("share", "sum"))
    groups = groups.reset_index().sort_values("share", ascending=False, kind="stable", ignore_index=True)
    return Outcomes(outcome, lengths, samples, bases, groups)


def _outcome(kind: str, rank: str) -> str:
    if kind == "absent":
        return ABSENT.get(rank, ABSENT[""])
    return {"ends": ENDS, "undecided": UNDECIDED}.get(kind, UNEXPLAINED)


def _bases(abundance, index, ids: list[str], lengths: np.ndarray) -> tuple[list[str], np.ndarray]:
    if abundance is None or not (names := sample_names(abundance)):
        return ["all contigs"], lengths[:, None].astype(np.float64)
    table = read_abundances(abundance)
    if table["id"].tolist() != ids:
        raise InputError(f"{abundance}: its contigs differ from those of {index}, or are in another order")
    return names, lengths[:, None] * table[names].to_numpy(dtype=np.float64)


def draw_outcomes(outcomes: Outcomes, folder: str | Path) -> str:
    """Draw the shares of bases by outcome, one bar per sample, as ``outcomes.svg`` and ``.tsv``; return a sentence."""
    data = outcomes.shares()
    bars = ["all samples", *(outcomes.samples if len(outcomes.samples) > 1 else [])]
    named = data.set_index("outcome").reindex([NAMED]).fillna(0.0)
    reading = f"Named to species: {named['all samples'].iloc[0]:.0%} of the bases sequenced"
    if len(bars) > 2:
        worst = named[outcomes.samples].iloc[0].idxmin()
        reading = (
            f"The smallest share of bases named to species is in sample {worst}: {named[worst].iloc[0]:.0%}, "
            f"in all samples together {named['all samples'].iloc[0]:.0%}"
        )
    shown = bars[: _DRAWN_SAMPLES + 1]
    if len(bars) > len(shown):
        reading += f"; the first {_DRAWN_SAMPLES} of {len(outcomes.samples)} samples are drawn"
    with matplotlib.rc_context(STYLE):
        figure = new_figure(8, 1.9 + 0.3 * len(shown))
        axes = figure.subplots()
        left = np.zeros(len(shown))
        for row in data.itertuples():
            width = data.loc[row.Index, shown].to_numpy(dtype=np.float64)
            axes.barh(
                range(len(shown)), width, left=left, color=_SHADES[row.outcome], edgecolor="white", linewidth=0.5,
                label=row.outcome,
            )  # fmt: skip
            left += width
        axes.set_yticks(range(len(shown)), shown)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="share of the bases sequenced (contig length x depth)")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    save_figure(folder, "outcomes", figure, reading + ".", data)
    return reading + "."
