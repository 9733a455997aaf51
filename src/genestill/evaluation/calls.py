"""The calls of each model and the truth: read, aligned by contig id, and converted to numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage, count_unknown_names, depth, named, spelling_key
from genestill.core.logs import logger
from genestill.core.novelty import RIGHT_DEPTH, STATUSES, status_word
from genestill.core.table_schemas import LABELS, PREDICTIONS, TRUTH, lineages_of
from genestill.core.tables import read_abundances, read_table

UNNAMED = -1


@dataclass(frozen=True)
class Predictions:
    """A table of `table_schemas.PREDICTIONS` and its model.

    Attributes:
        model: name in the table of metrics.
        path: the table.
        kind: one of `kinds.KINDS`.
        seed: seed of the model's training; None for a model that is not trained in the workflow.
        threshold: score above which calls are accepted, instead of the column ``accepted``.
    """

    model: str
    path: str | Path
    kind: str = "student"
    seed: int | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Model:
    """The calls of one model for n contigs.

    Attributes:
        name: name in the table of metrics.
        path: int32 [n, 7], number of the called path at each rank, -1 for no call.
        confidence: float32 [n, 7], 0 for no call.
        accepted: bool [n, 7], whether the call at a rank is accepted at the model's own threshold.
        has_confidence: False for labels and tables without confidences, whose calls have confidence 1.
        kind: one of `kinds.KINDS`.
        seed: seed of its training, or None.
        is_labels: whether these are the labels, with which the other models are compared.
    """

    name: str
    path: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray
    has_confidence: bool = True
    kind: str = "student"
    seed: int | None = None
    is_labels: bool = False

    def at(self, threshold: float) -> np.ndarray:
        """The published rule: a call is accepted if its score is above ``threshold``. bool [n, 7]."""
        return (self.path != UNNAMED) & (self.confidence > threshold)


@dataclass(frozen=True)
class Community:
    """n contigs with their ground truth.

    Attributes:
        ids: n ids.
        names: names of the path numbers per rank: ``names[rank][number]``.
        path: int32 [n, 7], number of the true path at each rank, -1 if the truth is unknown.
        genome: int64 [n], number of the genome of each contig; a contig of unknown origin is a separate genome.
        length: int64 [n], base pairs, 0 if unknown.
        status: n words of `novelty.STATUSES`, "" if unknown.
        identity: float64 [n], average nucleotide identity of the genome and the nearest genome of the reference; NaN if
            unknown.
        chimera: int8 [n], 1 for contigs of several genomes, 0 for others, -1 if unknown.
        reads: float64 [n], sequenced bases: depth x length over all samples; 0 if unknown.
    """

    ids: list[str]
    names: list[list[Lineage]]
    path: np.ndarray
    genome: np.ndarray
    length: np.ndarray
    status: np.ndarray
    identity: np.ndarray
    chimera: np.ndarray
    reads: np.ndarray

    @property
    def has_truth(self) -> bool:
        """Whether the true lineage is known for any contig."""
        return bool((self.path != UNNAMED).any())

    @property
    def right_depth(self) -> np.ndarray:
        """Number of ranks of the true lineage: int8 [n], -1 if the status is unknown."""
        return np.array([RIGHT_DEPTH.get(status, -1) for status in self.status], dtype=np.int8)


class _Paths:
    """Numbers of paths: two lineages have the same number at a rank if they agree down to it, in any spelling.

    Species that are scored as one have the same number.
    """

    def __init__(self):
        self.names: list[list[Lineage]] = [[] for _ in RANKS]
        self._number: list[dict[tuple[str, ...], int]] = [{} for _ in RANKS]
        self._row: dict[Lineage, list[int]] = {NO_LINEAGE: [UNNAMED] * len(RANKS)}

    @property
    def encoded(self) -> list[Lineage]:
        """All lineages that were encoded."""
        return list(self._row)

    def join(self, species: list[Lineage]) -> None:
        """Give these species the same number; must be called before lineages are encoded."""
        numbers = self._number[-1]
        keys = [tuple(map(spelling_key, named(lineage))) for lineage in species]
        number = next((numbers[key] for key in keys if key in numbers), len(self.names[-1]))
        if number == len(self.names[-1]):
            self.names[-1].append(species[0])
        numbers.update(dict.fromkeys(keys, number))

    def encode(self, lineages: list[Lineage]) -> np.ndarray:
        rows = [self._row.get(lineage) or self._add(lineage) for lineage in lineages]
        return np.array(rows, dtype=np.int32).reshape(len(lineages), len(RANKS))

    def _add(self, lineage: Lineage) -> list[int]:
        row = [UNNAMED] * len(RANKS)
        for rank in range(depth(lineage)):
            path = lineage[: rank + 1]
            key = tuple(map(spelling_key, named(path)))
            row[rank] = self._number[rank].setdefault(key, len(self.names[rank]))
            if row[rank] == len(self.names[rank]):
                self.names[rank].append(path)
        self._row[lineage] = row
        return row


def read_calls(
    truth: str | Path | None,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    labels_name: str = "MMseqs2",
    abundance: str | Path | None = None,
) -> tuple[Community, list[Model]]:
    """Read all tables that are compared; the labels, if given, are the first model.

    Args:
        truth: table of `table_schemas.TRUTH`, or None; contigs that are not in it have no true lineage.
        labels: table of `table_schemas.LABELS`, which defines the contigs; None: those of the truth.
        predictions: tables to compare. A contig that is not in a table is not called.
        labels_name: name of the labels in the table of metrics.
        abundance: table of depths by sample, for the reads of each contig; None: unknown.

    Raises:
        InputError: neither truth nor labels; a contig twice in a table; predictions for contigs that are not in
            ``labels``; a model given twice.
    """
    runs = [(one.model, one.seed) for one in predictions]
    for run in runs:
        if runs.count(run) > 1:
            raise InputError(f"two tables of predictions have the name {run[0]!r}; give each model a different name")
    if labels is None:
        if truth is None:
            raise InputError("the contigs to evaluate are not known: give the truth or labels")
        ids = read_table(truth, TRUTH, ["id"])["id"].tolist()
        row_of, paths, models = _rows(truth, ids), _paths_of(truth), []
    else:
        if any(one.model == labels_name for one in predictions):
            raise InputError(f"{labels_name!r} is the name of the labels; give the predictions another name")
        table = read_table(labels, LABELS)
        ids = table["id"].tolist()
        row_of, paths = _rows(labels, ids), _paths_of(truth)
        calls = paths.encode(lineages_of(table))
        assigned = calls != UNNAMED
        models = [Model(labels_name, calls, assigned.astype(np.float32), assigned, False, "baseline", is_labels=True)]
    for one in predictions:
        model = _read_model(one, row_of, paths)
        if one.threshold is not None:
            model = replace(model, accepted=model.at(one.threshold))
        models.append(model)
    return _read_community(truth, ids, row_of, paths, abundance), models


def _paths_of(truth: str | Path | None) -> _Paths:
    """Numbers of paths, including the species of the truth that are scored as one."""
    paths = _Paths()
    if truth is not None:
        table = read_table(truth, TRUTH)
        table = table[table["same_species"].notna()].drop_duplicates(list(RANKS))
        for lineage, names in zip(lineages_of(table), table["same_species"], strict=True):
            paths.join([lineage, *((*lineage[:-1], name) for name in names)])
    return paths


def _rows(path, ids: list[str]) -> dict[str, int]:
    rows = {contig: row for row, contig in enumerate(ids)}
    if len(rows) < len(ids):
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise InputError(f"{path}: {twice!r} has two rows; expected one per contig")
    return rows


def _read_model(given: Predictions, row_of: dict[str, int], paths: _Paths) -> Model:
    name, path = given.model, given.path
    table = read_table(path, PREDICTIONS)
    ids = table["id"].tolist()
    _rows(path, ids)
    strange = next((contig for contig in ids if contig not in row_of), None)
    if strange is not None:
        raise InputError(
            f"{path}: {strange!r} is not among the {len(row_of)} evaluated contigs; does the table belong to another "
            "run?"
        )
    if len(ids) < len(row_of):
        logger.info("%s: %d of %d contigs have no name", name, len(row_of) - len(ids), len(row_of))
    rows = np.array([row_of[contig] for contig in ids], dtype=np.int64)
    named = np.full((len(row_of), len(RANKS)), UNNAMED, dtype=np.int32)
    named[rows] = paths.encode(lineages_of(table))
    confidence = np.zeros(named.shape, dtype=np.float32)
    scores = table[[f"confidence_{rank}" for rank in RANKS]]
    has_confidence = not len(scores) or bool(scores.notna().any(axis=None))
    confidence[rows] = scores.fillna(0 if has_confidence else 1).to_numpy(dtype=np.float32)
    confidence[named == UNNAMED] = 0
    if not ((confidence >= 0) & (confidence <= 1)).all():
        worst = int(np.argmax(np.abs(confidence - 0.5).max(axis=1)))
        contig = next(contig for contig, row in row_of.items() if row == worst)
        raise InputError(f"{path}: the confidences of {contig!r} are not between 0 and 1")
    accepted = np.zeros(named.shape, dtype=bool)
    accepted[rows] = np.arange(len(RANKS)) < table["accepted"].to_numpy()[:, None]
    return Model(name, named, confidence, accepted & (named != UNNAMED), has_confidence, given.kind, given.seed)


def _read_community(truth, ids: list[str], row_of: dict[str, int], paths: _Paths, abundance) -> Community:
    number = len(ids)
    path = np.full((number, len(RANKS)), UNNAMED, dtype=np.int32)
    genome = np.arange(number, dtype=np.int64)
    length = np.zeros(number, dtype=np.int64)
    status = np.full(number, "", dtype=object)
    identity = np.full(number, np.nan)
    chimera = np.full(number, -1, dtype=np.int8)
    if truth is not None:
        table = read_table(truth, TRUTH)
        _rows(truth, table["id"].tolist())
        kept = table["id"].isin(row_of).to_numpy()
        if len(table) and not kept.any():
            raise InputError(
                f"{truth}: none of its {len(table)} contigs is evaluated; does the table belong to another run?"
            )
        table = table[kept]
        rows = table["id"].map(row_of).to_numpy(dtype=np.int64)
        answers = lineages_of(table)
        unknown = count_unknown_names(answers, paths.encoded, str(truth), "the labels and predictions")
        logger.info("%d names of the truth do not occur in labels or predictions", unknown)
        path[rows] = paths.encode(answers)
        length[rows] = table["length"].fillna(0)
        without = int((length == 0).sum())
        if 0 < without < number:
            logger.warning(
                "%s: %d of %d contigs have no length; metrics by bases and reads leave them out", truth, without, number
            )
        status[rows] = [_status_of(word, truth) for word in table["status"].fillna("")]
        identity[rows] = table["identity"].astype(float)
        chimera[rows] = table["chimera"].astype("boolean").fillna(False).astype(np.int8) - table["chimera"].isna()
        known = table["genome"].notna().to_numpy()
        genome[rows[known]] = number + pd.factorize(table["genome"][known])[0]
    genome = np.unique(genome, return_inverse=True)[1].reshape(-1)
    reads = np.zeros(number) if abundance is None else read_depths(abundance, ids)[0].sum(axis=1) * length
    return Community(ids, paths.names, path, genome, length, status, identity, chimera, reads)


def _status_of(word: str, truth) -> str:
    try:
        return status_word(word) if word else ""
    except ValueError:
        raise InputError(f"{truth}: status {word!r}; expected one of {', '.join(STATUSES)}") from None


def read_depths(path: str | Path, ids: list[str]) -> tuple[np.ndarray, list[str]]:
    """Depth of each contig in each sample, float64 [n, samples], and the samples; 0 for contigs that are missing."""
    table = read_abundances(path).set_index("id").reindex(ids)
    return table.fillna(0).to_numpy(dtype=np.float64), table.columns.tolist()
