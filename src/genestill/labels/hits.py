"""The evidence for the labels: the best targets of every open reading frame of every contig.

A real assembly has a hundred million hits. They are read in blocks, distributed to parts of the contigs on the disk,
and sorted and written part by part, so that memory does not grow with their number.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import write_aside

# Columns that `mmseqs convertalis` writes. The header of a fragment is the last column because it contains tabs: contig
# key, position, and a flag for a fragment that is cut off at an end of the contig.
CONVERT_FORMAT = "taxid,fident,bits,alnlen,qlen,qheader"
_COLUMNS = {
    "taxid": "int64",
    "fident": "float32",
    "bits": "float32",
    "alnlen": "int32",
    "qlen": "int32",
    "contig": "int64",
    "place": "category",  # stores each distinct text once
    "flag": "category",
}
# "308+371": bases 308 to 308 + 371 on the forward strand; "10858-128": 10858 down to 10858 - 128. 0-based, inclusive.
_PLACE = r"^(?P<first>[0-9]{1,9})(?P<sign>[+-])(?P<span>[0-9]{1,9})$"

# table_schemas.HITS and the position of a fragment on its contig: base pairs, 0-based, stop excluded; strand 1 or -1.
HITS_WITH_PLACES = pa.schema(
    [
        *table_schemas.HITS,
        table_schemas.column("start", pa.int32(), "first base of the fragment on the forward strand, from 0", "bases"),
        table_schemas.column("stop", pa.int32(), "base after its last", "bases"),
        table_schemas.column("strand", pa.int8(), "1: as the contig is written; -1: its reverse complement"),
    ]
)
# A hit in the temporary files.
HIT = np.dtype(
    [
        ("contig", np.int64), ("start", np.int32), ("stop", np.int32), ("strand", np.int8), ("taxid", np.int64),
        ("fident", np.float32), ("bits", np.float32), ("alnlen", np.int32), ("qlen", np.int32),
    ]
)  # fmt: skip
ROWS_AT_ONCE = 1 << 18
PART = 1 << 26  # bytes of the table of alignments per part of the contigs: about a million hits


def read_alignments(path: str | Path) -> Iterator[np.ndarray]:
    """Read the table that ``mmseqs convertalis --format-output`` writes with `CONVERT_FORMAT`; it may be empty.

    Yields:
        Arrays of `HIT`, in blocks of rows: contig (key), taxid, fident (0 to 1), bits, alnlen and qlen (amino acids),
        start and stop (base pairs, 0-based, stop excluded, on the forward strand) and strand (1 or -1).

    Raises:
        InputError: the table has another format, for example from another release of MMseqs2.
    """
    try:
        with warnings.catch_warnings():
            # For rows with too many cells, pandas would only warn and drop the additional cells.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            if Path(path).stat().st_size == 0:
                return
            blocks = pd.read_csv(
                path,
                sep="\t",
                header=None,
                names=list(_COLUMNS),
                dtype=_COLUMNS,
                index_col=False,
                chunksize=ROWS_AT_ONCE,
            )
            with blocks:
                for table in blocks:
                    yield _hits_of(table)
    except (OSError, OverflowError, ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: not the table that MMseqs2 18 writes for fragments of contigs ({error})") from None


def _hits_of(table: pd.DataFrame) -> np.ndarray:
    places = table["place"].cat.categories.astype("str").str.extract(_PLACE)
    code = table["place"].cat.codes.to_numpy()
    if places.isna().any(axis=None) or (code < 0).any():
        raise ValueError("a position that is not start+length or start-length")
    first, span = (places[name].astype("int64").to_numpy() for name in ("first", "span"))
    forward = (places["sign"] == "+").to_numpy()
    found = np.empty(len(table), HIT)
    found["start"] = np.where(forward, first, first - span)[code]
    found["stop"] = (np.where(forward, first + span, first) + 1)[code]
    found["strand"] = np.where(forward, 1, -1)[code]
    for name in ("contig", "taxid", "fident", "bits", "alnlen", "qlen"):
        found[name] = table[name].to_numpy()
    return found


def write_hits(
    alignments: str | Path,
    row_of_key: np.ndarray,
    ids: list[str],
    output: str | Path,
    metadata: dict[str, str],
    folder: str | Path,
) -> dict[str, int]:
    """Number the fragments and name the contigs, and write `HITS_WITH_PLACES`; a contig is never split over row groups.

    Args:
        alignments: input of `read_alignments`.
        row_of_key: int64 [keys], for each key of the contig database the row of the contig in ``ids``.
        ids: the contigs of the index.
        output: path of the table. Fragments are numbered within their contig by position, from 0; rows are sorted by
            contig key, fragment, and descending bits.
        metadata: metadata of the file.
        folder: an empty folder for temporary files; it is empty again afterwards.

    Returns:
        Counts: hits, contigs_with_hits.

    Raises:
        InputError: as `read_alignments`, or an alignment of a contig that is not in the database.
    """
    parts = 1 + Path(alignments).stat().st_size // PART
    waiting = [Path(folder) / f"{part}.hits" for part in range(parts)]
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "wb")) for path in waiting]
        for found in read_alignments(alignments):
            if found["contig"].min() < 0 or found["contig"].max() >= len(row_of_key):
                raise InputError(
                    f"{alignments}: contains contigs that are not among the {len(row_of_key)} searched ones"
                )
            part = found["contig"] * parts // len(row_of_key)
            order = np.argsort(part, kind="stable")
            bounds = np.searchsorted(part[order], np.arange(parts + 1))
            for number in np.unique(part):
                found[order[bounds[number] : bounds[number + 1]]].tofile(files[number])
    names = pa.array(ids, pa.string())
    schema = HITS_WITH_PLACES.with_metadata(metadata)
    counts = {"hits": 0, "contigs_with_hits": 0}
    with (
        write_aside(output) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for path in waiting:
            table, contigs = _assemble(np.fromfile(path, HIT), row_of_key, names)
            path.unlink()
            if len(table):
                writer.write_table(table.cast(schema), row_group_size=len(table))
            counts["hits"] += len(table)
            counts["contigs_with_hits"] += contigs
    return counts


def _assemble(hits: np.ndarray, row_of_key: np.ndarray, names: pa.Array) -> tuple[pa.Table, int]:
    """The hits of some contigs as a table of `HITS_WITH_PLACES`, and the number of these contigs."""
    places = ("contig", "start", "stop", "strand")
    hits = hits[np.lexsort([-hits["bits"], *(hits[name] for name in reversed(places))])]
    another = np.ones(len(hits), dtype=bool)  # True at a new contig
    another[1:] = hits["contig"][1:] != hits["contig"][:-1]
    new = another.copy()  # True at a new fragment
    for name in places[1:]:
        new[1:] |= hits[name][1:] != hits[name][:-1]
    fragment = np.cumsum(new)
    firsts = np.maximum.accumulate(np.where(another, fragment, 0))
    columns = {
        "id": names.take(pa.array(row_of_key[hits["contig"]])),
        "fragment": (fragment - firsts).astype(np.int32),
        "fragment_length": hits["qlen"],
        "target_taxid": hits["taxid"],
        "identity": hits["fident"],
        "bits": hits["bits"],
        "alignment_length": hits["alnlen"],
        "start": hits["start"],
        "stop": hits["stop"],
        "strand": hits["strand"],
    }
    return pa.table({name: np.ascontiguousarray(column) if isinstance(column, np.ndarray) else column
                     for name, column in columns.items()}, schema=HITS_WITH_PLACES), int(another.sum())  # fmt: skip
