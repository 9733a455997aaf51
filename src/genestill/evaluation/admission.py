"""The improvement of a cheap baseline by a teacher, measured before students are trained on the teacher.

Ridge regression predicts the targets of each task from a baseline (counts of k-mers; for transcripts also codons,
k-mers and lengths in blocks of equal variance), and from the strongest baseline together with the frozen features of
the teacher. The two are compared by the share of the variance that they explain in cross-validation: 1 - squared error
/ squared error of the mean, where classes are columns of 0 and 1. Only training rows are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import write_json
from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta
from genestill.core.shards import find_embeddings
from genestill.core.table_schemas import LABELS
from genestill.core.tables import read_metadata, read_table, write_tsv
from genestill.core.task_tables import groups_of_every_class, read_task_table
from genestill.evaluation.bootstrap import draw_weights, interval
from genestill.evaluation.probes.baselines import composition
from genestill.evaluation.probes.baselines.kmers import kmer_features
from genestill.evaluation.probes.splits import split_rows
from genestill.evaluation.probes.tables import read_task
from genestill.evaluation.settings import TranscriptBaselineSettings

FOLDS = 5
PENALTIES = 10.0 ** np.arange(-4, 3)
# Shares of the teacher's features in the combined kernel; the best is chosen within the training folds.
SHARES = (0.1, 0.5, 0.9)
FEWEST_ROWS = 50
FEWEST_OF_A_CLASS = 5
REPLICATES = 1000
NAMED_RANKS = ("genus", "species")


@dataclass(frozen=True)
class Question:
    """Training rows of one task.

    Attributes:
        name: name of the task.
        baselines: name -> blocks of features, float [n, size] each; a single block may be given without a list.
        features: features of the frozen teacher, float32 [n, D].
        targets: float64 [n, m].
        groups: int64 [n]; rows of a group are in the same fold.
    """

    name: str
    baselines: Mapping[str, np.ndarray | list[np.ndarray]]
    features: np.ndarray
    targets: np.ndarray
    groups: np.ndarray


def _kernel(features: np.ndarray | list[np.ndarray], training: np.ndarray) -> np.ndarray:
    """Inner products of features, standardised on the training rows, float64 [n, n]; 1 on average at a training row.

    For several blocks, the mean over the blocks, so that each has the same weight.
    """
    if isinstance(features, list):
        return np.mean([_kernel(block, training) for block in features], axis=0)
    taught = features[training].astype(np.float64)
    mean, scale = taught.mean(axis=0), taught.std(axis=0)
    kept = scale > 1e-9
    values = (features[:, kept].astype(np.float64) - mean[kept]) / scale[kept]
    kernel = values @ values.T
    return kernel / max(np.trace(kernel[np.ix_(training, training)]) / len(training), 1e-12)


def _fit(kernel: np.ndarray, targets: np.ndarray, training: np.ndarray, held: np.ndarray) -> tuple[float, np.ndarray]:
    """Leave-one-out error of the best penalty, and predictions of the held-out rows with it, float64 [held, m]."""
    mean = targets[training].mean(axis=0)
    centred = targets[training] - mean
    values, vectors = np.linalg.eigh(kernel[np.ix_(training, training)])
    values, turned = np.clip(values, 0, None), vectors.T @ centred
    best, chosen = np.inf, None
    for penalty in PENALTIES * len(training) / 100:
        shrunk = values / (values + penalty)
        leverage = np.clip((vectors**2) @ shrunk + 1 / len(training), 0, 1 - 1e-6)
        error = float((((centred - vectors @ (shrunk[:, None] * turned)) / (1 - leverage[:, None])) ** 2).sum())
        if error < best:
            best, chosen = error, penalty
    weights = vectors @ (turned / (values + chosen)[:, None])
    return best, mean + kernel[np.ix_(held, training)] @ weights


def squared_errors(
    blocks: Sequence[np.ndarray | list[np.ndarray]], targets: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Squared error of each row in cross-validation, float64 [n].

    Args:
        blocks: one matrix of features, or those of a baseline and a teacher; float [n, size] each, or lists of such.
        targets: float64 [n, m].
        fold: int64 [n], the fold of each row.
    """
    errors = np.empty(len(targets))
    for part in np.unique(fold):
        training, held = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        kernels = [_kernel(block, training) for block in blocks]
        mixed = kernels if len(kernels) == 1 else [(1 - s) * kernels[0] + s * kernels[1] for s in SHARES]
        _, predicted = min((_fit(kernel, targets, training, held) for kernel in mixed), key=lambda found: found[0])
        errors[held] = ((predicted - targets[held]) ** 2).sum(axis=1)
    return errors


