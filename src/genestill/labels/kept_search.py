"""A kept search: everything that is needed to compute the labels for a smaller reference within seconds.

The steps are those of ``mmseqs taxonomy`` for contigs (its scripts taxpercontig.sh and taxonomy.sh, approximate 2bLCA),
module by module. Three of them stop early depending on their results, and are continued further here:

- the fast filter of fragments (``--orf-filter``) uses only the target with most matching k-mers: `FILTER_HITS` targets
  are kept, in its order;
- alignments to the candidates end after ``--max-accept`` matches or ``--max-rejected`` failures in a row: `FURTHER`
  times as many alignments are computed;
- ``lcaalign`` aligns the matching part of the best target to the candidates, and is continued in the same way.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, require_disk_space, scratch_folder, write_json
from genestill.core.logs import log_counts
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import mmseqs_version, run_program
from genestill.core.table_schemas import column
from genestill.core.tables import read_table, write_table
from genestill.labels.mmseqs_results import ALIGNMENT_COLUMNS, CANDIDATE_COLUMNS, read_results
from genestill.labels.search import rows_of_keys, write_queries
from genestill.labels.settings import SearchSettings
from genestill.labels.targets import list_targets

CANDIDATES = 5  # ratio of stored to aligned candidates, because candidates move up when others are withheld
LOOKED_AT = 2
FURTHER = 3
FILTER_HITS = 50
LEAST_LEFT = 0.25  # minimum share of the residues in a smaller database; E-values are kept up to its inverse

FRAGMENTS = pa.schema(
    [
        column("fragment", pa.int64(), "key of the fragment"),
        column("contig", pa.int64(), "key of its contig"),
        column("header", pa.string(), "contig and position, as written by MMseqs2"),
        column("longest", pa.bool_(), "whether it is the contig's longest: kept if none passes the filter"),
        column("searched", pa.bool_(), "whether candidates were searched: it may pass the filter"),
    ]
)
FILTERED = pa.schema(
    [
        column("fragment", pa.int64(), "key of the fragment"),
        column("target", pa.int64(), "key of a protein; most matching k-mers first"),
        column("kmers", pa.int32(), "score of the matching k-mers"),
        column("evalue", pa.float64(), "E-value of the ungapped alignment"),
    ]
)
EXAMINED = pa.schema(
    [
        column("fragment", pa.int64(), "key of the fragment"),
        column("target", pa.int64(), "key of a candidate; in the order in which they are aligned"),
        column("place", pa.int32(), "its place among the matches, best first, from 0; -1 for no match"),
        column("evalue", pa.float64(), "E-value in the whole database; null for no match"),
        column("bits", pa.int32(), "score", "bits"),
        column("identity", pa.float32(), "identical residues of the alignment", "share"),
        column("alignment_length", pa.int32(), "length of the alignment", "amino acids"),
        column("fragment_length", pa.int32(), "length of the fragment", "amino acids"),
        column("taxid", pa.int64(), "taxon of the target"),
    ]
)


@dataclass(frozen=True)
class KeptSearch:
    """The results of `keep_search`.

    Attributes:
        folder: folder with the databases ``fragments``, ``candidates`` and ``contigs``.
        settings: settings of the search.
        fragments: rows of `FRAGMENTS` that were searched, keys ascending.
        filtered: rows of `FILTERED`: the first of every fragment, and `FILTER_HITS` of those that may pass the filter;
            None if the search has no filter.
        aligned: rows of `EXAMINED`: alignments of the fragments.
        joined: rows of `EXAMINED`: alignments of the part of the best target.
        whole: int64, keys of fragments all of whose candidates are in ``aligned``, and the same for ``joined``.
        parts: the target of each fragment whose part was used for ``joined``; index: fragment.
        row_of_key: int64 [keys], for each key of a contig its row in the index.
        identity: checksum that differs for other contigs, another database or other settings.
        least_left: minimum share of the residues in a smaller database, see `LEAST_LEFT`.
    """

    folder: Path
    settings: SearchSettings
    fragments: pd.DataFrame
    filtered: pd.DataFrame | None
    aligned: pd.DataFrame
    joined: pd.DataFrame
    whole: tuple[np.ndarray, np.ndarray]
    parts: pd.Series
    row_of_key: np.ndarray
    identity: str
    least_left: float


def keep_search(
    contigs: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
) -> None:
    """Search and write a folder ``output`` for `read_kept`.

    Args:
        contigs: FASTA file.
        index: ``table_schemas.INDEX``.
        database: MMseqs2 taxonomy database of proteins.
        taxonomy: folder written by ``reference taxonomy``.
        settings: see `SearchSettings`.
        threads: number of threads of MMseqs2.
        output: a folder of MMseqs2 databases and tables.

    Raises:
        InputError: as `check_database`; another ``lca_mode`` than 3; not enough disk space.
    """
    if settings.lca_mode != 3:
        raise InputError(f"lca_mode {settings.lca_mode}: only a search with lca_mode 3 can be kept")
    check_database(database)
    database = Path(database).resolve()
    table = read_table(index, table_schemas.INDEX)
    require_disk_space(Path(output).parent, 60 * int(table["length"].sum()) + 200_000_000, "the search")
    with folder_aside(output) as aside, scratch_folder(aside, "search") as folder:
        aside, common = aside.resolve(), ["--threads", threads, "-v", 1]
        write_queries(contigs, table["id"], folder / "contigs.fna")
        created = ["contigs.fna", aside / "contigs", "--dbtype", 2, "--shuffle", 0, "-v", 1]
        run_program(["mmseqs", "createdb", *created], folder)
        where = ["--min-length", settings.minimum_fragment, "--max-length", 32734, "--orf-start-mode", 1]
        where += ["--translation-table", settings.translation_table, "--translate", 1]
        run_program(["mmseqs", "extractorfs", aside / "contigs", aside / "fragments", *where, *common], folder)
        # A link that contains the temporary name of this folder.
        (aside / "fragments.source").unlink(missing_ok=True)
        fragments = _read_fragments(aside / "fragments", folder, threads)
        if has_filter(settings):
            filtered = filter_fragments(aside / "fragments", database, database, settings, threads, folder)
            write_table(aside / "filtered.parquet", filtered, FILTERED)
            near = fragments["fragment"].isin(near_fragments(filtered, settings))
            fragments["searched"] = near | fragments["longest"]
        write_table(aside / "fragments.parquet", fragments, FRAGMENTS)
        select_entries(aside / "fragments", fragments.loc[fragments["searched"], "fragment"], folder / "searched")
        pinned = ["-s", settings.sensitivity, "-k", settings.kmer, "--max-seqs", CANDIDATES * settings.candidates]
        run_program(["mmseqs", "prefilter", folder / "searched", database, aside / "candidates", *pinned, *common])
        _align(aside, database, settings, threads, folder)
        targets = list_targets(database, taxonomy, threads, folder)
        targets.write(aside)
        write_settings(aside, table["checksum"], database, settings, LEAST_LEFT)
    log_counts("search that is kept", {"contigs": len(table), "fragments": int(fragments["searched"].sum())})


def write_settings(
    folder: Path, checksums: pd.Series, database: Path, settings: SearchSettings, least_left: float
) -> None:
    """Write settings.json as the last file: a folder without it is not a complete search."""
    digest = hashlib.sha256("".join(checksums).encode())
    digest.update(Path(f"{database}.index").read_bytes())
    digest.update(json.dumps(asdict(settings), sort_keys=True).encode())
    made = {"identity": digest.hexdigest()[:16], "contigs": contigs_digest(checksums), "mmseqs2": mmseqs_version()}
    write_json(folder / "settings.json", made | {"settings": asdict(settings), "least_left": least_left})


def contigs_digest(checksums: pd.Series) -> str:
    """A checksum of the contigs of an index, from their checksums."""
    return hashlib.sha256("".join(checksums).encode()).hexdigest()[:16]


def _read_fragments(fragments: Path, folder: Path, threads: int) -> pd.DataFrame:
    """Rows of `FRAGMENTS` for all open reading frames, all marked as searched."""
    text = {"contig": np.int64, "place": "string", "flag": "string"}
    table = read_results(f"{fragments}_h", text, folder, threads).rename(columns={"key": "fragment"})
    length = table["place"].str.extract(r"[+-](\d+)$")[0].astype(np.int64)
    order = np.lexsort([table["fragment"], -length, table["contig"]])
    first = table["contig"].iloc[order].drop_duplicates().index
    flag = ("\t" + table["flag"]).fillna("")
    header = table["contig"].astype("string") + "\t" + table["place"] + flag
    return pd.DataFrame(
        {
            "fragment": table["fragment"],
            "contig": table["contig"],
            "header": header,
            "longest": table.index.isin(first),
            "searched": True,
        }
    )


def has_filter(settings: SearchSettings) -> bool:
    """Whether MMseqs2 filters fragments: it does not if the filter would be more sensitive than the search."""
    return bool(settings.orf_filter) and settings.orf_filter_sensitivity <= settings.sensitivity


def filter_fragments(
    fragments: Path, searched: Path, database: Path, settings: SearchSettings, threads: int, folder: Path
) -> pd.DataFrame:
    """Rows of `FILTERED`: results of the fast filter in ``searched``, which is ``database`` or a part of it."""
    pinned = ["-s", settings.orf_filter_sensitivity, "-k", settings.kmer, "--max-seqs", FILTER_HITS]
    pinned += ["--diag-score", 0, "--min-ungapped-score", 3, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "prefilter", fragments, searched, "filter", *pinned], folder)
    most = ["--rescore-mode", 2, "-e", 1e9, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "rescorediagonal", fragments, database, "filter", "rescored", *most], folder)
    table = read_results(folder / "rescored", ALIGNMENT_COLUMNS, folder, threads).rename(columns={"key": "fragment"})
    scores = read_results(folder / "filter", CANDIDATE_COLUMNS, folder, threads)
    scores = scores.rename(columns={"key": "fragment", "score": "kmers"}).drop(columns="diagonal")
    table = table.merge(scores, on=["fragment", "target"])
    near = table["fragment"].isin(near_fragments(table, settings))
    return table[near | ~table["fragment"].duplicated()].reset_index(drop=True)


def near_fragments(filtered: pd.DataFrame, settings: SearchSettings) -> np.ndarray:
    """The fragments that pass the filter with this database or may pass it with a smaller one."""
    return filtered.loc[filtered["evalue"] <= settings.orf_filter_evalue / LEAST_LEFT, "fragment"].unique()


def select_entries(database: Path, keys: Iterable[int], output: Path) -> None:
    """Make an MMseqs2 database of the entries with these keys, in this order, and a list of the keys beside it."""
    chosen = output.with_suffix(".list")
    chosen.write_text("".join(f"{key}\n" for key in keys), encoding="ascii")
    run_program(["mmseqs", "createsubdb", chosen, database, output, "--subdb-mode", 1, "-v", 1])


def _align(kept: Path, database: Path, settings: SearchSettings, threads: int, folder: Path) -> None:
    """Align fragments, and parts of their best targets, to the candidates, and write the two tables of `EXAMINED`."""
    candidates, cut = read_candidates(kept / "candidates", settings, threads, folder)
    where = kept, kept / "candidates", candidates, database, settings, threads, folder
    aligned, whole = align_kept("aligned", *where)
    whole = np.setdiff1d(whole, cut)
    write_examined(kept, "aligned", aligned, whole)
    limits = FURTHER * settings.rejected, settings.accepted
    best, unsure = best_targets(aligned, settings.evalue / LEAST_LEFT, whole, *limits)
    joined, whole = align_kept("joined", *where)
    write_examined(kept, "joined", joined, np.setdiff1d(whole, cut))
    write_parts(kept, best.drop(np.intersect1d(unsure, best.index)))


def read_candidates(
    database: Path, settings: SearchSettings, threads: int, folder: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """The first candidates of each fragment (key, target, score, diagonal), and the keys that may have more."""
    # More candidates are not loaded into memory; if these are not sufficient, a fragment is aligned again.
    lines = LOOKED_AT * settings.candidates
    words = [database, "first", "--extract-lines", lines, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "filterdb", *words], folder)
    candidates = read_results(folder / "first", CANDIDATE_COLUMNS, folder, threads)
    return candidates, candidates["key"].value_counts().loc[lambda number: number >= lines].index.to_numpy()


def align_kept(
    name: str,
    kept: Path,
    lists: Path,
    candidates: pd.DataFrame,
    database: Path,
    settings: SearchSettings,
    threads: int,
    folder: Path,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Compute the alignments of a kept search: ``aligned`` (of fragments) or ``joined`` (of parts of best targets).

    Args:
        name: ``aligned`` or ``joined``.
        kept: folder with the database ``fragments``.
        lists: database of the candidates.
        candidates: the first candidates: key, target.
        database: the database of the targets, whose size determines the E-values.
        settings, threads: settings and threads of the search.
        folder: folder for temporary files.

    Returns:
        Rows of `EXAMINED`, and the keys all of whose ``candidates`` were aligned.
    """
    common = ["--threads", threads, "-v", 1]
    limits = ["-e", settings.evalue / LEAST_LEFT, "--max-rejected", FURTHER * settings.rejected]
    accepted = FURTHER * max(settings.accepted, settings.hits) if name == "aligned" else None
    if name == "aligned":
        module = ["align", *limits, "--max-accept", accepted, "--alignment-mode", 3]
    else:
        module = ["lcaalign", *limits, "--max-accept", settings.accepted, "--alignment-mode", 1]
    matches = run_alignment(module, kept, lists, database, common, folder)
    return _examined(candidates, matches, FURTHER * settings.rejected, accepted)


