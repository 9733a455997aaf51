"""Scores of models with virtual references, for choosing thresholds of peers on one half of them.

Thresholds and the strongest peer are chosen with the fitting half; models are compared with the judging half. All
references have the same weight, independent of their numbers of contigs. Only contigs of families in a reference's half
are scored: the halves share neither clades nor contigs of a family.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, Lineage, format_lineage
from genestill.core.logs import logger
from genestill.core.novelty import EXACT
from genestill.core.table_schemas import LABELS, PREDICTIONS, TRUTH, VIRTUAL_OUTCOME_COUNTS, lineages_of
from genestill.core.tables import read_table, write_table
from genestill.core.virtual_references import VirtualReference, is_within, read_withheld, references_of
from genestill.evaluation.contig_peers.evidence import Evidence, cut, read_kraken2
from genestill.evaluation.contig_peers.registry import PEERS

SCORED_RANKS = ("species", "genus", "family")
_GENUS, _FAMILY = RANKS.index("genus") + 1, RANKS.index("family") + 1


def without(evidence: Evidence, labels: list[Lineage], clades: Sequence[Lineage]) -> Evidence:
    """The evidence with a reference that lacks ``clades``: hits to their genomes are removed, labels are replaced.

    Calls of Kraken 2 and Metabuli cannot be filtered, because they depend on all genomes of their databases.
    """
    left = {name: one for name, one in evidence.lineage_of_genome.items() if not is_within(one, clades)}
    tables = {
        name: None if table is None else table[table["genome"].isin(list(left))].reset_index(drop=True)
        for name, table in (("alignments", evidence.alignments), ("genes", evidence.genes))
    }
    without: dict[str, Any] = {"kraken2": None, "metabuli": None, **tables}
    return replace(evidence, labels=labels, lineage_of_genome=left, **without)


def count_outcomes(
    evidence: Evidence,
    truth: pd.DataFrame,
    reference: VirtualReference,
    members: np.ndarray,
    predictions: dict[tuple[str, int], list[Lineage]],
) -> Iterator[pd.DataFrame]:
    """Count outcomes with one virtual reference, for every available peer at every threshold, or for models.

    Args:
        evidence: from `without`.
        truth: ground truth of the contigs: ``path`` (lineage, with one name per set of species), ``source`` (lineage
            of its genome) and ``exact`` (whether it is cut from a genome of the whole reference).
        reference: the virtual reference; its name and half are written to the rows.
        members: bool [contigs], the contigs that are scored.
        predictions: (model, seed) -> lineages; if there are any, peers are not counted.

    Yields:
        Rows of `table_schemas.VIRTUAL_OUTCOME_COUNTS` without the community.
    """
    rows = np.flatnonzero(members)
    right = [truth["path"].iloc[row] for row in rows]
    # A contig of a withheld genome is not an exact copy.
    withheld = np.array([reference.withholds(one) for one in truth["source"].iloc[rows]], bool)
    exact = truth["exact"].to_numpy()[rows] & ~withheld
    groups = pd.DataFrame({"genus": [format_lineage(cut(one, _GENUS)) for one in right], "exact": exact})
    family = {format_lineage(cut(one, _GENUS)): format_lineage(cut(one, _FAMILY)) for one in right}
    levels = {rank: RANKS.index(rank) + 1 for rank in SCORED_RANKS}
    absent_at = {}
    for rank, level in levels.items():
        held = {lineage[:level] for lineage in evidence.lineage_of_genome.values()}
        absent_at[rank] = np.array([one[:level] not in held for one in right], dtype=bool)
    for (model, seed, threshold), named in _called(evidence, predictions):
        for rank, level in levels.items():
            absent = absent_at[rank]
            names = np.array([named[row][level - 1] is not None for row in rows], dtype=bool)
            same = np.array([named[row][:level] == one[:level] for row, one in zip(rows, right, strict=True)], bool)
            counts = {"correct": names & same, "wrong": names & ~same, "none": ~names}
            counts |= {"absent": absent, "absent_called": absent & names}
            sums = groups.assign(**counts).groupby(["genus", "exact"], as_index=False).sum()
            who = {"model": model, "seed": seed, "threshold": threshold, "rank": rank}
            yield sums.assign(reference=reference.name, half=reference.half, family=sums["genus"].map(family), **who)


def _called(
    evidence: Evidence, predictions: dict[tuple[str, int], list[Lineage]]
) -> Iterator[tuple[tuple[str, int, float], list[Lineage]]]:
    """Yield (model, seed, threshold) and its lineages for all contigs, one at a time to save memory."""
    for (model, seed), named in predictions.items():
        yield (model, seed, np.nan), named
    for name, peer in PEERS.items() if not predictions else ():
        if evidence.has(peer.needs):
            for threshold in peer.thresholds:
                yield (name, 0, threshold), peer.call(evidence, threshold)


def members_of_half(truth: Iterable[Lineage], families: set[Lineage]) -> np.ndarray:
    """bool [contigs]: whether the true family is one of ``families`` (lineages of five ranks)."""
    return np.array([lineage[:_FAMILY] in families for lineage in truth], dtype=bool)


def score_peers(
    evidence: Evidence,
    truth: str | Path,
    withheld: str | Path,
    community: str,
    virtual: str | Path,
    models: Sequence[str],
    output: str | Path,
) -> None:
    """Count outcomes of peers, or models, with every virtual reference of a community: `VIRTUAL_OUTCOME_COUNTS`.

    Args:
        evidence: evidence with the whole reference.
        truth: ``table_schemas.TRUTH``.
        withheld: table written by ``reference withheld``.
        community: name of the community in that table.
        virtual: folder written by ``labels withhold``; from the folder of a reference, kraken2.parquet and
            ``<model>.seed<seed>.parquet`` (`table_schemas.PREDICTIONS`) of ``models`` are used too, if they exist.
        models: for example corrector; without any, peers are counted.
        output: the table. Contigs of families without any withheld clade are in neither half.

    Raises:
        InputError: no reference of the community; labels or truth of other contigs; a model without predictions.
    """
    answers = read_table(truth, TRUTH).set_index("id")
    lacking = pd.Index(evidence.ids).difference(answers.index)
    if len(lacking):
        raise InputError(f"{truth}: no row for the contig {lacking[0]!r}; does the table belong to other contigs?")
    answers = answers.loc[evidence.ids]
    one_name = _one_name_per_species(answers)

    def scored_as(lineages: Iterable[Lineage]) -> list[Lineage]:
        return [one_name.get(lineage, lineage) for lineage in lineages]

    right = pd.DataFrame({"exact": (answers["status"] == EXACT).to_numpy()})
    right["source"] = pd.Series(lineages_of(answers), index=right.index, dtype=object)
    right["path"] = pd.Series(scored_as(right["source"]), index=right.index, dtype=object)
    families: dict[str, set[Lineage]] = {}
    for one in read_withheld(withheld):
        families.setdefault(one.half, set()).update(clade[:_FAMILY] for clade in one.clades)
    members = {half: members_of_half(right["path"], found) for half, found in families.items()}
    parts: list[pd.DataFrame] = []
    for reference in references_of(withheld, community):
        folder = Path(virtual) / reference.name
        labels = lineages_of(_of_contigs(folder / "labels.parquet", LABELS, evidence.ids))
        reduced, kraken2 = without(evidence, labels, reference.clades), folder / "kraken2.parquet"
        calls = read_kraken2(kraken2, evidence.ids, evidence.lineage_of_taxid) if kraken2.is_file() else None
        genomes = dict(zip(reduced.lineage_of_genome, scored_as(reduced.lineage_of_genome.values()), strict=True))
        reduced = replace(
            reduced,
            labels=scored_as(reduced.labels),
            lineage_of_genome=genomes,
        )
        if calls is not None:
            reduced = replace(reduced, kraken2={value: scored_as(named) for value, named in calls.items()})
        runs = dict(_runs(folder, models))
        if models and not runs:  # models are run only on some references
            continue
        predictions = {run: scored_as(_named(path, evidence.ids)) for run, path in runs.items()}
        parts += count_outcomes(reduced, right, reference, members[reference.half], predictions)
    lacking = set(models) - {model for part in parts for model in part["model"]}
    if lacking:
        model = min(lacking)
        raise InputError(f"{virtual}: no predictions of {model} in the folders of references ({model}.seed1.parquet)")
    found = pd.concat(parts, ignore_index=True).assign(community=community)
    write_table(output, found, VIRTUAL_OUTCOME_COUNTS)
    logger.info("%d virtual references of %s scored", found["reference"].nunique(), community)


def _of_contigs(path: Path, schema, ids: list[str]) -> pd.DataFrame:
    table = read_table(path, schema)
    if table["id"].tolist() != ids:
        raise InputError(f"{path}: its contigs differ from those of the index, or are in another order")
    return table


def _named(path: Path, ids: list[str]) -> list[Lineage]:
    table = _of_contigs(path, PREDICTIONS, ids)
    return [cut(lineage, ranks) for lineage, ranks in zip(lineages_of(table), table["accepted"], strict=True)]


def _runs(folder: Path, models: Sequence[str]) -> Iterator[tuple[tuple[str, int], Path]]:
    for model in models:
        for file in sorted(folder.glob(f"{model}.seed*.parquet")):
            yield (model, int(file.stem.removeprefix(f"{model}.seed"))), file


def _one_name_per_species(answers: pd.DataFrame) -> dict[Lineage, Lineage]:
    """Lineage -> the one that represents its set of species (column ``same_species`` of `table_schemas.TRUTH`)."""
    table = answers[answers["same_species"].notna()].drop_duplicates(list(RANKS))
    found: dict[Lineage, Lineage] = {}
    for lineage, names in zip(lineages_of(table), table["same_species"], strict=True):
        members = [lineage, *((*lineage[:-1], name) for name in names)]
        found |= dict.fromkeys(members, min(members))
    return found
