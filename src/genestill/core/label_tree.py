"""The taxonomy as an array of nodes, ordered so that the leaves of every node are contiguous."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage, named
from genestill.core.tables import read_tsv, write_tsv

OTHER = "other"  # the leaf without a rank that represents any child that is missing in the reference


class LabelTree:
    """Nodes of a taxonomy in depth-first order, children sorted by name; node 0 is the root.

    Attributes (arrays with one entry per node, n nodes, m leaves):
        parent: int32 [n], -1 for the root; a parent comes before its children.
        rank: int8 [n], 0 for the root, 1 (domain) to 7 (species); an "other" leaf has the rank of its siblings.
        name: list of n names, "root" for the root.
        is_other: bool [n], True for "other child" leaves.
        leaf_start, leaf_stop: int32 [n]; the leaves under a node are ``leaves[leaf_start:leaf_stop]``, so that
            the probability of any node is the difference of two cumulative sums over the leaves.
        leaves: int32 [m], node index of each leaf in depth-first order.
        children: int32 [n - 1], the nodes sorted by parent; the children of a node are
            ``children[child_start[node]:child_start[node + 1]]``, in depth-first order.
        child_start: int64 [n + 1].
    """

    def __init__(self, parent: np.ndarray, rank: np.ndarray, name: list[str], is_other: np.ndarray):
        self.parent = np.asarray(parent, dtype=np.int32)
        self.rank = np.asarray(rank, dtype=np.int8)
        self.name = list(name)
        self.is_other = np.asarray(is_other, dtype=bool)
        has_child = np.zeros(len(self), dtype=bool)
        has_child[self.parent[1:]] = True
        self.leaves = np.flatnonzero(~has_child).astype(np.int32)
        self.leaf_start = np.searchsorted(self.leaves, np.arange(len(self))).astype(np.int32)
        subtree_end = np.arange(1, len(self) + 1)
        for node in range(len(self) - 1, 0, -1):
            subtree_end[self.parent[node]] = max(subtree_end[self.parent[node]], subtree_end[node])
        self.leaf_stop = np.searchsorted(self.leaves, subtree_end).astype(np.int32)
        self.children = (np.argsort(self.parent[1:], kind="stable") + 1).astype(np.int32)
        self.child_start = np.searchsorted(self.parent[self.children], np.arange(len(self) + 1))
        self._node_of_path: dict[Lineage, int] = {}
        self._paths: list[Lineage] = []
        for node in range(len(self)):
            path = () if node == 0 else (*self._paths[self.parent[node]], self.name[node])
            self._paths.append(path)
            if not self.is_other[node]:
                self._node_of_path[path] = node

    def __len__(self) -> int:
        return len(self.parent)

    @classmethod
    def from_lineages(cls, lineages: Iterable[Lineage], other_children: bool = False) -> "LabelTree":
        """The tree of all ``lineages``; with ``other_children`` every inner node gets an additional leaf, "other"."""
        paths = {named(lineage) for lineage in lineages}
        children: dict[tuple[str, ...], set[str]] = {}
        for path in paths:
            for level in range(len(path)):
                children.setdefault(path[:level], set()).add(path[level])
        parent, rank, name, is_other = [-1], [0], ["root"], [False]
        stack: list[tuple[tuple[str, ...], int]] = [((), 0)]
        order: list[tuple[tuple[str, ...], int, bool]] = []
        while stack:
            path, node = stack.pop()
            if path or node:
                order.append((path, node, False))
            below = sorted(children.get(path, ()), reverse=True)
            stack.extend(((*path, child), 1) for child in below)
        index: dict[tuple[str, ...], int] = {(): 0}

        def add_other(path: tuple[str, ...]) -> None:
            parent.append(index[path])
            rank.append(len(path) + 1)
            name.append(OTHER)
            is_other.append(True)

        # An "other" leaf comes after the subtrees of its siblings: it is added when the parent's subtree ends.
        open_paths: list[tuple[str, ...]] = [()]
        for path, _, _ in order:
            while path[:-1] != open_paths[-1]:
                closed = open_paths.pop()
                if other_children and closed in children:
                    add_other(closed)
            index[path] = len(parent)
            parent.append(index[path[:-1]])
            rank.append(len(path))
            name.append(path[-1])
            is_other.append(False)
            open_paths.append(path)
        while open_paths:
            closed = open_paths.pop()
            if other_children and closed in children:
                add_other(closed)
        return cls(np.array(parent), np.array(rank), name, np.array(is_other))

    def node_of(self, lineage: Lineage) -> int:
        """The node of ``lineage`` (the root if empty); raises KeyError for a lineage that is not in the tree."""
        return self._node_of_path[named(lineage)]

    def deepest_node_of(self, lineage: Lineage) -> int:
        """The deepest node of the tree on the path of ``lineage``."""
        path = named(lineage)
        while path not in self._node_of_path:
            path = path[:-1]
        return self._node_of_path[path]

    def lineage_of(self, node: int) -> Lineage:
        """The seven-rank lineage of ``node``; for an "other" leaf, that of its parent."""
        path = self._paths[self.parent[node]] if self.is_other[node] else self._paths[node]
        return (path + NO_LINEAGE)[: len(RANKS)]

    def children_of(self, node: int) -> np.ndarray:
        """The children of ``node``, including "other": int32 [number of children]."""
        return self.children[self.child_start[node] : self.child_start[node + 1]]

    def node_probabilities(self, leaf_probabilities: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Sum the probabilities of the leaves [..., m] under each of ``nodes`` [k]: float64 [..., k]."""
        totals = running_totals(leaf_probabilities)
        return totals[..., self.leaf_stop[nodes]] - totals[..., self.leaf_start[nodes]]

    def save(self, path: str | Path) -> None:
        """Write the tree as TSV: node, parent, rank (a word), name, other (0 or 1); atomic."""
        table = pd.DataFrame(
            {
                "node": np.arange(len(self)),
                "parent": self.parent,
                "rank": [("root", *RANKS)[rank] for rank in self.rank],
                "name": self.name,
                "other": self.is_other.astype(int),
            }
        )
        write_tsv(path, table)

    @classmethod
    def load(cls, path: str | Path) -> "LabelTree":
        """Read a file written by `save`; raises `InputError` if it is not a tree in depth-first order."""
        try:
            table = read_tsv(path, ("node", "parent", "rank", "name", "other"))
            rank = np.array([("root", *RANKS).index(word) for word in table["rank"]], dtype=np.int8)
            parent = np.array([int(word) for word in table["parent"]], dtype=np.int64)
            other = np.array([("0", "1").index(word) for word in table["other"]], dtype=bool)
        except (InputError, OverflowError, ValueError) as error:
            raise InputError(
                f"{path}: not a label tree ({error}); expected the columns node, parent, rank, name, other"
            ) from None
        if (
            len(parent) == 0
            or parent[0] != -1
            or (parent[1:] >= np.arange(1, len(parent))).any()
            or (parent[1:] < 0).any()
        ):
            raise InputError(f"{path}: not a label tree: every node after the root must follow its parent")
        return cls(parent, rank, list(table["name"]), other)


def running_totals(leaf_probabilities: np.ndarray) -> np.ndarray:
    """Cumulative sums over the leaves [..., m], starting with zero: float64 [..., m + 1].

    The probability of a node is the difference of the entries ``leaf_stop`` and ``leaf_start``.
    """
    totals = np.zeros((*leaf_probabilities.shape[:-1], leaf_probabilities.shape[-1] + 1))
    np.cumsum(leaf_probabilities, axis=-1, out=totals[..., 1:], dtype=np.float64)
    return totals
