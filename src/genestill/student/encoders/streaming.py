"""From a FASTA file to a table of embeddings, in memory that does not grow with the number of sequences.

Sequences are read and embedded in buffers, and written as row groups in the order of the input.
"""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import genestill
from genestill.core import table_schemas
from genestill.core.cells import LeftOut
from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import sha256_of, write_aside
from genestill.core.logs import logger, progress
from genestill.core.overlap import ahead, behind
from genestill.core.sequences import read_fasta
from genestill.student.encoders.embedding import Embedder, Record

BUFFER_BASES = 2_000_000
BUFFER_SEQUENCES = 2_000
TRACKS = ("cds", "splice")  # columns of a table of tracks, in the order of the student's input


def survey(fasta: str | Path) -> int:
    """Read a FASTA file completely before the computation and return the number of its sequences.

    Raises `InputError` as `read_fasta` does, and for a repeated id; needs eight bytes per sequence.
    """
    digests = array("Q")
    for name, _ in read_fasta(fasta, unique=False):
        digests.append(_digest(name))
    values, counts = np.unique(np.frombuffer(digests, np.uint64), return_counts=True)
    if len(values) < len(digests):
        repeated, seen = set(values[counts > 1].tolist()), set()
        for name, _ in read_fasta(fasta, unique=False):
            if _digest(name) in repeated and name in seen:
                raise InputError(f"{fasta}: the id {name!r} occurs twice; ids end at the first white space")
            if _digest(name) in repeated:
                seen.add(name)
    return len(digests)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def with_tracks(records: Iterable[tuple[str, str]], table: str | Path | None) -> Iterator[Record]:
    """Join records to the rows of a table of tracks (columns id, cds, splice) with the same order of ids.

    Rows with other ids are skipped. Raises `InputError` if a record has no row after the row of the previous record, or
    if a track does not have one number per base.
    """
    if table is None:
        yield from (Record(name, sequence) for name, sequence in records)
        return
    rows = _track_rows(table)
    for name, sequence in records:
        tracks = next((tracks for row_name, tracks in rows if row_name == name), None)
        if tracks is None:
            raise InputError(
                f"{table}: no row for {name!r} after the rows of earlier sequences; expected the ids in FASTA order"
            )
        for column, values in zip(TRACKS, tracks, strict=True):
            if len(values) != len(sequence):
                raise InputError(
                    f"{table}: {column} of {name!r} has {len(values)} numbers, its sequence {len(sequence)} bases"
                )
        yield Record(name, sequence, np.stack(tracks, axis=1).astype(np.float32))


