"""The linear baseline and the gated CNN combined, with weights fitted on held-out predictions."""

import numpy as np

from genestill.core.task_tables import TaskTable, cross_validation
from genestill.evaluation.sequence_tasks.baselines import gated_cnn
from genestill.evaluation.sequence_tasks.baselines.linear import CANDIDATES
from genestill.evaluation.sequence_tasks.linear import choose, predict, read_blocks
from genestill.evaluation.settings import BaselineSettings

FOLDS = 3


def fit(table: TaskTable, settings: BaselineSettings, seed: int) -> np.ndarray:
    """Stacking (Wolpert 1992): logistic regression of the logarithms of out-of-fold probabilities.

    Features, regularisation and strands are chosen once, on all training rows.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    from sklearn.linear_model import LogisticRegression

    blocks = read_blocks(table.sequences, CANDIDATES)
    choice = choose(blocks, table, CANDIDATES, settings.metric, seed)
    probabilities, both = gated_cnn.fit_strands(table, settings, seed, (True, False))
    asked = _logarithms(predict(blocks, table, choice), probabilities)
    rows, labels = table.train, table.labels[table.train]
    taught = np.zeros((len(rows), asked.shape[1]))
    for fit_rows, held in cross_validation(table, FOLDS, seed):
        part = table.of_rows(fit_rows, held)
        taught[np.searchsorted(rows, held)] = _logarithms(
            predict(blocks, part, choice), gated_cnn.fit_strands(part, settings, seed, (both,))[0]
        )
    return LogisticRegression().fit(taught, labels).predict_proba(asked)


def _logarithms(*probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.concatenate(probabilities, axis=1).clip(1e-6))
