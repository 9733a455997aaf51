"""The calls of one peer for one community, in the format of our predictions."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import write_text
from genestill.core.lineage import RANKS, Lineage, depth, format_lineage
from genestill.core.logs import logger
from genestill.core.table_schemas import PREDICTIONS, rank_columns
from genestill.core.tables import number_columns, read_tsv, write_table
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.registry import PEERS, peer_at


def call_peer(
    name: str,
    evidence: Evidence,
    thresholds: str | Path | None,
    output: str | Path,
    output_tsv: str | Path | None = None,
) -> None:
    """Write `table_schemas.PREDICTIONS` of the peer ``name``; confidences are null, every called rank is accepted.

    Args:
        name: name in `registry.PEERS`, or with a fixed threshold (`registry.peer_at`).
        evidence: all evidence that the peer needs.
        thresholds: table with the columns ``model`` and ``threshold``; if None or without the peer, the usual threshold
            of the peer is used.
        output: the table; its metadata has the threshold.
        output_tsv: the same in Taxometer's input format; None for no such file.

    Raises:
        InputError: an unknown peer; a threshold that is not one of the peer's; missing evidence.
    """
    name, fixed = peer_at(name)
    if name not in PEERS:
        raise InputError(f"no peer {name!r}; expected one of {', '.join(PEERS)}")
    peer = PEERS[name]
    lacking = next((need for need in peer.needs if not evidence.has((need,))), None)
    if lacking is not None:
        option = "abundance" if lacking == "depth" else lacking
        raise InputError(f"{name}: needs the evidence {lacking!r}; give --{option}")
    threshold = fixed
    if threshold is None:
        # With a single value, there is no choice.
        several = len(peer.thresholds) > 1
        threshold = chosen_threshold(name, thresholds) if several and thresholds is not None else peer.usual
    if threshold not in peer.thresholds:
        raise InputError(f"{name}: threshold {threshold:g}; expected one of {', '.join(map(str, peer.thresholds))}")
    lineages = peer.call(evidence, threshold)
    write_table(output, prediction_rows(evidence.ids, lineages), PREDICTIONS, {"threshold": threshold})
    if output_tsv is not None:
        rows = [f"{name}\t{format_lineage(lineage)}\n" for name, lineage in zip(evidence.ids, lineages, strict=True)]
        write_text(output_tsv, "".join(["contigs\tpredictions\n", *rows]))
    logger.info("%s at %g (%s): %d contigs", name, threshold, peer.meaning, len(lineages))


def chosen_threshold(name: str, path: str | Path) -> float:
    """The threshold of the peer ``name`` in a table with the columns ``model`` and ``threshold``.

    The usual threshold if the table has no row for it, because not every peer is run with virtual references.
    """
    table = read_tsv(path, ["model", "threshold"])
    rows = table[table["model"] == name]
    if rows.empty:
        logger.warning("%s: has no threshold for %s; the default is used", path, name)
        return PEERS[name].usual
    if len(rows) > 1:
        raise InputError(f"{path}: {len(rows)} rows for the model {name!r}; expected one")
    return float(number_columns(rows, ["threshold"], path)[0, 0])


def prediction_rows(ids: list[str], lineages: list[Lineage]) -> pd.DataFrame:
    """Rows of `table_schemas.PREDICTIONS` for lineages without confidences."""
    nothing = pd.array(np.full(len(ids), np.nan, dtype=np.float32))
    columns = {"id": ids, **rank_columns(lineages)} | {f"confidence_{rank}": nothing for rank in RANKS}
    accepted = np.array([depth(lineage) for lineage in lineages], dtype=np.int8)
    return pd.DataFrame({**columns, "accepted": accepted, "reason": None})
