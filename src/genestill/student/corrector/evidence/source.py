"""The interface of all sources of evidence: probabilities over the leaves of the label tree, one row per contig.

A row of probabilities p represents likelihoods p / prior, where the prior is the mean of the rows. Two sources for the
same contig are combined with two hypotheses each: with probability `GARBAGE`, a source has no information about the
contig.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from importlib import import_module
from pathlib import Path

import numpy as np
from scipy import sparse

from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS
from genestill.student.corrector import evidence
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.overlap import Overlap
from genestill.student.corrector.rows import normalised, product_blocks
from genestill.student.corrector.settings import refuse_same_search
from genestill.student.corrector.wide_nodes import WideNodes

GARBAGE = 0.01  # share of contigs whose own evidence is wrong (contamination, transferred genes)
ENTRIES_KEPT = 128  # number of largest entries that are kept in a mean or product of posteriors


@dataclass
class Evidence:
    """Evidence from a source about n contigs.

    Attributes:
        own: probabilities, float64 [n, leaves + wide nodes], from each contig's own evidence; rows sum to one, or are
            empty without evidence.
        nearest: a number of the first species of the source: int64 [n]; equal numbers mean equal species.
        sure: bool [n], whether ``nearest`` is certain. Pairs of such contigs are used to fit what
            distances between contigs mean.
        content: float64 [n], amount of evidence per contig, in any unit: the weight of its row for other contigs.
        wide: the nodes whose leaves have equal shares.
    """

    own: sparse.csr_matrix
    nearest: np.ndarray
    sure: np.ndarray
    content: np.ndarray
    wide: WideNodes = field(default_factory=WideNodes)

    def pooled(self, weights: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Combined evidence of the contigs that ``weights`` [n, n] select, without and with the contig itself.

        Returns two matrices such as ``own``. Here they are weighted means; sources with more than probabilities sum the
        underlying values.
        """
        alone, both = [], []
        for block in product_blocks(weights, self.own):
            gathered = weights[block] @ self.own
            alone.append(normalised(gathered, ENTRIES_KEPT))
            both.append(normalised(gathered + self.own[block], ENTRIES_KEPT))
        return sparse.vstack(alone, format="csr"), sparse.vstack(both, format="csr")


def marginal(posterior: sparse.csr_matrix, wide: WideNodes) -> np.ndarray:
    """Mean of the rows, smoothed so that no leaf has probability 0: float64 [leaves], sums to one."""
    total = wide.spread_row(np.asarray(posterior.sum(axis=0)).ravel()) + 0.05
    return total / total.sum()


class Joint(Evidence):
    """Several sources combined. ``nearest``, ``sure`` and ``content`` are those of the first source."""

    def __init__(self, parts: Sequence[Evidence], tree: LabelTree):
        first = parts[0]
        self.parts = parts
        wide = WideNodes.of(tree, np.unique(np.concatenate([part.wide.nodes for part in parts])))
        self.overlap = Overlap(marginal(first.own, first.wide), wide)
        own = self._combined([part.own for part in parts], wide)
        super().__init__(own, first.nearest, first.sure, first.content, wide)

    def pooled(self, weights: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """The pooled evidence of all sources, combined."""
        alone, both = zip(*(part.pooled(weights) for part in self.parts), strict=True)
        return self._combined(alone, self.wide), self._combined(both, self.wide)

    def _combined(self, rows: Sequence[sparse.csr_matrix], wide: WideNodes) -> sparse.csr_matrix:
        parts = zip(self.parts, rows, strict=True)
        return reduce(partial(combine, overlap=self.overlap), [part.wide.widened(said, wide) for part, said in parts])


def combine(left: sparse.csr_matrix, right: sparse.csr_matrix, overlap: Overlap) -> sparse.csr_matrix:
    """The posterior of two independent sources, each of which is right with probability 1 - `GARBAGE`.

    With g for `GARBAGE`: g (p + q) + (1 - g) p q / prior, scaled to sum to one; if one row is empty, the other row.
    The case that both sources are wrong is left out, because it gives every leaf a probability.

    Args:
        left, right: float64 [n, leaves + wide nodes].
        overlap: overlap for the prior and the wide nodes.
    """
    found = GARBAGE * (left + right) + (1 - GARBAGE) * overlap.product(left, right)
    return normalised(found.tocsr(), ENTRIES_KEPT)


def read_evidence(tables: dict[str, str | Path], contigs: Contigs, tree: LabelTree, taxonomy: str | Path) -> Evidence:
    """The evidence in ``tables``: name of a source -> its table, at least one.

    Raises:
        InputError: two sources use the same search, or, from the modules of the sources, a table does not match the
            contigs or the taxonomy.
    """
    refuse_same_search(tables, "evidence")
    parts = [
        import_module(f"{evidence.__name__}.{name}").read(table, contigs, tree, taxonomy)
        for name, table in tables.items()
    ]
    return parts[0] if len(parts) == 1 else Joint(parts, tree)


def other_leaves(tree: LabelTree) -> np.ndarray:
    """For each leaf and each of the seven ranks, the "other child" leaf for "the path ends above this rank".

    int64 [leaves, 7]; entry [leaf, r] is the leaf of an unknown child, at rank r, of the leaf's ancestor at rank r - 1.
    Entries below an "other" leaf repeat this leaf.
    """
    other_of_parent = {int(tree.parent[node]): leaf for leaf, node in enumerate(tree.leaves) if tree.is_other[node]}
    found = np.zeros((len(tree.leaves), len(RANKS)), dtype=np.int64)
    for leaf, node in enumerate(tree.leaves):
        ancestors = []
        above = int(tree.parent[node])
        while above >= 0:
            ancestors.append(above)
            above = int(tree.parent[above])
        path = [other_of_parent.get(ancestor, leaf) for ancestor in reversed(ancestors)]
        found[leaf] = (path + [leaf] * len(RANKS))[: len(RANKS)]
    return found
