"""The linear probe of mRNABench 1.3: its models, hyperparameters and metrics, implemented independently.

Regression: ridge with the penalty chosen by leave-one-out from 1e-3 … 10. Classification: logistic regression on
unscaled features, at most 5000 iterations. Multilabel: one such regression per label, micro averages.

For features with large values, such as counts of k-mers, logistic regression has not converged after these iterations,
here as in mRNABench: the third decimal of the result is then random. `blocks` is a fit that converges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genestill.core.errors import InputError

ALPHAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAXIMUM_ITERATIONS = 5000
METRICS = {
    "regression": ("mse", "pearson", "spearman"),
    "classification": ("auroc", "auprc"),
    "multilabel": ("auroc", "auprc"),
}
HEADLINE = {"regression": "pearson", "classification": "auroc", "multilabel": "auroc"}
# Further metrics of classes in mRNABench.
BESIDE = {"classification": "auprc", "multilabel": "auprc"}


@dataclass(frozen=True)
class ProbeResult:
    """Metrics of the parts ``validation`` and ``test``; predictions of the test part, float64 [rows(, labels)]."""

    metrics: dict[str, dict[str, float]]
    predictions: np.ndarray


def run_probe(
    features: np.ndarray, targets: np.ndarray, kind: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> ProbeResult:
    """Fit on the training rows as in mRNABench, and score validation and test.

    Args:
        features: float [rows, size]; finite.
        targets: float64 [rows] (regression, classification: 0 or 1) or [rows, labels] (multilabel).
        kind: regression, classification or multilabel.
        rows: positions of training, validation and test, from `splits.split_rows`.

    Raises `InputError` if a feature or a target is not finite, or a part has only one class (AUROC is not defined).
    """

    def fit(known: np.ndarray, tested: np.ndarray) -> np.ndarray:
        return _predict(_fit(features[known], targets[known], kind), features[tested], kind)

    return probe_with(fit, [features], targets, kind, rows)


def probe_with(
    fit: Callable[[np.ndarray, np.ndarray], np.ndarray],
    blocks: Sequence[np.ndarray],
    targets: np.ndarray,
    kind: str,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> ProbeResult:
    """Score the predictions of ``fit`` (a function of training rows and rows to predict) on validation and test.

    ``blocks`` are its features, float [rows, size] each; the other arguments are as in `run_probe`.
    """
    for features in blocks:
        _refuse_unusable(features, targets, kind, rows)
    training, *tested = rows
    predictions = np.split(fit(training, np.concatenate(tested)), [len(tested[0])])
    if kind == "multilabel":
        predictions = [part.reshape(len(part), -1) for part in predictions]
    scores = [score(said, targets[part], kind) for said, part in zip(predictions, tested, strict=True)]
    return ProbeResult(dict(zip(("validation", "test"), scores, strict=True)), predictions[1])


def _refuse_unusable(features: np.ndarray, targets: np.ndarray, kind: str, rows: Sequence[np.ndarray]) -> None:
    if not np.isfinite(features).all():
        broken = int((~np.isfinite(features)).any(axis=1).sum())
        raise InputError(f"{broken} of {len(features)} embeddings contain NaN or infinity: the model diverged")
    if not np.isfinite(targets).all():
        raise InputError(f"{int((~np.isfinite(targets)).sum())} targets are missing")
    if kind != "regression":
        for part in rows:
            if (targets[part].min(axis=0) == targets[part].max(axis=0)).all():
                raise InputError(f"a part of the split has only one class ({len(part)} rows); use more rows")


def score(predictions: np.ndarray, targets: np.ndarray, kind: str) -> dict[str, float]:
    """The metrics of ``METRICS[kind]``; for classes, higher ``predictions`` mean that class 1 is more likely."""
    if kind == "regression":
        from scipy.stats import pearsonr, spearmanr

        return {
            "mse": float(np.mean((predictions - targets) ** 2)),
            "pearson": float(pearsonr(predictions, targets).statistic),
            "spearman": float(spearmanr(predictions, targets).statistic),
        }
    from sklearn.metrics import average_precision_score, roc_auc_score

    average = "micro" if kind == "multilabel" else "macro"
    return {
        "auroc": float(roc_auc_score(targets, predictions, average=average)),
        "auprc": float(average_precision_score(targets, predictions, average=average)),
    }


def _fit(features: np.ndarray, targets: np.ndarray, kind: str):
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.multioutput import MultiOutputClassifier

    if kind == "regression":
        return RidgeCV(alphas=ALPHAS).fit(features, targets)
    targets = targets.astype(np.int64)
    logistic = LogisticRegression(max_iter=MAXIMUM_ITERATIONS)
    if kind == "classification":
        return logistic.fit(features, targets)
    # A label with one class among the training rows has no model; this class is predicted.
    varied = targets.min(axis=0) < targets.max(axis=0)
    return targets[0], varied, MultiOutputClassifier(logistic).fit(features, targets[:, varied])


def _predict(model, features: np.ndarray, kind: str) -> np.ndarray:
    if kind == "regression":
        return model.predict(features)
    if kind == "classification":
        return model.predict_proba(features)[:, 1]
    constant, varied, fitted = model
    predicted = np.tile(constant.astype(np.float64), (len(features), 1))
    predicted[:, varied] = np.stack([probabilities[:, 1] for probabilities in fitted.predict_proba(features)], axis=1)
    return predicted
