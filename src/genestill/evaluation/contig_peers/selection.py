"""Thresholds of peers, chosen on the fitting half of the virtual references and judged on the other half.

A reference counts once, whatever the number of its contigs. Only contigs of families of a reference's half count: the
halves share neither clades nor contigs of a family.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, Lineage, depth, parse_lineage
from genestill.core.logs import logger
from genestill.core.table_schemas import LABELS, TRUTH, lineages_of
from genestill.core.tables import read_table, read_tsv, write_tsv
from genestill.evaluation.bootstrap import f1_score
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.registry import PEERS

FITTING, JUDGING = "fitting", "judging"
SCORED_RANKS = ("species", "genus", "family")
_FAMILY = RANKS.index("family") + 1


@dataclass(frozen=True)
class VirtualReference:
    """A reference from which clades are withheld.

    Attributes:
        name: such as fitting-001.
        half: `FITTING` or `JUDGING`.
        clades: what is withheld: lineages that end at the rank of the clade (shorter than seven ranks above species).
    """

    name: str
    half: str
    clades: list[Lineage]


def is_withheld(lineage: Lineage, clades: Iterable[Lineage]) -> bool:
    """Whether a lineage lies in one of the clades."""
    return any(lineage[: len(clade)] == clade for clade in clades)


def without(evidence: Evidence, labels: list[Lineage], clades: list[Lineage]) -> Evidence:
    """The evidence under a reference that lacks ``clades``: hits of their genomes are gone, labels replaced.

    Kraken 2's calls cannot be filtered: they depend on all genomes of its database.
    """
    left = {name: one for name, one in evidence.lineage_of_genome.items() if not is_withheld(one, clades)}
    tables = {
        name: None if table is None else table[table["genome"].isin(list(left))].reset_index(drop=True)
        for name, table in (("alignments", evidence.alignments), ("genes", evidence.genes))
    }
    return replace(evidence, labels=labels, lineage_of_genome=left, kraken2=None, **tables)


def score_reference(
    evidence: Evidence, truth: list[Lineage], reference: VirtualReference, members: np.ndarray
) -> Iterator[dict]:
    """Rows of one virtual reference: every peer that has its evidence, threshold and rank.

    Args:
        evidence: as `without` returns it.
        truth: right lineages of the contigs.
        reference: whose name and half stand in the rows.
        members: bool [contigs], those that count.

    Yields:
        model, threshold, half, reference, rank, f1 (accepted names only, recall over all contigs), absent and
        absent_called (contigs whose taxon the reference lacks, and those of them that are named nevertheless).
    """
    held = [{lineage[: level + 1] for lineage in evidence.lineage_of_genome.values()} for level in range(len(RANKS))]
    rows = np.flatnonzero(members)
    level_of = {rank: RANKS.index(rank) for rank in SCORED_RANKS}
    lacking = {
        rank: np.array([truth[row][: level + 1] not in held[level] for row in rows], dtype=bool)
        for rank, level in level_of.items()
    }
    for name, peer in PEERS.items():
        if not evidence.has(peer.needs):
            continue
        for threshold in peer.thresholds:
            named = peer.call(evidence, threshold)
            for rank, level in level_of.items():
                called = np.array([named[row][level] is not None for row in rows], dtype=bool)
                right = np.array([named[row][: level + 1] == truth[row][: level + 1] for row in rows], dtype=bool)
                absent = lacking[rank]
                correct, wrong = (called & right).sum(), (called & ~right).sum()
                yield {
                    "model": name,
                    "threshold": threshold,
                    "half": reference.half,
                    "reference": reference.name,
                    "rank": rank,
                    "f1": float(f1_score(correct, wrong, len(rows) - correct - wrong)),
                    "absent": int(absent.sum()),
                    "absent_called": int((absent & called).sum()),
                }


def members_of_half(truth: list[Lineage], families: set[Lineage]) -> np.ndarray:
    """bool [contigs]: whether the right family is one of ``families`` (lineages of five ranks)."""
    return np.array([lineage[:_FAMILY] in families for lineage in truth], dtype=bool)


def choose_thresholds(scores: pd.DataFrame) -> pd.DataFrame:
    """The threshold of every model: the highest mean F1 at species over the fitting references, the lower on a tie.

    Args:
        scores: rows of `score_reference`.

    Returns:
        Columns model, threshold, fitting_f1; the strongest model first. Nothing of the judging half is read.
    """
    fitting = scores[(scores["half"] == FITTING) & (scores["rank"] == "species")]
    mean = fitting.groupby(["model", "threshold"])["f1"].mean().round(9).reset_index(name="fitting_f1")
    mean = mean.sort_values(["fitting_f1", "threshold"], ascending=[False, True], kind="stable")
    return mean.drop_duplicates("model").reset_index(drop=True)


def judge_peers(scores: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Mean scores over the judging references, each model at the threshold of `choose_thresholds` and in hindsight.

    Returns:
        Columns model, threshold, hindsight (whether the threshold is the best one of the judging half itself, for
        comparison only), strongest (the model with the highest mean on the fitting half), rank, f1, absent,
        absent_called.
    """
    judging = scores[scores["half"] == JUDGING]
    measures = judging.groupby(["model", "threshold", "rank"])[["f1", "absent", "absent_called"]].mean().reset_index()
    species = measures[measures["rank"] == "species"]
    best = species.loc[species.groupby("model")["f1"].idxmax(), ["model", "threshold"]]
    parts = [
        measures.merge(which[["model", "threshold"]], on=["model", "threshold"]).assign(hindsight=hindsight)
        for which, hindsight in ((chosen, False), (best, True))
    ]
    strongest = chosen["model"].iloc[0] if len(chosen) else ""
    table = pd.concat(parts, ignore_index=True).assign(strongest=lambda part: part["model"] == strongest)
    columns = ["model", "threshold", "hindsight", "strongest", "rank", "f1", "absent", "absent_called"]
    return table.sort_values(["rank", "hindsight", "f1"], ascending=[True, True, False])[columns].reset_index(drop=True)


