"""A search that is kept: all that the labels of smaller references need, so that each costs seconds.

The steps are those of ``mmseqs taxonomy`` of contigs (its scripts taxpercontig.sh and taxonomy.sh, approximate 2bLCA),
module by module. Three of them stop early, by what they have seen, and go further here:

- the fast filter of fragments (``--orf-filter``) looks at the target with most matching k-mers alone: `FILTER_HITS`
  targets are kept, in its order;
- of the alignments to the candidates, which end after ``--max-accept`` matches or ``--max-rejected`` failures in a row,
  `FURTHER` times as many are made;
- ``lcaalign`` aligns the best target's matching part to the candidates, and goes on as much further.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, read_json, require_disk_space, scratch_folder, write_json
from genestill.core.logs import log_counts
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import run_program
from genestill.core.table_schemas import column
from genestill.core.tables import read_table, write_table
from genestill.labels.mmseqs_results import ALIGNMENT_COLUMNS, CANDIDATE_COLUMNS, read_results
from genestill.labels.search import rows_of_keys, write_queries
from genestill.labels.settings import SearchSettings

CANDIDATES = 5  # times as many candidates are kept as a search aligns: what moves up when others are withheld
LOOKED_AT = 2
FURTHER = 3
FILTER_HITS = 50
LEAST_LEFT = 0.25  # share of a database's residues that a smaller one must hold: E-values are kept up to its inverse

FRAGMENTS = pa.schema(
    [
        column("fragment", pa.int64(), "key of the fragment"),
        column("contig", pa.int64(), "key of its contig"),
        column("header", pa.string(), "contig and place as MMseqs2 writes them"),
        column("longest", pa.bool_(), "whether it is the contig's longest: kept where the filter leaves none"),
    ]
)
FILTERED = pa.schema(
    [
        column("fragment", pa.int64(), "key of the fragment"),
        column("target", pa.int64(), "key of a protein; most matching k-mers first"),
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
    """What `keep_search` kept.

    Attributes:
        folder: with the databases ``fragments``, ``candidates`` and ``contigs``.
        settings: of the search.
        fragments: rows of `FRAGMENTS`, keys rising.
        filtered: rows of `FILTERED`; None where the search has no filter.
        aligned: rows of `EXAMINED`: alignments of the fragments.
        joined: rows of `EXAMINED`: alignments of the best target's part.
        whole: int64, keys of fragments all of whose candidates are in ``aligned``, and the same of ``joined``.
        row_of_key: int64, for each key of a contig its row in the index.
        identity: other contigs, another database or other settings give another one.
    """

    folder: Path
    settings: SearchSettings
    fragments: pd.DataFrame
    filtered: pd.DataFrame | None
    aligned: pd.DataFrame
    joined: pd.DataFrame
    whole: tuple[np.ndarray, np.ndarray]
    row_of_key: np.ndarray
    identity: str

    @cached_property
    def aligned_parts(self) -> tuple[pd.Series, np.ndarray]:
        """The target of each fragment whose part was aligned to the candidates; the fragments where it is not known."""
        limits = FURTHER * self.settings.rejected, self.settings.accepted
        return best_targets(self.aligned, self.settings.evalue / LEAST_LEFT, self.whole[0], *limits)


def keep_search(
    contigs: str | Path,
    index: str | Path,
    database: str | Path,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
) -> None:
    """Search once and keep in the folder ``output`` what `read_kept` reads.

    Args:
        contigs: FASTA file.
        index: ``table_schemas.INDEX``.
        database: MMseqs2 taxonomy database of proteins.
        settings: see `SearchSettings`.
        threads: of MMseqs2.
        output: a folder of MMseqs2 databases and tables.

    Raises:
        InputError: what `check_database` refuses; another ``lca_mode`` than 3; no disk space.
    """
    if settings.lca_mode != 3:
        raise InputError(f"lca_mode {settings.lca_mode}: clades are withheld from a search with lca_mode 3 only")
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
        run_program(["mmseqs", "extractorfs", aside / "contigs", "all", *where, *common], folder)
        fragments = _read_fragments(folder, threads)
        # MMseqs2 skips a filter that would be more sensitive than the search.
        if settings.orf_filter and settings.orf_filter_sensitivity <= settings.sensitivity:
            filtered = _filter_fragments(database, settings, threads, folder)
            write_table(aside / "filtered.parquet", filtered, FILTERED)
            passing = fragments["fragment"].isin(filtered["fragment"]) | fragments["longest"]
            fragments = fragments[passing].reset_index(drop=True)
        write_table(aside / "fragments.parquet", fragments, FRAGMENTS)
        fragments["fragment"].to_csv(folder / "fragments.list", header=False, index=False)
        run_program(["mmseqs", "createsubdb", "fragments.list", "all", aside / "fragments", "-v", 1], folder)
        pinned = ["-s", settings.sensitivity, "-k", settings.kmer, "--max-seqs", CANDIDATES * settings.candidates]
        between = [aside / "fragments", database, aside / "candidates"]
        run_program(["mmseqs", "prefilter", *between, *pinned, *common], folder)
        _align(aside, database, settings, threads, folder)
        identity = _identity(table["checksum"], database, settings)
        write_json(aside / "settings.json", {"identity": identity, "settings": asdict(settings)})
    log_counts("search that is kept", {"contigs": len(table), "fragments": len(fragments)})


def _identity(checksums: pd.Series, database: Path, settings: SearchSettings) -> str:
    digest = hashlib.sha256("".join(checksums).encode())
    digest.update(Path(f"{database}.index").read_bytes())
    digest.update(json.dumps(asdict(settings), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _read_fragments(folder: Path, threads: int) -> pd.DataFrame:
    """Rows of `FRAGMENTS`: all open reading frames."""
    text = {"contig": np.int64, "place": "string", "flag": "string"}
    table = read_results(folder / "all_h", text, folder, threads).rename(columns={"key": "fragment"})
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
        }
    )


def _filter_fragments(database: Path, settings: SearchSettings, threads: int, folder: Path) -> pd.DataFrame:
    """Rows of `FILTERED`: what the fast filter of fragments would see in any smaller database."""
    pinned = ["-s", settings.orf_filter_sensitivity, "-k", settings.kmer, "--max-seqs", FILTER_HITS]
    pinned += ["--diag-score", 0, "--min-ungapped-score", 3, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "prefilter", "all", database, "filter", *pinned], folder)
    most = ["--rescore-mode", 2, "-e", 1e9, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "rescorediagonal", "all", database, "filter", "rescored", *most], folder)
    table = read_results(folder / "rescored", ALIGNMENT_COLUMNS, folder, threads).rename(columns={"key": "fragment"})
    near = table.loc[table["evalue"] <= settings.orf_filter_evalue / LEAST_LEFT, "fragment"]
    return table[table["fragment"].isin(near)].reset_index(drop=True)


def _align(kept: Path, database: Path, settings: SearchSettings, threads: int, folder: Path) -> None:
    """Align fragments, and parts of their best targets, to the candidates; write the two tables of `EXAMINED`."""
    common = ["--threads", threads, "-v", 1]
    between = [kept / "fragments", database, kept / "candidates"]
    limits = ["-e", settings.evalue / LEAST_LEFT, "--max-rejected", FURTHER * settings.rejected]
    most = ["--max-accept", FURTHER * max(settings.accepted, settings.hits), "--alignment-mode", 3]
    run_program(["mmseqs", "align", *between, "aligned", *limits, *most, *common], folder)
    limits += ["--max-accept", settings.accepted, "--alignment-mode", 1]
    run_program(["mmseqs", "lcaalign", *between, "joined", *limits, *common], folder)
    # No more are looked at in memory: where these are not enough, a fragment is aligned again.
    lines = LOOKED_AT * settings.candidates
    run_program(["mmseqs", "filterdb", kept / "candidates", "first", "--extract-lines", lines, *common], folder)
    candidates = read_results(folder / "first", CANDIDATE_COLUMNS, folder, threads)[["key", "target"]]
    cut = candidates["key"].value_counts().loc[lambda number: number >= lines].index
    for name, accepted in (("aligned", FURTHER * max(settings.accepted, settings.hits)), ("joined", None)):
        run_program(["mmseqs", "addtaxonomy", database, name, f"{name}_taxa", *common], folder)
        columns = ALIGNMENT_COLUMNS | {"taxid": np.int64}
        matches = read_results(folder / f"{name}_taxa", columns, folder, threads)
        examined, whole = _examined(candidates, matches, FURTHER * settings.rejected, accepted)
        write_table(kept / f"{name}.parquet", examined, EXAMINED)
        write_table(kept / f"{name}_whole.parquet", pd.DataFrame({"fragment": np.setdiff1d(whole, cut)}), _WHOLE)


_WHOLE = pa.schema([column("fragment", pa.int64(), "key of a fragment all of whose candidates were aligned")])


def _examined(
    candidates: pd.DataFrame, matches: pd.DataFrame, rejected: int, accepted: int | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """The candidates up to the one at which the alignment of a fragment stopped, with what it found.

    Args:
        candidates: key and target, in the order in which they are aligned.
        matches: those that were accepted, best first for each key.
        rejected: failures in a row after which it stopped.
        accepted: matches after which it stopped; None if it did not.

    Returns:
        Rows of `EXAMINED`, and the keys of which no candidate is left.
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
    kinds = {"place": np.int32, "bits": np.int32, "taxid": np.int64}
    kinds |= {"alignment_length": np.int32, "fragment_length": np.int32, "identity": np.float32}
    return rows.astype(kinds), table["key"].unique()[whole]


