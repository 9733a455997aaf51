"""Updating a kept search to another release of the database: only the added proteins are searched.

The results of `kept_search.keep_search` are per protein. The search of the new release is therefore the former one
without the withdrawn proteins, with the keys, taxa and E-values of the new release, combined with a search of only the
added proteins. MMseqs2 is given the size of the whole new database for the E-values of the added proteins. A fragment
is aligned again if its best target has changed, or if more alignments are needed than were stored.

For fragments that did not pass the fast filter in the former release but pass it because of an added protein, only
added proteins are candidates: the former proteins with most matching k-mers were not similar enough.
"""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, require_disk_space, scratch_folder, write_json
from genestill.core.lineage import Lineage, format_lineage
from genestill.core.logs import log_counts
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import mmseqs_version, run_program
from genestill.core.table_schemas import lineages_of
from genestill.core.tables import read_table, write_table, write_tsv
from genestill.core.taxonomy import read_taxonomy
from genestill.labels.changes import count_changes, describe_changes, explain
from genestill.labels.kept_search import (
    CANDIDATES,
    FILTER_HITS,
    FILTERED,
    FRAGMENTS,
    FURTHER,
    LEAST_LEFT,
    LOOKED_AT,
    KeptSearch,
    align_kept,
    best_targets,
    contigs_digest,
    filter_fragments,
    near_fragments,
    read_kept,
    run_alignment,
    select_entries,
    write_examined,
    write_parts,
    write_settings,
)
from genestill.labels.mmseqs_results import (
    ALIGNMENT_COLUMNS,
    CANDIDATE_COLUMNS,
    lines_by_key,
    read_results,
    write_results,
)
from genestill.labels.mmseqs_results import CANDIDATES as CANDIDATES_KIND
from genestill.labels.settings import SearchSettings
from genestill.labels.targets import (
    Difference,
    Targets,
    compare_targets,
    count_genomes,
    list_targets,
    new_lineages,
    read_kept_targets,
)
from genestill.labels.withholding import Reduced, fragments_left, labels_left, withhold

# The rule of MMseqs2 for -k 0: words of 7 amino acids for databases with more residues than this, else of 6.
LONG_WORDS = 3_350_000_000
ALL = 1_000_000  # more than the number of candidates of any fragment
_FOUND = {"key": np.int64, **ALIGNMENT_COLUMNS, "taxid": np.int64}


def update_search(
    former: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
) -> tuple[Targets, Targets, Difference]:
    """Write what `keep_search` would write for the database, using its results for a former release.

    Args:
        former: folder written by `keep_search` or by this function.
        index: ``table_schemas.INDEX``, of the same contigs.
        database: MMseqs2 taxonomy database of proteins: the new release.
        taxonomy: folder written by ``reference taxonomy`` for the new release.
        settings: see `SearchSettings`; must be those of the former search.
        threads: number of threads of MMseqs2.
        output: the folder to write.

    Returns:
        The proteins of both releases, and their difference.

    Raises:
        InputError: the former search is incomplete, of other contigs, or was made by another release of MMseqs2 or with
            other settings, or the size of its database differs too much; as `check_database`; not enough disk space.
    """
    former, database = Path(former), Path(database).resolve()
    check_database(database)
    checksums = read_table(index, table_schemas.INDEX)["checksum"]
    refuse_other_search(former, checksums, index, settings)
    kept, before = read_kept(former), read_kept_targets(former)
    size = sum(file.stat().st_size for file in former.iterdir())
    require_disk_space(Path(output).parent, 3 * size + 200_000_000, "the search")
    with folder_aside(output) as aside, scratch_folder(aside, "search") as folder:
        aside, folder = aside.resolve(), folder.resolve()
        after = list_targets(database, taxonomy, threads, folder)
        difference = compare_targets(before, after)
        least_left = max(LEAST_LEFT, kept.least_left / difference.share)
        _refuse_other_size(before, after, difference, kept, least_left, database)
        for name in ("contigs", "fragments"):
            for file in former.glob(f"{name}*"):
                if not file.name.endswith(".parquet"):
                    shutil.copyfile(file, aside / file.name)
        update = _Update(kept, before, after, difference, database, threads, aside, folder)
        update.run()
        after.write(aside)
        write_settings(aside, checksums, database, settings, least_left)
    return before, after, difference


