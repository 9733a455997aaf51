"""Which transcripts are relatives: MMseqs2 clusters, and a distillation set without relatives of the benchmark.

MMseqs2: Steinegger & Söding, Nature Biotechnology 35 (2017); linear clustering: Nature Communications 9 (2018).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.logs import logger
from genestill.core.programs import run_program
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import HOMOLOGY_GROUPS, PROBE_TASK, TRANSCRIPTS
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.reference.settings import HomologySettings
from genestill.reference.transcripts import checksum, coding_sequence, write_sequences


def find_relatives(
    queries: Sequence[tuple[str, str]], targets: Sequence[tuple[str, str]], homology: HomologySettings, threads: int = 1
) -> pd.DataFrame:
    """Pairs (query, target, identity) of sequences that are alike, on the forward strand, by an MMseqs2 search.

    Args:
        queries, targets: (id, sequence) pairs; nucleotides.
        homology: coverage is of the shorter of the two (MMseqs2's coverage mode 5 counts the shorter as whole).
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_fasta(place / "queries.fna", queries)
        write_fasta(place / "targets.fna", targets)
        command = [
            *("mmseqs", "easy-search", place / "queries.fna", place / "targets.fna", place / "hits.tsv"),
            *(place / "work", "--search-type", "3", "--strand", "1", "-k", "11", "-s", "7.5"),
            *("--min-seq-id", homology.identity, "-c", homology.coverage, "--cov-mode", "5", "-e", homology.evalue),
            *("--max-seqs", "1000", "--threads", threads, "--format-output", "query,target,fident", "-v", "1"),
        ]
        run_program(command)
        return pd.read_csv(
            place / "hits.tsv", sep="\t", names=["query", "target", "identity"], dtype={"query": str, "target": str}
        )


def cluster_transcripts(
    sequences: Sequence[tuple[str, str]], homology: HomologySettings, threads: int = 1
) -> dict[str, int]:
    """Group number of every id, by MMseqs2's greedy set cover (``easy-cluster``); numbered by their first member."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_fasta(place / "sequences.fna", sequences)
        command = [
            *("mmseqs", "easy-cluster", place / "sequences.fna", place / "clusters", place / "work"),
            *("--min-seq-id", homology.identity, "-c", homology.coverage, "--cov-mode", "1", "-e", homology.evalue),
            *("-k", "11", "--threads", threads, "-v", "1"),
        ]
        run_program(command)
        rows = pd.read_csv(
            place / "clusters_cluster.tsv", sep="\t", names=["representative", "member"], dtype=str, na_filter=False
        )
    representative = dict(zip(rows["member"], rows["representative"], strict=True))
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(representative[name], len(numbers)) for name, _ in sequences}


def leave_out_relatives(
    corpus: pd.DataFrame, tasks: dict[str, pd.DataFrame], homology: HomologySettings, threads: int = 1
) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Which transcripts of the corpus have no relative in the benchmark, and the homology groups of the benchmark.

    A transcript of the corpus goes if its sequence is one of the benchmark's, if it shares the id or the symbol of a
    gene with one, if it stands in a cluster with one, or if a search finds one alike.

    Args:
        corpus: columns of `table_schemas.TRANSCRIPTS`.
        tasks: name to a table of `table_schemas.PROBE_TASK`.

    Returns:
        keep: bool, one a row of ``corpus``.
        groups: columns of `table_schemas.HOMOLOGY_GROUPS`, one row per distinct ``transcript`` of the tasks. Equal
            sequences are in one group.
        overlap: the counts, by criterion and in all, before; and what a second search finds after.
    """
    benchmark = pd.concat([table[["transcript", "gene", "symbol", "sequence"]] for table in tasks.values()])
    genes = {*benchmark["gene"], *benchmark["symbol"]} - {""}
    benchmark = benchmark.drop_duplicates("transcript")
    # One sequence may stand for several transcripts, with other tracks; it is searched once.
    names = benchmark["sequence"].map(checksum)
    tested = list(dict(zip(names, benchmark["sequence"], strict=True)).items())
    rest = [(f"corpus|{number}", sequence) for number, sequence in enumerate(corpus["sequence"])]
    clusters = cluster_transcripts(tested + rest, homology, threads)
    tested_clusters = {clusters[name] for name, _ in tested}
    hits = set(find_relatives(tested, rest, homology, threads)["target"])
    criteria = {
        "same sequence": corpus["sequence"].isin(set(benchmark["sequence"])).to_numpy(),
        "same gene": (corpus["gene"].isin(genes) | corpus["symbol"].isin(genes)).to_numpy(),
        "same cluster": np.array([clusters[name] in tested_clusters for name, _ in rest], bool),
        "search hit": np.array([name in hits for name, _ in rest], bool),
    }
    relative = np.any(list(criteria.values()), axis=0)
    kept = [pair for pair, out in zip(rest, relative, strict=True) if not out]
    left = find_relatives(tested, kept, homology, threads) if kept else pd.DataFrame({"target": []})
    # The search is a heuristic whose prefilter depends on the whole target set; what a second look finds goes too.
    late = set(left["target"])
    keep = ~relative & np.array([name not in late for name, _ in rest], bool)
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
    groups = pd.DataFrame({"id": benchmark["transcript"].tolist(), "group": [clusters[name] for name in names]})
    return keep, groups, overlap


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
    """`leave_out_relatives` on files.

    ``output_transcripts`` and ``output_benchmark`` each get transcripts.parquet (`table_schemas.TRANSCRIPTS`),
    sequences.fna.gz and index.parquet, in one order; and in coding/ the same two files for models that read codons:
    the coding sequence of each transcript, or all of it where none is known. A sequence that several tasks hold stands
    in the benchmark once for each set of tracks that they give it (see `probe_tasks.transcript_id`): what a model reads
    for a task comes from that task's own table.
    """
    corpus = read_table(transcripts, TRANSCRIPTS)
    tables = {read_metadata(path)["task"]: read_table(path, PROBE_TASK) for path in tasks}
    keep, groups, overlap = leave_out_relatives(corpus, tables, homology, threads)
    if not keep.any():
        raise InputError(f"{transcripts}: every transcript has a relative in the benchmark; take other sources")
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
