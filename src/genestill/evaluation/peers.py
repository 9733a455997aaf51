"""Predictions of peers, read into the table that our own predictions stand in."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.ground.artefacts import INDEX, PREDICTIONS, rank_columns
from genestill.ground.errors import InputError
from genestill.ground.lineage import NO_LINEAGE, RANKS, depth, parse_lineage
from genestill.ground.tables import read_table, read_tsv, write_table


def import_taxometer(results: str | Path, index: str | Path, output: str | Path, threshold: float) -> None:
    """Turn ``results_taxometer.tsv`` (contigs, predictions, scores) into `artefacts.PREDICTIONS`.

    Scores are one number a rank of the prediction, ``;``-joined. Contigs of the index that Taxometer left out have no
    prediction. ``accepted`` counts the ranks whose score exceeds ``threshold``.

    Raises:
        InputError: another header, scores that are not one number a rank, or contigs that the index does not hold.
    """
    table = read_tsv(results)
    if list(table.columns[:3]) != ["contigs", "predictions", "scores"]:
        raise InputError(f"{results}: columns {', '.join(table.columns)}; expected contigs, predictions, scores")
    ids = read_table(index, INDEX, ["id"])["id"].tolist()
    row_of = {name: row for row, name in enumerate(ids)}
    lineages = [NO_LINEAGE] * len(ids)
    confidence = np.zeros((len(ids), len(RANKS)), dtype=np.float32)
    for line, (name, text, scores) in enumerate(zip(*(table[c] for c in table.columns[:3]), strict=True), 2):
        if name not in row_of:
            raise InputError(f"{results}: line {line}: the contig {name!r} is not in the index {index}")
        lineage = parse_lineage(text)
        try:
            numbers = [float(score) for score in scores.split(";") if score]
        except ValueError:
            raise InputError(f"{results}: line {line}: scores {scores!r}; expected numbers joined by ';'") from None
        if len(numbers) != depth(lineage):
            raise InputError(f"{results}: line {line}: {len(numbers)} scores for {depth(lineage)} ranks")
        lineages[row_of[name]] = lineage
        confidence[row_of[name], : len(numbers)] = numbers
    accepted = (confidence > threshold).cumprod(axis=1).sum(axis=1)
    columns = {"id": ids, **rank_columns(lineages)}
    for rank, name in enumerate(RANKS):
        columns[f"confidence_{name}"] = confidence[:, rank]
    found = pd.DataFrame({**columns, "accepted": accepted.astype(np.int8), "reason": None})
    write_table(output, found, PREDICTIONS, {"model": "Taxometer", "threshold": threshold})