def run_alignment(module: list, kept: Path, lists: Path, database: Path, common: list, folder: Path) -> pd.DataFrame:
    """Run ``align`` or ``lcaalign`` of MMseqs2 with these options, and read the matches with their taxids."""
    with scratch_folder(folder, "alignment") as scratch:
        command, *options = module
        scratch = scratch.resolve()
        run_program(["mmseqs", command, kept / "fragments", database, lists, scratch / "found", *options, *common])
        run_program(["mmseqs", "addtaxonomy", database, scratch / "found", scratch / "taxa", *common])
        return read_results(scratch / "taxa", ALIGNMENT_COLUMNS | {"taxid": np.int64}, scratch, common[1])


def write_examined(kept: Path, name: str, examined: pd.DataFrame, whole: np.ndarray) -> None:
    """Write a table of `EXAMINED`, and beside it the fragments all of whose candidates are in it."""
    write_table(kept / f"{name}.parquet", examined, EXAMINED)
    write_table(kept / f"{name}_whole.parquet", pd.DataFrame({"fragment": whole}), _WHOLE)


def write_parts(kept: Path, best: pd.Series) -> None:
    """Write the target of each fragment (index) whose part was used for the ``joined`` alignments."""
    table = best.rename("target").rename_axis("fragment").reset_index()
    write_table(kept / "parts.parquet", table, _PARTS)


