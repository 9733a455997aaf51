"""Evidence from labels without hits: a label has a limited weight.

If hits are known, labels add no information.
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, Lineage
from genestill.core.table_schemas import LABELS, lineages_of
from genestill.core.tables import read_table
from genestill.student.corrector.evidence.source import Evidence, other_leaves
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.wide_nodes import WideNodes

WIDE = 64  # largest number of leaves below a label that are separate columns
CONTENT = 100.0  # the same for every label


def read(table: str | Path, contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> Evidence:
    """Evidence from the labels in ``table`` (`table_schemas.LABELS`, in the order of ``contigs``).

    Raises:
        InputError: the table belongs to other contigs.
    """
    labels = read_table(table, LABELS)
    if labels["id"].tolist() != contigs.ids:
        raise InputError(f"{table}: its contigs differ from those of the index, or are in another order")
    return evidence_of_labels(lineages_of(labels), tree)


def evidence_of_labels(lineages: list[Lineage], tree: LabelTree) -> Evidence:
    """Evidence from one lineage per contig; a label that names a species is certain."""
    own, wide = posterior_of_labels(lineages, tree, other_leaves(tree))
    nearest = np.asarray(own.argmax(axis=1)).ravel()
    sure = np.array([lineage[-1] is not None for lineage in lineages], dtype=bool)
    return Evidence(own, nearest, sure, np.full(len(lineages), CONTENT), wide)


# Weight of a label without information about its search.
LABEL_TRUST = 0.8
OTHER_SHARE = 0.5  # share of a label above species that is given to an unknown child instead of the known ones


def posterior_of_labels(
    lineages: list[Lineage], tree: LabelTree, others: np.ndarray
) -> tuple[sparse.csr_matrix, WideNodes]:
    """Probabilities from labels without hits: float64 [contigs, leaves + wide nodes].

    A label keeps `LABEL_TRUST`; the rest goes to "other child" leaves above it. The part of a label that ends above
    species is divided between the "other child" leaf below it and all its known leaves: separately if they are few, as
    one wide node if there are more than `WIDE`. Rows without a label are empty.
    """
    nodes = np.array([tree.deepest_node_of(lineage) for lineage in lineages], dtype=np.int64)
    distinct, which = np.unique(nodes, return_inverse=True)
    wide = WideNodes.of(tree, distinct[(distinct > 0) & (tree.leaf_stop - tree.leaf_start > WIDE)[distinct]])
    column_of_node = {int(node): len(others) + number for number, node in enumerate(wide.nodes)}
    believed = [_posterior_of_label(int(node), tree, others, column_of_node) for node in distinct]
    starts = np.append(0, np.cumsum([len(believed[number][0]) for number in which]))
    columns, shares = (np.concatenate([believed[number][part] for number in which]) for part in range(2))
    posterior = sparse.csr_matrix((shares, columns, starts), shape=(len(lineages), len(others) + len(wide.nodes)))
    posterior.sort_indices()
    return posterior, wide


def _posterior_of_label(
    node: int, tree: LabelTree, others: np.ndarray, column_of_node: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and probabilities of a label at ``node`` of the tree: int32 [m], float64 [m]; empty at the root."""
    level = int(tree.rank[node])
    if level == 0:
        return np.empty(0, np.int32), np.empty(0)
    start, stop = int(tree.leaf_start[node]), int(tree.leaf_stop[node])
    above = np.unique(others[start][:level]).astype(np.int32)
    rest = np.full(len(above), (1 - LABEL_TRUST) / len(above))
    other = int(others[start][level]) if level < len(RANKS) else start
    each = (1 - OTHER_SHARE) / max(stop - start - 1, 1) * LABEL_TRUST
    if node in column_of_node:
        # An equal share for every leaf below, and the additional share of the "other child".
        below = np.array([column_of_node[node], other], dtype=np.int32)
        share = np.array([each * (stop - start), OTHER_SHARE * LABEL_TRUST - each])
    else:
        below = np.arange(start, stop, dtype=np.int32)
        share = np.where(below == other, OTHER_SHARE * LABEL_TRUST, each) if len(below) > 1 else np.array([LABEL_TRUST])
    return np.append(below, above), np.append(share, rest)
