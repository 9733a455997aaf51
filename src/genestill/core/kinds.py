"""What a model is in a comparison, and how a sequence task is split and scored."""

# Combined: a baseline and a student together. Baseline: model-free or cheap, the labels among them. Peer: somebody
# else's model, the user's own among them. Control: differs from the student in what a claim is about (untrained, no
# teacher, no neighbours).
KINDS = ("student", "combined", "teacher", "baseline", "peer", "control")
SPLITS_BY = ("random", "homology")  # how a table of a task is split that has no split of its own
TASK_METRICS = ("mcc", "f1", "accuracy")  # see `task_metrics.score`


def named(model: str, variant: str) -> str:
    """A model with its variant, as tables and figures show it: ``distilled (fit=probe)``."""
    return f"{model} ({variant})" if variant else model