_PARTS = pa.schema(
    [
        column("fragment", pa.int64(), "key of a fragment"),
        column("target", pa.int64(), "key of its best target, whose part was aligned to the candidates"),
    ]
)
_WHOLE = pa.schema([column("fragment", pa.int64(), "key of a fragment all of whose candidates were aligned")])


def _examined(
    candidates: pd.DataFrame, matches: pd.DataFrame, rejected: int, accepted: int | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """The candidates up to the last one that MMseqs2 aligned for a fragment, with their results.

    Args:
        candidates: key and target, in the order of alignment.
        matches: the accepted candidates, best first for each key.
        rejected: number of failures in a row after which the alignment stopped.
        accepted: number of matches after which it stopped; None for no such limit.

    Returns:
        Rows of `EXAMINED`, and the keys all of whose candidates were aligned.
    """
    matches = matches.assign(place=matches.groupby("key").cumcount())
    table = candidates.merge(matches, on=["key", "target"], how="left")
    inside, whole = examined_rows(table["key"].to_numpy(), table["place"].notna().to_numpy(), rejected, accepted)
    found = table[inside]
    none = {"place": -1, "bits": 0, "identity": 0, "taxid": 0}
    spans = [(found["stop"] - found["start"]).abs(), (found["target_stop"] - found["target_start"]).abs()]
    rows = pd.DataFrame(
        {
            "fragment": found["key"],
            "target": found["target"],
            **{name: found[name].fillna(value) for name, value in none.items()},
            "evalue": found["evalue"],
            "alignment_length": (np.maximum(*spans) + 1).fillna(0),
            "fragment_length": found["length"].fillna(0),
        }
    )
    kinds: dict[str, type] = {"place": np.int32, "bits": np.int32, "taxid": np.int64}
    kinds |= {"alignment_length": np.int32, "fragment_length": np.int32, "identity": np.float32}
    return rows.astype(kinds), table["key"].unique()[whole]


def examined_rows(
    key: np.ndarray, match: np.ndarray, rejected: int, accepted: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates MMseqs2 aligns: up to ``accepted`` matches, or up to ``rejected`` failures in a row.

    Args:
        key: int64 [n], the query of each candidate; candidates of a query are contiguous and in order.
        match: bool [n], whether the candidate matches.
        rejected: number of failures in a row after which the alignment stops.
        accepted: number of matches after which it stops; None for no such limit.

    Returns:
        bool [n], whether the candidate is aligned, and bool [queries, in order], whether the end of the list was
        reached.
    """
    row = np.arange(len(key))
    first = np.r_[True, key[1:] != key[:-1]] if len(key) else np.zeros(0, dtype=bool)
    start = np.maximum.accumulate(np.where(first, row, 0))
    last = np.maximum.accumulate(np.where(match, row, np.where(first, row - 1, -1)))
    stop = row - last >= rejected
    if accepted is not None:
        stop |= _counted(match, start) >= accepted
    before = _counted(stop, start) - stop
    starts = np.flatnonzero(first)
    return before == 0, ~np.logical_or.reduceat(stop, starts) if len(starts) else np.zeros(0, dtype=bool)


def best_targets(
    rows: pd.DataFrame, evalue: float, whole: np.ndarray, rejected: int, accepted: int
) -> tuple[pd.Series, np.ndarray]:
    """The best target of every fragment with a match (index: fragment), and the fragments for which it is unknown."""
    match = (rows["evalue"] <= evalue).to_numpy()
    inside, ended = examined_rows(rows["fragment"].to_numpy(), match, rejected, accepted)
    found = rows[match & inside].sort_values(["fragment", "place"]).drop_duplicates("fragment")
    return found.set_index("fragment")["target"], np.setdiff1d(rows["fragment"].unique()[ended], whole)


def _counted(flags: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Number of flags of the same query that are set up to and including each row."""
    total = np.cumsum(flags)
    return total - (total - flags)[start]


def read_kept(folder: str | Path) -> KeptSearch:
    """Read a folder written by `keep_search`; raises `InputError` for another folder."""
    folder = Path(folder).resolve()
    filtered = folder / "filtered.parquet"
    made_with = read_json(folder / "settings.json")
    fragments = read_table(folder / "fragments.parquet", FRAGMENTS)
    return KeptSearch(
        folder,
        SearchSettings(**made_with["settings"]),
        fragments[fragments["searched"]].reset_index(drop=True),
        read_table(filtered, FILTERED) if filtered.is_file() else None,
        read_table(folder / "aligned.parquet", EXAMINED),
        read_table(folder / "joined.parquet", EXAMINED),
        tuple(read_table(folder / f"{name}_whole.parquet", _WHOLE)["fragment"].to_numpy()
              for name in ("aligned", "joined")),
        read_table(folder / "parts.parquet", _PARTS).set_index("fragment")["target"],
        rows_of_keys(folder / "contigs"),
        made_with["identity"],
        made_with["least_left"],
    )  # fmt: skip
