"""Finding related transcripts by searches of bases and proteins; a distillation set without the benchmark's relatives.

MMseqs2: Steinegger & Söding, Nature Biotechnology 35 (2017), doi 10.1038/nbt.3988.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.logs import logger
from genestill.core.programs import run_program
from genestill.core.reading_frames import longest_frame, translate
from genestill.core.sequences import sequence_checksum, write_fasta
from genestill.core.table_schemas import HOMOLOGY_GROUPS, PROBE_TASK, TRANSCRIPTS
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.reference.settings import HomologySettings
from genestill.reference.transcripts import coding_sequence, write_sequences

SHORTEST_PROTEIN = 20  # amino acids; shorter ones are not searched

# Options of MMseqs2: nucleotides on both strands, proteins. Words of 11 bases give its highest sensitivity.
_NUCLEOTIDES = ("--search-type", "3", "--strand", "2", "-k", "11", "-s", "7.5")
_PROTEINS = ("-s", "5.7")
_PLACES = ("query", "target", "qlen", "tlen", "qstart", "qend", "tstart", "tend")
_COLUMNS = dict.fromkeys(_PLACES, "int64") | {"fident": "float64"}


def find_relatives(
    queries: pd.DataFrame, targets: pd.DataFrame, homology: HomologySettings, threads: int = 1
) -> pd.DataFrame:
    """Pairs of similar transcripts, by MMseqs2 searches of their bases and of the proteins that they encode.

    Args:
        queries, targets: columns ``id``, ``sequence``, ``cds`` (track). For a transcript without codons, the longest
            open reading frame is translated.
        homology: minimum identities, E-value, and the share of the shorter sequence that must be aligned.
        threads: number of threads of MMseqs2.

    Returns:
        Columns query, target, identity, and by (``nucleotides`` on either strand, or ``proteins``).
    """
    mine, theirs = (list(enumerate(table["sequence"])) for table in (queries, targets))
    found = [_search(mine, theirs, _NUCLEOTIDES, homology.identity, homology, threads).assign(by="nucleotides")]
    mine, theirs = (proteins_of(table) for table in (queries, targets))
    if mine and theirs:
        similar = _search(mine, theirs, _PROTEINS, homology.protein_identity, homology, threads)
        found.append(similar.assign(by="proteins"))
    pairs = pd.concat(found, ignore_index=True)
    ids = {"query": queries["id"].to_numpy(), "target": targets["id"].to_numpy()}
    return pairs.assign(**{side: names[pairs[side].to_numpy()] for side, names in ids.items()})


def proteins_of(table: pd.DataFrame) -> list[tuple[int, str]]:
    """Row and protein of each transcript (columns ``sequence``, ``cds``) that encodes at least 20 amino acids."""
    proteins = []
    for row, (sequence, cds) in enumerate(zip(table["sequence"], table["cds"], strict=True)):
        if np.any(cds):
            coding = coding_sequence(sequence, cds)
        else:
            start, stop = longest_frame(sequence)
            coding = sequence[start:stop]
        protein = translate(coding).removesuffix("*").replace("*", "X")
        if len(protein) >= SHORTEST_PROTEIN:
            proteins.append((row, protein))
    return proteins


def _search(
    queries: Sequence[tuple[int, str]],
    targets: Sequence[tuple[int, str]],
    options: Sequence[str],
    identity: float,
    homology: HomologySettings,
    threads: int,
) -> pd.DataFrame:
    """Hits of a search of numbered sequences; columns query, target (numbers), identity.

    The coverage mode 5 of MMseqs2 compares the lengths of two sequences, not the aligned share of the shorter one, so
    the coverage is computed here.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, sequences in (("queries", queries), ("targets", targets)):
            write_fasta(place / f"{name}.fa", ((str(number), text) for number, text in sequences))
        command = [
            *("mmseqs", "easy-search", place / "queries.fa", place / "targets.fa", place / "hits.tsv", place / "work"),
            *(*options, "--min-seq-id", identity, "-e", homology.evalue, "--max-seqs", "1000", "--threads", threads),
            *("--format-output", ",".join(_COLUMNS), "-v", "1"),
        ]
        run_program(command)
        hits = pd.read_csv(place / "hits.tsv", sep="\t", names=list(_COLUMNS), dtype=_COLUMNS)
    aligned = np.where(
        hits["qlen"] <= hits["tlen"], (hits["qend"] - hits["qstart"]).abs(), (hits["tend"] - hits["tstart"]).abs()
    )
    covered = aligned + 1 >= homology.coverage * np.minimum(hits["qlen"], hits["tlen"])
    return hits.loc[covered, ["query", "target", "fident"]].rename(columns={"fident": "identity"})


def group_relatives(transcripts: pd.DataFrame, homology: HomologySettings, threads: int = 1) -> np.ndarray:
    """Number of the group of each transcript, int64 [rows]; numbered by their first member.

    Relatives found by `find_relatives` are in one group, and so are relatives of relatives (single linkage), so that
    they are never in different splits. Proteins must have at least the identity that is required of bases: with a lower
    identity, single linkage would join whole families of domains.
    """
    pairs = find_relatives(transcripts, transcripts, homology, threads)
    pairs = pairs[pairs["identity"] >= homology.identity]
    rows = pd.Series(np.arange(len(transcripts)), index=transcripts["id"])
    ends = rows[pairs["query"]].to_numpy(), rows[pairs["target"]].to_numpy()
    links = coo_array((np.ones(len(pairs), bool), ends), shape=(len(rows), len(rows)))
    labels = connected_components(links, directed=False)[1]
    return pd.factorize(labels)[0].astype(np.int64)


