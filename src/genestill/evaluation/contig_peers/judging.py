"""Choosing thresholds of peers with the fitting half of virtual references, and results with the judging half.

For intervals, families are drawn with replacement, and genera within them; references are not resampled, because they
share contigs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.table_schemas import METRICS, VIRTUAL_OUTCOME_COUNTS, metrics_table
from genestill.core.tables import number_columns, read_table, read_tsv, write_table, write_tsv
from genestill.core.virtual_references import FITTING, JUDGING
from genestill.evaluation.bootstrap import RESAMPLES, f1_score, interval_of_known, shares_by_presence
from genestill.evaluation.contig_peers.registry import PEERS
from genestill.evaluation.contig_peers.selection import SCORED_RANKS
from genestill.evaluation.strata import ALL, NO_EXACT

HINDSIGHT = "hindsight=yes"
UPPER_BOUND = "upper-bound"  # names every taxon that the reference has, and no other: the highest possible scores
MEASURES = ("f1", "recall_known", "absent_named")
_COUNTS = ("correct", "wrong", "none", "absent", "absent_called")
_RUN = ["model", "threshold"]
_BLOCK = 100  # resamples in memory at a time


@dataclass(frozen=True)
class Scored:
    """Scores of models over references: the value and its resamples.

    Attributes:
        rows: data frame of model, threshold (NaN for a model's own) and references (number of runs), k rows.
        value: measure -> float64 [k], mean over references (and seeds).
        drawn: measure -> float64 [resamples, k].
        families, genera: their numbers.
    """

    rows: pd.DataFrame
    value: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]
    families: int
    genera: int


def draw_genera(generator: np.random.Generator, resamples: int, family: np.ndarray) -> np.ndarray:
    """Counts of genera if families are drawn with replacement, and within each drawn family as many genera as it has.

    Args:
        generator: random number generator.
        resamples: number of draws.
        family: int64 [g], number of the family of each genus, from 0.

    Returns:
        float64 [resamples, g].
    """
    families = int(family.max()) + 1
    times = generator.multinomial(families, np.full(families, 1 / families), size=resamples)
    weights = np.zeros((resamples, len(family)))
    for number in range(families):
        genera = np.flatnonzero(family == number)
        share = np.full(len(genera), 1 / len(genera))
        weights[:, genera] = generator.multinomial(times[:, number] * len(genera), share)
    return weights


def score_halves(
    outcomes: pd.DataFrame, half: str, rank: str, stratum: str, resamples: int, seed: int
) -> Scored | None:
    """Scores of every model at every threshold over the references of a half; None if no contig is scored.

    Args:
        outcomes: rows of `table_schemas.VIRTUAL_OUTCOME_COUNTS`.
        half: `FITTING` or `JUDGING`.
        rank: for example species.
        stratum: `strata.ALL` or `strata.NO_EXACT`.
        resamples: number of draws; 0 for the value without resamples.
        seed: seed of the draws.
    """
    chosen = outcomes[(outcomes["half"] == half) & (outcomes["rank"] == rank)]
    if stratum == NO_EXACT:
        chosen = chosen[~chosen["exact"]]
    if not len(chosen):
        return None
    chosen = chosen.assign(threshold=chosen["threshold"].fillna(-1))
    sums = chosen.groupby([*_RUN, "community", "reference", "seed", "genus"])[list(_COUNTS)].sum()
    wide = sums.unstack("genus", fill_value=0)
    genera = wide["correct"].columns
    family = pd.factorize(chosen.drop_duplicates("genus").set_index("genus")["family"].reindex(genera))[0]
    counts = [wide[name].to_numpy(float).T for name in _COUNTS]
    place = wide.index.to_frame(index=False)
    number = place.groupby(_RUN, sort=True).ngroup().to_numpy()
    rows = place.groupby(_RUN, sort=True)["reference"].nunique().reset_index(name="references")
    rows["threshold"] = rows["threshold"].where(rows["threshold"] >= 0)
    member = np.zeros((len(number), len(rows)))
    member[np.arange(len(number)), number] = 1
    value = {name: values[0] for name, values in _measures(np.ones((1, len(genera))), counts, member).items()}
    generator = np.random.default_rng(seed)
    blocks = [
        _measures(draw_genera(generator, min(_BLOCK, resamples - start), family), counts, member)
        for start in range(0, resamples, _BLOCK)
    ]
    drawn = {name: np.concatenate([block[name] for block in blocks]) if blocks else np.empty((0, len(rows)))
             for name in MEASURES}  # fmt: skip
    return Scored(rows, value, drawn, int(family.max()) + 1, len(genera))


def _measures(weights: np.ndarray, counts: list[np.ndarray], member: np.ndarray) -> dict[str, np.ndarray]:
    """Means of the measures over the references with contigs of present taxa (f1, recall_known) or absent ones.

    ``weights`` are [draws, genera], ``counts`` five arrays [genera, runs], ``member`` [runs, models]; measures are
    [draws, models].
    """
    correct, wrong, none, absent, absent_called = (weights @ part for part in counts)
    known = correct + wrong + none - absent
    # All names are from the virtual reference, so correct ones are of present taxa.
    shares = shares_by_presence(correct, known, absent_called, absent)
    return {
        "f1": _mean(f1_score(correct, wrong, none), known > 0, member),
        "recall_known": _mean(shares["recall_known"], known > 0, member),
        "absent_named": _mean(shares["absent_named"], absent > 0, member),
    }


def _mean(values: np.ndarray, there: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Means of the available values over the runs of each model; NaN without values."""
    number = there @ member
    return np.divide(np.where(there, values, 0.0) @ member, number, out=np.full(number.shape, np.nan), where=number > 0)


def choose_thresholds(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The threshold of every peer: the highest mean F1 at species without exact copies over the fitting references.

    In case of a tie, the lower threshold is used. The judging half is not read. If all contigs whose species are in a
    reference are exact copies, all contigs are scored.

    Returns:
        Columns model, threshold, fitting_f1, stratum (of the scored contigs), references (of the fitting half) and
        strongest: the peer with the highest mean of those that were run on all references. The highest mean is first.
    """
    scored = None
    for stratum in (NO_EXACT, ALL):
        scored = score_halves(outcomes, FITTING, "species", stratum, 0, 0)
        if scored is not None and np.isfinite(scored.value["f1"]).any():
            break
    else:
        raise InputError(
            "no reference of the fitting half contains the species of any contig, so thresholds cannot be chosen"
        )
    table = scored.rows.assign(fitting_f1=scored.value["f1"].round(9), stratum=stratum).dropna(subset="fitting_f1")
    table = table[table["model"].isin(PEERS)]
    table = table.sort_values(["fitting_f1", "threshold"], ascending=[False, True], kind="stable")
    table = table.drop_duplicates("model").reset_index(drop=True)
    everywhere = table["references"] == table["references"].max()
    strongest = table.loc[everywhere, "model"].iloc[0] if len(table) else ""
    columns = ["model", "threshold", "fitting_f1", "stratum", "references"]
    return table[columns].assign(strongest=table["model"] == strongest)


def judge(outcomes: pd.DataFrame, chosen: pd.DataFrame, dataset: str, seed: int, resamples: int = RESAMPLES):
    """Results of the judging half: every peer at the threshold of `choose_thresholds`, and every model.

    For comparison only, there are also rows with the best threshold on the judging half (variant `HINDSIGHT`).
    Differences are between each model and the strongest peer, over the references on which both were run.

    Args:
        outcomes: rows of `table_schemas.VIRTUAL_OUTCOME_COUNTS`.
        chosen: from `choose_thresholds`.
        dataset: name of the data set in the rows.
        seed: seed of the resamples.
        resamples: number of resamples.

    Returns:
        Rows of `table_schemas.METRICS`: n_units are references, n_clusters families.
    """
    strongest = chosen.loc[chosen["strongest"], "model"].iloc[0] if len(chosen) else None
    threshold_of = chosen.set_index("model")["threshold"].to_dict()
    outcomes = pd.concat([outcomes, upper_bound(outcomes)], ignore_index=True)
    rows = [
        row
        for stratum in (NO_EXACT, ALL)
        for rank in SCORED_RANKS
        for row in _judge(outcomes, rank, stratum, threshold_of, strongest, seed, resamples)
    ]
    if not rows:
        raise InputError("no reference of the judging half has contigs to score")
    return metrics_table(rows, benchmark="virtual references", dataset=dataset)


def upper_bound(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Outcomes of `UPPER_BOUND` on the references of ``outcomes`` (`table_schemas.VIRTUAL_OUTCOME_COUNTS`).

    F1 counts contigs of absent taxa in the recall, so that its F1 is below one.
    """
    contigs = ["community", "reference", "half", "rank", "family", "genus", "exact"]
    rows = outcomes.drop_duplicates(contigs)
    known = rows[["correct", "wrong", "none"]].sum(axis=1) - rows["absent"]
    return rows.assign(
        model=UPPER_BOUND, seed=0, threshold=np.nan, correct=known, wrong=0, none=rows["absent"], absent_called=0
    )


def _kind(model: str) -> str:
    return "control" if model == UPPER_BOUND else "peer" if model in PEERS else "student"


def _judge(outcomes, rank, stratum, threshold_of, strongest, seed, resamples) -> Iterator[dict]:
    scored = score_halves(outcomes, JUDGING, rank, stratum, resamples, seed)
    if scored is None:
        return
    where = {"task": rank, "stratum": stratum, "n_trainings": 0}
    taken, trainings = {}, {}
    for model, part in scored.rows.groupby("model"):
        if model in PEERS:
            best = part.index[np.nan_to_num(scored.value["f1"][part.index], nan=-1).argmax()]
            yield from _figures(scored, best, where | {"model": model, "kind": "peer", "variant": HINDSIGHT})
            if model not in threshold_of:
                continue
            part = part[part["threshold"] == threshold_of[model]]
        taken[model] = part.index[0]
        kind = _kind(model)
        trainings[model] = outcomes.loc[outcomes["model"] == model, "seed"].nunique() if kind == "student" else 0
        of_model = {"model": model, "kind": kind, "n_trainings": trainings[model]}
        yield from _figures(scored, part.index[0], where | of_model)
    if strongest is None or strongest not in taken:
        return
    for model in taken:
        if model != strongest:
            of_model = where | {"n_trainings": trainings[model]}
            yield from _gains(outcomes, rank, stratum, model, strongest, threshold_of, of_model, seed, resamples)


def _figures(scored: Scored, row: int, where: dict) -> Iterator[dict]:
    threshold = scored.rows["threshold"].iloc[row]
    where = where | {"threshold": "own" if np.isnan(threshold) else f"{threshold:g}"}
    for measure in MEASURES:
        yield where | _figure(scored, row, measure, scored.value[measure][row], scored.drawn[measure][:, row])


def _figure(scored: Scored, row: int, measure: str, value: float, drawn: np.ndarray) -> dict:
    low, high = interval_of_known(drawn)
    return {
        "metric": measure,
        "value": value,
        "low": low,
        "high": high,
        "n_units": int(scored.rows["references"].iloc[row]),
        "n_clusters": scored.families,
    }


def _gains(outcomes, rank, stratum, model, strongest, threshold_of, where, seed, resamples) -> Iterator[dict]:
    """Rows of ``model`` minus ``strongest`` over the references on which both were run."""
    both = []
    for name in (model, strongest):
        part = outcomes[outcomes["model"] == name]
        both.append(part[part["threshold"] == threshold_of[name]] if name in threshold_of else part)
    shared = set(zip(both[0]["community"], both[0]["reference"], strict=True))
    shared &= set(zip(both[1]["community"], both[1]["reference"], strict=True))
    paired = pd.concat(both)
    paired = paired[[key in shared for key in zip(paired["community"], paired["reference"], strict=True)]]
    scored = score_halves(paired, JUDGING, rank, stratum, resamples, seed)
    if scored is None:
        return
    own, other = (int(np.flatnonzero(scored.rows["model"] == name)[0]) for name in (model, strongest))
    where = where | {"model": model, "kind": _kind(model), "minus": strongest}
    for measure in MEASURES:
        value = scored.value[measure][own] - scored.value[measure][other]
        drawn = scored.drawn[measure][:, own] - scored.drawn[measure][:, other]
        yield where | _figure(scored, own, measure, value, drawn)


def write_thresholds(scores: Sequence[str | Path], output: str | Path) -> None:
    """Write `choose_thresholds` as TSV, from tables of `selection.score_peers`."""
    chosen = choose_thresholds(_read(scores))
    write_tsv(output, chosen)
    for row in chosen[chosen["strongest"]].itertuples():
        logger.info("strongest on the fitting half: %s at %g (F1 %.3f)", row.model, row.threshold, row.fitting_f1)


def write_judgement(
    scores: Sequence[str | Path], thresholds: str | Path, dataset: str, seed: int, output: str | Path
) -> None:
    """Write `judge` as a table of `METRICS`, from tables of `selection.score_peers` and of `write_thresholds`.

    Raises `InputError` for a table of thresholds without a strongest peer.
    """
    outcomes = _read(scores)
    chosen = read_tsv(thresholds, ["model", "threshold", "strongest"])
    chosen = chosen.assign(
        threshold=number_columns(chosen, ["threshold"], thresholds)[:, 0], strongest=chosen["strongest"] == "True"
    )
    if not chosen["strongest"].any():
        raise InputError(
            f"{thresholds}: no row is marked as the strongest; expected the output of 'evaluation peer-thresholds'"
        )
    write_table(output, judge(outcomes, chosen, dataset, seed), METRICS)
    for half in (FITTING, JUDGING):
        part = outcomes[outcomes["half"] == half]
        numbers = [part[name].nunique() for name in ("reference", "genus", "family")]
        logger.info("%s half: %d references, contigs of %d genera of %d families", half, *numbers)


def _read(scores: Sequence[str | Path]) -> pd.DataFrame:
    return pd.concat([read_table(path, VIRTUAL_OUTCOME_COUNTS) for path in scores], ignore_index=True)
