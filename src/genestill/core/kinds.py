"""Kinds of models in a comparison; splits and metrics of sequence tasks."""

# Combined: a baseline and a student together. Baseline: no model or a simple one, including the labels. Peer: a
# model of other authors, or one given by the user. Control: differs from the student in one tested property
# (untrained, no teacher, no neighbours).
KINDS = ("student", "combined", "teacher", "baseline", "peer", "control")
SPLITS_BY = ("random", "homology")  # how to split a task table without a column `split`
TASK_METRICS = ("mcc", "f1", "accuracy")  # see `task_metrics.score`


def named(model: str, variant: str) -> str:
    """The name of a model with its variant in tables and figures: ``distilled (fit=probe)``."""
    return f"{model} ({variant})" if variant else model
