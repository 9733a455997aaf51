"""Probe runs with files: from embeddings and tasks to metrics and test predictions."""

import itertools
import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.shards import find_embeddings
from genestill.core.table_schemas import (
    HOMOLOGY_GROUPS,
    METRICS,
    PROBE_PREDICTIONS,
    PROBE_TASK,
    metrics_table,
)
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.evaluation.probes.blocks import predict_with_blocks
from genestill.evaluation.probes.features import baseline_of, describe_task
from genestill.evaluation.probes.probe import ProbeResult, probe_with, run_probe
from genestill.evaluation.probes.retained import BENCHMARK
from genestill.evaluation.probes.splits import split_rows
from genestill.evaluation.settings import ProbeSettings, TranscriptBaselineSettings


def read_task(path: str | Path, groups: str | Path | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """A probe task with its homology groups (column ``group``), and its metadata (task, kind, split, targets).

    Groups with transcripts of the same gene are one group. Without ``groups`` every transcript is a separate
    group. Tasks have a group in common if its number is the same, so a group that is joined in one task only is not.
    """
    table, metadata = read_table(path, PROBE_TASK), read_metadata(path)
    if groups is None:
        table["group"] = [_number_of(name) for name in table["transcript"]]
    else:
        known = read_table(groups, HOMOLOGY_GROUPS).set_index("id")["group"]
        table["group"] = table["transcript"].map(known)
        if table["group"].isna().any():
            missing = table.loc[table["group"].isna(), "transcript"].iloc[0]
            raise InputError(f"{groups}: no group for transcript {missing!r} of {path}")
        table["group"] = _joined_by_gene(table["group"].to_numpy(np.int64), table["gene"].to_numpy(str))
    return table, metadata


def _number_of(transcript: str) -> int:
    """A number of 62 bits that depends only on the id."""
    return int.from_bytes(blake2b(transcript.encode(), digest_size=8).digest(), "big") >> 2


def _joined_by_gene(group: np.ndarray, gene: np.ndarray) -> np.ndarray:
    """Groups, int64 [rows], after joining those with a gene in common; each has the number of its first row.

    ``gene`` is str [rows]; rows with an empty name have no gene in common with others.
    """
    groups, column = np.unique(group, return_inverse=True)
    named = np.flatnonzero(gene != "")
    genes, of_gene = np.unique(gene[named], return_inverse=True)
    links = sparse.coo_matrix((np.ones(len(named)), (column[named], of_gene)), shape=(len(groups), len(genes))).tocsr()
    _, joined = connected_components(links @ links.T, directed=False)
    _, first, whole = np.unique(joined[column], return_index=True, return_inverse=True)
    return group[first][whole]


def read_features(paths: Sequence[str | Path], transcripts: Sequence[str]) -> np.ndarray:
    """Embeddings of ``transcripts`` in order, float32 [transcripts, size], from Parquet shards."""
    return find_embeddings(paths, transcripts).astype(np.float32)


def fits_of(
    features: Sequence[str | Path] | TranscriptBaselineSettings,
    table: pd.DataFrame,
    targets: np.ndarray,
    kind: str,
    probe: ProbeSettings,
    kept: str | Path | None = None,
) -> dict[str, Callable[[tuple[np.ndarray, np.ndarray, np.ndarray], int], ProbeResult]]:
    """The fits of a model on a task: variant -> function of the rows of a split and its seed.

    ``fit=mrnabench`` and ``fit=blocks`` according to the settings. A model's embeddings are also fitted together with
    the blocks of each baseline of ``beside`` (``with=``). A baseline with a function ``fit`` is only fitted with it.
    ``kept`` is a folder of cached features of baselines (`describe_task`).
    """
    fits: dict[str, Callable] = {}
    if isinstance(features, TranscriptBaselineSettings):
        module = baseline_of(features.features)
        blocks = list(describe_task(table, features, kept).values())
        if hasattr(module, "fit"):
            return {f"fit={features.features}": _fit_blocks(module.fit, blocks, targets, kind)}
    else:
        blocks = [read_features(features, table["transcript"].tolist())]
        for name in probe.beside if "blocks" in probe.fits else ():
            plain = describe_task(table, TranscriptBaselineSettings(features=name), kept).values()
            fits[f"fit=blocks, with={name}"] = _fit_blocks(predict_with_blocks, [*plain, *blocks], targets, kind)
    known = {
        "mrnabench": lambda rows, _: run_probe(np.concatenate(blocks, axis=1), targets, kind, rows),
        "blocks": _fit_blocks(predict_with_blocks, blocks, targets, kind),
    }
    return {f"fit={name}": known[name] for name in probe.fits} | fits


def _fit_blocks(fit: Callable, blocks: list[np.ndarray], targets: np.ndarray, kind: str) -> Callable:
    columns = targets.reshape(len(targets), -1)

    def probe(rows: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int) -> ProbeResult:
        def predict(training: np.ndarray, tested: np.ndarray) -> np.ndarray:
            return fit(blocks, columns, training, tested, seed).reshape(len(tested), *targets.shape[1:])

        return probe_with(predict, blocks, targets, kind, rows)

    return probe


def probe_tasks(
    tasks: Sequence[str | Path],
    groups: str | Path | None,
    features: Sequence[str | Path] | TranscriptBaselineSettings,
    model: str,
    dataset: str,
    probe: ProbeSettings,
    output_metrics: str | Path,
    output_predictions: str | Path,
    model_kind: str = "student",
    training: int | None = None,
    kept: str | Path | None = None,
) -> None:
    """Probe one model on every task with every seed, with all fits of `fits_of`.

    Args:
        tasks: probe tasks.
        groups: homology groups, or None.
        features: shards of embeddings, or the settings of a baseline.
        model, dataset: names in the table of metrics.
        probe: seeds of the splits, fits, and the baselines with which a model is combined.
        output_metrics: table of metrics.
        output_predictions: table of predictions.
        model_kind: kind of the model in tables: one of `kinds.KINDS`.
        training: seed of the model's training, if several trainings of it are probed.
        kept: folder of cached features of baselines, of this and other runs (`describe_task`).
    """
    who: dict = {"model": model, "kind": model_kind}
    metrics, predictions, left_out = [], [], {}
    for path in tasks:
        table, metadata = read_task(path, groups)
        left_out[metadata["task"]] = metadata.get("left_out", "")
        name, kind, split = metadata["task"], metadata["kind"], metadata["split"]
        targets = np.stack(table["targets"].tolist())
        targets = targets if kind == "multilabel" else targets[:, 0]
        fits = fits_of(features, table, targets, kind, probe, kept)
        for seed, variant in itertools.product(probe.split_seeds, fits):
            rows = split_rows(table, split, seed)
            result = fits[variant](rows, seed)
            for part, number in (("validation", len(rows[1])), ("test", len(rows[2]))):
                for metric, value in result.metrics[part].items():
                    metrics.append({"task": name, "stratum": part, "fold": seed, "metric": metric, "value": value})
                    metrics[-1] |= {"variant": variant, "n_units": number}
            test = table.iloc[rows[2]]
            predictions.append(
                pd.DataFrame(
                    {
                        "task": name,
                        "task_kind": kind,
                        **who,
                        "variant": variant,
                        "training": pd.array([training] * len(test), dtype="Int64"),
                        "seed": seed,
                        "id": test["transcript"].to_numpy(),
                        "group": test["group"].to_numpy(),
                        "targets": list(targets[rows[2]].reshape(len(test), -1)),
                        "predictions": list(result.predictions.reshape(len(test), -1)),
                    }
                )
            )
            logger.info("%s, seed %d, %s: %s", name, seed, variant, result.metrics["test"])
    who |= {"benchmark": BENCHMARK, "dataset": dataset, "seed": training, "n_trainings": int(training is not None)}
    write_table(output_metrics, metrics_table(metrics, **who), METRICS)
    write_table(
        output_predictions,
        pd.concat(predictions, ignore_index=True),
        PROBE_PREDICTIONS,
        {"left_out": json.dumps(left_out)},
    )
