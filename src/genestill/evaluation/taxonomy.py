"""The published metric of contig classification, rank by rank, and what it leaves unsaid.

A call counts if the rank is named and accepted (Kutuzova et al. 2024, Taxometer, Methods: score above a threshold);
it is correct if the whole path down to the rank is the true one. precision = correct / (correct + wrong),
recall = correct / all contigs whose truth is known at that rank. Contigs that a model does not call count as not
called: they stay in the denominator of recall. Where the true taxon is absent from the reference, whatever a model
names at that rank is wrong as a rule (it cannot know the true name); ``absent_called`` and ``over_depth`` count this.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.bootstrap import RESAMPLES, f1_score, interval, resample_f1
from genestill.evaluation.calibration import area_under_precision_recall, expected_calibration_error, sweep
from genestill.evaluation.calls import RIGHT_DEPTH, UNNAMED, Community, Model, read_calls
from genestill.ground.artefacts import METRICS
from genestill.ground.lineage import RANKS
from genestill.ground.logs import logger
from genestill.ground.provenance import collect_provenance
from genestill.ground.tables import write_table

THRESHOLDS = (0.5, 0.8, 0.95)
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


def splits_of(community: Community) -> Iterator[tuple[str, np.ndarray]]:
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
    labels: str | Path,
    predictions: dict[str, str | Path],
    output: str | Path,
    dataset: str,
    seed: int,
    labels_name: str = "MMseqs2",
    thresholds: dict[str, float] | None = None,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Score labels and predictions and write the table of `artefacts.METRICS` to ``output`` (see `measure`)."""
    community, models = read_calls(truth, labels, predictions, labels_name, thresholds)
    table = measure(community, models, seed, resamples)
    table["benchmark"], table["dataset"], table["seed"] = "taxonomy", dataset, seed
    inputs = {"labels": labels, **{f"predictions of {name}": path for name, path in predictions.items()}}
    settings = {"labels_name": labels_name, "thresholds": thresholds or {}, "resamples": resamples}
    provenance = collect_provenance(inputs | ({"truth": truth} if truth else {}), settings, seed)
    write_table(output, table, METRICS, {"provenance": json.dumps(provenance)})
    logger.info("%d contigs, %d models: %d metrics in %s", len(community.ids), len(models), len(table), output)
    return table