def _track_rows(table: str | Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    try:
        with pq.ParquetFile(table) as file:
            missing = {"id", *TRACKS} - set(file.schema_arrow.names)
            if missing:
                raise InputError(f"{table}: no column {', '.join(sorted(missing))}; expected id, {', '.join(TRACKS)}")
            for batch in file.iter_batches(batch_size=256, columns=["id", *TRACKS]):
                columns = [batch.column(name) for name in TRACKS]
                for row, name in enumerate(batch.column("id").to_pylist()):
                    yield name, [column[row].values.to_numpy(zero_copy_only=False) for column in columns]
    except FileNotFoundError:
        raise InputError(f"{table}: no such file") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{table}: not a complete Parquet file ({error})") from None


def buffers(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Lists of records with at most 2,000 sequences and about 2 million bases (or one longer record)."""
    held, bases = [], 0
    for record in records:
        held.append(record)
        bases += len(record.sequence)
        if bases >= BUFFER_BASES or len(held) >= BUFFER_SEQUENCES:
            yield held
            held, bases = [], 0
    if held:
        yield held


def embed_stream(
    embedder: Embedder, records: Iterable[Record], write: Callable[[list[Record], np.ndarray, np.ndarray], None]
) -> None:
    """Embed ``records`` in buffers: meanwhile, the next buffer is tokenized and the previous one is written.

    ``write`` gets the records of a buffer, their embeddings, float32 [n, size], and numbers of tokens, int32 [n].
    """
    prepared = ahead(embedder.prepare(held) for held in buffers(records))
    started = ((one.records, embedder.start(one)) for one in prepared)
    behind(started, lambda one: write(one[0], *one[1]()))


class Notices:
    """Sequences of a file that were read in windows, and those without a known base, for messages at the end."""

    def __init__(self, embedder: Embedder):
        self.embedder, self.count, self.cut, self.unknown = embedder, 0, 0, LeftOut()

    def add(self, records: list[Record]) -> None:
        """Count records that were embedded."""
        self.count += len(records)
        single = self.embedder.adapter.kind == "single nucleotides"
        for record in records:
            self.cut += single and len(record.sequence) > self.embedder.longest
            if not record.sequence.upper().strip("NRYSWKMBDHV"):
                self.unknown.add("without a known base", record.name)

    def log(self, fasta: str | Path, results: str) -> None:
        """Log the messages; ``results`` are what was computed for each sequence."""
        if self.cut:
            logger.info(
                "%d of %d sequences are longer than the maximum input of %d bases and were read in windows",
                self.cut, self.count, self.embedder.longest,
            )  # fmt: skip
        if len(self.unknown):
            logger.warning("%s: %s; their %s are meaningless", fasta, self.unknown, results)


def embed_fasta(
    fasta: str | Path,
    folder: str | Path,
    output: str | Path,
    tracks: str | Path | None = None,
    device: str = "auto",
    pooling: str | None = None,
    batch_tokens: int | None = None,
    threads: int = 0,
    dtype: str = "auto",
) -> None:
    """Write a table of `table_schemas.embeddings`, one row per sequence of ``fasta`` in order, atomically.

    Args:
        fasta: sequences, gzipped or not, of any length and number.
        folder: the student.
        output: Parquet file; special tokens are not counted, and sequences are never truncated.
        tracks: Parquet table with id, cds and splice (`table_schemas.TRANSCRIPTS`), in the order of the FASTA file.
        device, pooling, batch_tokens, threads, dtype: see `Embedder`.

    Raises:
        InputError: an invalid file, tracks for a student without tracks and pooling by region, and as `Embedder`.
        CheckFailed: an output of the student is too large for float16.
    """
    embedder = Embedder(folder, device, pooling, batch_tokens, threads, dtype=dtype)
    expected = embedder.tracks
    if tracks is not None and expected != len(TRACKS) and not embedder.reads_regions:
        raise InputError(f"{folder}: this student reads {expected} tracks, but {tracks} has {len(TRACKS)}")
    if tracks is None and expected:
        logger.warning("this student reads %d tracks, but none were given: all are set to 0", expected)
    if tracks is None and embedder.reads_regions:
        logger.warning("this student reads regions, but no tracks were given: the longest open reading frame is used")
    count, checksum = survey(fasta), sha256_of(fasta)
    records = progress(with_tracks(read_fasta(fasta, unique=False), tracks), count, "sequences", "student embed")
    metadata = {
        "model": Path(folder).name,
        "revision": sha256_of(Path(folder) / "model.safetensors"),
        "teacher": json.dumps(getattr(embedder.model.config, "teacher", None)),
        "layer": "-1",
        "pooling": embedder.pooling,
        "dtype": "bfloat16" if embedder.half else "float32",
        "tokenizer": embedder.adapter.kind,
        "input": checksum,
        "version": genestill.__version__,
    }
    schema = table_schemas.embeddings(embedder.size).with_metadata(metadata)
    notices = Notices(embedder)
    with (
        write_aside(output) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True) as writer,
    ):

        def write(held: list[Record], vectors: np.ndarray, tokens: np.ndarray) -> None:
            notices.add(held)
            writer.write_table(_rows(held, vectors, tokens, schema))

        embed_stream(embedder, records, write)
    notices.log(fasta, "embeddings")


def _rows(held: list[Record], vectors: np.ndarray, tokens: np.ndarray, schema: pa.Schema) -> pa.Table:
    largest = np.abs(vectors).max()
    if not largest <= np.finfo(np.float16).max:
        raise CheckFailed(
            f"an output of the student is {largest:g}, which is too large for float16; was the student trained?"
        )
    flat = pa.array(vectors.astype(np.float16).ravel())
    return pa.table(
        {
            "id": [record.name for record in held],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "tokens": pa.array(tokens, pa.int32()),
            "truncated": pa.array([False] * len(held)),
        },
        schema=schema,
    )
