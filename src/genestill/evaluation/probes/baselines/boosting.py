"""Gradient boosting (scikit-learn's histogram trees) on the 500 columns most correlated with the target."""

import numpy as np

from genestill.evaluation.probes.baselines import union

COLUMNS = 500


features = union.features


def fit(
    blocks: list[np.ndarray], targets: np.ndarray, training: np.ndarray, tested: np.ndarray, seed: int
) -> np.ndarray:
    """Predictions of the rows ``tested``; see `predict_with_blocks`. Columns are chosen only with training rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    values = np.concatenate(blocks, axis=1)
    known = values[training]
    predictions = np.empty((len(tested), targets.shape[1]))
    for number, target in enumerate(targets.T):
        likeness = np.abs(_correlations(known, target[training]))
        columns = np.sort(np.argsort(-likeness, kind="stable")[:COLUMNS])
        trees = HistGradientBoostingRegressor(
            learning_rate=0.05, max_iter=200, max_leaf_nodes=15, min_samples_leaf=20, random_state=seed
        )
        trees.fit(known[:, columns], target[training])
        predictions[:, number] = trees.predict(values[tested][:, columns])
    return predictions


def _correlations(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pearson's r of every column with the target, 0 for constant columns: float [columns]."""
    target = (target - target.mean()).astype(np.float32)
    deviation = values.std(axis=0) * np.linalg.norm(target) * np.sqrt(len(target))
    return np.divide(target @ values, deviation, out=np.zeros(values.shape[1], np.float32), where=deviation > 0)