def measure(community: Community, models: list[Model], seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """All metrics: columns task (rank, or "lineage"), model, split, metric, value, n. The first model is the labels.

    Always: ``coverage`` (share of contigs called); against the labels ``same``, ``added``, ``removed``, ``renamed``
    (counts) and ``agreement`` (same / both called).
    With a truth, at the models' own thresholds and in every split: ``correct``, ``wrong``, ``none`` (counts),
    ``precision``, ``recall``, ``f1``; over all contigs also at fixed scores (``f1@0.8``); ``absent_called``: calls at
    a rank whose taxon the reference lacks (n: such contigs); ``ece``, ``ece_adaptive``, ``auprc``; ``f1_low`` and
    ``f1_high``: 95 % interval over genomes (n: genomes); ``f1_difference:X`` with ``…_low:X``, ``…_high:X``: F1 minus
    that of model X, paired; ``mended`` (correct where the label is not) and ``spoilt`` (the reverse); of the task
    "lineage": ``over_depth`` (called deeper than the right answer) and ``exact_answer`` (neither deeper, nor
    shallower, nor elsewhere).
    """
    rows: list[tuple] = []
    for model in models:
        rows += _coverage_and_changes(model, models[0])
    if community.has_truth:
        parts = list(splits_of(community))
        outcomes = [judge(community, model) for model in models]
        for model, own in zip(models, outcomes, strict=True):
            for split, members in parts:
                rows += _scores(model.name, split, own, members)
            rows += _absent(community, model.name, own)
            for threshold in THRESHOLDS if model.has_confidence else ():
                fixed, view = judge(community, model, model.at(threshold)), f"@{threshold:g}"
                rows += _scores(model.name, "all", fixed, parts[0][1], view)
                rows += _absent(community, model.name, fixed, view)
            rows += _calibration(community, model)
            rows += _depth(community, model)
            rows += _mended(model.name, own, outcomes[0]) if model is not models[0] else []
        rows += _intervals(community, models, outcomes, seed, resamples)
    return pd.DataFrame(rows, columns=["task", "model", "split", "metric", "value", "n"])


def _scores(model: str, split: str, outcomes: Outcomes, members: np.ndarray, view: str = "") -> Iterator[tuple]:
    for rank, correct, wrong, none in zip(
        RANKS, *((part[members]).sum(axis=0).tolist() for part in vars(outcomes).values()), strict=True
    ):
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
            yield rank, model, split, metric + view, value, total


def _absent(community: Community, model: str, outcomes: Outcomes, view: str = "") -> Iterator[tuple]:
    right = community.right_depth
    for level, rank in enumerate(RANKS):
        absent = (right >= 0) & (right <= level)
        if absent.any():
            called = int((outcomes.correct | outcomes.wrong)[absent, level].sum())
            yield rank, model, "all", f"absent_called{view}", called, int(absent.sum())


def _calibration(community: Community, model: Model) -> Iterator[tuple]:
    for level, rank in enumerate(RANKS):
        confidence, correct, total = scored_calls(community, model, level)
        if total == 0:
            continue
        for metric, adaptive in (("ece", False), ("ece_adaptive", True)):
            error = expected_calibration_error(confidence, correct, adaptive)
            yield rank, model.name, "all", metric, error, len(confidence)
        area = area_under_precision_recall(sweep(confidence, correct, total))
        yield rank, model.name, "all", "auprc", area, total


def scored_calls(community: Community, model: Model, level: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Every call at a rank, accepted or not: confidences, whether correct, and how many contigs have a truth there."""
    known = community.path[:, level] != UNNAMED
    called = known & (model.path[:, level] != UNNAMED)
    return model.confidence[called, level], (model.path == community.path)[called, level], int(known.sum())


def _depth(community: Community, model: Model) -> Iterator[tuple]:
    right = community.right_depth
    judged = (right >= 0) & (community.path != UNNAMED).all(axis=1)
    if judged.any():
        called = model.accepted.sum(axis=1)
        expected = np.arange(len(RANKS)) < right[:, None]
        exact = (model.accepted == expected) & ((model.path == community.path) | ~expected)
        number = int(judged.sum())
        yield "lineage", model.name, "all", "over_depth", int((called > right)[judged].sum()), number
        yield "lineage", model.name, "all", "exact_answer", int(exact.all(axis=1)[judged].sum()), number


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


def _coverage_and_changes(model: Model, labels: Model) -> Iterator[tuple]:
    number = len(model.path)
    for level, rank in enumerate(RANKS):
        yield rank, model.name, "all", "coverage", float(model.accepted[:, level].mean()) if number else None, number
        if model is labels:
            continue
        counts = {kind: int(where[:, level].sum()) for kind, where in changes(model, labels).items()}
        for kind, count in counts.items():
            yield rank, model.name, "all", kind, count, number
        both = counts["same"] + counts["renamed"]
        yield rank, model.name, "all", "agreement", counts["same"] / both if both else None, both


def _mended(model: str, own: Outcomes, labels: Outcomes) -> Iterator[tuple]:
    for level, rank in enumerate(RANKS):
        total = int((own.correct | own.wrong | own.none)[:, level].sum())
        yield rank, model, "all", "mended", int((own.correct & ~labels.correct)[:, level].sum()), total
        yield rank, model, "all", "spoilt", int((labels.correct & ~own.correct)[:, level].sum()), total


def _intervals(community, models: list[Model], outcomes: list[Outcomes], seed: int, resamples: int) -> Iterator[tuple]:
    stacked = [
        np.concatenate([getattr(own, part) for own in outcomes], axis=1) for part in ("correct", "wrong", "none")
    ]
    drawn = resample_f1(*stacked, community.genome, resamples, seed).reshape(resamples, len(models), len(RANKS))
    point = f1_score(*(part.sum(axis=0) for part in stacked)).reshape(len(models), len(RANKS))
    genomes = int(community.genome.max()) + 1
    for level, rank in enumerate(RANKS):
        if not (community.path[:, level] != UNNAMED).any():
            continue
        for one, model in enumerate(models):
            low, high = interval(drawn[:, one, level])
            yield rank, model.name, "all", "f1_low", low, genomes
            yield rank, model.name, "all", "f1_high", high, genomes
            for other, base in enumerate(models):
                if other == one:
                    continue
                low, high = interval(drawn[:, one, level] - drawn[:, other, level])
                difference = float(point[one, level] - point[other, level])
                yield rank, model.name, "all", f"f1_difference:{base.name}", difference, genomes
                yield rank, model.name, "all", f"f1_difference_low:{base.name}", low, genomes
                yield rank, model.name, "all", f"f1_difference_high:{base.name}", high, genomes
