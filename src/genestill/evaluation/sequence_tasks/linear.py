"""Logistic regression of sparse features; the features and the regularisation are chosen on training rows."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from genestill.core.logs import logger
from genestill.core.task_metrics import measure
from genestill.core.task_tables import TaskTable, cross_validation
from genestill.evaluation.sequence_tasks.features import FEATURES

STRENGTHS = (0.25, 1.0, 4.0, 16.0)  # values of the inverse regularisation
FOLDS = 5
ROWS_OF_CHOICE = 10_000  # maximum number of training rows in the cross-validation


@dataclass(frozen=True)
class Choice:
    """The result of cross-validation: names in ``FEATURES``, the inverse regularisation, and its score."""

    features: tuple[str, ...]
    strength: float
    score: float


def fit_linear(table: TaskTable, candidates: Sequence[tuple[str, ...]], metric: str, seed: int) -> np.ndarray:
    """Choose among sets of features and strengths, then fit all training rows.

    Args:
        table: the task.
        candidates: sets of names in ``FEATURES``.
        metric: metric for the choice, on the held-out rows of all folds together.
        seed: seed of the rows and the folds.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    blocks = read_blocks(table.sequences, candidates)
    return predict(blocks, table, choose(blocks, table, candidates, metric, seed))


def read_blocks(sequences: Sequence[str], candidates: Sequence[tuple[str, ...]]) -> dict[str, sp.csr_matrix]:
    """The features in the candidates, for all sequences."""
    return {name: _read_block(name, tuple(sequences)) for name in _named(candidates)}


@functools.lru_cache(maxsize=len(FEATURES))  # a baseline is fitted twice on the sequences of a table
def _read_block(name: str, sequences: tuple[str, ...]) -> sp.csr_matrix:
    return FEATURES[name](sequences)


def _named(candidates: Sequence[tuple[str, ...]]) -> list[str]:
    """The kinds of features in any of the candidates."""
    return [name for name in FEATURES if any(name in one for one in candidates)]


def choose(
    blocks: dict[str, sp.csr_matrix], table: TaskTable, candidates: Sequence[tuple[str, ...]], metric: str, seed: int
) -> Choice:
    """The best candidate and strength in cross-validation on training rows; the first one in case of a tie."""
    rows = np.sort(np.random.default_rng(seed).permutation(table.train)[:ROWS_OF_CHOICE])
    labels = table.labels[rows]
    fewest = np.bincount(labels, minlength=len(table.classes)).min()
    found = Choice(tuple(candidates[0]), 1.0, float("-inf"))
    if fewest < 2:
        logger.warning(
            "a class has only %d of %d training rows: too few to choose settings by cross-validation", fewest, len(rows)
        )
        return found
    guesses = np.zeros((len(candidates), len(STRENGTHS), len(rows)), dtype=np.int64)
    for fit, held in cross_validation(table, min(FOLDS, fewest), seed, rows):
        places = np.searchsorted(rows, held)
        # Weighted once per fold, because most kinds of features are in several candidates.
        weighted = {name: _weighted(blocks[name], name, fit, held) for name in _named(candidates)}
        for place, features in enumerate(candidates):
            taught, asked = _together([weighted[name] for name in features])
            for number, model in enumerate(_path(taught, table.labels[fit])):
                guesses[place, number, places] = model.predict(asked)
    for features, of_candidate in zip(candidates, guesses, strict=True):
        for strength, guess in zip(STRENGTHS, of_candidate, strict=True):
            score = measure(labels, guess, len(table.classes), metric)
            if score > found.score:
                found = Choice(tuple(features), strength, score)
    logger.info(
        "%s, inverse regularisation %g: %s %.3f in cross-validation on %d training rows",
        " + ".join(found.features), found.strength, metric, found.score, len(rows),
    )  # fmt: skip
    return found


def predict(blocks: dict[str, sp.csr_matrix], table: TaskTable, choice: Choice) -> np.ndarray:
    """Fit the training rows with the chosen features and strength; float64 [test rows, classes], probabilities."""
    parts = [_weighted(blocks[name], name, table.train, table.test) for name in choice.features]
    taught, asked = _together(parts)
    return _model(choice.strength).fit(taught, table.labels[table.train]).predict_proba(asked)


def _weighted(
    block: sp.csr_matrix, name: str, fit: np.ndarray, asked: np.ndarray
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """One kind of features for two sets of rows, with rows of length 1.

    Counts are weighted by tf-idf of the rows ``fit`` (1 + the logarithm of a count, and the inverse frequency of a
    word); positions, which are 0 or 1, are not changed.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    taught = block[fit]
    weighting = TfidfTransformer(sublinear_tf=True, use_idf=name != "positions").fit(taught)
    return weighting.transform(taught), weighting.transform(block[asked])


def _together(parts: Sequence[tuple[sp.csr_matrix, sp.csr_matrix]]) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Several kinds of features of two sets of rows, joined by columns."""
    taught, asked = zip(*parts, strict=True)
    return sp.hstack(taught, format="csr"), sp.hstack(asked, format="csr")


def _path(features: sp.csr_matrix, labels: np.ndarray):
    """A model for each of the strengths, each initialised with the previous one; precise enough for the choice."""
    model = _model(STRENGTHS[0], warm_start=True, tol=1e-3)
    for strength in STRENGTHS:
        model.C = strength
        yield model.fit(features, labels)


def _model(strength: float, **options):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, **options)