def refuse_other_search(former: Path, checksums: pd.Series, index: str | Path, settings: SearchSettings) -> None:
    """Raise `InputError` unless the kept search is complete and has these contigs, MMseqs2 version and settings."""
    again = "make it again with genestill labels keep-search"
    if not (former / "settings.json").is_file():
        raise InputError(f"{former}: not a complete kept search (it has no settings.json); {again}")
    made = read_json(former / "settings.json")
    if "contigs" not in made:
        raise InputError(f"{former}: was kept by an earlier version of genestill; {again}")
    if made["contigs"] != contigs_digest(checksums):
        raise InputError(
            f"{former}: not a search of these contigs: its checksums differ from those of the {len(checksums)} contigs "
            "of "
            f"{index}"
        )
    if made["mmseqs2"] != (version := mmseqs_version()):
        raise InputError(
            f"{former}: was made by MMseqs2 {made['mmseqs2']}, but version {version} is installed; {again}"
        )
    for name, value in asdict(settings).items():
        if made["settings"].get(name) != value:
            raise InputError(
                f"{former}: was made with {name} {made['settings'].get(name)}, but now labels.{name} is {value}; give "
                f"the same value, or {again}"
            )


def _refuse_other_size(
    before: Targets, after: Targets, difference: Difference, kept: KeptSearch, least_left: float, database: Path
) -> None:
    stay = difference.new_key[before.table["target"]] >= 0
    share = before.table.loc[stay, "residues"].sum() / before.residues
    if share < LEAST_LEFT or least_left > 1:
        raise InputError(
            f"{database}: contains {share:.0%} of the residues that were searched before; expected at least "
            f"{LEAST_LEFT:.0%}: search it again"
        )
    if kept.settings.kmer == 0 and (before.residues > LONG_WORDS) != (after.residues > LONG_WORDS):
        raise InputError(
            f"{database}: MMseqs2 searches databases of more than {LONG_WORDS:,} residues with longer words, and only "
            "one "
            "of the two releases is larger: search it again"
        )


