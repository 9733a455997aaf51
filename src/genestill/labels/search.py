"""The search: MMseqs2 taxonomy (Mirdita et al. 2021, doi 10.1093/bioinformatics/btab184), with all parameters set.

The labels are those of ``mmseqs taxonomy``. The evidence comes from the same run: MMseqs2 aligns the candidates of the
prefilter only for their scores, so they are aligned again to get the identities.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import make_folder, require_disk_space, scratch_folder, write_json
from genestill.core.label_tables import LabelTable, collect_labels
from genestill.core.lineage import require_two_species
from genestill.core.logs import log_counts
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import mmseqs_version, run_program
from genestill.core.sequences import read_fasta
from genestill.core.tables import read_table
from genestill.core.taxonomy import read_taxonomy
from genestill.labels.hits import CONVERT_FORMAT, write_hits
from genestill.labels.lineages import count_labels, write_labels
from genestill.labels.settings import SearchSettings


def search_contigs(
    contigs: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    settings: SearchSettings,
    threads: int,
    output_labels: str | Path,
    output_hits: str | Path,
    output_tsv: str | Path,
    output_summary: str | Path,
) -> None:
    """Label the contigs of ``index`` and write the evidence.

    Args:
        contigs: FASTA file.
        index: ``table_schemas.INDEX``.
        database: MMseqs2 taxonomy database of proteins (the name that was given to ``mmseqs createdb``).
        taxonomy: folder written by ``reference taxonomy``.
        settings: see `SearchSettings`.
        threads: number of threads of MMseqs2.
        output_labels: ``table_schemas.LABELS``, one row per contig of the index, in its order.
        output_hits: ``table_schemas.HITS`` and the columns start, stop (base pairs, 0-based) and strand.
        output_tsv: Taxometer's input format.
        output_summary: JSON: version of MMseqs2, settings, parameters, counts.

    Raises:
        InputError: as `check_database`; not enough disk space; fewer than two species found.
    """
    database = Path(database)
    check_database(database)
    table = read_table(index, table_schemas.INDEX)
    names = read_taxonomy(taxonomy)
    output_labels = Path(output_labels)
    # Six-frame fragments, their candidates and alignments were measured to need 6 bytes per base of the contigs.
    require_disk_space(output_labels.parent, 20 * int(table["length"].sum()) + 200_000_000, "the search")
    make_folder(output_labels.parent)
    with scratch_folder(output_labels.parent, "search") as folder:
        write_queries(contigs, table["id"], folder / "contigs.fna")
        parameters = classify(database.resolve(), settings, threads, folder)
        labels = read_labels(folder / "labels.tsv", table["id"].tolist())
        lineages = write_labels(labels, names, output_labels, output_tsv)
        counts = count_labels(lineages) | dict(names.met) | labels.met
        require_two_species(counts["distinct_species"], str(database), f"the labels of {len(lineages)} contigs")
        row_of_key = _align_candidates(database.resolve(), settings, threads, folder)
        metadata = {"evalue": str(settings.hits_evalue)}
        with scratch_folder(folder, "parts") as parts:
            counts |= write_hits(folder / "hits.tsv", row_of_key, table["id"].tolist(), output_hits, metadata, parts)
    write_json(
        output_summary,
        {
            "mmseqs2": mmseqs_version(),
            "settings": asdict(settings) | {"threads": threads},
            "parameters": [str(word) for word in parameters],
            "database": str(database),
            "counts": counts,
        },
    )
    log_counts("search", counts)


def write_queries(contigs: str | Path, ids: pd.Series, path: Path) -> None:
    """Write the contigs of the index, named by row number, because MMseqs2 splits ids such as ``sp|P1|X``."""
    row_of = {name: row for row, name in enumerate(ids)}
    written = 0
    with open(path, "w", encoding="ascii") as handle:
        for name, sequence in read_fasta(contigs):
            if name in row_of:
                handle.write(f">{row_of[name]}\n{sequence}\n")
                written += 1
    if written != len(row_of):
        raise InputError(f"{contigs}: {len(row_of) - written} contigs of the index are missing from this file")


def read_labels(path: Path, ids: list[str]) -> LabelTable:
    """Read the table of ``mmseqs createtsv``, with row numbers as contigs, in the order of ``ids``."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():  # no contig has an open reading frame
        raise InputError(f"none of {len(ids)} contigs has an open reading frame; are these sequences DNA?")
    found = collect_labels(text.split("\n"), "mmseqs2", "the table of mmseqs createtsv")
    row_of = np.full(len(ids), -1)
    row_of[np.array(found.ids.to_pylist(), dtype=np.int64)] = np.arange(len(found))
    labels = found.take(row_of, ids)
    labels.met["without_open_reading_frame"] = int((row_of < 0).sum())
    return labels


