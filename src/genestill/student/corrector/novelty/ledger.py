"""The novelty ledger: the share of a sample that the reference lacks, by rank, and the groups of contigs in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.hit_tables import read_hits
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, format_lineage
from genestill.core.logs import log_counts, logger
from genestill.core.memory import give_back_large_arrays
from genestill.core.novelty import LEDGER_RANKS, weights_by_sample
from genestill.core.table_schemas import ALIGNMENTS, CONTIG_GROUPS, GROUPED_CONTIGS, NOVEL_SHARES
from genestill.core.tables import read_table, write_table, write_tsv
from genestill.core.taxonomy_folder import read_lineages, read_taxids_of_genomes
from genestill.student.corrector.evidence.hits import HitEvidence, HitSums, are_species, clades_of, sum_hits
from genestill.student.corrector.features import Contigs, read_contigs
from genestill.student.corrector.neighbours import CONFIDENT_GENES, CONFIDENT_IDENTITY, neighbours_in_sample
from genestill.student.corrector.novelty.absence import Seen, Withheld, collect, look, withhold
from genestill.student.corrector.novelty.calibration import (
    Calibration,
    Cases,
    called_novel,
    can_calibrate,
    log_odds_of,
    shares,
)
from genestill.student.corrector.novelty.groups import group_contigs
from genestill.student.corrector.novelty.set_aside import read_set_aside
from genestill.student.corrector.settings import NoveltySettings

MOST_CONTIGS = 20_000  # maximum number of contigs of the groups used for calibration
PARTS = 3  # number of random parts of each of these groups, in addition to the whole group


@dataclass
class Files:
    """The input files of the ledger, see `table_schemas` for their columns. Abundance and alignments may be None.

    ``set_aside`` are summary tables of geNomad, whose contigs are excluded.
    """

    contigs: str | Path
    index: str | Path
    hits: str | Path
    tree: str | Path
    taxonomy: str | Path
    abundance: str | Path | None = None
    alignments: str | Path | None = None
    set_aside: Sequence[str | Path] = ()


@dataclass
class Ledger:
    """Results for g groups of contigs.

    Attributes:
        group: int64 [contigs], -1 for contigs that are set aside.
        seen: summary of the hits of the groups, with the whole reference.
        absent: float64 [g, 3], probability that the reference lacks species, genus and family; NaN without hits.
        novel: int64 [g], number of ranks of `LEDGER_RANKS` at which the group is called novel: 0 (none) to 3 (family).
        factors: float64 [3], see `VirtualSamples.factors`; None without a calibration.
    """

    group: np.ndarray
    seen: Seen
    absent: np.ndarray
    novel: np.ndarray
    factors: np.ndarray | None


def write_ledger(files: Files, settings: NoveltySettings, seed: int, output: str | Path) -> dict[str, int]:
    """Write shares, groups and contigs as Parquet, and shares and novel groups as TSV, into the folder ``output``.

    Returns counts: groups, novel at each rank. Raises `InputError` if the files belong to different contigs.
    """
    give_back_large_arrays()
    contigs = read_contigs(files.contigs, files.index, files.abundance)
    tree = LabelTree.load(files.tree)
    aside = read_set_aside(files.set_aside, contigs.ids) if files.set_aside else {}
    found = find_novelty(contigs, files.hits, tree, files.taxonomy, settings, seed, list(aside))
    output = Path(output)
    share_table = table_of_shares(found, contigs)
    group_table = _table_of_groups(found, contigs, tree, files)
    write_table(output / "shares.parquet", share_table, NOVEL_SHARES)
    write_table(output / "groups.parquet", group_table, CONTIG_GROUPS)
    number = np.append(_order(found, contigs), 0)[found.group]
    grouped = pd.DataFrame({"id": contigs.ids, "group": pd.array(np.where(number > 0, number, None), "Int64")})
    grouped["set_aside"] = [aside.get(name) for name in contigs.ids]
    write_table(output / "contigs.parquet", grouped, GROUPED_CONTIGS)
    write_tsv(output / "novelty.tsv", share_table, digits=4)
    write_tsv(output / "novel_groups.tsv", group_table[group_table["novel"].notna()], digits=4)
    counts = {"groups": len(group_table)}
    for rank, name in enumerate(LEDGER_RANKS):
        counts[f"of absent {name}"] = int((found.novel > rank).sum())
    log_counts("groups of contigs", counts)
    return counts


def find_novelty(
    contigs: Contigs,
    hits: str | Path,
    tree: LabelTree,
    taxonomy: str | Path,
    settings: NoveltySettings,
    seed: int,
    aside: Sequence[str] = (),
) -> Ledger:
    """Group the contigs, calibrate by withholding clades, and classify the groups; contigs in ``aside`` are excluded.

    With too few known families for a calibration, the probabilities are those of the usual boundaries, and no group is
    called novel.

    Raises:
        InputError: all contigs are in ``aside``.
    """
    part = ~np.isin(contigs.ids, list(aside))
    if not part.any():
        raise InputError(
            f"all {len(contigs.ids)} contigs are set aside, so there is no ledger; leave out dataset.set_aside"
        )
    random = np.random.default_rng(seed)
    lineages = read_lineages(taxonomy)
    evidence = HitEvidence(sum_hits(read_hits(hits, contigs.ids), contigs.ids, lineages, tree, with_best=True), tree)
    neighbourhood = neighbours_in_sample(contigs, evidence, random)
    group = group_contigs(evidence, neighbourhood, contigs.lengths)
    group = np.where(part, np.unique(np.where(part, group, -1), return_inverse=True)[1] - (not part.all()), -1)
    members = _members(group)
    seen = look(evidence.sums, members, tree)
    known = are_species(tree)[seen.nearest] & (seen.identity > CONFIDENT_IDENTITY) & (seen.genes >= CONFIDENT_GENES)
    calibrating = _drawn(known, np.asarray(members.sum(axis=1)).ravel(), random)
    units, of_group = _parts(members, calibrating, random)
    species = np.full(len(contigs.ids), -1)
    inside = part & calibrating[group]
    species[inside] = seen.nearest[group[inside]]
    kept = collect(read_hits(hits, contigs.ids), inside)
    withheld = withhold(kept, species, contigs.ids, lineages, tree)
    cases = _cases(units, seen.nearest[of_group], evidence.sums, withheld, tree)
    silent = seen.genes == 0
    if not can_calibrate(cases):
        logger.warning("too few families of the sample are in the reference for a calibration")
        absent = np.where(silent[:, None], np.nan, seen.absent_by_boundaries())
        return Ledger(group, seen, absent, np.zeros(len(silent), dtype=np.int64), None)
    calibration = Calibration(cases, random)
    # The first units are groups; their parts come after them and have no weight.
    weights = np.zeros(units.shape[0])
    weights[: calibrating.sum()] = (units @ contigs.lengths)[: calibrating.sum()]
    samples = calibration.virtual_samples(weights, random)
    steps = calibration.judge(seen.features())
    large = ~silent & (members @ contigs.lengths >= settings.smallest_group)
    novel = np.where(
        large,
        called_novel(log_odds_of(steps), seen.genes, calibration.thresholds(samples, settings.false_discovery_rate)),
        0,
    )
    absent = np.where(silent[:, None], np.nan, calibration.probabilities(steps))
    logger.info(
        "calibrated on %d groups of %d families, without their species, genera and families in turn",
        calibrating.sum(),
        len(np.unique(cases.family)),
    )
    return Ledger(group, seen, absent, novel, samples.factors())


def _members(group: np.ndarray) -> sparse.csr_matrix:
    """A sparse matrix with a one for each contig of each group: [groups, contigs]."""
    inside = np.flatnonzero(group >= 0)
    shape = (group.max(initial=-1) + 1, len(group))
    return sparse.csr_matrix((np.ones(len(inside)), (group[inside], inside)), shape=shape)


def _drawn(known: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The known groups used for calibration: all, or random ones with up to `MOST_CONTIGS` contigs; bool [groups].

    Groups that are too large for the rest of `MOST_CONTIGS` are passed over.
    """
    chosen, left = np.zeros(len(known), dtype=bool), MOST_CONTIGS
    for group in random.permutation(np.flatnonzero(known)):
        if sizes[group] <= left:
            chosen[group] = True
            left -= sizes[group]
    return chosen


