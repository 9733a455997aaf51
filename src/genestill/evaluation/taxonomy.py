"""The published metrics of contig classification at each rank, and further ones.

A call counts if the rank has a name and is accepted (Kutuzova et al. 2024, Taxometer, Methods: score above a
threshold); it is correct if the whole path down to the rank is the true one. precision = correct / (correct + wrong),
recall = correct / all contigs whose truth is known at that rank. Contigs without a call count as not called: they are
in the denominator of recall. If the true taxon is absent from the reference, a call at that rank is usually wrong (the
true name is not in the reference); ``absent_called`` and ``over_depth`` count such calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.novelty import OTHER
from genestill.core.table_schemas import METRICS, metrics_table
from genestill.core.tables import write_table
from genestill.evaluation.bootstrap import RESAMPLES, f1_score, interval_of_known, resample_sums, shares_by_presence
from genestill.evaluation.calibration import area_under_precision_recall, expected_calibration_error, sweep
from genestill.evaluation.calls import UNNAMED, Community, Model, Predictions, read_calls
from genestill.evaluation.contig_peers.registry import is_trained
from genestill.evaluation.strata import ABSENT, ALL, NO_EXACT, clusters_of, strata_of, weights_of

THRESHOLDS = (0.5, 0.8, 0.95)
OWN_THRESHOLD = "own"
# Points of the curve of risk against coverage: shares of named contigs, and shares of wrong names.
COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RISKS = (0.01, 0.05, 0.1)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of all contigs at all ranks: bool [n, 7] each; if the truth is unknown, all three are False."""

    correct: np.ndarray
    wrong: np.ndarray
    none: np.ndarray

    @property
    def named(self) -> np.ndarray:
        """Contigs with a name, correct or wrong: bool [n, 7]."""
        return self.correct | self.wrong


def judge(community: Community, model: Model, accepted: np.ndarray | None = None) -> Outcomes:
    """Compare calls with the truth; ``accepted`` (bool [n, 7]) replaces that of the model."""
    accepted = model.accepted if accepted is None else accepted
    known = community.path != UNNAMED
    right = model.path == community.path
    return Outcomes(known & accepted & right, known & accepted & ~right, known & ~accepted)


def evaluate_taxonomy(
    truth: str | Path | None,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    output: str | Path,
    dataset: str,
    seed: int,
    labels_name: str = "MMseqs2",
    resamples: int = RESAMPLES,
    abundance: str | Path | None = None,
) -> pd.DataFrame:
    """Score labels and predictions and write the table of `table_schemas.METRICS` to ``output`` (see `measure`)."""
    community, models = read_calls(truth, labels, predictions, labels_name, abundance)
    table = measure(community, models, seed, resamples).assign(benchmark="taxonomy", dataset=dataset)
    write_table(output, table, METRICS)
    logger.info("%d contigs, %d models: %d metrics in %s", len(community.ids), len(models), len(table), output)
    return table


