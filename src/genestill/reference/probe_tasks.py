"""Probe tasks: tables of transcripts with measured targets, in one form whatever their source looked like."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.artefacts import PROBE_TASK
from genestill.ground.errors import InputError
from genestill.ground.tables import write_table
from genestill.reference.transcripts import Transcript, checksum, transcript_table, window

KINDS = ("regression", "classification", "multilabel")


def build_task(
    transcripts: list[Transcript], targets: np.ndarray, sample: int = 0, longest: int = 0, seed: int = 1
) -> pd.DataFrame:
    """A table of `artefacts.PROBE_TASK`.

    Args:
        transcripts: one a row of ``targets``.
        targets: float64 [transcripts, targets]; rows in which every target is NaN are left out.
        sample: keep that many rows, drawn without replacement, in their old order; 0: all.
        longest: cut longer transcripts to a `window` of that many bases; 0: whole.
        seed: of the draw.
    """
    rows = np.flatnonzero(~np.isnan(targets).all(axis=1))
    if sample and sample < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    chosen = [window(transcripts[row], longest) for row in rows]
    table = transcript_table(chosen)
    table["transcript"] = [checksum(transcript.sequence) for transcript in chosen]
    table["targets"] = list(targets[rows])
    return table


def write_task(path: str | Path, table: pd.DataFrame, name: str, kind: str, split: str, targets: list[str]) -> None:
    """Write a task; refuse an unknown kind, an empty table, and classes other than 0 and 1."""
    if kind not in KINDS:
        raise InputError(f"task {name}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if table.empty:
        raise InputError(f"task {name}: no row has a target")
    if kind != "regression":
        values = np.unique(np.stack(table["targets"].tolist()))
        strange = values[~np.isin(values, (0, 1)) & ~np.isnan(values)]
        if len(strange):
            raise InputError(f"task {name}: a {kind} target is {strange[0]:g}; expected 0 or 1")
    metadata = {"task": name, "kind": kind, "split": split, "targets": ",".join(targets)}
    write_table(path, table, PROBE_TASK, metadata)