def _parts(
    members: sparse.csr_matrix, chosen: np.ndarray, random: np.random.Generator
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The chosen groups, and `PARTS` random parts of each: members [units, contigs], and the group of each unit."""
    groups = np.flatnonzero(chosen)
    rows, columns, of_group = [], [], list(groups)
    for number, one in enumerate(groups):
        inside = members.indices[members.indptr[one] : members.indptr[one + 1]]
        parts = [inside]
        if len(inside) > 1:
            # From one contig to nearly all, uniformly on a logarithmic scale.
            sizes = np.floor(len(inside) ** random.random(PARTS)).astype(int)
            parts += [random.choice(inside, size, replace=False) for size in sizes]
        for place, part in enumerate(parts):
            unit = number if place == 0 else len(of_group)
            if place:
                of_group.append(one)
            rows.append(np.full(len(part), unit))
            columns.append(part)
    row, column = (np.concatenate(part) if part else np.empty(0, int) for part in (rows, columns))
    shape = (len(of_group), members.shape[1])
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=shape), np.array(of_group, dtype=np.int64)


def _cases(
    units: sparse.csr_matrix, species: np.ndarray, whole: HitSums, withheld: list[Withheld], tree: LabelTree
) -> Cases:
    """The hits of each unit with the whole reference, and without its species, genus and family, as cases.

    Cases in which most genes of a unit are unknown are left out; if withholding two clades gives the same absent ranks,
    the lower clade is used.
    """
    family = clades_of(species, tree)[:, RANKS.index("family")]
    parts = []
    before = look(whole, units, tree)
    for rank, sums in enumerate([whole, *(one.sums for one in withheld)], start=-1):
        seen = before if rank < 0 else look(sums, units, tree)
        if rank < 0:
            absent = np.zeros((len(species), len(LEDGER_RANKS)), dtype=bool)
            usable = seen.genes > 0
            last = absent
        else:
            absent = withheld[rank].absent[species]
            usable = (seen.genes > 0) & (units @ withheld[rank].unknown <= 0.5 * before.genes)
            usable &= (absent != last).any(axis=1)
            last = np.where(usable[:, None], absent, last)
        rows = np.flatnonzero(usable)
        parts.append((seen.features()[rows], absent[rows], family[rows], seen.genes[rows], rows))
    return Cases(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def table_of_shares(found: Ledger, contigs: Contigs) -> pd.DataFrame:
    """The table `table_schemas.NOVEL_SHARES`: all samples together, then each; without depths, by bases of all."""
    samples = ["", *contigs.samples]
    weights = weights_by_sample(contigs.lengths, contigs.abundance)
    taking_part = found.group >= 0
    silent = found.seen.genes == 0
    rows = []
    for weight, of_contig in weights.items():
        of_group = np.zeros((len(silent), len(samples)))
        np.add.at(of_group, found.group[taking_part], of_contig[taking_part])
        heard = of_group[~silent]
        share, deviation = shares(found.absent[~silent], heard)
        # There are no shares of samples without bases with hits.
        share = np.where(heard.any(axis=0)[:, None], share, np.nan)
        whole = of_group.sum(axis=0)
        for number, sample in enumerate(samples):
            for rank, name in enumerate(LEDGER_RANKS):
                value, low, high = share[number, rank], np.nan, np.nan
                if found.factors is not None and np.isfinite(found.factors[rank]) and not np.isnan(value):
                    width = found.factors[rank] * deviation[number, rank]
                    low, high = max(value - width, 0.0), min(value + width, 1.0)
                said = max(1 - heard[:, number].sum() / whole[number], 0.0) if whole[number] else np.nan
                rows.append((sample, name, weight, value, low, high, said, whole[number]))
    return pd.DataFrame(rows, columns=NOVEL_SHARES.names)


def _order(found: Ledger, contigs: Contigs) -> np.ndarray:
    """Numbers of the groups, 1 for the largest: int64 [g]."""
    bases = _members(found.group) @ contigs.lengths
    number = np.empty(len(bases), dtype=np.int64)
    number[np.argsort(-bases, kind="stable")] = np.arange(1, len(bases) + 1)
    return number


def _table_of_groups(found: Ledger, contigs: Contigs, tree: LabelTree, files: Files) -> pd.DataFrame:
    """The table `table_schemas.CONTIG_GROUPS`, the largest group first."""
    members, seen = _members(found.group), found.seen
    bases, counts = members @ contigs.lengths, np.asarray(members.sum(axis=1)).ravel()
    depth = np.full(len(bases), np.nan)
    if contigs.abundance is not None:
        depth = (members @ (contigs.lengths * contigs.abundance.sum(axis=1, dtype=np.float64))) / np.maximum(bases, 1)
    heard = seen.genes > 0
    table = pd.DataFrame(
        {
            "group": _order(found, contigs),
            "novel": [None if ranks == 0 else LEDGER_RANKS[ranks - 1] for ranks in found.novel],
            "contigs": counts.astype(np.int64),
            "bases": bases.astype(np.int64),
            "depth": depth,
            "nearest": _names(seen.nearest, tree),
            "identity_proteins": np.where(heard, seen.identity, np.nan),
            "identity_nucleotides": _nucleotide_identity(found, contigs, tree, files),
            "genes": seen.genes.astype(np.int64),
            "agreement": np.where(heard, seen.agreeing[:, RANKS.index("genus")] / np.maximum(seen.genes, 1), np.nan),
        }
    )
    for rank, name in enumerate(LEDGER_RANKS):
        table[f"absent_{name}"] = found.absent[:, rank]
    return table.sort_values("group", ignore_index=True)


def _names(leaves: np.ndarray, tree: LabelTree) -> list[str | None]:
    return [format_lineage(tree.lineage_of(int(tree.leaves[leaf]))) if leaf >= 0 else None for leaf in leaves]


def _nucleotide_identity(found: Ledger, contigs: Contigs, tree: LabelTree, files: Files) -> np.ndarray:
    """Identity of the alignments of each group to genomes of its nearest species: float64 [g], NaN without."""
    number = len(found.seen.nearest)
    if files.alignments is None:
        return np.full(number, np.nan)
    rows = read_table(files.alignments, ALIGNMENTS, ["id", "genome", "identity", "matches"])
    lineages, genomes = read_lineages(files.taxonomy), read_taxids_of_genomes(files.taxonomy)
    species = {genome: format_lineage(lineages[int(taxid)]) for genome, taxid in genomes.items()}
    nearest = _names(found.seen.nearest, tree)
    group = pd.Series(found.group, index=contigs.ids).reindex(rows["id"]).fillna(-1).to_numpy(dtype=np.int64)
    own = pd.Series([nearest[one] if one >= 0 else None for one in group], index=rows.index, dtype=object)
    wanted = (own == rows["genome"].map(species)).to_numpy()
    group, rows = group[wanted], rows[wanted]
    matches = np.bincount(group, rows["matches"], number)
    return np.divide(
        np.bincount(group, rows["matches"] * rows["identity"], number),
        matches,
        out=np.full(number, np.nan),
        where=matches > 0,
    )