class _Update:
    """The steps of `update_search`; tables have the keys, taxids and E-values of the new release."""

    def __init__(
        self,
        kept: KeptSearch,
        before: Targets,
        after: Targets,
        difference: Difference,
        database: Path,
        threads: int,
        output: Path,
        folder: Path,
    ):
        self.kept, self.difference, self.database, self.threads = kept, difference, database, threads
        self.output, self.folder = output, folder
        long = after.residues > LONG_WORDS
        self.settings = kept.settings
        self.kmer = kept.settings.kmer or (7 if long else 6)
        self.taxid, self.residues = after.by_key("taxid"), after.by_key("residues")
        self.fragments = read_table(kept.folder / "fragments.parquet", FRAGMENTS)
        self.common = ["--threads", threads, "-v", 1]

    def run(self) -> None:
        """Write all tables and databases except those of the targets and settings."""
        added = np.flatnonzero(self.difference.added)
        self.added = self.folder / "added"
        if len(added):
            select_entries(self.database, added, self.added)
        if self.kept.filtered is not None:
            filtered = self._filter(bool(len(added)))
            write_table(self.output / "filtered.parquet", filtered, FILTERED)
            self.fragments["searched"] |= self.fragments["fragment"].isin(near_fragments(filtered, self.settings))
        write_table(self.output / "fragments.parquet", self.fragments, FRAGMENTS)
        candidates, cut = self._candidates(bool(len(added)))
        columns = zip(candidates["target"], candidates["score"], candidates["diagonal"], strict=True)
        lines = [f"{target}\t{score}\t{diagonal}\n" for target, score, diagonal in columns]
        keys = self.fragments.loc[self.fragments["searched"], "fragment"].to_numpy()
        entries = lines_by_key(keys, candidates["key"].to_numpy(), lines)
        write_results(self.output / "candidates", keys, entries, CANDIDATES_KIND)
        candidates = candidates[candidates.groupby("key").cumcount() < LOOKED_AT * self.settings.candidates]
        self._align(candidates, cut)

    def _filter(self, any_added: bool) -> pd.DataFrame:
        """Rows of `FILTERED`."""
        assert self.kept.filtered is not None  # the kept search had the filter
        former = self._renamed(self.kept.filtered)
        if not any_added:
            return former
        pinned = SearchSettings(**asdict(self.settings) | {"kmer": self.kmer})
        fragments = self.kept.folder / "fragments"
        found = filter_fragments(fragments, self.added, self.database, pinned, self.threads, self.folder)
        # The stored rows are the first ones of the former release, so added rows may only be inserted between them.
        known = self.kept.filtered.groupby("fragment")["kmers"].agg(["size", "min"])
        near = near_fragments(self.kept.filtered, self.settings)
        ends = (known["size"] < FILTER_HITS) & known.index.isin(near)
        floor = found["fragment"].map(known["min"].where(~ends, 0)).fillna(0)
        found = found[(found["kmers"] >= floor) | ~found["fragment"].isin(former["fragment"])]
        both = pd.concat([former, found]).sort_values(
            ["fragment", "kmers", "target"], ascending=[True, False, True], ignore_index=True
        )
        return both[both.groupby("fragment").cumcount() < FILTER_HITS]

    def _renamed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the former search without withdrawn targets, with the keys and E-values of the new release."""
        rows = rows.assign(target=self.difference.new_key[rows["target"]])
        rows = rows[rows["target"] >= 0]
        if "evalue" in rows:
            rows = rows.assign(evalue=rows["evalue"] * self.difference.share)
        if "taxid" in rows:
            rows = rows.assign(taxid=np.where(rows["place"] >= 0, self.taxid[rows["target"]], 0))
        return rows

    def _candidates(self, any_added: bool) -> tuple[pd.DataFrame, np.ndarray]:
        """Candidates of every fragment (key, target, score, diagonal), best first, and the keys that may have more."""
        most = CANDIDATES * self.settings.candidates
        former = read_results(self.kept.folder / "candidates", CANDIDATE_COLUMNS, self.folder, self.threads)
        size = former.groupby("key")["score"].agg(["size", "min"])
        full = size[size["size"] >= most]
        former = self._renamed(former)
        tables = [former]
        if any_added:
            searched = self.fragments.loc[self.fragments["searched"], "fragment"]
            select_entries(self.kept.folder / "fragments", searched, self.folder / "searched")
            pinned = ["-s", self.settings.sensitivity, "-k", self.kmer, "--max-seqs", most]
            words = [self.folder / "searched", self.added, self.folder / "new", *pinned, *self.common]
            run_program(["mmseqs", "prefilter", *words])
            found = read_results(self.folder / "new", CANDIDATE_COLUMNS, self.folder, self.threads)
            tables.append(found[found["score"] >= found["key"].map(full["min"]).fillna(0)])
        both = pd.concat(tables).sort_values(
            ["key", "score", "target"], ascending=[True, False, True], ignore_index=True
        )
        both = both[both.groupby("key").cumcount() < most].reset_index(drop=True)
        number = both["key"].value_counts()
        many = number.index[number >= LOOKED_AT * self.settings.candidates]
        return both, np.union1d(many, full.index)

    def _align(self, candidates: pd.DataFrame, cut: np.ndarray) -> None:
        """Write the two tables of alignments."""
        settings = self.settings
        order = candidates[["key", "target"]].assign(added=self.difference.added[candidates["target"]])
        limit = ["-e", settings.evalue / LEAST_LEFT, "--max-rejected", ALL, "--max-accept", ALL]
        rows, end = known_rows(order, self._renamed(self.kept.aligned))
        found = self._of_added(rows[rows["added"]], ["align", *limit, "--alignment-mode", 3], None)
        aligned, whole = self._merged(rows, found), np.setdiff1d(end, cut)
        # If the end of the alignments or the best target is not known, the fragment is aligned again.
        usual = settings.rejected, settings.accepted
        best, open_ = best_targets(aligned, settings.evalue / LEAST_LEFT, whole, *usual)
        if len(open_):
            again, ended = self._again("aligned", open_, candidates)
            aligned = _replaced(aligned, again, open_)
            whole = np.union1d(np.setdiff1d(whole, open_), np.setdiff1d(ended, cut))
            best, _ = best_targets(aligned, settings.evalue / LEAST_LEFT, whole, *usual)
        write_examined(self.output, "aligned", aligned, whole)

        whole_aligned, limits = whole, (FURTHER * settings.rejected, settings.accepted)
        part = pd.Series(self.difference.new_key[self.kept.parts], self.kept.parts.index)
        same = best.index[best == part.reindex(best.index)]
        changed = best.index.difference(same)
        rows, end = known_rows(order[order["key"].isin(same)], self._renamed(self.kept.joined))
        found = self._of_added(rows[rows["added"]], ["lcaalign", *limit, "--alignment-mode", 1], best)
        joined, whole = self._merged(rows, found), np.setdiff1d(end, cut)
        if len(changed):
            again, ended = self._again("joined", changed, candidates)
            joined = _replaced(joined, again, changed)
            whole = np.union1d(whole, np.setdiff1d(ended, cut))
        write_examined(self.output, "joined", joined, whole)
        # The best target for labels is searched further: if it is not known, the fragment is aligned again for labels.
        further, unsure = best_targets(aligned, settings.evalue / LEAST_LEFT, whole_aligned, *limits)
        known = np.setdiff1d(np.intersect1d(changed, further.index), unsure)
        write_parts(self.output, pd.concat([best[same], further[known]]).sort_index())
        log_counts("update", {"fragments": len(best), "aligned_again": len(open_), "with_another_best": len(changed)})

    def _of_added(self, rows: pd.DataFrame, module: list, best: pd.Series | None) -> pd.DataFrame:
        """Alignments of added targets; with ``best``, alignments of the part of the best target (see ``lcaalign``)."""
        if not len(rows):
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _FOUND.items()})
        lists = rows[["key", "target"]]
        if best is not None:
            keys = lists["key"].unique()
            lists = pd.concat([pd.DataFrame({"key": keys, "target": best.reindex(keys).to_numpy()}), lists])
            lists = lists.drop_duplicates(["key", "target"]).sort_values("key", kind="stable")
        lines = [f"{target}\t0\t0\n" for target in lists["target"]]
        keys = lists["key"].unique()
        name = self.folder / f"added_{module[0]}"
        write_results(name, keys, lines_by_key(keys, lists["key"].to_numpy(), lines), CANDIDATES_KIND)
        found = run_alignment(module, self.kept.folder, name, self.database, self.common, self.folder)
        return found[self.difference.added[found["target"]]]

    def _merged(self, rows: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
        """Rows of `EXAMINED`: the known rows together with the alignments ``found`` for added targets."""
        spans = [(found["stop"] - found["start"]).abs(), (found["target_stop"] - found["target_start"]).abs()]
        own = found[["key", "target", "evalue", "bits", "identity", "taxid"]].assign(
            alignment_length=np.maximum(*spans) + 1, fragment_length=found["length"]
        )
        values = ["evalue", "bits", "identity", "taxid", "alignment_length", "fragment_length"]
        table = rows.merge(own, on=["key", "target"], how="left", suffixes=("", "_found"))
        for name in values:
            table[name] = table[name].where(~table["added"], table[f"{name}_found"])
        match = table["evalue"].notna() & (table["evalue"] <= self.settings.evalue / LEAST_LEFT)
        table.loc[~match, values] = np.nan
        table["place"] = places(table[match], self.residues).reindex(table.index).fillna(-1)
        table = table.rename(columns={"key": "fragment"})
        numbers = {name: 0 for name in values if name != "evalue"}
        kinds = {"place": np.int32, "bits": np.int32, "taxid": np.int64, "identity": np.float32}
        kinds |= {"alignment_length": np.int32, "fragment_length": np.int32}
        columns = ["fragment", "target", "place", *values]
        return table[columns].fillna(numbers).astype(kinds)

    def _again(self, name: str, keys: np.ndarray, candidates: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        lists = self.folder / f"again_{name}"
        select_entries(self.output / "candidates", keys, lists)
        some = candidates[candidates["key"].isin(keys)]
        return align_kept(name, self.output, lists, some, self.database, self.settings, self.threads, self.folder)


def places(rows: pd.DataFrame, residues: np.ndarray) -> pd.Series:
    """The position of each match among those of its fragment, from 0, in the order of MMseqs2.

    The order is E-value, score, length of the target, key. Scaled E-values of four digits differ by less than the
    factor between two scores (1.3) if their scores are equal.

    Args:
        rows: key, target, evalue and bits.
        residues: int [keys], length of each target, by key.
    """
    table = rows[["key", "target", "evalue", "bits"]].sort_values(["key", "evalue"])
    step = (table["key"] != table["key"].shift()) | (table["evalue"] > 1.05 * table["evalue"].shift())
    table = table.assign(step=step.cumsum(), score=-table["bits"], length=residues[table["target"]])
    return table.sort_values(["step", "score", "length", "target"]).groupby("key").cumcount()


def known_rows(order: pd.DataFrame, former: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The candidates of each fragment up to the first one whose alignment is unknown.

    Args:
        order: key, target and added, in the order of alignment.
        former: rows of `EXAMINED`, with the keys of the new release.

    Returns:
        Rows of ``order`` with the columns of ``former``, and the keys all of whose candidates are known.
    """
    table = order.merge(former.rename(columns={"fragment": "key"}), on=["key", "target"], how="left")
    unknown = (table["place"].isna() & ~table["added"]).to_numpy()
    counted = pd.Series(unknown).groupby(table["key"].to_numpy()).cumsum().to_numpy()
    keys = table["key"].unique()
    return table[counted == 0].reset_index(drop=True), np.setdiff1d(keys, table.loc[unknown, "key"])


