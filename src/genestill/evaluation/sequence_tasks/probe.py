"""The linear probe of frozen features, for models and baselines."""

import numpy as np

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.task_metrics import measure
from genestill.core.task_tables import TaskTable, cross_validation

# Values of the inverse regularisation. Wide features of few rows need strong regularisation.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
FOLDS = 5


def linear_probe(features: np.ndarray, table: TaskTable, metric: str, seed: int) -> np.ndarray:
    """Logistic regression on standardised features; the strength is chosen by cross-validation on training rows.

    Args:
        features: float [rows of the table, width].
        table: the task.
        metric: metric for choosing the strength, on the held-out rows of all folds together; in case of a tie, the
            stronger regularisation is chosen.
        seed: seed of the folds.

    Returns:
        float64 [test rows, classes], probabilities.

    Raises:
        InputError: a class has fewer than two training rows.
    """
    features, labels, rows = np.asarray(features, dtype=np.float64), table.labels, table.train
    counts = np.bincount(labels[rows], minlength=len(table.classes))
    if counts.min() < 2:
        name = table.classes[int(counts.argmin())]
        raise InputError(f"the label {name!r} has {counts.min()} of {len(rows)} training rows; expected at least 2")
    guesses = np.empty((len(STRENGTHS), len(rows)), dtype=np.int64)
    for fit, held in cross_validation(table, min(FOLDS, int(counts.min())), seed):
        model = _model()
        for number, strength in enumerate(STRENGTHS):
            model[-1].C = strength
            guesses[number, np.searchsorted(rows, held)] = model.fit(features[fit], labels[fit]).predict(features[held])
    found = [measure(labels[rows], guess, len(table.classes), metric) for guess in guesses]
    best = STRENGTHS[int(np.argmax(found))]
    if best in (STRENGTHS[0], STRENGTHS[-1]):
        logger.warning("the chosen inverse regularisation %g is at the end of the values that were tried", best)
    model = _model()
    model[-1].C = best
    return model.fit(features[rows], labels[rows]).predict_proba(features[table.test])


def _model():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # With a warm start, each strength begins with the weights of the previous one.
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, warm_start=True))
