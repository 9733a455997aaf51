"""The linear probe of frozen features, for models and baselines."""

import numpy as np

from genestill.core.task_metrics import measure
from genestill.core.task_tables import TaskTable, hold_out

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # values of the inverse regularisation, chosen on validation rows
VALIDATION_SHARE = 0.1


def linear_probe(features: np.ndarray, table: TaskTable, metric: str, seed: int) -> np.ndarray:
    """Logistic regression on standardised features; strength chosen on a tenth of the training rows, then fit on all.

    Args:
        features: float [rows of the table, width].
        table: the task.
        metric: metric for choosing the strength.
        seed: seed of the validation rows.

    Returns:
        float64 [test rows, classes], probabilities.

    Raises:
        InputError: a class has too few training rows for validation.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = np.asarray(features, dtype=np.float64), table.labels
    fit, held = hold_out(table, VALIDATION_SHARE, seed)

    def model(strength: float):
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))

    def validate(strength: float) -> float:
        guesses = model(strength).fit(features[fit], labels[fit]).predict(features[held])
        return measure(labels[held], guesses, len(table.classes), metric)

    found = {strength: validate(strength) for strength in STRENGTHS}
    best = max(found, key=found.__getitem__)
    return model(best).fit(features[table.train], labels[table.train]).predict_proba(features[table.test])