def _replaced(rows: pd.DataFrame, again: pd.DataFrame, keys: np.ndarray) -> pd.DataFrame:
    rows = pd.concat([rows[~rows["fragment"].isin(keys)], again])
    return rows.sort_values("fragment", kind="stable", ignore_index=True)


def update_labels(
    former: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    abundance: str | Path | None,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
) -> str:
    """Update labels and hits to a new release of the database from a search in a former one, and report the changes.

    Args:
        former: folder with the files of `keep_search` (in ``kept``) and ``labels.parquet`` of the former release: the
            folder ``labels`` of a run, or an output of this function.
        index, database, taxonomy, settings, threads: see `update_search`.
        abundance: ``id`` and one column per sample, to count changes in each sample; None to count all contigs
            together.
        output: folder for ``labels.parquet``, ``labels.tsv`` and ``hits.parquet`` (see `search.search_contigs`), the
            kept search for the next update (``kept``), ``changes.tsv`` (see `changes.count_changes`),
            ``changed_contigs.tsv`` (contig, rank, change, reason, before, after) and ``summary.json``.

    Returns:
        The changes and their reasons, as lines for the terminal.

    Raises:
        InputError: as `update_search`; the former labels belong to other contigs.
    """
    former, output, database = Path(former), Path(output), Path(database).resolve()
    if former.resolve() == output.resolve():
        raise InputError(f"{output}: the folder of the former labels; expected another one for the new labels")
    ids = read_table(index, table_schemas.INDEX)["id"].tolist()
    before = read_table(former / "labels.parquet", table_schemas.LABELS)
    if before["id"].tolist() != ids:
        raise InputError(
            f"{former / 'labels.parquet'}: its contigs differ from those of {index}, or are in another order"
        )
    targets, new_targets, difference = update_search(
        former / "kept", index, database, taxonomy, settings, threads, output / "kept"
    )
    kept = read_kept(output / "kept")
    counts = withhold(kept, index, database, taxonomy, [], threads, output)
    lineages = lineages_of(before), lineages_of(read_table(output / "labels.parquet", table_schemas.LABELS))
    changed = [row for row, (old, new) in enumerate(zip(*lineages, strict=True)) if old != new]
    between = list(lineages[1])
    if changed and difference.added.any():
        place = database, taxonomy, ids, threads, output
        without = _lineages_without_added(kept, difference, new_targets, changed, *place)
        for row in changed:
            between[row] = without[row]
    names = new_lineages(targets, new_targets, difference)
    any_withdrawn = bool((difference.new_key[targets.table["target"]] < 0).any())
    explained = explain(lineages[0], between, lineages[1], names, any_withdrawn)
    table = count_changes(explained, index, abundance)
    write_tsv(output / "changes.tsv", table)
    texts = [[format_lineage(some[row]) for row in changed] for some in lineages]
    some = explained.iloc[changed].assign(before=texts[0], after=texts[1])
    some.insert(0, "contig", [ids[row] for row in changed])
    write_tsv(output / "changed_contigs.tsv", some)
    genomes = count_genomes(targets, new_targets, difference)
    counts = {name: count for name, count in counts.items() if name != "clades_withheld"}
    summary = {
        "mmseqs2": mmseqs_version(),
        "settings": asdict(settings) | {"threads": threads},
        "database": str(database),
        "former": str(former),
        "genomes": genomes,
        "counts": counts | {"changed": len(changed)},
    }
    write_json(output / "summary.json", summary)
    return describe_changes(table, genomes)


def _lineages_without_added(
    kept: KeptSearch,
    difference: Difference,
    targets: Targets,
    rows: list[int],
    database: Path,
    taxonomy: str | Path,
    ids: list[str],
    threads: int,
    folder: Path,
) -> list[Lineage]:
    """The lineages of some contigs (rows of the index) in the new release without the added proteins."""
    with scratch_folder(folder, "without") as scratch:
        keys = targets.table["target"].to_numpy()
        stay = keys[~difference.added[keys]]
        select_entries(database, stay, scratch / "stay")
        residues = targets.by_key("residues")[stay].sum(dtype=np.int64)
        reduced = Reduced(scratch.resolve() / "stay", difference.added, float(residues / targets.residues))
        fragments = fragments_left(kept, reduced)
        fragments = fragments[np.isin(kept.row_of_key[fragments["contig"]], rows)]
        labels, _ = labels_left(kept, fragments, reduced, database, ids, threads, scratch)
        return read_taxonomy(taxonomy).lineages_of(labels)