def _folds(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Fold of each row; groups are not divided."""
    names, members = np.unique(groups, return_inverse=True)
    return (generator.permutation(len(names)) % min(FOLDS, len(names)))[members]


def answer(question: Question, seed: int) -> tuple[dict, np.ndarray]:
    """One row of the table, and the improvement in bootstrap replicates over groups, float64 [REPLICATES]."""
    generator = np.random.default_rng(seed)
    fold = _folds(question.groups, generator)
    nothing = np.empty(len(fold))
    for part in np.unique(fold):
        mean = question.targets[fold != part].mean(axis=0)
        nothing[fold == part] = ((question.targets[fold == part] - mean) ** 2).sum(axis=1)
    alone = {name: squared_errors([block], question.targets, fold) for name, block in question.baselines.items()}
    strongest = min(alone, key=lambda name: alone[name].sum())
    both = squared_errors([question.baselines[strongest], question.features], question.targets, fold)
    names, members = np.unique(question.groups, return_inverse=True)
    draws = draw_weights(generator, REPLICATES, len(names))
    sums = [draws @ np.bincount(members, values) for values in (alone[strongest] - both, nothing)]
    gains = sums[0] / np.maximum(sums[1], 1e-12)
    low, high = interval(gains)
    total = nothing.sum()
    row = {
        "task": question.name,
        "rows": len(fold),
        "baseline": strongest,
        "explained_by_baseline": 1 - alone[strongest].sum() / total,
        "explained_with_teacher": 1 - both.sum() / total,
        "gain": (alone[strongest].sum() - both.sum()) / total,
        "low": low,
        "high": high,
    }
    return row, gains


def admit(
    questions: Iterator[Question | str],
    teacher: str,
    stop: bool,
    seed: int,
    output: str | Path,
    output_table: str | Path,
) -> None:
    """Measure the improvement for each question, write the result (JSON) and the table (TSV), and log them.

    Args:
        questions: questions for the tasks; a text gives the reason why a task was left out.
        teacher: its name.
        stop: stop the run if the teacher is not admitted.
        seed: seed of folds and replicates.
        output: path of the result.
        output_table: path of the table.

    Raises:
        CheckFailed: ``stop``, and the interval of the mean improvement is not above 0; the result is then in
            ``<output>.failed.json``, and ``output`` is not written.
    """
    rows, gains, left_out = [], [], []
    for question in questions:
        if isinstance(question, str):
            logger.warning("%s", question)
            left_out.append(question)
            continue
        row, replicates = answer(question, seed)
        rows.append(row)
        gains.append(replicates)
        logger.info(
            "%s, %d rows: share of variance explained by %s %.3f, together with the teacher %.3f: %+.3f (%.3f to %.3f)",
            *(row[key] for key in ("task", "rows", "baseline", "explained_by_baseline", "explained_with_teacher")),
            *(row[key] for key in ("gain", "low", "high")),
        )
    verdict: dict = {"teacher": teacher, "admitted": None, "gain": None, "low": None, "high": None}
    if rows:
        low, high = interval(np.mean(gains, axis=0))
        gain = float(np.mean([row["gain"] for row in rows]))
        verdict |= {"admitted": bool(low > 0), "gain": gain, "low": float(low), "high": float(high)}
        rows.append({"task": "mean", "rows": sum(row["rows"] for row in rows), "gain": gain, "low": low, "high": high})
    names = ["task", "rows", "baseline", "explained_by_baseline", "explained_with_teacher", "gain", "low", "high"]
    table = pd.DataFrame(rows, columns=names)
    write_tsv(output_table, table, digits=4)
    verdict["left_out"] = left_out
    if verdict["admitted"]:
        logger.info("%s is admitted: it adds %.3f to the share of variance that is explained", teacher, verdict["gain"])
    elif rows:
        sentence = (
            f"{teacher} adds {verdict['gain']:+.3f} ({verdict['low']:.3f} to {verdict['high']:.3f}) to the share of "
            "variance that the baseline explains in cross-validation on training rows; expected an interval above 0: "
            "students have little to learn from it on these tasks"
        )
        if stop:
            write_json(Path(output).with_suffix(".failed.json"), verdict)
            raise CheckFailed(f"{sentence} (teacher.admission is stop)")
        logger.warning("%s", sentence)
    else:
        logger.warning("%s: no task has enough training rows to measure the improvement", teacher)
    write_json(output, verdict)


def probe_questions(
    tasks: Sequence[str | Path],
    groups: str | Path | None,
    shards: Sequence[str | Path],
    kmers: Sequence[tuple[int, int]],
    split_seeds: Sequence[int],
    most: int,
    seed: int,
) -> Iterator[Question | str]:
    """Questions of the recipe mrna: rows that are training rows with every seed of the splits."""
    for path in tasks:
        table, metadata = read_task(path, groups)
        training = np.ones(len(table), dtype=bool)
        for split_seed in split_seeds:
            taught = np.zeros(len(table), dtype=bool)
            taught[split_rows(table, metadata["split"], split_seed)[0]] = True
            training &= taught
        targets = np.stack(table["targets"].tolist())
        training &= np.isfinite(targets).all(axis=1)
        rows = _draw(np.flatnonzero(training), most, seed)
        if len(rows) < FEWEST_ROWS:
            yield _too_few(metadata["task"], len(rows))
            continue
        chosen, targets = table.iloc[rows], targets[rows]
        tracks = (list(chosen["cds"]), list(chosen["splice"]))
        sequences = chosen["sequence"].tolist()
        baselines: dict = {f"k-mers {low}-{high}": kmer_features(sequences, low, high, *tracks) for low, high in kmers}
        baselines["composition"] = list(composition.features(chosen, TranscriptBaselineSettings()).values())
        scale = np.maximum(targets.std(axis=0), 1e-12)
        features = find_embeddings(shards, chosen["transcript"].tolist()).astype(np.float32)
        yield Question(metadata["task"], baselines, features, targets / scale, chosen["group"].to_numpy())


def table_questions(
    tasks: dict[str, tuple[str | Path, Sequence[str | Path]]], kmers: Sequence[tuple[int, int]], most: int, seed: int
) -> Iterator[Question | str]:
    """Questions of the recipes had and seqlens: task -> its table and the shards of its rows."""
    for name, (path, shards) in tasks.items():
        table = read_task_table(path)
        rows = _draw(table.train, most, seed)
        if len(rows) < FEWEST_ROWS:
            yield _too_few(name, len(rows))
            continue
        features = find_embeddings(shards, [str(row) for row in rows]).astype(np.float32)
        sequences = [table.sequences[row] for row in rows]
        targets = np.eye(len(table.classes))[table.labels[rows]]
        groups = groups_of_every_class(table, rows)
        members = np.arange(len(rows)) if groups is None else np.unique(groups, return_inverse=True)[1]
        yield Question(name, _frequencies(sequences, kmers), features, targets, members)


def label_questions(
    labels: str | Path,
    contigs: str | Path,
    shards: Sequence[str | Path],
    kmers: Sequence[tuple[int, int]],
    most: int,
    seed: int,
) -> Iterator[Question | str]:
    """Questions of the recipe taxdistill: genus and species of contigs according to their labels."""
    table = read_table(labels, LABELS)
    drawn = {}
    for rank in (rank for rank in RANKS if rank in NAMED_RANKS):
        counts = table[rank].value_counts()
        known = table[rank].isin(counts[counts >= FEWEST_OF_A_CLASS].index)
        drawn[rank] = _draw(np.flatnonzero(known), most, seed)
    wanted = set(table["id"].iloc[np.unique(np.concatenate(list(drawn.values())))])
    sequences = {name: sequence for name, sequence in read_fasta(contigs) if name in wanted}
    for rank, rows in drawn.items():
        chosen = table.iloc[rows]
        if len(rows) < FEWEST_ROWS or chosen[rank].nunique() < 2:
            yield _too_few(rank, len(rows))
            continue
        ids = chosen["id"].tolist()
        targets = pd.get_dummies(chosen[rank]).to_numpy(np.float64)
        baselines = _frequencies([sequences[name] for name in ids], kmers)
        yield Question(rank, baselines, find_embeddings(shards, ids).astype(np.float32), targets, np.arange(len(rows)))


def teacher_of(shards: Sequence[str | Path]) -> str:
    """The name of the teacher from the metadata of its shards."""
    return read_metadata(shards[0]).get("teacher", "the teacher")


def _frequencies(sequences: list[str], kmers: Sequence[tuple[int, int]]) -> dict[str, np.ndarray]:
    lengths = np.maximum([len(sequence) for sequence in sequences], 1)[:, None]
    return {f"k-mers {low}-{high}": kmer_features(sequences, low, high) / lengths for low, high in kmers}


def _draw(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most ``most`` of the rows, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _too_few(task: str, rows: int) -> str:
    return (
        f"{task}: {rows} training rows; expected at least {FEWEST_ROWS}, of two classes, to measure the improvement by "
        "the teacher"
    )


def require_inputs(given: dict[str, bool]) -> None:
    """Raise `InputError` unless exactly one kind of task is given."""
    if sum(given.values()) != 1:
        raise InputError(f"give one of {', '.join(given)}; found {sum(given.values())}")
