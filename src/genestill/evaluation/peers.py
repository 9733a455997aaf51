"""Importing predictions of other programs, in several formats, as a table like our own predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core.errors import InputError
from genestill.core.label_tables import read_label_table
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage, depth
from genestill.core.logs import log_counts, logger
from genestill.core.table_schemas import INDEX, PREDICTIONS, rank_columns
from genestill.core.tables import read_table, write_table
from genestill.core.taxonomy import read_taxonomy

_LEFT_OUT_AT_MOST = 0.2  # maximum share of unreadable rows; with more, the table has another format
_IDS = pa.schema([INDEX.field("id")])
_CONFIDENCES = [f"confidence_{rank}" for rank in RANKS]


def import_predictions(
    predictions: str | Path,
    form: str,
    contigs: str | Path,
    taxonomy: str | Path | None,
    threshold: float,
    output: str | Path,
) -> None:
    """Turn predictions of any model into `table_schemas.PREDICTIONS`, one row per contig of ``contigs``, in its order.

    Args:
        predictions: a Parquet table of `table_schemas.PREDICTIONS`; or a table in any format of
            `genestill.core.label_formats.registry`. Only Taxometer's format has confidences (``scores``, one number per
            rank of the lineage); with other formats, confidences are null and every rank with a name is accepted.
        form: format of a table that is not Parquet, or ``auto``.
        contigs: a table whose column ``id`` has the evaluated contigs: the index, or the truth.
        taxonomy: folder written by ``reference taxonomy``; None if the table has lineages as text.
        threshold: score above which a rank is accepted, for tables with ``scores``.
        output: the table.

    Contigs without a row have no names; rows of other contigs are left out and counted.

    Raises:
        InputError: no row belongs to a contig; taxids without taxonomy; scores that are not one number per rank in more
            than a fifth of the rows; as the functions that read the tables.
    """
    ids = read_table(contigs, _IDS)["id"].tolist()
    if _is_parquet(predictions):
        given = read_table(predictions, PREDICTIONS)
        rows = _rows(given["id"], ids, predictions)
        found = given.iloc[np.where(rows < 0, 0, rows)].reset_index(drop=True)
        found.loc[rows < 0, [*RANKS, *_CONFIDENCES, "reason"]] = None
        found.loc[rows < 0, "accepted"] = 0
        write_table(output, found.assign(id=ids), PREDICTIONS)
        return
    names = read_taxonomy(taxonomy)
    table = read_label_table(predictions, form)
    names.require_lineages(table, str(predictions))
    rows = _rows(table.ids.to_pandas(), ids, predictions)
    joined = table.take(rows, ids)
    lineages = names.lineages_of(joined)
    log_counts("predictions", {**table.met, **dict(names.met)})
    if joined.scores is not None:
        confidence = _confidences(joined.scores, ids, lineages, predictions)
        # A rank is accepted if its score and those of all ranks above exceed the threshold.
        accepted = (confidence > threshold).cumprod(axis=1).sum(axis=1)
    else:
        confidence = np.full((len(ids), len(RANKS)), np.nan, dtype=np.float32)
        accepted = np.array([depth(lineage) for lineage in lineages])
    columns = {"id": ids, **rank_columns(lineages)}
    columns |= {name: pd.array(confidence[:, rank]) for rank, name in enumerate(_CONFIDENCES)}
    found = pd.DataFrame({**columns, "accepted": accepted.astype(np.int8), "reason": None})
    write_table(output, found, PREDICTIONS, {"threshold": threshold})


def _rows(given: pd.Series, ids: Sequence[str], source: str | Path) -> np.ndarray:
    """Row of each contig in ``given``, int64 [contigs]; -1 for a contig without a row."""
    index = pd.Index(given)
    if index.has_duplicates:
        raise InputError(f"{source}: {index[index.duplicated()][0]!r} has two rows; expected one per contig")
    rows = index.get_indexer(pd.Index(ids, dtype=index.dtype))
    if len(ids) and (rows < 0).all():
        raise InputError(
            f"{source}: none of its {len(index)} contigs (first: {next(iter(index), None)!r}) is among the "
            f"evaluated contigs (first: {ids[0]!r}); does the table belong to other contigs?"
        )
    called = int((rows >= 0).sum())
    log_counts("predictions", {"rows_of_no_contig": len(index) - called, "contigs_without_row": len(ids) - called})
    return rows


def _is_parquet(path: str | Path) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.read(4) == b"PAR1"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _confidences(scores: np.ndarray, ids: Sequence[str], lineages: list[Lineage], source: str | Path) -> np.ndarray:
    """Confidences from the scores of a table, float32 [contigs, 7]; 0 at ranks without a name.

    Rows whose scores do not match their lineage are left out: their lineage becomes empty.
    """
    confidence = np.zeros((len(ids), len(RANKS)), dtype=np.float32)
    odd = []
    called = [row for row, lineage in enumerate(lineages) if depth(lineage)]
    for row in called:
        known, ranks = ~np.isnan(scores[row]), depth(lineages[row])
        if known[:ranks].all() and not known[ranks:].any():
            confidence[row, :ranks] = scores[row, :ranks]
        else:
            said = ";".join(f"{score:g}" for score in scores[row, known])
            odd.append(f"contig {ids[row]!r}: scores {said!r} for {ranks} ranks")
            lineages[row] = NO_LINEAGE
    if len(odd) > _LEFT_OUT_AT_MOST * len(called):
        raise InputError(f"{source}: {odd[0]}; expected one number between 0 and 1 per rank ({len(odd)} such rows)")
    if odd:
        logger.warning("%s: %s; this row and %d more of %d are left out", source, odd[0], len(odd) - 1, len(called))
    return confidence
