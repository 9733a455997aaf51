"""Probe tasks: tables of transcripts with measured targets, in one format for all sources."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.cells import LeftOut, is_missing, read_number
from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.sequences import sequence_checksum
from genestill.core.table_schemas import PROBE_TASK
from genestill.core.tables import write_table
from genestill.reference.transcripts import Transcript, transcript_table, window

KINDS = ("regression", "classification", "multilabel")
TELLING = 0.1  # distance of an AUROC from .5 above which an input is reported


def read_targets(
    rows: pd.DataFrame, columns: list[str], kind: str, logarithm: bool, left_out: LeftOut
) -> tuple[np.ndarray, np.ndarray]:
    """Targets of the rows that have them.

    Args:
        rows: from `transcripts.read_rows`.
        columns: columns of the target; several, or one column of lists, for ``multilabel``.
        kind: one of ``KINDS``; for classes, the words true and false are 1 and 0.
        logarithm: take the natural logarithm.
        left_out: gets the rows without a target, with the reason: a missing value, a cell that is not a number, or with
            ``logarithm`` a value that is not above 0.

    Returns:
        Positions of the rows that are kept, int64 [kept], and their targets, float64 [kept, targets].

    Raises:
        InputError: a column is missing, or there are several targets of another kind.
    """
    missing = [name for name in columns if name not in rows.columns]
    if missing or not columns:
        raise InputError(f"no target column {', '.join(missing)}; found {', '.join(map(str, rows.columns))}")
    kept, targets = [], []
    for position, (line, cells) in enumerate(zip(rows.index, rows[columns].to_numpy(), strict=True)):
        if len(cells) == 1 and not isinstance(cells[0], str):
            cells = [str(cell) for cell in cells[0]]
        read = [_target(cell, kind) for cell in cells]
        numbers = [number for number in read if number is not None]
        at = f"{rows.index.name or 'row'} {line}"
        if any(is_missing(cell) for cell in cells) or not len(cells):
            left_out.add("without a target", at)
        elif len(numbers) < len(read):
            left_out.add("with a target that is not a number", f"{cells[read.index(None)][:40]!r} in {at}")
        elif logarithm and min(numbers) <= 0:
            left_out.add("with a target that has no logarithm", f"{min(numbers):g} in {at}")
        else:
            kept.append(position)
            targets.append(numbers)
    widths = sorted({len(numbers) for numbers in targets})
    if len(widths) > 1 or (kind != "multilabel" and widths and widths[0] > 1):
        raise InputError(f"rows of {' and '.join(map(str, widths))} targets; expected for {kind}: {_TAKES[kind]}")
    values = np.array(targets, np.float64).reshape(len(kept), widths[0] if widths else len(columns))
    return np.array(kept, np.int64), np.log(values) if logarithm else values


_TAKES = {
    "regression": "one number",
    "classification": "one target, 0 or 1",
    "multilabel": "the same number in every row",
}


def _target(cell: str, kind: str) -> float | None:
    words = {"true": 1.0, "false": 0.0} if kind != "regression" else {}
    return words.get(cell.lower(), read_number(cell))


def draw_rows(number: int, sample: int, seed: int) -> np.ndarray:
    """The rows of ``number`` that a task keeps, in order: ``sample`` of them, or all if that is 0 or too large."""
    rows = np.arange(number)
    return np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False)) if 0 < sample < number else rows


def build_task(
    transcripts: list[Transcript], targets: np.ndarray, sample: int = 0, longest: int = 0, seed: int = 1
) -> pd.DataFrame:
    """Make a table of `table_schemas.PROBE_TASK`.

    Args:
        transcripts: one per row of ``targets``.
        targets: float64 [transcripts, targets]; finite.
        sample: number of rows to keep, drawn without replacement, in the original order; 0: all.
        longest: cut longer transcripts to a `window` of this many bases; 0: no cutting.
        seed: seed of the draw.
    """
    rows = draw_rows(len(transcripts), sample, seed)
    chosen = [window(transcripts[row], longest) for row in rows]
    table = transcript_table(chosen)
    table["transcript"] = [transcript_id(transcript) for transcript in chosen]
    table["targets"] = list(targets[rows])
    return table


def transcript_id(transcript: Transcript) -> str:
    """Checksum of all inputs that a model may use for a transcript: its sequence and its tracks.

    Two tasks share an embedding only if a sequence has the same tracks in both. Otherwise, a task without tracks would
    use those of another task, and the rows that have tracks may reveal their class.
    """
    tracks = (("cds", transcript.cds), ("splice", transcript.splice))
    marks = "".join(f"|{name}:{','.join(map(str, places))}" for name, places in tracks if len(places))
    return sequence_checksum(transcript.sequence + marks)


def telling_inputs(table: pd.DataFrame) -> dict[str, float]:
    """How well properties of the source, instead of the sequence, predict each class: AUROC by input.

    The inputs are: whether codons and exons are known, whether a gene and a chromosome are given, and whether there
    are letters other than A, C, G and T. .5 means no information, 1 or 0 a perfect prediction; for several targets, the
    most extreme value is used.

    Args:
        table: table of `build_task`, with targets of 0 and 1.
    """
    targets = np.stack(table["targets"].tolist()).astype(bool)
    inputs = {
        "codons known": table["cds"].map(np.any),
        "exons known": table["splice"].map(np.any),
        "gene named": table["gene"] != "",
        "chromosome named": table["chromosome"] != "",
        "letters other than A, C, G, T": table["sequence"].map(lambda text: bool(text.strip("ACGT"))),
    }
    told = {}
    for name, given in inputs.items():
        flags = given.to_numpy(bool)
        scores = [
            0.5 + (flags[target].mean() - flags[~target].mean()) / 2
            for target in targets.T
            if target.any() and not target.all()
        ]
        told[name] = float(max(scores, key=lambda score: abs(score - 0.5), default=0.5))
    return told


def write_task(
    path: str | Path, table: pd.DataFrame, name: str, kind: str, split: str, targets: list[str], left_out: str = ""
) -> None:
    """Write a task; raise `InputError` for an unknown kind, an empty table, and classes other than 0 and 1.

    ``left_out`` describes the rows of the source that are not in the task, and the transcripts that were cut; it is
    stored in the metadata of the file.
    """
    _refuse_bad_task(table, name, kind)
    if kind != "regression":
        for what, score in telling_inputs(table).items():
            if abs(score - 0.5) > TELLING:
                logger.warning(
                    "task %s: %s alone predicts a class with an AUROC of %.2f; scores of models that read it "
                    "will be too high", name, what, score,
                )  # fmt: skip
    metadata = {"task": name, "kind": kind, "split": split, "targets": ",".join(targets), "left_out": left_out}
    write_table(path, table, PROBE_TASK, metadata)


def _refuse_bad_task(table: pd.DataFrame, name: str, kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"task {name}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if table.empty:
        raise InputError(f"task {name}: no row has a target")
    if kind != "regression":
        values = np.unique(np.stack(table["targets"].tolist()))
        strange = values[~np.isin(values, (0, 1))]
        if len(strange):
            raise InputError(f"task {name}: a {kind} target is {strange[0]:g}; expected 0 or 1")