def leave_out_relatives(
    corpus: pd.DataFrame, tasks: dict[str, pd.DataFrame], homology: HomologySettings, threads: int = 1
) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Find the transcripts of the corpus without a relative in the benchmark, and homology groups of the benchmark.

    A transcript of the corpus is removed if its sequence is in the benchmark, if a benchmark transcript has the same
    gene id or symbol, or if a search of bases or proteins finds a similar one.

    Args:
        corpus: columns of `table_schemas.TRANSCRIPTS`.
        tasks: name -> table of `table_schemas.PROBE_TASK`.
        homology: see `find_relatives`.
        threads: number of threads of MMseqs2.

    Returns:
        keep: bool, one per row of ``corpus``.
        groups: columns of `table_schemas.HOMOLOGY_GROUPS`, one row per distinct ``transcript`` of the tasks. Equal
            sequences are in one group.
        overlap: counts before the removal, by criterion and in total, and hits of a second search after it.
    """
    benchmark = pd.concat([table[["transcript", "gene", "symbol", "sequence", "cds"]] for table in tasks.values()])
    genes = {*benchmark["gene"], *benchmark["symbol"]} - {""}
    benchmark = benchmark.drop_duplicates("transcript").assign(
        id=lambda table: table["sequence"].map(sequence_checksum)
    )
    # Several transcripts may have the same sequence with different tracks; it is searched once, with codons if known.
    order = benchmark["cds"].map(np.any).argsort(kind="stable")[::-1]
    tested = benchmark.iloc[np.sort(_first_of_each(benchmark["id"].to_numpy(), order.to_numpy()))]
    rest = corpus[["sequence", "cds"]].assign(id=[f"corpus|{number}" for number in range(len(corpus))])
    hits = find_relatives(tested, rest, homology, threads)
    criteria = {
        "same sequence": corpus["sequence"].isin(set(benchmark["sequence"])).to_numpy(),
        "same gene": (corpus["gene"].isin(genes) | corpus["symbol"].isin(genes)).to_numpy(),
        "alike in nucleotides": rest["id"].isin(hits.loc[hits["by"] == "nucleotides", "target"]).to_numpy(),
        "alike in proteins": rest["id"].isin(hits.loc[hits["by"] == "proteins", "target"]).to_numpy(),
    }
    relative = np.any(list(criteria.values()), axis=0)
    # The search is a heuristic whose prefilter depends on all targets; hits of a second search are removed as well.
    late = set(find_relatives(tested, rest[~relative], homology, threads)["target"]) if not relative.all() else set()
    keep = ~relative & ~rest["id"].isin(late).to_numpy()
    groups = pd.Series(group_relatives(tested, homology, threads), index=tested["id"])
    overlap = {
        "homology": vars(homology),
        "benchmark": {"transcripts": len(tested), "tasks": {name: len(table) for name, table in tasks.items()}},
        "corpus": len(corpus),
        "relatives": {name: int(marks.sum()) for name, marks in criteria.items()},
        "relatives found by a second search": len(late),
        "left out": int((~keep).sum()),
        "kept": int(keep.sum()),
        "overlap before": float((~keep).mean()),
    }
    table = pd.DataFrame({"id": benchmark["transcript"].tolist(), "group": groups[benchmark["id"]].to_numpy()})
    return keep, table, overlap


def _first_of_each(names: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The row of each name that comes first in ``order``."""
    return order[np.unique(names[order], return_index=True)[1]]


def separate_benchmark(
    transcripts: str | Path,
    tasks: Sequence[str | Path],
    homology: HomologySettings,
    threads: int,
    output_transcripts: str | Path,
    output_benchmark: str | Path,
    output_groups: str | Path,
    output_overlap: str | Path,
) -> None:
    """`leave_out_relatives` for files.

    ``output_transcripts`` and ``output_benchmark`` each get transcripts.parquet (`table_schemas.TRANSCRIPTS`),
    sequences.fna.gz and index.parquet, in the same order; and in coding/ the last two for models that read codons: the
    coding sequence of each transcript, or all of it if it is not known. A sequence of several tasks occurs in the
    benchmark once per distinct set of tracks (see `probe_tasks.transcript_id`), so that the input of a model for a task
    only depends on the table of this task.
    """
    corpus = read_table(transcripts, TRANSCRIPTS)
    tables = {read_metadata(path)["task"]: read_table(path, PROBE_TASK) for path in tasks}
    keep, groups, overlap = leave_out_relatives(corpus, tables, homology, threads)
    if not keep.any():
        raise InputError(f"{transcripts}: every transcript has a relative in the benchmark; use other sources")
    logger.info("%d of %d transcripts have no relative in the benchmark", overlap["kept"], overlap["corpus"])
    kept = corpus[keep]
    _write_set(output_transcripts, kept)
    benchmark = pd.concat(list(tables.values())).drop_duplicates("transcript")
    benchmark = benchmark.assign(id=benchmark["transcript"], length=benchmark["sequence"].str.len())
    _write_set(output_benchmark, benchmark)
    write_table(output_groups, groups, HOMOLOGY_GROUPS)
    write_json(output_overlap, overlap)


def _write_set(folder: str | Path, table: pd.DataFrame) -> None:
    folder = Path(folder)
    write_table(folder / "transcripts.parquet", table, TRANSCRIPTS)
    write_sequences(folder, list(zip(table["id"], table["sequence"], strict=True)))
    coding = map(coding_sequence, table["sequence"], table["cds"])
    write_sequences(folder / "coding", list(zip(table["id"], coding, strict=True)))
