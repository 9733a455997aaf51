"""The published metric of contig classification, rank by rank, and what it leaves unsaid.

A call counts if the rank is named and accepted (Kutuzova et al. 2024, Taxometer, Methods: score above a threshold);
it is correct if the whole path down to the rank is the true one. precision = correct / (correct + wrong),
recall = correct / all contigs whose truth is known at that rank. Contigs that a model does not call count as not
called: they stay in the denominator of recall. Where the true taxon is absent from the reference, whatever a model
names at that rank is wrong as a rule (it cannot know the true name); ``absent_called`` and ``over_depth`` count this.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.table_schemas import METRICS, metrics_table
from genestill.core.tables import write_table
from genestill.evaluation.bootstrap import RESAMPLES, f1_score, interval, resample_f1
from genestill.evaluation.calibration import area_under_precision_recall, expected_calibration_error, sweep
from genestill.evaluation.calls import RIGHT_DEPTH, UNNAMED, Community, Model, Predictions, read_calls

THRESHOLDS = (0.5, 0.8, 0.95)
OWN_THRESHOLD = "own"
LENGTH_BINS = (
    ("<1 kb", 1, 1_000),
    ("1-2 kb", 1_000, 2_000),
    ("2-5 kb", 2_000, 5_000),
    ("5-10 kb", 5_000, 10_000),
    ("10-20 kb", 10_000, 20_000),
    (">=20 kb", 20_000, np.inf),
)


@dataclass(frozen=True)
class Outcomes:
    """What became of every contig at every rank: bool [n, 7] each; where the truth is unknown all three are False."""

    correct: np.ndarray
    wrong: np.ndarray
    none: np.ndarray


def judge(community: Community, model: Model, accepted: np.ndarray | None = None) -> Outcomes:
    """Compare calls with the truth; ``accepted`` (bool [n, 7]) replaces the model's own."""
    accepted = model.accepted if accepted is None else accepted
    known = community.path != UNNAMED
    right = model.path == community.path
    return Outcomes(known & accepted & right, known & accepted & ~right, known & ~accepted)


def strata_of(community: Community) -> Iterator[tuple[str, np.ndarray]]:
    """(name, bool [n]) of every part of the community that holds contigs: all, by novelty status, by length."""
    yield "all", np.ones(len(community.ids), dtype=bool)
    for status in RIGHT_DEPTH:
        if (members := community.status == status).any():
            yield f"status={status}", members
    for name, low, high in LENGTH_BINS:
        if (members := (community.length >= low) & (community.length < high)).any():
            yield f"length={name}", members