def measure(community: Community, models: list[Model], seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """All metrics, with the columns of `table_schemas.METRICS`; the task is a rank, "lineage" or "community".

    In the task "community", with a truth and without a model: contents of each stratum (see `_held`).
    Always: ``coverage`` (share of contigs called); compared with the labels, if given, ``same``, ``added``,
    ``removed``, ``renamed`` (counts) and ``agreement`` (same / both called).
    With a truth, at the models' own thresholds and in every stratum (see `strata_of`): ``correct``, ``wrong``, ``none``
    (counts); ``precision``, ``recall``, ``f1``, ``recall_known`` (share of contigs with present taxa that are correct),
    ``absent_named`` (share of contigs with absent taxa that are named, also if the name is correct), also weighted by
    bases and reads (column ``weight``); for contigs that are not of prokaryotic chromosomes only ``coverage``. In the
    strata ``all`` and ``no exact``: ``risk`` (share of wrong names among the most confident ones, at the ``coverage``
    in the column ``variant``) and ``coverage_at_risk`` (largest share of contigs that can be named with at most this
    risk, by the best threshold for these contigs in hindsight); ``ece``, ``ece_adaptive`` and ``auprc``, the first two
    also for contigs with absent taxa. Over all contigs also counts at fixed scores (column ``threshold``);
    ``absent_called``: calls at a rank whose taxon is absent (n_units: such contigs); ``improved`` (correct where the
    label is not) and ``worsened`` (the reverse); in the task "lineage": ``over_depth`` (called deeper than the true
    lineage) and ``exact_answer`` (exactly the true lineage).

    F1, ``recall_known`` and ``absent_named`` have 95 % intervals (see `clusters_of`), except by length, and so has F1
    minus that of every other model in ``all`` and ``no exact``, paired, if both have the same seed or one has none.
    """
    labels = next((model for model in models if model.is_labels), None)
    rows: list[dict] = []

    def add(model: Model, found: Iterator[dict]) -> None:
        of_model = {"model": model.name, "kind": model.kind}
        trainings = int(model.seed is not None and is_trained(model.name))
        rows.extend(of_model | {"seed": model.seed, "n_trainings": trainings} | row for row in found)

    for model in models:
        add(model, _coverage_and_changes(model, labels))
    if community.has_truth:
        parts, weights = list(strata_of(community)), weights_of(community)
        rows.extend(_held(community, parts))
        clusters = clusters_of(community)
        outcomes = [judge(community, model) for model in models]
        whole = parts[0][1]
        for model, own in zip(models, outcomes, strict=True):
            add(model, _absent(community, own, OWN_THRESHOLD))
            for threshold in THRESHOLDS if model.has_confidence else ():
                fixed = judge(community, model, model.at(threshold))
                add(model, _scores(community, fixed, whole, ALL, f"{threshold:g}", {"": weights[""]}))
                add(model, _absent(community, fixed, f"{threshold:g}"))
            add(model, _calibration(community, model, dict(parts)))
            add(model, _depth(community, model))
            if labels is not None and model is not labels:
                add(model, _changed(own, outcomes[models.index(labels)]))
        for stratum, members in parts:
            if stratum == f"status={OTHER}":
                for model in models:
                    add(model, _named(model, members, stratum, weights))
                continue
            drawn = None
            if not stratum.startswith("length="):
                drawn = _resample(community, outcomes, members, clusters, seed, resamples)
            for number, (model, own) in enumerate(zip(models, outcomes, strict=True)):
                resampled = None if drawn is None else {metric: values[:, number] for metric, values in drawn.items()}
                units = len(np.unique(clusters[0][members]))
                add(model, _scores(community, own, members, stratum, OWN_THRESHOLD, weights, resampled, units))
                if stratum in (ALL, NO_EXACT):
                    add(model, _risks(community, model, members, stratum))
                    add(model, _differences(community, models, outcomes, members, stratum, drawn, units, number))
    return metrics_table(rows)


def _held(community: Community, parts: list[tuple[str, np.ndarray]]) -> Iterator[dict]:
    """Numbers of contigs, bases, genomes, genera and families in each stratum, and of genera with several species.

    Contigs without a true lineage only count as contigs and bases; plasmids and others count as genomes.
    """
    has_genome = (community.path != UNNAMED).any(axis=1) | (community.status == OTHER)
    species, genus, family = (community.path[:, RANKS.index(rank)] for rank in ("species", "genus", "family"))
    for stratum, members in parts:
        if stratum.startswith("length="):
            continue
        pairs = np.unique(np.stack([genus, species])[:, members & (species != UNNAMED)], axis=1)
        counts = {
            "contigs": members.sum(),
            "bases": community.length[members].sum(),
            "genomes": len(np.unique(community.genome[members & has_genome])),
            "genera": len(np.unique(genus[members & (genus != UNNAMED)])),
            "families": len(np.unique(family[members & (family != UNNAMED)])),
            "genera of several species": (np.unique(pairs[0], return_counts=True)[1] > 1).sum(),
        }
        for metric, count in counts.items():
            yield _row("community", metric, float(count), int(members.sum()), stratum=stratum)


def known_and_absent(community: Community) -> tuple[np.ndarray, np.ndarray]:
    """Whether the true taxon of each contig at each rank is in the reference, and whether it is absent: bool [n, 7]."""
    right = community.right_depth[:, None]
    level = np.arange(len(RANKS))
    has_truth = community.path != UNNAMED
    return has_truth & (right > level), has_truth & (right >= 0) & (right <= level)


def _scores(
    community: Community,
    outcomes: Outcomes,
    members: np.ndarray,
    stratum: str,
    threshold: str,
    weights: dict[str, np.ndarray],
    drawn: dict[str, np.ndarray] | None = None,
    clusters: int | None = None,
) -> Iterator[dict]:
    """``drawn`` has resampled metrics, float64 [resamples, 7] each; None for no intervals."""
    held, lacking = known_and_absent(community)
    for level, rank in enumerate(RANKS):
        for weight, of_contig in weights.items():
            correct, wrong, none = (
                float(of_contig[members & part[:, level]].sum()) for part in vars(outcomes).values()
            )
            total = correct + wrong + none
            if total == 0:
                continue
            units = int((members & (community.path[:, level] != UNNAMED)).sum())
            values = {
                "precision": (correct / (correct + wrong) if correct + wrong else None, units),
                "recall": (correct / total, units),
                "f1": (float(f1_score(correct, wrong, none)), units),
            }
            if not weight:
                values |= {"correct": (correct, units), "wrong": (wrong, units), "none": (none, units)}
            if threshold == OWN_THRESHOLD:
                parts = (held & outcomes.correct, held, lacking & outcomes.named, lacking)
                shares = shares_by_presence(*(of_contig[members] @ part[members, level] for part in parts))
                judged = {"recall_known": held, "absent_named": lacking}
                values |= {
                    metric: (float(share), int((members & judged[metric][:, level]).sum()))
                    for metric, share in shares.items()
                    if not np.isnan(share)
                }
            for metric, (value, number) in values.items():
                row = _row(rank, metric, value, number, threshold, stratum) | {"weight": weight}
                if drawn is not None and metric in drawn and not weight:
                    row |= _interval(drawn[metric][:, level], clusters)
                yield row


def _named(model: Model, members: np.ndarray, stratum: str, weights: dict[str, np.ndarray]) -> Iterator[dict]:
    """Share of named contigs at each rank, where there is no true lineage."""
    for level, rank in enumerate(RANKS):
        for weight, of_contig in weights.items():
            if of_contig[members].any():
                share = float(of_contig[members & model.accepted[:, level]].sum() / of_contig[members].sum())
                yield _row(rank, "coverage", share, int(members.sum()), OWN_THRESHOLD, stratum) | {"weight": weight}


def _risks(community: Community, model: Model, members: np.ndarray, stratum: str) -> Iterator[dict]:
    for level, rank in enumerate(RANKS):
        confidence, correct, total = scored_calls(community, model, level, members)
        if total == 0:
            continue
        curve = sweep(confidence, correct, total)
        for coverage in COVERAGES:
            reached = curve[curve["coverage"] >= coverage - 1e-12]
            if len(reached):
                risk = float(1 - reached["precision"].iloc[0])
                yield _row(rank, "risk", risk, total, stratum=stratum) | {"variant": f"coverage={coverage:g}"}
        for risk in RISKS:
            kept = curve[1 - curve["precision"] <= risk + 1e-12]
            coverage = float(kept["coverage"].max()) if len(kept) else 0.0
            yield _row(rank, "coverage_at_risk", coverage, total, stratum=stratum) | {"variant": f"risk={risk:g}"}


def _row(task: str, metric: str, value: float | None, units: int, threshold: str = "", stratum: str = "all") -> dict:
    return {
        "task": task,
        "stratum": stratum,
        "metric": metric,
        "threshold": threshold,
        "value": value,
        "n_units": units,
    }


def _interval(drawn: np.ndarray, clusters: int | None) -> dict:
    """Ends of an interval, without resamples that lack the contigs of a share.

    There is no interval with only one cluster.
    """
    low, high = (None, None) if clusters == 1 else interval_of_known(drawn)
    return {"low": low, "high": high, "n_clusters": clusters}


def _absent(community: Community, outcomes: Outcomes, threshold: str) -> Iterator[dict]:
    lacking = known_and_absent(community)[1]
    for level, rank in enumerate(RANKS):
        absent = lacking[:, level]
        if absent.any():
            called = int(outcomes.named[absent, level].sum())
            yield _row(rank, "absent_called", called, int(absent.sum()), threshold)


def _calibration(community: Community, model: Model, parts: dict[str, np.ndarray]) -> Iterator[dict]:
    lacking = known_and_absent(community)[1]
    for level, rank in enumerate(RANKS):
        for stratum in (ALL, NO_EXACT, ABSENT):
            members = lacking[:, level] if stratum == ABSENT else parts.get(stratum)
            if members is None:
                continue
            confidence, correct, total = scored_calls(community, model, level, members)
            if total == 0:
                continue
            for metric, adaptive in (("ece", False), ("ece_adaptive", True)):
                error = expected_calibration_error(confidence, correct, adaptive)
                yield _row(rank, metric, error, len(confidence), stratum=stratum)
            if stratum != ABSENT:
                area = area_under_precision_recall(sweep(confidence, correct, total))
                yield _row(rank, "auprc", area, total, stratum=stratum)


def scored_calls(
    community: Community, model: Model, level: int, members: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Every call at a rank, accepted or not: confidences, whether correct, and the number of contigs with a truth.

    ``members``, bool [n], are the contigs to use; None: all.
    """
    known = community.path[:, level] != UNNAMED
    if members is not None:
        known = known & members
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
    """Changes of labels by a model: bool [n, 7] each for same, added, removed, renamed; others never have a name."""
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


def _changed(own: Outcomes, labels: Outcomes) -> Iterator[dict]:
    for level, rank in enumerate(RANKS):
        total = int((own.correct | own.wrong | own.none)[:, level].sum())
        improved = int((own.correct & ~labels.correct)[:, level].sum())
        yield _row(rank, "improved", improved, total, OWN_THRESHOLD)
        yield _row(rank, "worsened", int((labels.correct & ~own.correct)[:, level].sum()), total, OWN_THRESHOLD)


def _resample(
    community: Community,
    outcomes: list[Outcomes],
    members: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray],
    seed: int,
    resamples: int,
) -> dict[str, np.ndarray]:
    """Metrics of all models at all ranks on the same resampled clusters: float64 [resamples, models, 7] each.

    The draws are the same in every stratum.
    """
    number, status = clusters
    shape = (resamples, len(outcomes), len(RANKS))

    def sums(values: list[np.ndarray]) -> np.ndarray:
        stacked = np.concatenate(values, axis=1)[members].astype(np.float64)
        return resample_sums(stacked, number[members], resamples, seed, status).reshape(resamples, -1, len(RANKS))

    held, lacking = known_and_absent(community)
    counts = [sums([getattr(own, part) for own in outcomes]).reshape(shape) for part in ("correct", "wrong", "none")]
    drawn = {"f1": f1_score(*counts)}
    known_correct, absent_named = (
        sums([getattr(own, part) & group for own in outcomes])
        for part, group in (("correct", held), ("named", lacking))
    )
    return drawn | shares_by_presence(known_correct, sums([held]), absent_named, sums([lacking]))


def _differences(
    community: Community,
    models: list[Model],
    outcomes: list[Outcomes],
    members: np.ndarray,
    stratum: str,
    drawn: dict[str, np.ndarray] | None,
    clusters: int,
    number: int,
) -> Iterator[dict]:
    """F1 of the model ``number`` minus that of every other one, without runs of other seeds."""
    point = [f1_score(*(part[members].sum(axis=0) for part in vars(own).values())) for own in outcomes]
    for level, rank in enumerate(RANKS):
        total = int((members & (community.path[:, level] != UNNAMED)).sum())
        if not total:
            continue
        for other, base in enumerate(models):
            seeds = {models[number].seed, base.seed} - {None}
            if base.name == models[number].name or len(seeds) > 1:
                continue
            row = _row(rank, "f1", float(point[number][level] - point[other][level]), total, OWN_THRESHOLD, stratum)
            row |= {"minus": base.name}
            if drawn is not None:
                row |= _interval(drawn["f1"][:, number, level] - drawn["f1"][:, other, level], clusters)
            yield row