def examined_rows(
    key: np.ndarray, match: np.ndarray, rejected: int, accepted: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates MMseqs2 aligns: until ``accepted`` matches, or until ``rejected`` failures in a row.

    Args:
        key: int64 [n], the query of each candidate; candidates of one query stand together, in order.
        match: bool [n], whether the candidate matches.
        rejected: failures in a row after which it stops.
        accepted: matches after which it stops; None for no such limit.

    Returns:
        bool [n], whether the candidate is aligned, and bool [queries, in order], whether it came to the end of the
        list without stopping.
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
    """The best target of every fragment that has a match (index: fragment), and the fragments where it is not known."""
    match = (rows["evalue"] <= evalue).to_numpy()
    inside, ended = examined_rows(rows["fragment"].to_numpy(), match, rejected, accepted)
    found = rows[match & inside].sort_values(["fragment", "place"]).drop_duplicates("fragment")
    return found.set_index("fragment")["target"], np.setdiff1d(rows["fragment"].unique()[ended], whole)


def _counted(flags: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How many of the flags of its query are set up to and with each row."""
    total = np.cumsum(flags)
    return total - (total - flags)[start]


def read_kept(folder: str | Path) -> KeptSearch:
    """Read the folder of `keep_search`; raises `InputError` for one that is none."""
    folder = Path(folder).resolve()
    filtered = folder / "filtered.parquet"
    made_with = read_json(folder / "settings.json")
    return KeptSearch(
        folder,
        SearchSettings(**made_with["settings"]),
        read_table(folder / "fragments.parquet", FRAGMENTS),
        read_table(filtered, FILTERED) if filtered.is_file() else None,
        read_table(folder / "aligned.parquet", EXAMINED),
        read_table(folder / "joined.parquet", EXAMINED),
        tuple(read_table(folder / f"{name}_whole.parquet", _WHOLE)["fragment"].to_numpy()
              for name in ("aligned", "joined")),
        rows_of_keys(folder / "contigs"),
        made_with["identity"],
    )  # fmt: skip
