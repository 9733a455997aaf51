"""Counts of outcomes among the contigs of each genome, which a benchmark resamples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.table_schemas import OUTCOME_COUNTS, TRUTH
from genestill.core.tables import read_table, write_table
from genestill.evaluation.calls import UNNAMED, Predictions, read_calls
from genestill.evaluation.strata import cluster_names
from genestill.evaluation.taxonomy import OWN_THRESHOLD, THRESHOLDS, judge, known_and_absent


def write_outcome_counts(
    truth: str | Path,
    labels: str | Path,
    predictions: Sequence[Predictions],
    dataset: str,
    output: str | Path,
    labels_name: str = "MMseqs2",
) -> pd.DataFrame:
    """Count the outcomes of every run at every rank, and write them by genome to ``output``.

    Args:
        truth: table of `table_schemas.TRUTH`; contigs with a true lineage need a genome for the resampling.
        labels, labels_name: table of `table_schemas.LABELS`, the first model.
        predictions: the runs, including several seeds of a model.
        dataset: name of the community.
        output: the table.

    Raises:
        InputError: a true lineage without a genome; as `read_calls`.
    """
    community, models = read_calls(truth, labels, predictions, labels_name)
    table = read_table(truth, TRUTH).set_index("id")["genome"].reindex(community.ids)
    lacking = table.isna() & (community.path != UNNAMED).any(axis=1)
    if lacking.any():
        raise InputError(f"{truth}: {table.index[lacking][0]!r} has no genome; a benchmark resamples genomes")
    # Contigs of an assembly without a source genome are not counted.
    table = table.fillna("")
    # A genome may have several statuses, because statuses are given per contig.
    keys = pd.DataFrame({"genome": table.to_numpy(dtype=str), "status": community.status.astype(str)})
    keys["cluster"] = cluster_names(community, keys["genome"])
    rows_of = keys.drop_duplicates(ignore_index=True)
    of = pd.MultiIndex.from_frame(rows_of).get_indexer(pd.MultiIndex.from_frame(keys))
    rows = []
    for model in models:
        views = {OWN_THRESHOLD: model.accepted}
        if model.has_confidence:
            views |= {f"{threshold:g}": model.at(threshold) for threshold in THRESHOLDS}
        for threshold, accepted in views.items():
            outcomes = judge(community, model, accepted)
            called = outcomes.correct | outcomes.wrong
            for level, rank in enumerate(RANKS):
                absent = known_and_absent(community)[1][:, level]
                counts = {part: values[:, level] for part, values in vars(outcomes).items()}
                counts |= {"absent": absent, "absent_called": absent & called[:, level]}
                sums = {part: np.bincount(of, values, len(rows_of)).astype(int) for part, values in counts.items()}
                named = {"model": model.name, "kind": model.kind, "seed": model.seed or 0, "threshold": threshold}
                rows.append(rows_of.assign(**named, rank=rank, **sums))
    table = pd.concat(rows, ignore_index=True)
    table = table.assign(dataset=dataset)[OUTCOME_COUNTS.names]
    write_table(output, table, OUTCOME_COUNTS)
    return table
