"""Conversion between result databases of MMseqs2 and tables.

Format (github.com/soedinglab/mmseqs2/wiki, "MMseqs2 database format"): a result database has for each key an entry of
lines, for example the targets of a query. The data file has the entries, each followed by a null byte; the text file
``.index`` has key, offset and length of each entry, ``.dbtype`` the kind of the database.
"""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import scratch_folder
from genestill.core.programs import run_program

# Kinds of a database.
ALIGNMENTS = 5
CANDIDATES = 7
# Columns of a line of an alignment without backtrace.
ALIGNMENT_COLUMNS = {
    "target": np.int64,
    "bits": np.int32,
    "identity": np.float32,
    "evalue": np.float64,
    "start": np.int32,
    "stop": np.int32,
    "length": np.int32,
    "target_start": np.int32,
    "target_stop": np.int32,
    "target_length": np.int32,
}
CANDIDATE_COLUMNS = {"target": np.int64, "score": np.int32, "diagonal": np.int32}


def read_results(
    database: str | Path, columns: Mapping[str, Any], folder: str | Path, threads: int = 1
) -> pd.DataFrame:
    """The lines of a result database in order, sorted by key: ``key`` and ``columns`` (name -> type).

    Args:
        database: database whose lines have these columns, separated by tabs.
        columns: columns of a line.
        folder: folder for temporary files.
        threads: number of threads of MMseqs2.
    """
    with scratch_folder(folder, "lines") as scratch:
        lines = scratch.resolve() / "lines.tsv"
        run_program(
            ["mmseqs", "prefixid", Path(database).resolve(), lines, "--tsv", 1, "--threads", threads, "-v", 1], folder
        )
        names = {"key": np.int64, **columns}
        table = pd.read_csv(lines, sep="\t", header=None, names=list(names), usecols=list(names), dtype=names,
                            index_col=False, quoting=3)  # fmt: skip
    return table.sort_values("key", kind="stable", ignore_index=True)


def read_index(path: str | Path) -> pd.DataFrame:
    """The index of a database: columns key and length (of the entry, including the null byte)."""
    names = ["key", "offset", "length"]
    return pd.read_csv(path, sep="\t", header=None, names=names, dtype=np.int64)[["key", "length"]]


def read_entries(database: str | Path) -> Iterator[bytes]:
    """Yield the entries of a database of sequences or headers, in the order of its index.

    Raises `InputError` for a database whose entries are compressed or in several files.
    """
    if Path(f"{database}.dbtype").read_bytes()[2:] != b"\0\0" or not Path(database).is_file():
        raise InputError(f"{database}: its entries are compressed or in several files; run mmseqs createdb again")
    names = ["key", "offset", "length"]
    index = pd.read_csv(f"{database}.index", sep="\t", header=None, names=names, dtype=np.int64)
    with open(database, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for offset, length in zip(index["offset"].tolist(), index["length"].tolist(), strict=True):
            yield data[offset : offset + length - 1]


def write_results(path: str | Path, keys: Iterable[int], entries: Iterable[str], kind: int = ALIGNMENTS) -> None:
    """Write a database of text entries, one per key.

    Args:
        path: path of the data; ``.index`` and ``.dbtype`` are written beside it.
        keys: keys in ascending order.
        entries: text of each key: lines with their line ends; "" for a key without lines.
        kind: kind of the database.
    """
    path, offset = Path(path), 0
    with open(path, "wb") as data, open(f"{path}.index", "w", encoding="ascii") as index:
        for key, entry in zip(keys, entries, strict=True):
            content = entry.encode("ascii") + b"\0"
            data.write(content)
            index.write(f"{key}\t{offset}\t{len(content)}\n")
            offset += len(content)
    Path(f"{path}.dbtype").write_bytes(kind.to_bytes(4, "little"))


def lines_by_key(keys: np.ndarray, rows: np.ndarray, lines: list[str]) -> list[str]:
    """The entry of each of ``keys``: its ``lines`` in order; ``rows`` (int64, ascending) are the keys of the lines."""
    bounds = np.searchsorted(rows, keys), np.searchsorted(rows, keys, side="right")
    return ["".join(lines[first:last]) for first, last in zip(*bounds, strict=True)]