def score_peers(
    evidence: Evidence, truth: str | Path, withheld: str | Path, community: str, virtual: str | Path, output: str | Path
) -> None:
    """Score every peer on every virtual reference of a community; write the rows of `score_reference` as TSV.

    Args:
        evidence: under the whole reference.
        truth: ``table_schemas.TRUTH``.
        withheld: table that ``reference withheld`` wrote.
        community: in that table.
        virtual: folder that ``labels withhold`` wrote.
        output: the table. Contigs of families of which nothing is ever withheld count in neither half.

    Raises:
        InputError: no reference of the community; labels or answers of other contigs.
    """
    answers = read_table(truth, TRUTH).set_index("id")
    lacking = pd.Index(evidence.ids).difference(answers.index)
    if len(lacking):
        raise InputError(f"{truth}: no row for the contig {lacking[0]!r}; is it of other contigs?")
    answers = answers.loc[evidence.ids]
    one_name = _one_name_per_species(answers)
    right = [one_name.get(lineage, lineage) for lineage in lineages_of(answers)]
    table = read_tsv(withheld, ["community", "reference", "half", "clade"])
    paths = [parse_lineage(clade) for clade in table["clade"]]
    table["path"] = pd.Series([path[: depth(path)] for path in paths], index=table.index, dtype=object)
    families = {half: {path[:_FAMILY] for path in part["path"]} for half, part in table.groupby("half")}
    members = {half: members_of_half(right, found) for half, found in families.items()}
    rows: list[dict] = []
    for (name, half), part in table[table["community"] == community].groupby(["reference", "half"]):
        labels = read_table(Path(virtual) / name / "labels.parquet", LABELS)
        if labels["id"].tolist() != evidence.ids:
            raise InputError(f"{virtual}/{name}/labels.parquet: not the contigs of the index, in their order")
        clades = part["path"].tolist()
        reduced = without(evidence, lineages_of(labels), clades)
        genomes = {genome: one_name.get(one, one) for genome, one in reduced.lineage_of_genome.items()}
        same = [one_name.get(lineage, lineage) for lineage in reduced.labels]
        reduced = replace(reduced, labels=same, lineage_of_genome=genomes)
        rows += score_reference(reduced, right, VirtualReference(name, half, clades), members[half])
    if not rows:
        raise InputError(f"{withheld}: no row for the community {community!r}")
    scores = pd.DataFrame(rows).assign(community=community)
    write_tsv(output, scores)
    logger.info("%d virtual references of %s scored", scores["reference"].nunique(), community)


def _one_name_per_species(answers: pd.DataFrame) -> dict[Lineage, Lineage]:
    """Lineage -> the one that stands for its set of species (column ``same_species`` of `table_schemas.TRUTH`)."""
    table = answers[answers["same_species"].notna()].drop_duplicates(list(RANKS))
    found: dict[Lineage, Lineage] = {}
    for lineage, names in zip(lineages_of(table), table["same_species"], strict=True):
        members = [lineage, *((*lineage[:-1], name) for name in names)]
        found |= dict.fromkeys(members, min(members))
    return found


def write_choice(scores: list[str | Path], output: str | Path, judged: str | Path) -> None:
    """Write `choose_thresholds` and `judge_peers` of tables of `score_peers`, one per community, as TSV."""
    table = pd.concat([pd.read_csv(path, sep="\t") for path in scores], ignore_index=True)
    chosen = choose_thresholds(table)
    for path, made in ((output, chosen), (judged, judge_peers(table, chosen))):
        write_tsv(path, made)
    if len(chosen):
        logger.info("strongest on the fitting half: %s at %g", *chosen.loc[0, ["model", "threshold"]])
