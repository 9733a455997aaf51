"""The distillation set of the recipe ``mrna``: transcripts, the teacher's outputs for them, and their batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genestill.core.errors import InputError
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES
from genestill.core.reading_frames import coding_bounds, region_codes
from genestill.core.shards import find_embeddings
from genestill.core.table_schemas import TRANSCRIPT_PAIRS, TRANSCRIPTS
from genestill.core.tables import read_metadata, read_table
from genestill.core.training.batches import Batch
from genestill.student.encoders.tokenization import MASK, encode_batch
from genestill.student.transcripts.targets import BaseLogProbabilities, TokenFeatures
from genestill.student.transcripts.whitening import fit_whitening

MASKED_SHARE = 0.15


@dataclass(frozen=True)
class TeacherFiles:
    """The shards of the teacher stage; only those required by the terms of the objective are needed.

    reads: ``transcript``, or ``cds`` if the input of the teacher was the coding sequence where it is known.
    """

    embeddings: Sequence[str] = ()
    token_features: Sequence[str] = ()
    base_log_probabilities: Sequence[str] = ()
    reads: str = "transcript"


class Corpus:
    """The distillation set in memory, with the teacher's outputs for it.

    Attributes:
        teacher_metadata: metadata of the first file of the teacher; empty without a teacher.
        teacher_reads: see `TeacherFiles`.
        files: the transcripts and the files of the teacher that are read, by role.

    Raises `InputError` if the objective needs shards that are not given.
    """

    def __init__(
        self,
        transcripts: str | Path,
        teacher: TeacherFiles,
        weights: dict[str, float],
        tracks: bool,
        regions: bool = False,
        pairs: str | Path | None = None,
    ):
        table = read_table(transcripts, TRANSCRIPTS)
        self.sequences = table["sequence"].tolist()
        self.lengths = table["length"].to_numpy()
        self.tracks: Any = list(zip(table["cds"], table["splice"], strict=True)) if tracks else None
        paired = any(TRANSCRIPT_OBJECTIVES[term].pairs for term in weights)
        if paired and pairs is None:
            raise InputError("objective term needs pairs of transcripts; give --pairs")
        self.by_region = regions
        self.coding: Any = list(map(coding_bounds, self.sequences, table["cds"])) if regions or paired else None
        # The first base of each transcript in the input of the teacher.
        self.read_from = np.zeros(len(table), np.int64)
        self.teacher_reads = teacher.reads
        if teacher.reads == "cds":
            self.read_from[:] = [np.argmax(track) if np.any(track) else 0 for track in table["cds"]]
        ids = table["id"].tolist()
        given = {
            "sequence": teacher.embeddings,
            "token": teacher.token_features,
            "base-log-probabilities": teacher.base_log_probabilities,
        }
        options = {"sequence": "embeddings", "token": "token-features"}
        needed = {needs for term in weights if (needs := TRANSCRIPT_OBJECTIVES[term].needs) is not None}
        for name in needed:
            if not given[name]:
                option = options.get(name, name)
                raise InputError(f"objective term needs the teacher's {option}; give --{option}")
        self.files = {"transcripts": transcripts}
        self.relatives: Any = None
        self.families: Any = None
        if paired and pairs is not None:
            self.files["pairs"] = pairs
            self.relatives, self.families = _read_pairs(pairs, ids)
        self.files |= {f"{name} {n}": path for name in sorted(needed) for n, path in enumerate(given[name])}
        self.teacher_metadata = {}
        if needed:
            self.teacher_metadata = read_metadata(given["sequence" if "sequence" in needed else min(needed)][0])
        self.embeddings: Any = None
        self.token_features: Any = None
        self.base_log_probabilities: Any = None
        self.whitening: Any = None
        self.token_whitening: Any = None
        if "sequence" in needed:
            self.embeddings = find_embeddings(teacher.embeddings, ids)
            self.whitening = fit_whitening(self.embeddings)
            self.white = self.whitening(torch.from_numpy(self.embeddings.astype(np.float32)))
        if "token" in needed:
            self.token_features = TokenFeatures(teacher.token_features, ids)
            sample = self.token_features.sample(100_000, np.random.default_rng(0))
            self.token_whitening = fit_whitening(sample)
        if "base-log-probabilities" in needed:
            self.base_log_probabilities = BaseLogProbabilities(teacher.base_log_probabilities, ids)

    def prepare(self, rows: np.ndarray, hides_bases: bool, generator: np.random.Generator) -> Batch:
        """The tensors of a step for the transcripts ``rows``, including the teacher's outputs for them.

        Always ``inputs`` and ``mask``, int64 [B, L]: codes of the student's input bases, 0 at padding. With
        tracks ``tracks``, float32 [B, L, 2]; by region ``regions``, int64 [B, L], -1 at padding. With hidden bases
        ``hidden_row``, ``hidden_column`` and ``hidden_base``, int64 [hidden]. With pairs the same for a relative of
        each transcript as ``other_…``, and ``families``, int64 [B]. From the teacher, if an objective needs it:
        ``embeddings``, float32 [B, D], whitened; ``token_row``, ``token_start``, ``token_stop``, int64 [tokens], and
        ``token_features``, float32 [tokens, D], whitened; ``said_row``, ``said_column``, int64 [said], and ``said``,
        float32 [said, 4], the log-probabilities of A, C, G and T at hidden bases, all finite.
        """
        tensors = self._bases(rows)
        ids = tensors["inputs"]
        if hides_bases:
            hidden = (generator.random(ids.shape) < MASKED_SHARE) & (ids < 4)
            if not hidden.any():
                hidden[0, 0] = ids[0, 0] < 4
            row, column = np.nonzero(hidden)
            tensors["inputs"] = np.where(hidden, MASK, ids)
            tensors |= {"hidden_row": row, "hidden_column": column, "hidden_base": ids[row, column]}
            if self.base_log_probabilities is not None:
                tensors |= self._said(rows, row, column)
        if self.relatives is not None:
            tensors |= self._others(rows, generator) | {"families": self.families[rows]}
        if self.whitening is not None:
            tensors["embeddings"] = self.white[torch.from_numpy(rows)]
        if self.token_features is not None:
            tensors |= self._tokens(rows, ids.shape[1])
        return Batch(tensors, tokens=int(self.lengths[rows].sum()))

    def _bases(self, rows: np.ndarray, kept: Sequence[int] | None = None) -> dict:
        """The student's input for the first ``kept`` bases of transcripts; for all bases if None."""
        kept = self.lengths[rows].tolist() if kept is None else kept
        ids, mask = encode_batch([self.sequences[row][:count] for row, count in zip(rows, kept, strict=True)])
        tensors = {"inputs": ids, "mask": mask}
        if self.tracks is not None:
            tensors["tracks"] = np.zeros((*ids.shape, 2), np.float32)
        if self.by_region:
            tensors["regions"] = np.full(ids.shape, -1)
        for place, (row, count) in enumerate(zip(rows, kept, strict=True)):
            if self.tracks is not None:
                for number, marks in enumerate(self.tracks[row]):
                    tensors["tracks"][place, :count, number] = marks[:count]
            if self.by_region:
                tensors["regions"][place, :count] = region_codes(self.lengths[row], *self.coding[row])[:count]
        return tensors

    def _others(self, rows: np.ndarray, generator: np.random.Generator) -> dict:
        """A relative of each transcript, or the transcript itself if none is known, with a shortened 3'UTR.

        A random share of the 3'UTR is kept, and at least half of a transcript that consists only of 3'UTR.
        """
        others, kept = [], []
        for row in rows:
            relatives = self.relatives.get(int(row), [int(row)])
            other = relatives[generator.integers(len(relatives))]
            length, stop = int(self.lengths[other]), self.coding[other][1]
            least = stop or (length + 1) // 2
            others.append(other)
            kept.append(int(generator.integers(least, length + 1)))
        return {f"other_{name}": values for name, values in self._bases(np.array(others), kept).items()}

    def _tokens(self, rows: np.ndarray, length: int) -> dict:
        places, starts, stops, features = [], [], [], []
        for place, row in enumerate(rows):
            start, stop, values = self.token_features.of(row)
            start, stop = start + self.read_from[row], stop + self.read_from[row]
            within = stop <= length
            places.append(np.full(int(within.sum()), place, np.int64))
            starts.append(start[within].astype(np.int64))
            stops.append(stop[within].astype(np.int64))
            features.append(values[within])
        return {
            "token_row": np.concatenate(places),
            "token_start": np.concatenate(starts),
            "token_stop": np.concatenate(stops),
            "token_features": self.token_whitening(torch.from_numpy(np.concatenate(features))),
        }

    def _said(self, rows: np.ndarray, row: np.ndarray, column: np.ndarray) -> dict:
        teacher = [self.base_log_probabilities.of(number) for number in rows]
        place = column - self.read_from[rows[row]]
        known = np.array([0 <= p < len(teacher[r]) for r, p in zip(row, place, strict=True)], bool)
        row, column, place = row[known], column[known], place[known]
        said = np.stack([teacher[r][p] for r, p in zip(row, place, strict=True)])
        finite = np.isfinite(said).all(axis=1)
        return {"said_row": row[finite], "said_column": column[finite], "said": said[finite]}


def _read_pairs(path: str | Path, ids: Sequence[str]) -> tuple[dict[int, list[int]], np.ndarray]:
    """Row -> rows of its relatives, and the family of every row: relatives, and relatives of relatives."""
    pairs = read_table(path, TRANSCRIPT_PAIRS)
    place = pd.Index(ids, dtype=object)
    ends = [place.get_indexer(pd.Index(pairs[side], dtype=object)) for side in ("id", "relative")]
    for side, found in zip(("id", "relative"), ends, strict=True):
        if (found < 0).any():
            missing = pairs[side].iloc[int(np.flatnonzero(found < 0)[0])]
            raise InputError(
                f"{path}: {missing!r} is not a transcript of the distillation set; were the pairs made from another "
                "set?"
            )
    relatives: dict[int, list[int]] = {}
    for row, other in zip(*(found.tolist() for found in ends), strict=True):
        relatives.setdefault(row, []).append(other)
    links = coo_array((np.ones(len(pairs), bool), ends), shape=(len(ids), len(ids)))
    return relatives, connected_components(links, directed=False)[1].astype(np.int64)
