"""What became of the contigs of each genome: the part of a community's result that a benchmark resamples."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.evaluation.calls import read_calls
from genestill.evaluation.taxonomy import THRESHOLDS, judge
from genestill.ground.artefacts import TALLIES, TRUTH
from genestill.ground.errors import InputError
from genestill.ground.lineage import RANKS
from genestill.ground.tables import read_table, write_table

OWN_THRESHOLD = "own"
_SEED_MARK = "-seed"


def split_run(name: str) -> tuple[str, int]:
    """The model and the seed of a run: "corrector-seed3" is run 3 of "corrector"; without a seed it is run 0."""
    model, mark, seed = name.rpartition(_SEED_MARK)
    return (model, int(seed)) if mark and seed.isdigit() else (name, 0)


def write_tallies(
    truth: str | Path,
    labels: str | Path,
    predictions: dict[str, str | Path],
    dataset: str,
    output: str | Path,
    labels_name: str = "MMseqs2",
) -> pd.DataFrame:
    """Count the outcomes of every run at every rank, genome by genome, and write `artefacts.TALLIES` to ``output``.

    Args:
        truth: table of `artefacts.TRUTH`; every contig needs a genome, or genomes could not be resampled.
        labels, labels_name: table of `artefacts.LABELS`, itself the first model.
        predictions: run ("<model>-seed<n>") -> table of `artefacts.PREDICTIONS`.
        dataset: name of the community.

    Raises:
        InputError: contigs without a genome; whatever `read_calls` refuses.
    """
    community, models = read_calls(truth, labels, predictions, labels_name)
    table = read_table(truth, TRUTH).set_index("id")["genome"].reindex(community.ids)
    if table.isna().any():
        raise InputError(f"{truth}: {table.index[table.isna()][0]!r} has no genome; a benchmark resamples genomes")
    genomes, of = np.unique(table.to_numpy(dtype=str), return_inverse=True)
    right = community.right_depth
    rows = []
    for model in models:
        views = {OWN_THRESHOLD: model.accepted}
        if model.has_confidence:
            views |= {f"{threshold:g}": model.at(threshold) for threshold in THRESHOLDS}
        name, seed = split_run(model.name)
        for threshold, accepted in views.items():
            outcomes = judge(community, model, accepted)
            called = outcomes.correct | outcomes.wrong
            for level, rank in enumerate(RANKS):
                absent = (right >= 0) & (right <= level)
                counts = {part: values[:, level] for part, values in vars(outcomes).items()}
                counts |= {"absent": absent, "absent_called": absent & called[:, level]}
                sums = {part: np.bincount(of, values, len(genomes)).astype(int) for part, values in counts.items()}
                rows.append(
                    pd.DataFrame(
                        {"model": name, "seed": seed, "threshold": threshold, "rank": rank, "genome": genomes} | sums
                    )
                )
    tallies = pd.concat(rows, ignore_index=True)
    tallies.insert(0, "dataset", dataset)
    write_table(output, tallies, TALLIES)
    return tallies
