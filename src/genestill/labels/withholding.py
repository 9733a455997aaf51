"""Virtual references: labels and hits without some clades, from a kept search.

Each step of the search is repeated in memory with the results of `kept_search.keep_search`, without the targets of
withheld clades and with the E-values of the smaller database. If this is not sufficient, because another target is now
the best one or because alignments are missing, the fragment is aligned again with ``lcaalign`` of MMseqs2. The labels
are made by its modules ``lca`` and ``aggregatetaxweights``.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core import table_schemas
from genestill.core.contents import content_checksum
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, scratch_folder, write_json
from genestill.core.label_tables import LabelTable
from genestill.core.lineage import NO_LINEAGE, Lineage, format_lineage
from genestill.core.logs import log_counts, progress
from genestill.core.programs import run_program
from genestill.core.tables import read_table, write_tsv
from genestill.core.taxonomy import Taxonomy, read_taxonomy
from genestill.core.virtual_references import references_of
from genestill.labels.hits import write_hits
from genestill.labels.kept_search import KeptSearch, best_targets, examined_rows, read_kept, select_entries
from genestill.labels.lineages import count_labels, write_labels
from genestill.labels.mmseqs_results import (
    ALIGNMENT_COLUMNS,
    lines_by_key,
    read_index,
    read_results,
    write_results,
)
from genestill.labels.search import read_labels
from genestill.labels.tree import build_label_tree

_SUMMARY = ("clades_withheld", "fragments", "aligned_again", "unlabelled", "labelled_species", "cpu_seconds")


@dataclass(frozen=True)
class Reduced:
    """A database without some clades.

    Attributes:
        database: MMseqs2 database with the keys of the complete database.
        gone: bool [targets], withheld targets by key.
        share: share of the remaining residues; E-values of this database are those of the complete one times the share.
    """

    database: Path
    gone: np.ndarray
    share: float


def withhold(
    kept: KeptSearch,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    clades: Sequence[Lineage],
    threads: int,
    output: str | Path,
) -> dict[str, int]:
    """Write labels and hits without the sequences of ``clades``: labels.parquet, labels.tsv and hits.parquet.

    Args:
        kept: a kept search.
        index: ``table_schemas.INDEX``, of the same contigs.
        database: the database that was searched.
        taxonomy: folder written by ``reference taxonomy``.
        clades: the withheld clades, as lineages that end at the rank of the clade.
        threads: number of threads of MMseqs2.
        output: folder for ``table_schemas.LABELS`` (one row per contig of the index, in its order), Taxometer's input
            format, and ``table_schemas.HITS``.

    Returns:
        Counts: clades_withheld, fragments, aligned_again, hits, and those of the labels.

    Raises:
        InputError: a clade that is not in the taxonomy; clades with more residues than `LEAST_LEFT` allows.
    """
    names = read_taxonomy(taxonomy)
    ids = read_table(index, table_schemas.INDEX)["id"].tolist()
    taxids = [_taxid_of(names, clade, taxonomy) for clade in clades]
    output = Path(output)
    with scratch_folder(output, "withhold") as folder:
        reduced = _reduce(Path(database).resolve(), taxids, threads, folder)
        if reduced.share < kept.least_left:
            raise InputError(
                f"clades with {1 - reduced.share:.0%} of the residues of {database} are withheld; expected at most "
                f"{1 - kept.least_left:.0%}"
            )
        fragments = fragments_left(kept, reduced)
        labels, again = labels_left(kept, fragments, reduced, database, ids, threads, folder)
        counts = _write_hits_left(kept, fragments, reduced, ids, folder, output)
        lineages = write_labels(labels, names, output / "labels.parquet", output / "labels.tsv")

    counted = {"clades_withheld": len(clades), "fragments": len(fragments), "aligned_again": again}
    counted |= counts | count_labels(lineages)
    log_counts("labels", counted)
    return counted


def _reduce(database: Path, taxids: list[int], threads: int, folder: Path) -> Reduced:
    whole = read_index(f"{database}.index")
    gone = np.zeros(whole["key"].max() + 1, dtype=bool)
    if not taxids:
        return Reduced(database, gone, 1.0)
    kept = "&&".join(f"!{taxid}" for taxid in taxids)
    words = ["--taxon-list", kept, "--subdb-mode", 1, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "filtertaxseqdb", database, "left", *words], folder)
    left = read_index(folder / "left.index")
    gone[:] = True
    gone[left["key"]] = False
    # The length of an entry is its number of residues plus 2.
    share = (left["length"] - 2).sum() / (whole["length"] - 2).sum()
    return Reduced(folder.resolve() / "left", gone, float(share))  # "left" is a link


def labels_left(
    kept: KeptSearch,
    fragments: pd.DataFrame,
    reduced: Reduced,
    database: str | Path,
    ids: list[str],
    threads: int,
    folder: Path,
) -> tuple[LabelTable, int]:
    """Labels of contigs from some fragments in a smaller database, and the number of fragments aligned again.

    Args:
        kept: a kept search.
        fragments: result of `fragments_left`, or all of its rows for some contigs.
        reduced: the smaller database.
        database: the complete database.
        ids: the contigs of the index.
        threads: number of threads of MMseqs2.
        folder: folder for temporary files.
    """
    rows, again = _matches_left(kept, fragments, reduced)
    if len(again):
        rows = pd.concat([rows, _align_again(kept, again, reduced, threads, folder)])
        rows = rows.sort_values("fragment", kind="stable", ignore_index=True)
    _vote(kept, fragments, rows, Path(database).resolve(), threads, folder)
    return read_labels(folder / "labels.tsv", ids), len(again)


def fragments_left(kept: KeptSearch, reduced: Reduced) -> pd.DataFrame:
    """The fragments that pass the fast filter."""
    if kept.filtered is None:
        return kept.fragments
    rows = kept.filtered[~reduced.gone[kept.filtered["target"]]].drop_duplicates("fragment")
    near = rows.loc[rows["evalue"] * reduced.share <= kept.settings.orf_filter_evalue, "fragment"]
    passing = kept.fragments["fragment"].isin(near)
    without = ~kept.fragments["contig"].isin(kept.fragments.loc[passing, "contig"])
    return kept.fragments[passing | (without & kept.fragments["longest"])]


def _matches_left(kept: KeptSearch, fragments: pd.DataFrame, reduced: Reduced) -> tuple[pd.DataFrame, np.ndarray]:
    """Results of ``lcaalign`` in the smaller database, where they can be derived from those in the complete database.

    Returns:
        Rows of `kept_search.EXAMINED` that match, best first for each fragment, with E-values of the smaller database;
        and the keys of the fragments that must be aligned again.
    """
    settings = kept.settings
    keys = fragments["fragment"].to_numpy()
    usual = (settings.rejected, settings.accepted)
    best, open_ = best_targets(_left(kept.aligned, keys, reduced), settings.evalue, kept.whole[0], *usual)
    same = best.index[best == kept.parts.reindex(best.index)]
    rows = _left(kept.joined, same, reduced)
    match = (rows["place"] >= 0).to_numpy()
    key = rows["fragment"].to_numpy()
    inside, ended = examined_rows(key, match, settings.rejected, None)
    inside &= rows.groupby("fragment").cumcount().to_numpy() < settings.candidates
    unknown = np.setdiff1d(rows["fragment"].unique()[ended], kept.whole[1])
    again = np.union1d(np.union1d(best.index.difference(same), unknown), open_)
    found = rows[match & inside & ~rows["fragment"].isin(again)]
    return found.sort_values(["fragment", "place"], ignore_index=True), again


def _left(rows: pd.DataFrame, keys: Sequence[int], reduced: Reduced) -> pd.DataFrame:
    """The rows of fragments ``keys`` without withheld targets, with E-values of the smaller database."""
    rows = rows[rows["fragment"].isin(keys) & ~reduced.gone[rows["target"]]]
    return rows.assign(evalue=rows["evalue"] * reduced.share)


def _align_again(kept: KeptSearch, keys: np.ndarray, reduced: Reduced, threads: int, folder: Path) -> pd.DataFrame:
    """Results of ``lcaalign`` for some fragments in the smaller database, best first for each fragment."""
    settings, common = kept.settings, ["--threads", threads, "-v", 1]
    select_entries(kept.folder / "candidates", keys, folder / "again")
    among = ["--filter-file", f"{reduced.database}.index", "--positive-filter", 1, "--filter-column", 1]
    run_program(["mmseqs", "filterdb", "again", "left_again", *among, *common], folder)
    run_program(["mmseqs", "filterdb", "left_again", "first", "--extract-lines", settings.candidates, *common], folder)
    limits = ["-e", settings.evalue, "--max-accept", settings.accepted, "--max-rejected", settings.rejected]
    aligned = [kept.folder / "fragments", reduced.database, "first", "aligned_again", "--alignment-mode", 1, *limits]
    run_program(["mmseqs", "lcaalign", *aligned, *common], folder)
    table = read_results(folder / "aligned_again", ALIGNMENT_COLUMNS, folder, threads)
    return table.rename(columns={"key": "fragment"})


def _vote(
    kept: KeptSearch, fragments: pd.DataFrame, rows: pd.DataFrame, database: Path, threads: int, folder: Path
) -> None:
    """Write labels of the contigs from the matches of their fragments: labels.tsv in ``folder``."""
    settings, common = kept.settings, ["--threads", threads, "-v", 1]
    columns = zip(rows["target"], rows["bits"], rows["identity"], rows["evalue"], strict=True)
    lines = [f"{target}\t{bits}\t{identity:.3f}\t{evalue:.3E}\n" for target, bits, identity, evalue in columns]
    keys = fragments["fragment"].to_numpy()
    entries = lines_by_key(keys, rows["fragment"].to_numpy(), lines)
    write_results(folder / "matches", keys, entries)
    run_program(["mmseqs", "lca", database, "matches", "taxa", *common], folder)
    of_contig = fragments.groupby("contig")["fragment"].agg(lambda some: "".join(f"{key}\n" for key in some))
    write_results(folder / "sets", of_contig.index, of_contig)
    votes = ["--majority", settings.majority, "--vote-mode", settings.vote_mode, "--tax-lineage", 1]
    joined = [database, "sets", "taxa", "matches", "labels", *votes]
    run_program(["mmseqs", "aggregatetaxweights", *joined, *common], folder)
    run_program(["mmseqs", "createtsv", kept.folder / "contigs", "labels", "labels.tsv", *common], folder)


def _write_hits_left(
    kept: KeptSearch, fragments: pd.DataFrame, reduced: Reduced, ids: list[str], folder: Path, output: Path
) -> dict[str, int]:
    """Write the evidence, hits.parquet, as `search.search_contigs` does; return its counts."""
    settings = kept.settings
    rows = _left(kept.aligned, fragments["fragment"], reduced)
    match = (rows["evalue"] <= settings.hits_evalue).to_numpy()
    inside, _ = examined_rows(rows["fragment"].to_numpy(), match, settings.rejected, settings.hits)
    rows = rows[match & inside].merge(fragments, on="fragment")
    columns = ["taxid", "identity", "bits", "alignment_length", "fragment_length", "header"]
    table = folder / "hits.tsv"
    with open(table, "w", encoding="ascii") as handle:
        for row in rows[columns].itertuples(index=False):
            handle.write(f"{row[0]}\t{row[1]:.3f}\t{row[2]}\t{row[3]}\t{row[4]}\t{row[5]}\n")
    metadata = {"evalue": str(settings.hits_evalue)}
    with scratch_folder(folder, "parts") as parts:
        return write_hits(table, kept.row_of_key, ids, output / "hits.parquet", metadata, parts)


def withhold_each(
    search: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    withheld: str | Path,
    community: str,
    threads: int,
    other_children: bool,
    output: str | Path,
    reference: str | None = None,
) -> None:
    """`withhold` for every reference of a community, into ``<output>/<reference>``; with ``reference``, for this one.

    An existing result with the same clades, search, taxonomies (of the database and of the run) and setting of the
    label tree is kept; otherwise its folder is replaced, including files of other commands. ``<output>/references.tsv``
    has the cost of each reference.

    Args:
        search: folder written by `keep_search`.
        index, database, taxonomy, threads: see `withhold`.
        withheld: table written by ``reference withheld``.
        community: name of the community in that table.
        other_children: setting of the label tree, label_tree.tsv; see `tree.build_label_tree`.
        output: a folder with one folder per reference.
        reference: name of one reference; None for all.

    Raises:
        InputError: the table ``withheld`` has no row for the community; as `withhold`.
    """
    references = references_of(withheld, community, reference)
    kept, rows = read_kept(search), []
    taxonomies = [f"{database}_mapping", f"{database}_taxonomy", taxonomy]
    inputs = {
        "search": kept.identity,
        "taxonomies": [content_checksum(path) for path in taxonomies],
        "other_children": other_children,
    }
    for one in progress(references, len(references), "references", "withholding clades"):
        folder, start = Path(output) / one.name, sum(os.times()[:4])
        made_from = inputs | {"clades": [";".join(clade) for clade in one.clades]}
        summary = folder / "summary.json"
        # The last file to be written: if it exists, the result is complete.
        stands = summary.is_file() and read_json(summary).get("made_from") == made_from
        if not stands:
            with folder_aside(folder) as aside:
                counts = withhold(kept, index, database, taxonomy, one.clades, threads, aside)
                build_label_tree(
                    taxonomy,
                    aside / "labels.parquet",
                    aside / "hits.parquet",
                    aside / "label_tree.tsv",
                    other_children,
                )
                cost = {"cpu_seconds": round(sum(os.times()[:4]) - start, 1)}
                write_json(aside / "summary.json", {"made_from": made_from} | counts | cost)
        found = read_json(summary)
        rows.append({"reference": one.name} | {name: found[name] for name in _SUMMARY})
    table = pd.DataFrame(rows)
    write_tsv(Path(output) / "references.tsv", table)
    log_counts("virtual references", {"references": len(table), "cpu_seconds": round(table["cpu_seconds"].sum())})


def _taxid_of(names: Taxonomy, clade: Lineage, taxonomy: str | Path) -> int:
    lineage = clade + NO_LINEAGE[len(clade) :]
    taxid = names.taxid_of(lineage)
    if not taxid:
        raise InputError(f"{taxonomy}: does not contain the clade {format_lineage(lineage)!r}")
    return taxid
