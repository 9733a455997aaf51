"""What each model calls each contig, beside the truth: read, aligned by id, and turned into numbers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.artefacts import LABELS, PREDICTIONS, TRUTH, lineages_of
from genestill.ground.errors import InputError
from genestill.ground.lineage import NO_LINEAGE, RANKS, Lineage, count_unknown_names, depth, spelling_key
from genestill.ground.logs import logger
from genestill.ground.tables import read_table

UNNAMED = -1
# The rank that a novelty status calls absent from the reference; the right answer stops above it.
RIGHT_DEPTH = {"exact": 7, "known": 7, "species": 6, "genus": 5, "family": 4}


@dataclass(frozen=True)
class Model:
    """The calls of one model on n contigs.

    Attributes:
        name: as in the metric table.
        path: int32 [n, 7], number of the named path at each rank, -1 where the model names nothing.
        confidence: float32 [n, 7], 0 where nothing is named.
        accepted: bool [n, 7], whether the call at a rank counts at the model's own threshold.
        has_confidence: False for labels, which are taken with confidence 1 where assigned.
    """

    name: str
    path: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray
    has_confidence: bool = True

    def at(self, threshold: float) -> np.ndarray:
        """The published rule: a call counts if the rank is named and its score is above ``threshold``. bool [n, 7]."""
        return (self.path != UNNAMED) & (self.confidence > threshold)


@dataclass(frozen=True)
class Community:
    """n contigs with their right answers.

    Attributes:
        ids: n ids.
        names: name of every path number, rank by rank: ``names[rank][number]``.
        path: int32 [n, 7], number of the true path at each rank, -1 where the truth is unknown.
        genome: int64 [n], number of the genome a contig comes from; a contig of unknown origin is its own.
        length: int64 [n], base pairs, 0 where unknown.
        status: n novelty statuses, "" where unknown.
    """

    ids: list[str]
    names: list[list[Lineage]]
    path: np.ndarray
    genome: np.ndarray
    length: np.ndarray
    status: np.ndarray

    @property
    def has_truth(self) -> bool:
        """Whether the right answer is known for any contig."""
        return bool((self.path != UNNAMED).any())

    @property
    def right_depth(self) -> np.ndarray:
        """How many ranks the right answer has: int8 [n], -1 where the status is unknown."""
        return np.array([RIGHT_DEPTH.get(status, -1) for status in self.status], dtype=np.int8)


class _Paths:
    """Numbers for paths: two lineages have the same number at a rank if they agree down to it, in any spelling."""

    def __init__(self):
        self.names: list[list[Lineage]] = [[] for _ in RANKS]
        self._number: list[dict[tuple[str, ...], int]] = [{} for _ in RANKS]
        self._row: dict[Lineage, list[int]] = {NO_LINEAGE: [UNNAMED] * len(RANKS)}

    def encode(self, lineages: list[Lineage]) -> np.ndarray:
        rows = [self._row.get(lineage) or self._add(lineage) for lineage in lineages]
        return np.array(rows, dtype=np.int32).reshape(len(lineages), len(RANKS))

    def _add(self, lineage: Lineage) -> list[int]:
        row = [UNNAMED] * len(RANKS)
        for rank in range(depth(lineage)):
            path = lineage[: rank + 1]
            key = tuple(map(spelling_key, path))
            row[rank] = self._number[rank].setdefault(key, len(self.names[rank]))
            if row[rank] == len(self.names[rank]):
                self.names[rank].append(path)
        self._row[lineage] = row
        return row


def read_calls(
    truth: str | Path | None,
    labels: str | Path,
    predictions: dict[str, str | Path],
    labels_name: str = "MMseqs2",
    thresholds: dict[str, float] | None = None,
) -> tuple[Community, list[Model]]:
    """Read everything that is compared; the contigs are those of ``labels``, and the labels are the first model.

    Args:
        truth: table of `artefacts.TRUTH`, or None; contigs it does not hold have no right answer.
        labels: table of `artefacts.LABELS`.
        predictions: model name -> table of `artefacts.PREDICTIONS`. A contig that a table lacks is not called.
        labels_name: name of the labels in the metric table.
        thresholds: model name -> score above which its calls count, in place of its ``accepted`` column.

    Raises:
        InputError: a table twice the same contig, predictions for contigs that are not in ``labels``, a name twice.
    """
    thresholds = thresholds or {}
    for name in thresholds:
        if name not in predictions:
            raise InputError(f"threshold for {name!r}, but the models are {', '.join(predictions) or 'none'}")
    if labels_name in predictions:
        raise InputError(f"{labels_name!r} is the name of the labels; give the predictions another one")
    table = read_table(labels, LABELS)
    ids = table["id"].tolist()
    row_of = _rows(labels, ids)
    paths = _Paths()
    named = paths.encode(lineages_of(table))
    assigned = named != UNNAMED
    models = [Model(labels_name, named, assigned.astype(np.float32), assigned, has_confidence=False)]
    for name, path in predictions.items():
        model = _read_model(name, path, row_of, paths)
        if name in thresholds:
            model = replace(model, accepted=model.at(thresholds[name]))
        models.append(model)
    return _read_community(truth, ids, row_of, paths), models


def _rows(path, ids: list[str]) -> dict[str, int]:
    rows = {contig: row for row, contig in enumerate(ids)}
    if len(rows) < len(ids):
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise InputError(f"{path}: {twice!r} has two rows; expected one a contig")
    return rows


def _read_model(name: str, path, row_of: dict[str, int], paths: _Paths) -> Model:
    table = read_table(path, PREDICTIONS)
    ids = table["id"].tolist()
    _rows(path, ids)
    strange = next((contig for contig in ids if contig not in row_of), None)
    if strange is not None:
        raise InputError(f"{path}: {strange!r} is not among the {len(row_of)} labelled contigs; is it of another run?")
    if len(ids) < len(row_of):
        logger.info("%s: %d of %d contigs are not called", name, len(row_of) - len(ids), len(row_of))
    rows = np.array([row_of[contig] for contig in ids], dtype=np.int64)
    named = np.full((len(row_of), len(RANKS)), UNNAMED, dtype=np.int32)
    named[rows] = paths.encode(lineages_of(table))
    confidence = np.zeros(named.shape, dtype=np.float32)
    confidence[rows] = table[[f"confidence_{rank}" for rank in RANKS]].fillna(0).to_numpy(dtype=np.float32)
    confidence[named == UNNAMED] = 0
    if not ((confidence >= 0) & (confidence <= 1)).all():
        worst = int(np.argmax(np.abs(confidence - 0.5).max(axis=1)))
        contig = next(contig for contig, row in row_of.items() if row == worst)
        raise InputError(f"{path}: the confidences of {contig!r} are not between 0 and 1")
    accepted = np.zeros(named.shape, dtype=bool)
    accepted[rows] = np.arange(len(RANKS)) < table["accepted"].to_numpy()[:, None]
    return Model(name, named, confidence, accepted & (named != UNNAMED))


def _read_community(truth, ids: list[str], row_of: dict[str, int], paths: _Paths) -> Community:
    number = len(ids)
    path = np.full((number, len(RANKS)), UNNAMED, dtype=np.int32)
    genome = np.arange(number, dtype=np.int64)
    length = np.zeros(number, dtype=np.int64)
    status = np.full(number, "", dtype=object)
    if truth is not None:
        table = read_table(truth, TRUTH)
        _rows(truth, table["id"].tolist())
        kept = table["id"].isin(row_of).to_numpy()
        if len(table) and not kept.any():
            raise InputError(f"{truth}: none of its {len(table)} contigs is labelled; is it of another run?")
        table = table[kept]
        rows = table["id"].map(row_of).to_numpy(dtype=np.int64)
        answers = lineages_of(table)
        called = [(path + NO_LINEAGE)[: len(RANKS)] for paths_of_rank in paths.names for path in paths_of_rank]
        unknown = count_unknown_names(answers, called, str(truth), "the labels and predictions")
        logger.info("%d names of the truth are among no labels and predictions", unknown)
        path[rows] = paths.encode(answers)
        length[rows] = table["length"].fillna(0)
        status[rows] = table["status"].fillna("")
        known = table["genome"].notna().to_numpy()
        genome[rows[known]] = number + pd.factorize(table["genome"][known])[0]
        strange = set(status) - set(RIGHT_DEPTH) - {""}
        if strange:
            raise InputError(f"{truth}: status {sorted(strange)[0]!r}; expected one of {', '.join(RIGHT_DEPTH)}")
    genome = np.unique(genome, return_inverse=True)[1].reshape(-1)
    return Community(ids, paths.names, path, genome, length, status)
