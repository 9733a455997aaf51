"""Training, validation and test rows of a probe task, drawn as in mRNABench 1.3.

Written from the behaviour of that tool (its code is AGPL and is not used here); a test compares the two. Rows are drawn
with NumPy's legacy generator, as in the tool, so that equal seeds give equal rows.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from genestill.core.errors import InputError

SHARES = (0.7, 0.15, 0.15)  # training, validation, test


def split_rows(
    table: pd.DataFrame, method: str, seed: int, shares: tuple[float, float, float] = SHARES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row positions (int64) of the training, validation and test parts.

    The table is divided twice with the same seed: training and the rest, then validation and test.

    Args:
        table: ``sequence`` for kmer, ``chromosome`` for chromosome, ``group`` (homology group; a row with a missing
            value is a separate group) for homology.
        method: default (rows at random), homology, kmer, hard-kmer or chromosome.
        seed: seed of both divisions.
        shares: shares of the three parts; they sum to 1.

    Raises `InputError` for an unknown method, a table without the required column, and a part that would be empty.
    """
    if method not in SPLITS:
        raise InputError(f"split {method!r}: expected one of {', '.join(SPLITS)}")
    column, cut = SPLITS[method]
    if column is not None and (column not in table or table[column].nunique() < 2):
        raise InputError(f"split {method!r} needs a column {column!r} of at least two values")
    held_out = shares[1] + shares[2]
    everything = np.arange(len(table))
    training, rest = cut(table, everything, held_out, seed)
    validation, test = cut(table, rest, shares[2] / held_out, seed)
    for name, rows in (("training", training), ("validation", validation), ("test", test)):
        if len(rows) == 0:
            raise InputError(f"split {method!r} with seed {seed} leaves the {name} part of {len(table)} rows empty")
    return training, validation, test


def _cut_default(_, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    first, second = train_test_split(rows, test_size=share, random_state=seed)
    return first, second


def _cut_homology(table: pd.DataFrame, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    groups = table["group"].to_numpy()[rows]
    alone = pd.isna(groups)
    members: dict[object, list[int]] = {}
    for row, group, single in zip(rows, groups, alone, strict=True):
        if not single:
            members.setdefault(group, []).append(int(row))
    order = np.arange(len(rows))
    np.random.RandomState(seed).shuffle(order)
    enough = int(len(rows) * (1 - share))
    first: list[int] = []
    second: list[int] = []
    seen = set()
    for index in order:
        if not alone[index] and groups[index] in seen:
            continue
        block = [int(rows[index])] if alone[index] else members[groups[index]]
        if not alone[index]:
            seen.add(groups[index])
        (first if len(first) < enough else second).extend(block)
    return np.array(first, np.int64), np.array(second, np.int64)


def _cut_kmer(per_cluster: int, k: int = 3) -> Callable:
    def cut(table: pd.DataFrame, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.cluster import KMeans
        from sklearn.feature_extraction.text import CountVectorizer

        counts = CountVectorizer(analyzer="char", ngram_range=(k, k)).fit_transform(table["sequence"].to_numpy()[rows])
        means = KMeans(n_clusters=max(2, len(rows) // per_cluster), random_state=seed)
        clusters = means.fit_predict(counts.toarray().astype(np.float64))
        order = sorted(set(clusters.tolist()))
        np.random.RandomState(seed).shuffle(order)
        enough, taken, chosen = int(share * len(rows)), 0, []
        for cluster in order:
            if taken < enough:
                chosen.append(cluster)
            taken += int((clusters == cluster).sum())
        second = np.isin(clusters, chosen)
        return rows[~second], rows[second]

    return cut


def _cut_chromosome(table: pd.DataFrame, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    counts = table["chromosome"].iloc[rows].value_counts()
    order = counts.index.tolist()
    np.random.RandomState(seed).shuffle(order)
    enough, taken, chosen = int(share * len(rows)), 0, []
    for chromosome in order:
        if taken < enough and counts[chromosome] <= enough - taken:
            chosen.append(chromosome)
            taken += int(counts[chromosome])
    if not chosen:
        chosen = [counts.sort_values(ascending=True).index[0]]
    second = table["chromosome"].iloc[rows].isin(chosen).to_numpy()
    return rows[~second], rows[second]


SPLITS: dict[str, tuple[str | None, Callable]] = {
    "default": (None, _cut_default),
    "homology": ("group", _cut_homology),
    "kmer": ("sequence", _cut_kmer(per_cluster=100)),
    "hard-kmer": ("sequence", _cut_kmer(per_cluster=1000)),
    "chromosome": ("chromosome", _cut_chromosome),
}