def evaluate_taxonomy(
    truth: str | Path | None,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    output: str | Path,
    dataset: str,
    seed: int,
    labels_name: str = "MMseqs2",
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Score labels and predictions and write the table of `table_schemas.METRICS` to ``output`` (see `measure`)."""
    community, models = read_calls(truth, labels, predictions, labels_name)
    table = measure(community, models, seed, resamples).assign(benchmark="taxonomy", dataset=dataset)
    write_table(output, table, METRICS)
    logger.info("%d contigs, %d models: %d metrics in %s", len(community.ids), len(models), len(table), output)
    return table


def measure(community: Community, models: list[Model], seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """All metrics, with the columns of `table_schemas.METRICS`; the task is a rank, or "lineage".

    Always: ``coverage`` (share of contigs called); against the labels, where there are any, ``same``, ``added``,
    ``removed``, ``renamed`` (counts) and ``agreement`` (same / both called).
    With a truth, at the models' own thresholds and in every stratum: ``correct``, ``wrong``, ``none`` (counts),
    ``precision``, ``recall``, ``f1``; over all contigs also at fixed scores (column ``threshold``); ``absent_called``:
    calls at a rank whose taxon the reference lacks (n_units: such contigs); ``ece``, ``ece_adaptive``, ``auprc``; F1
    over all contigs with its 95 % interval over genomes, and minus that of every other model, paired, where both are of
    one seed or one has none; ``mended`` (correct where the label is not) and ``spoilt`` (the reverse); of the task
    "lineage": ``over_depth`` (called deeper than the right answer) and ``exact_answer`` (neither deeper, nor
    shallower, nor elsewhere).
    """
    labels = next((model for model in models if model.is_labels), None)
    rows = []

    def add(model: Model, found: Iterator[dict]) -> None:
        of_model = {"model": model.name, "kind": model.kind}
        rows.extend(of_model | {"seed": model.seed, "n_trainings": int(model.seed is not None)} | row for row in found)

    for model in models:
        add(model, _coverage_and_changes(model, labels))
    if community.has_truth:
        parts = list(strata_of(community))
        outcomes = [judge(community, model) for model in models]
        drawn = _resample(community, outcomes, seed, resamples)
        for number, (model, own) in enumerate(zip(models, outcomes, strict=True)):
            for stratum, members in parts:
                resampled = drawn[:, number] if stratum == "all" else None
                add(model, _scores(community, own, members, stratum, OWN_THRESHOLD, resampled))
            add(model, _absent(community, own, OWN_THRESHOLD))
            for threshold in THRESHOLDS if model.has_confidence else ():
                fixed = judge(community, model, model.at(threshold))
                add(model, _scores(community, fixed, parts[0][1], "all", f"{threshold:g}"))
                add(model, _absent(community, fixed, f"{threshold:g}"))
            add(model, _calibration(community, model))
            add(model, _depth(community, model))
            if labels is not None and model is not labels:
                add(model, _mended(own, outcomes[models.index(labels)]))
            add(model, _differences(community, models, outcomes, drawn, number))
    return metrics_table(rows)


def _scores(
    community: Community,
    outcomes: Outcomes,
    members: np.ndarray,
    stratum: str,
    threshold: str,
    drawn: np.ndarray | None = None,
) -> Iterator[dict]:
    """``drawn`` is F1 of the resamples, float64 [resamples, 7]; None leaves F1 without an interval."""
    for level, rank in enumerate(RANKS):
        correct, wrong, none = (int(part[members, level].sum()) for part in vars(outcomes).values())
        total = correct + wrong + none
        if total == 0:
            continue
        values = {
            "correct": correct,
            "wrong": wrong,
            "none": none,
            "precision": correct / (correct + wrong) if correct + wrong else None,
            "recall": correct / total,
            "f1": float(f1_score(correct, wrong, none)),
        }
        for metric, value in values.items():
            row = _row(rank, metric, value, total, threshold, stratum)
            if metric == "f1" and drawn is not None:
                row |= _interval(community, drawn[:, level])
            yield row


def _row(task: str, metric: str, value: float | None, units: int, threshold: str = "", stratum: str = "all") -> dict:
    return {
        "task": task,
        "stratum": stratum,
        "metric": metric,
        "threshold": threshold,
        "value": value,
        "n_units": units,
    }


def _interval(community: Community, drawn: np.ndarray) -> dict:
    low, high = interval(drawn)
    return {"low": low, "high": high, "n_clusters": int(community.genome.max()) + 1}


def _absent(community: Community, outcomes: Outcomes, threshold: str) -> Iterator[dict]:
    right = community.right_depth
    for level, rank in enumerate(RANKS):
        absent = (right >= 0) & (right <= level)
        if absent.any():
            called = int((outcomes.correct | outcomes.wrong)[absent, level].sum())
            yield _row(rank, "absent_called", called, int(absent.sum()), threshold)


def _calibration(community: Community, model: Model) -> Iterator[dict]:
    for level, rank in enumerate(RANKS):
        confidence, correct, total = scored_calls(community, model, level)
        if total == 0:
            continue
        for metric, adaptive in (("ece", False), ("ece_adaptive", True)):
            error = expected_calibration_error(confidence, correct, adaptive)
            yield _row(rank, metric, error, len(confidence))
        yield _row(rank, "auprc", area_under_precision_recall(sweep(confidence, correct, total)), total)


def scored_calls(community: Community, model: Model, level: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Every call at a rank, accepted or not: confidences, whether correct, and how many contigs have a truth there."""
    known = community.path[:, level] != UNNAMED
    called = known & (model.path[:, level] != UNNAMED)
    return model.confidence[called, level], (model.path == community.path)[called, level], int(known.sum())


def _depth(community: Community, model: Model) -> Iterator[dict]:
    right = community.right_depth
    judged = (right >= 0) & (community.path != UNNAMED).all(axis=1)
    if judged.any():
        called = model.accepted.sum(axis=1)
        expected = np.arange(len(RANKS)) < right[:, None]
        exact = (model.accepted == expected) & ((model.path == community.path) | ~expected)
        number = int(judged.sum())
        yield _row("lineage", "over_depth", int((called > right)[judged].sum()), number, OWN_THRESHOLD)
        yield _row("lineage", "exact_answer", int(exact.all(axis=1)[judged].sum()), number, OWN_THRESHOLD)


def changes(model: Model, labels: Model) -> dict[str, np.ndarray]:
    """What a model made of the labels: bool [n, 7] each for same, added, removed, renamed; the rest is never named."""
    both = model.accepted & labels.accepted
    same = both & (model.path == labels.path)
    return {
        "same": same,
        "added": model.accepted & ~labels.accepted,
        "removed": labels.accepted & ~model.accepted,
        "renamed": both & ~same,
    }


def _coverage_and_changes(model: Model, labels: Model | None) -> Iterator[dict]:
    number = len(model.path)
    for level, rank in enumerate(RANKS):
        coverage = float(model.accepted[:, level].mean()) if number else None
        yield _row(rank, "coverage", coverage, number, OWN_THRESHOLD)
        if labels is None or model is labels:
            continue
        counts = {kind: int(where[:, level].sum()) for kind, where in changes(model, labels).items()}
        for kind, count in counts.items():
            yield _row(rank, kind, count, number, OWN_THRESHOLD)
        both = counts["same"] + counts["renamed"]
        yield _row(rank, "agreement", counts["same"] / both if both else None, both, OWN_THRESHOLD)


def _mended(own: Outcomes, labels: Outcomes) -> Iterator[dict]:
    for level, rank in enumerate(RANKS):
        total = int((own.correct | own.wrong | own.none)[:, level].sum())
        mended = int((own.correct & ~labels.correct)[:, level].sum())
        yield _row(rank, "mended", mended, total, OWN_THRESHOLD)
        yield _row(rank, "spoilt", int((labels.correct & ~own.correct)[:, level].sum()), total, OWN_THRESHOLD)


def _resample(community: Community, outcomes: list[Outcomes], seed: int, resamples: int) -> np.ndarray:
    """F1 of all models at all ranks on the same resampled genomes: float64 [resamples, models, 7]."""
    stacked = [
        np.concatenate([getattr(own, part) for own in outcomes], axis=1) for part in ("correct", "wrong", "none")
    ]
    return resample_f1(*stacked, community.genome, resamples, seed).reshape(resamples, len(outcomes), len(RANKS))


def _differences(
    community: Community, models: list[Model], outcomes: list[Outcomes], drawn: np.ndarray, number: int
) -> Iterator[dict]:
    """F1 of the model ``number`` minus that of every other one, runs of other seeds left out."""
    point = [f1_score(*(part.sum(axis=0) for part in vars(own).values())) for own in outcomes]
    for level, rank in enumerate(RANKS):
        total = int((community.path[:, level] != UNNAMED).sum())
        if not total:
            continue
        for other, base in enumerate(models):
            seeds = {models[number].seed, base.seed} - {None}
            if base.name == models[number].name or len(seeds) > 1:
                continue
            row = _row(rank, "f1", float(point[number][level] - point[other][level]), total, OWN_THRESHOLD)
            yield row | {"minus": base.name} | _interval(community, drawn[:, number, level] - drawn[:, other, level])
