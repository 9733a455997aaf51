"""Probe runs from files to files: embeddings and a task in, metrics and test predictions out."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

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
from genestill.evaluation.probes import baselines
from genestill.evaluation.probes.kept import BENCHMARK
from genestill.evaluation.probes.probe import run_probe
from genestill.evaluation.probes.splits import split_rows
from genestill.evaluation.settings import TranscriptBaselineSettings


def read_task(path: str | Path, groups: str | Path | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """A probe task with its homology groups (column ``group``), and its metadata (task, kind, split, targets).

    Transcripts that share a gene name share the group of the first of them. Without ``groups`` every row is its own.
    """
    table, metadata = read_table(path, PROBE_TASK), read_metadata(path)
    if groups is None:
        table["group"] = np.arange(len(table))
    else:
        known = read_table(groups, HOMOLOGY_GROUPS).set_index("id")["group"]
        table["group"] = table["transcript"].map(known)
        if table["group"].isna().any():
            missing = table.loc[table["group"].isna(), "transcript"].iloc[0]
            raise InputError(f"{groups}: no group for transcript {missing!r} of {path}")
        named = table["gene"] != ""
        table.loc[named, "group"] = table[named].groupby("gene")["group"].transform("first")
    table["group"] = table["group"].astype(np.int64)
    return table, metadata


def read_features(paths: Sequence[str | Path], transcripts: Sequence[str]) -> np.ndarray:
    """Embeddings of ``transcripts`` in their order, float32 [transcripts, size], from Parquet shards."""
    return find_embeddings(paths, transcripts).astype(np.float32)


def probe_tasks(
    tasks: Sequence[str | Path],
    groups: str | Path | None,
    features: Sequence[str | Path] | TranscriptBaselineSettings,
    model: str,
    dataset: str,
    seeds: Sequence[int],
    output_metrics: str | Path,
    output_predictions: str | Path,
    model_kind: str = "student",
    training: int | None = None,
) -> None:
    """Probe one model on every task with every seed.

    Args:
        features: shards of embeddings, or what the baseline is.
        model, dataset: names that stand in the table of metrics.
        seeds: of the splits.
        model_kind: what the model stands for in the tables: one of `kinds.KINDS`.
        training: seed of the model's training, where several trainings of it are probed.
    """
    who = {"model": model, "kind": model_kind}
    metrics, predictions, left_out = [], [], {}
    for path in tasks:
        table, metadata = read_task(path, groups)
        left_out[metadata["task"]] = metadata.get("left_out", "")
        name, kind, split = metadata["task"], metadata["kind"], metadata["split"]
        targets = np.stack(table["targets"].tolist())
        targets = targets if kind == "multilabel" else targets[:, 0]
        if isinstance(features, TranscriptBaselineSettings):
            values = import_module(f"{baselines.__name__}.{features.features}").features(table, features)
        else:
            values = read_features(features, table["transcript"].tolist())
        for seed in seeds:
            rows = split_rows(table, split, seed)
            result = run_probe(values, targets, kind, rows)
            for part, number in (("validation", len(rows[1])), ("test", len(rows[2]))):
                for metric, value in result.metrics[part].items():
                    metrics.append({"task": name, "stratum": part, "fold": seed, "metric": metric, "value": value})
                    metrics[-1]["n_units"] = number
            test = table.iloc[rows[2]]
            predictions.append(
                pd.DataFrame(
                    {
                        "task": name,
                        "task_kind": kind,
                        **who,
                        "training": pd.array([training] * len(test), dtype="Int64"),
                        "seed": seed,
                        "id": test["transcript"].to_numpy(),
                        "group": test["group"].to_numpy(),
                        "targets": list(targets[rows[2]].reshape(len(test), -1)),
                        "predictions": list(result.predictions.reshape(len(test), -1)),
                    }
                )
            )
            logger.info("%s, seed %d: %s", name, seed, result.metrics["test"])
    who |= {"benchmark": BENCHMARK, "dataset": dataset, "seed": training, "n_trainings": int(training is not None)}
    write_table(output_metrics, metrics_table(metrics, **who), METRICS)
    write_table(
        output_predictions,
        pd.concat(predictions, ignore_index=True),
        PROBE_PREDICTIONS,
        {"left_out": json.dumps(left_out)},
    )
