"""The benchmark of correctors over several communities and seeds, with intervals over genomes and trainings together.

A score is first computed for each run, then averaged over the seeds of a model, then over communities. For intervals,
genomes (or genera and families that are absent) are resampled within their status, jointly for all communities: a
genome that occurs in several communities or references with the same status is drawn for all of them. In each resample,
as many seeds of a model as there are in a community are drawn with replacement.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.table_schemas import METRICS, OUTCOME_COUNTS, metrics_table
from genestill.core.tables import read_table, write_table, write_tsv
from genestill.evaluation.bootstrap import (
    RESAMPLES,
    draw_shares,
    draw_weights,
    equal_shares,
    f1_score,
    interval_of_known,
    mean_of_known,
    shares_by_presence,
)
from genestill.evaluation.contig_peers.registry import is_trained
from genestill.evaluation.costs import read_cost
from genestill.evaluation.strata import ALL, NO_EXACT, without_exact
from genestill.evaluation.taxonomy import OWN_THRESHOLD

OPEN_SHARE = 0.1  # minimum share of contigs of absent species in an open community
COMPARED_RANKS = ("species", "genus", "family")
_PARTS = ("correct", "wrong", "none")
_BY_PRESENCE = ["known_correct", "known", "absent_called", "absent"]
_KEY = ["model", "threshold"]
_CLUSTER = ["status", "cluster"]
COMPARED_STRATA = (NO_EXACT, ALL)
_BLOCK = 250  # resamples in memory at a time


@dataclass(frozen=True)
class Scores:
    """F1 of every model in every community: the value and its resamples.

    Attributes:
        rows: data frame of model and threshold, k rows.
        communities: names of c communities.
        value: float64 [k, c], mean over seeds.
        drawn: float64 [resamples, k, c], the same for resampled genomes and seeds; NaN without contigs.
    """

    rows: pd.DataFrame
    communities: list[str]
    value: np.ndarray
    drawn: np.ndarray


def resample_scores(counts: pd.DataFrame, rank: str, resamples: int, seed: int) -> Scores:
    """F1 at ``rank`` of every model and threshold in every community; ``counts`` is of `table_schemas.OUTCOME_COUNTS`.

    Clusters are resampled within their status, and seeds within their model and community.

    Raises `InputError` if a model was not run in every community.
    """
    chosen = counts[counts["rank"] == rank]
    communities = sorted(chosen["dataset"].unique())
    rows = chosen[_KEY].drop_duplicates().sort_values(_KEY).reset_index(drop=True)
    clusters = pd.MultiIndex.from_frame(chosen[_CLUSTER].drop_duplicates().sort_values(_CLUSTER))
    group = pd.factorize(clusters.get_level_values("status"))[0]
    of_communities, row_of_run = [], []
    for community in communities:
        runs = chosen[chosen["dataset"] == community].groupby([*_KEY, "seed", *_CLUSTER])[list(_PARTS)].sum()
        wide = runs.unstack(_CLUSTER, fill_value=0)
        present = pd.MultiIndex.from_frame(rows).get_indexer(wide.index.droplevel("seed"))
        lacking = set(range(len(rows))) - set(present.tolist())
        if lacking:
            model, threshold = rows.iloc[min(lacking)]
            raise InputError(
                f"benchmark: the model {model} (threshold {threshold}) was not run in the community {community!r}"
            )
        of_communities.append([wide[part].reindex(columns=clusters, fill_value=0).to_numpy(float).T for part in _PARTS])
        row_of_run.append(present)

    def scores(weights: np.ndarray, shares: list[np.ndarray]) -> np.ndarray:
        by_community = [
            (f1_score(*(weights @ part for part in parts)) * share) @ np.eye(len(rows))[owner]
            for parts, share, owner in zip(of_communities, shares, row_of_run, strict=True)
        ]
        return np.stack(by_community, axis=2)

    generator = np.random.default_rng(seed)
    drawn = []
    for size in (min(_BLOCK, resamples - start) for start in range(0, resamples, _BLOCK)):
        weights = draw_weights(generator, size, len(clusters), group)
        drawn.append(scores(weights, [draw_shares(generator, size, owner) for owner in row_of_run]))
    value = scores(np.ones((1, len(clusters))), [equal_shares(owner) for owner in row_of_run])[0]
    return Scores(rows, communities, value, np.concatenate(drawn))


def scopes_of(counts: pd.DataFrame, simulated: list[str]) -> dict[str, list[str]]:
    """Groups of communities for means: the open real ones, the closed real ones, and each one separately."""
    # The numbers of contigs and of absent ones are the same in every run, so one row per genome is sufficient.
    once = counts[counts["rank"] == "species"].drop_duplicates(["dataset", "genome", "status"])
    sums = once.groupby("dataset")[[*_PARTS, "absent"]].sum()
    share = sums["absent"] / sums[list(_PARTS)].sum(axis=1)
    real = [name for name in share.index if name not in simulated]
    scopes = {
        "open": [name for name in real if share[name] >= OPEN_SHARE],
        "closed": [name for name in real if share[name] < OPEN_SHARE],
    }
    return {scope: names for scope, names in scopes.items() if names} | {name: [name] for name in share.index}


def compare(counts: pd.DataFrame, ours: str, simulated: list[str], seed: int, resamples: int = RESAMPLES):
    """The comparison: one row per stratum, scope, rank, model and threshold.

    Columns: stratum (`strata.NO_EXACT` where statuses are known, `strata.ALL`), scope, rank, model, threshold, f1,
    f1_low, f1_high (95 % over clusters); gain, gain_low, gain_high: F1 of ``ours`` at its own threshold minus that of
    the row, paired; absent, absent_called (contigs, the second a mean over seeds), recall_known (share of contigs of
    known taxa that are correct), communities, contigs, clusters.
    """
    if ours not in set(counts["model"]):
        raise InputError(f"benchmark: no model {ours!r}; expected one of {', '.join(sorted(set(counts['model'])))}")
    scopes = scopes_of(counts, simulated)
    counts = _with_known(counts)
    found = []
    for stratum in COMPARED_STRATA:
        of_stratum = counts if stratum == ALL else counts[without_exact(counts["status"].to_numpy())]
        held = set(of_stratum["dataset"])
        of_scopes = {scope: [name for name in names if name in held] for scope, names in scopes.items()}
        for rank in COMPARED_RANKS if held else ():
            scores = resample_scores(of_stratum, rank, resamples, seed)
            of_rank = of_stratum[of_stratum["rank"] == rank]
            for scope, names in of_scopes.items():
                if names:
                    rows = _compare(scores, of_rank[of_rank["dataset"].isin(names)], names, ours)
                    found += [{"stratum": stratum, "scope": scope, "rank": rank} | row for row in rows]
    return pd.DataFrame(found)


def _compare(scores: Scores, counts: pd.DataFrame, names: list[str], ours: str) -> Iterator[dict]:
    """One row per model and threshold for the communities ``names``, with their counts at the rank."""
    own = int(np.flatnonzero((scores.rows["model"] == ours) & (scores.rows["threshold"] == OWN_THRESHOLD))[0])
    where = [scores.communities.index(name) for name in names]
    value, drawn = scores.value[:, where].mean(axis=1), mean_of_known(scores.drawn[:, :, where], axis=2)
    absent = _absent(counts)
    once = counts.drop_duplicates(["dataset", "genome", "status"])
    seeds = counts.groupby("model")["seed"].nunique()
    kinds = counts.drop_duplicates("model").set_index("model")["kind"]
    size = {"contigs": int(once[list(_PARTS)].sum().sum()), "clusters": len(once[_CLUSTER].drop_duplicates())}
    for row, (model, threshold) in enumerate(scores.rows.itertuples(index=False)):
        low, high = interval_of_known(drawn[:, row])
        gain_low, gain_high = interval_of_known(drawn[:, own] - drawn[:, row])
        yield (
            {"model": model, "threshold": threshold, "f1": value[row], "f1_low": low, "f1_high": high}
            | {"gain": value[own] - value[row], "gain_low": gain_low, "gain_high": gain_high}
            | absent.loc[(model, threshold)].to_dict()
            | {"communities": len(names), "trainings": _trainings(model, kinds[model], int(seeds[model]))}
            | size
        )


def _trainings(model: str, kind: str, runs: int) -> int:
    """Number of trainings of a model with this number of runs: 0 for rules and for labels of any name."""
    return runs if kind != "baseline" and is_trained(model) else 0


def _with_known(counts: pd.DataFrame) -> pd.DataFrame:
    """``counts`` with the numbers of contigs whose taxon the reference has: ``known``, and ``known_correct``.

    The status of a row says which ranks are absent, so that its taxon is absent for all of its contigs or for none.
    """
    present = (counts["absent"] == 0) & (counts["status"] != "")
    return counts.assign(
        known=counts[list(_PARTS)].sum(axis=1).where(present, 0), known_correct=counts["correct"].where(present, 0)
    )


def _absent(counts: pd.DataFrame) -> pd.DataFrame:
    sums = counts.groupby([*_KEY, "seed"])[_BY_PRESENCE].sum().groupby(_KEY).mean()
    shares = shares_by_presence(*(sums[name].to_numpy() for name in _BY_PRESENCE))
    return sums[["absent", "absent_called"]].assign(recall_known=shares["recall_known"])


def summarise_seeds(counts: pd.DataFrame, ours: str | None, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Means over the seeds of each model in each community, with intervals over genomes and trainings together.

    In a resample, genomes are drawn within their status, for all models alike, and for each model as many of its seeds
    as there are, with replacement.

    Args:
        counts: of `table_schemas.OUTCOME_COUNTS`; only the models' own thresholds are used.
        ours: the model from which all others are subtracted; None for no differences.
        seed: of the draws.
        resamples: their number.

    Returns:
        Rows of `table_schemas.METRICS`: f1, recall_known and absent_named at `COMPARED_RANKS` in `COMPARED_STRATA`, and
        ``ours`` minus each other model.
    """
    rows: list[dict] = []
    counts = _with_known(counts[(counts["threshold"] == OWN_THRESHOLD) & counts["rank"].isin(COMPARED_RANKS)])
    for (dataset, rank), chosen in counts.groupby(["dataset", "rank"], sort=True):
        for stratum in COMPARED_STRATA:
            part = chosen if stratum == ALL else chosen[without_exact(chosen["status"].to_numpy())]
            if len(part):
                where = {"dataset": dataset, "task": rank, "stratum": stratum, "threshold": OWN_THRESHOLD}
                rows += [where | row for row in _summarise(part, ours, seed, resamples)]
    return metrics_table(rows, benchmark="taxonomy")


