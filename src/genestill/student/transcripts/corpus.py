"""The distillation set of the recipe ``mrna``: transcripts, what the teacher said about them, and their batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genestill.core.errors import InputError
from genestill.core.files import sha256_of
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES
from genestill.core.shards import find_embeddings
from genestill.core.table_schemas import TRANSCRIPTS
from genestill.core.tables import read_metadata, read_table
from genestill.student.transcripts.targets import BaseLogProbabilities, TokenFeatures
from genestill.student.transcripts.whitening import fit_whitening


@dataclass(frozen=True)
class TeacherFiles:
    """The teacher stage's shards, of which only those that the objective's terms read are needed.

    reads: ``transcript``, or ``cds`` if the teacher read coding sequences where one is known.
    """

    embeddings: Sequence[str] = ()
    token_features: Sequence[str] = ()
    base_log_probabilities: Sequence[str] = ()
    reads: str = "transcript"


class Corpus:
    """The distillation set in memory, with what the teacher said about it.

    Attributes:
        teacher_metadata: what the first file of the teacher says of it; empty without a teacher.
        checksums: of the transcripts and of the teacher's files that are read.

    Raises `InputError` if the objective needs shards that are not given.
    """

    def __init__(self, transcripts: str | Path, teacher: TeacherFiles, weights: dict[str, float], tracks: bool):
        table = read_table(transcripts, TRANSCRIPTS)
        self.sequences = table["sequence"].tolist()
        self.lengths = table["length"].to_numpy()
        self.tracks = list(zip(table["cds"], table["splice"], strict=True)) if tracks else None
        # First base of each transcript that the teacher read.
        self.read_from = np.zeros(len(table), np.int64)
        if teacher.reads == "cds":
            self.read_from[:] = [np.argmax(track) if np.any(track) else 0 for track in table["cds"]]
        ids = table["id"].tolist()
        given = {
            "sequence": teacher.embeddings,
            "token": teacher.token_features,
            "base-log-probabilities": teacher.base_log_probabilities,
        }
        options = {"sequence": "embeddings", "token": "token-features"}
        needed = {TRANSCRIPT_OBJECTIVES[term].needs for term in weights} - {None}
        for name in needed:
            if not given[name]:
                option = options.get(name, name)
                raise InputError(f"objective term needs the teacher's {option}; give --{option}")
        read = [path for name in sorted(needed) for path in given[name]]
        self.teacher_metadata = {}
        if needed:
            self.teacher_metadata = read_metadata(given["sequence" if "sequence" in needed else min(needed)][0])
        self.checksums = [sha256_of(path) for path in (transcripts, *read)]
        self.embeddings = self.token_features = self.base_log_probabilities = None
        self.whitening = self.token_whitening = None
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


def batches(lengths: np.ndarray, bases: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of one batch after another, for ever; an epoch visits every row once.

    Rows of like length go together, so that at most ``bases`` bases (padding included, one row at least) make a batch.
    The order of epoch e depends on (seed, e) alone.
    """
    epoch = 0
    while True:
        generator = np.random.default_rng((seed, epoch))
        # Lengths are jittered by a tenth, or the same rows would meet in every epoch.
        order = np.argsort(lengths * generator.uniform(0.9, 1.1, len(lengths)), kind="stable")
        found, current, longest = [], [], 0
        for row in order:
            longest_with = max(longest, int(lengths[row]))
            if current and longest_with * (len(current) + 1) > bases:
                found.append(np.array(current))
                current, longest_with = [], int(lengths[row])
            current.append(row)
            longest = longest_with
        found.append(np.array(current))
        for number in generator.permutation(len(found)):
            yield found[number]
        epoch += 1