def classify(database: Path, settings: SearchSettings, threads: int, folder: Path) -> list:
    """Run ``mmseqs taxonomy`` on ``contigs.fna`` in ``folder``, with temporary files kept; return its parameters."""
    run_program(["mmseqs", "createdb", "contigs.fna", "contigs", "--dbtype", 2, "--shuffle", 0, "-v", 1], folder)
    parameters = [
        *("-s", settings.sensitivity, "-k", settings.kmer, "-e", settings.evalue),
        *("--lca-mode", settings.lca_mode, "--majority", settings.majority, "--vote-mode", settings.vote_mode),
        *("--orf-filter", settings.orf_filter, "--orf-filter-e", settings.orf_filter_evalue),
        *("--orf-filter-s", settings.orf_filter_sensitivity, "--max-seqs", settings.candidates),
        *("--max-accept", settings.accepted, "--max-rejected", settings.rejected),
        *("--min-length", settings.minimum_fragment, "--translation-table", settings.translation_table),
        *("--search-type", 2, "--tax-output-mode", 0, "--tax-lineage", 1),
    ]
    run_program(
        ["mmseqs", "taxonomy", "contigs", database, "labels", "tmp", *parameters, "--threads", threads, "-v", 1], folder
    )
    run_program(["mmseqs", "createtsv", "contigs", "labels", "labels.tsv", "--threads", threads, "-v", 1], folder)
    return parameters


def _align_candidates(database: Path, settings: SearchSettings, threads: int, folder: Path) -> np.ndarray:
    """Align the candidates of the search again, with identities, and write hits.tsv.

    Returns the row of the index for each key of the contig database: int64 [keys].
    """
    tmp = (folder / "tmp" / "latest").resolve()
    fragments = tmp / ("orfs_filter" if (tmp / "orfs_filter.dbtype").is_file() else "orfs_aa")
    candidates = next((path.with_suffix("") for path in sorted(tmp.rglob("pref_0.dbtype"))), None)
    if candidates is None:
        # Another release of MMseqs2 may delete its temporary files; the candidates are then searched again.
        candidates = folder / "candidates"
        pinned = ["-s", settings.sensitivity, "-k", settings.kmer, "--max-seqs", settings.candidates]
        run_program(["mmseqs", "prefilter", fragments, database, candidates, *pinned, "--threads", threads, "-v", 1])
    pinned = ["-e", settings.hits_evalue, "--alignment-mode", 3, "--max-accept", settings.hits]
    pinned += ["--max-rejected", settings.rejected, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "align", fragments, database, candidates, "hits", *pinned], folder)
    convert = ["--format-output", CONVERT_FORMAT, "--threads", threads, "-v", 1]
    run_program(["mmseqs", "convertalis", fragments, database, "hits", "hits.tsv", *convert], folder)
    return rows_of_keys(folder / "contigs")


def rows_of_keys(database: Path) -> np.ndarray:
    """The row in the index for each key of a database made from the file of `write_queries`: int64 [keys]."""
    # Keys are positions in the file, names are row numbers of the index.
    lookup = pd.read_csv(f"{database}.lookup", sep="\t", header=None, usecols=[0, 1], names=["key", "row"])
    row_of_key = np.empty(len(lookup), np.int64)
    row_of_key[lookup["key"]] = lookup["row"]
    return row_of_key