def _summarise(counts: pd.DataFrame, ours: str | None, seed: int, resamples: int) -> Iterator[dict]:
    names = [*_PARTS, *_BY_PRESENCE]
    wide = counts.groupby(["model", "seed", *_CLUSTER])[names].sum().unstack(_CLUSTER, fill_value=0)
    clusters = wide[names[0]].columns
    parts = [wide[name].to_numpy(float).T for name in names]
    models = wide.index.get_level_values("model")
    generator = np.random.default_rng(seed)
    group = pd.factorize(clusters.get_level_values("status"))[0]
    weights = np.vstack([np.ones((1, len(clusters))), draw_weights(generator, resamples, len(clusters), group)])
    sums = [weights @ part for part in parts]
    values = {"f1": f1_score(*sums[:3]), **shares_by_presence(*sums[3:])}
    kinds = counts.drop_duplicates("model").set_index("model")["kind"]
    owner, named = pd.factorize(models, sort=True)
    shares = np.vstack([equal_shares(owner), draw_shares(generator, resamples, owner)])
    found, trainings = {}, {}
    for number, model in enumerate(named):
        runs = np.flatnonzero(owner == number)
        found[model] = {name: (value[:, runs] * shares[:, runs]).sum(axis=1) for name, value in values.items()}
        trainings[model] = _trainings(model, kinds[model], len(runs))
    size = {"n_units": int(sum(part[:, 0].sum() for part in parts[:3])), "n_clusters": len(clusters)}
    for model, measures in found.items():
        row = {"model": model, "kind": kinds[model], "n_trainings": trainings[model]} | size
        for name, value in measures.items():
            yield row | {"metric": name} | _value_and_interval(value)
        for name, value in found[ours].items() if ours in found and model != ours else ():
            both = {"model": ours, "kind": kinds[ours], "minus": model, "n_trainings": trainings[ours]} | size
            yield both | {"metric": name} | _value_and_interval(value - measures[name])


def _value_and_interval(values: np.ndarray) -> dict:
    """The first value, and the interval of the others."""
    low, high = interval_of_known(values[1:])
    return {"value": None if np.isnan(values[0]) else float(values[0]), "low": low, "high": high}


def gather_benchmark(
    metrics: list[str | Path],
    counts: list[str | Path],
    costs: list[tuple[str, str | Path]],
    ours: str,
    simulated: list[str],
    seed: int,
    output: str | Path,
    comparison: str | Path,
    resamples: int = RESAMPLES,
) -> None:
    """Join the tables of several communities: metrics to the Parquet ``output``, `compare` to the TSV ``comparison``.

    If known, these columns are added to the comparison: ece and auprc (mean over seeds and communities) of the rank,
    seconds and cpu_seconds (medians) and megabytes (maximum) from ``costs``: pairs of a model and Snakemake's benchmark
    file of a run.
    """
    joined = pd.concat([read_table(path, METRICS) for path in metrics], ignore_index=True)
    whole = pd.concat([read_table(path, OUTCOME_COUNTS) for path in counts], ignore_index=True)
    table = compare(whole, ours, simulated, seed, resamples)
    scopes = scopes_of(whole, simulated)
    table = table.join(_calibration(joined, scopes), on=["stratum", "scope", "rank", "model"])
    table = table.join(_cost_table(costs), on="model")
    write_table(output, joined, METRICS)
    write_tsv(comparison, table)


def _calibration(joined: pd.DataFrame, scopes: dict[str, list[str]]) -> pd.DataFrame:
    chosen = joined[joined["stratum"].isin(COMPARED_STRATA) & joined["metric"].isin(["ece", "auprc"])]
    key = ["stratum", "task", "model"]
    seen = chosen.groupby([*key, "dataset", "metric"])["value"].mean().unstack("metric").reset_index()
    parts = []
    for scope, names in scopes.items():
        part = seen[seen["dataset"].isin(names)].groupby(key)[["ece", "auprc"]].mean().reset_index()
        parts.append(part.assign(scope=scope).rename(columns={"task": "rank"}))
    return pd.concat(parts).set_index(["stratum", "scope", "rank", "model"])


def _cost_table(costs: list[tuple[str, str | Path]]) -> pd.DataFrame:
    rows = [(model, *read_cost(path)) for model, path in costs]
    table = pd.DataFrame(rows, columns=["model", "seconds", "megabytes", "cpu_seconds"])
    return table.groupby("model").agg(
        seconds=("seconds", "median"), megabytes=("megabytes", "max"), cpu_seconds=("cpu_seconds", "median")
    )
