"""Embeddings of any number of sequences by a released student, in memory that does not grow with their number.

Sequences stream in, are cut into windows no longer than the student reads, batched by length within a buffer, and
stream out as row groups in the order of the input.
"""

import hashlib
import itertools
import json
from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import genestill
from genestill.ground import artefacts
from genestill.ground.devices import choose_device
from genestill.ground.errors import CheckFailed, InputError
from genestill.ground.files import sha256_of, write_aside
from genestill.ground.logs import logger, progress
from genestill.ground.sequences import read_fasta
from genestill.student.encoders.configuration import POOLINGS
from genestill.student.encoders.model import EncoderModel
from genestill.student.encoders.pooling import pool
from genestill.student.encoders.tokenization import CLS, encode_batch, open_tokenizer

BUFFER_BASES = 2_000_000
BUFFER_SEQUENCES = 2_000
BATCH_TOKENS = {"cpu": 4_096, "cuda": 262_144}  # on a CPU small batches stay in its cache
TRACKS = ("cds", "splice")  # columns of a table of tracks, in the order in which students read them


@dataclass(frozen=True)
class Record:
    """A sequence on its way; tracks: float32 [bases, T], or None for zeros."""

    name: str
    sequence: str
    tracks: np.ndarray | None = None


class Embedder:
    """A student, opened from its folder, that embeds lists of sequences.

    Args:
        folder: a released student (`EncoderConfig`, safetensors, tokenizer).
        device: see `choose_device`.
        pooling: instead of the student's own.
        batch_tokens: tokens of a batch, padding included; by default 4,096 on a CPU and 262,144 on CUDA.
        threads: batches computed at once on a CPU, each by one thread; 0 for as many as torch would take.

    Raises:
        InputError: no encoder student in the folder, or an unknown pooling.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "auto",
        pooling: str | None = None,
        batch_tokens: int | None = None,
        threads: int = 0,
    ):
        self.device = choose_device(device)
        self.model = open_student(folder).to(self.device)
        config = self.model.config
        self.pooling = pooling or config.pooling
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling is {self.pooling!r}; expected one of {', '.join(POOLINGS)}")
        self.cls = open_tokenizer(folder)("A")["input_ids"][0] == CLS
        if self.pooling in ("cls", "concatenated") and not self.cls:
            raise InputError(f"{folder}: this student reads no [CLS], so the pooling {self.pooling!r} means nothing")
        self.window = config.max_length - self.cls
        self.size = config.hidden_size * (3 if self.pooling == "concatenated" else 1)
        self.batch_tokens = batch_tokens or BATCH_TOKENS[self.device.type]
        self.workers = 1 if self.device.type == "cuda" else threads or torch.get_num_threads()

    def embed(self, records: list[Record]) -> np.ndarray:
        """Embeddings float32 [n, size] of ``records``.

        Longer sequences than the student reads are cut into the fewest windows of about equal length; their
        vectors are averaged by length (``max`` takes the maximum).
        """
        windows = [
            (row, start, stop)
            for row, record in enumerate(records)
            for start, stop in cut_windows(len(record.sequence), self.window)
        ]
        lengths = np.array([stop - start for _, start, stop in windows])
        batches = list(batch_by_length(lengths, self.batch_tokens))
        vectors = np.empty((len(windows), self.size), np.float32)

        def compute(batch: np.ndarray) -> None:
            vectors[batch] = self._embed_windows(records, [windows[number] for number in batch])

        if self.workers == 1:
            for batch in batches:
                compute(batch)
        else:
            # A batch a thread keeps cores busier than one small matrix product cut over all of them.
            with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool_of_threads:
                list(pool_of_threads.map(compute, batches))
        return combine_windows(vectors, np.array([row for row, _, _ in windows]), lengths, len(records), self.pooling)

    def _embed_windows(self, records: list[Record], windows: list[tuple[int, int, int]]) -> np.ndarray:
        input_ids, mask = encode_batch(
            [records[row].sequence[start:stop] for row, start, stop in windows], cls=self.cls
        )
        tracks = None
        if any(records[row].tracks is not None for row, _, _ in windows):
            values = np.zeros((*input_ids.shape, self.model.config.tracks), np.float32)
            for place, (row, start, stop) in enumerate(windows):
                if records[row].tracks is not None:
                    values[place, self.cls : self.cls + stop - start] = records[row].tracks[start:stop]
            tracks = torch.from_numpy(values).to(self.device)
        input_ids, mask = (torch.from_numpy(x).to(self.device) for x in (input_ids, mask))
        with torch.inference_mode():
            hidden = self.model(input_ids, mask, tracks).last_hidden_state
            return pool(hidden, mask, self.pooling).float().cpu().numpy()


def open_student(folder: str | Path) -> EncoderModel:
    """The encoder in a released folder, for inference; raises `InputError` if there is none that opens."""
    folder = Path(folder)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind != EncoderModel.config_class.model_type:
            raise InputError(f"{folder}: config.json says model_type {kind!r}; expected an encoder student")
        model, report = EncoderModel.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no student that opens ({error})") from None
    if wrong := sorted({*report["missing_keys"], *report["unexpected_keys"]}):
        raise InputError(f"{folder}: model.safetensors does not fit config.json ({', '.join(wrong[:3])} …)")
    return model.eval()


def cut_windows(length: int, longest: int) -> list[tuple[int, int]]:
    """(start, stop) of the fewest windows of at most ``longest`` bases and about equal length; none overlap."""
    count = -(-length // longest)
    edges = [length * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges))


def batch_by_length(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Batches of indices, longest first, of at most ``tokens`` tokens when padded (one sequence at least)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def combine_windows(vectors: np.ndarray, rows: np.ndarray, lengths: np.ndarray, count: int, pooling: str) -> np.ndarray:
    """One vector a sequence, float32 [count, size], from the vectors [n, size] of its windows in ``rows`` [n]."""
    weights = np.bincount(rows, lengths, minlength=count)[:, None]
    mean = np.zeros((count, vectors.shape[1]))
    np.add.at(mean, rows, vectors * lengths[:, None])
    mean /= weights
    if pooling in ("max", "concatenated"):
        part = slice(None) if pooling == "max" else slice(vectors.shape[1] // 3, 2 * vectors.shape[1] // 3)
        highest = np.full_like(mean[:, part], -np.inf)
        np.maximum.at(highest, rows, vectors[:, part])
        mean[:, part] = highest
    return mean.astype(np.float32)


def survey(fasta: str | Path) -> tuple[int, str]:
    """Read a FASTA file once before hours of compute: (number of sequences, SHA-256 of the file).

    Raises `InputError` for what `read_fasta` refuses, and for an id that occurs twice; eight bytes a sequence.
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
    return len(digests), sha256_of(fasta)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def with_tracks(records: Iterable[tuple[str, str]], table: str | Path | None) -> Iterator[Record]:
    """Join records to the rows of a table of tracks (columns id, cds, splice) that has their ids in their order.

    Rows of other ids are passed over, so the table may hold more. Raises `InputError` if a record has no row after
    the row of the record before it, or a track is not one number a base.
    """
    if table is None:
        yield from (Record(name, sequence) for name, sequence in records)
        return
    rows = _track_rows(table)
    for name, sequence in records:
        tracks = next((tracks for row_name, tracks in rows if row_name == name), None)
        if tracks is None:
            raise InputError(f"{table}: no row for {name!r} after those before it; expected the ids in FASTA order")
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
        raise InputError(f"{table}: not a whole Parquet file ({error})") from None


def buffers(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Lists of records of at most 2,000 sequences and about 2 million bases (one longer record at least)."""
    held, bases = [], 0
    for record in records:
        held.append(record)
        bases += len(record.sequence)
        if bases >= BUFFER_BASES or len(held) >= BUFFER_SEQUENCES:
            yield held
            held, bases = [], 0
    if held:
        yield held


def embed_fasta(
    fasta: str | Path,
    folder: str | Path,
    output: str | Path,
    tracks: str | Path | None = None,
    device: str = "auto",
    pooling: str | None = None,
    batch_tokens: int | None = None,
    threads: int = 0,
) -> None:
    """Write a table of `artefacts.embeddings`, one row a sequence of ``fasta`` in its order, atomically.

    Args:
        fasta: sequences, gzipped or not, of any length and number.
        folder: the student.
        output: Parquet file; tokens counts bases, and nothing is ever truncated.
        tracks: Parquet table with id, cds and splice (`artefacts.TRANSCRIPTS`), in the order of the FASTA file.
        device, pooling, batch_tokens, threads: see `Embedder`.

    Raises:
        InputError: a bad file, a student without tracks where tracks are given, and all of `Embedder`.
        CheckFailed: the student gave a number that float16 cannot hold.
    """
    embedder = Embedder(folder, device, pooling, batch_tokens, threads)
    expected = embedder.model.config.tracks
    if tracks is not None and expected != len(TRACKS):
        raise InputError(f"{folder}: this student reads {expected} tracks; {tracks} has {len(TRACKS)}")
    if tracks is None and expected:
        logger.warning("this student reads %d tracks and none were given: all are taken as 0", expected)
    count, checksum = survey(fasta)
    records = progress(with_tracks(read_fasta(fasta, unique=False), tracks), count, "sequences", "student embed")
    metadata = {
        "model": Path(folder).name,
        "revision": sha256_of(Path(folder) / "model.safetensors"),
        "teacher": json.dumps(embedder.model.config.teacher),
        "layer": "-1",
        "pooling": embedder.pooling,
        "dtype": "float32",
        "tokenizer": "single nucleotides",
        "input": checksum,
        "version": genestill.__version__,
    }
    schema = artefacts.embeddings(embedder.size).with_metadata(metadata)
    with write_aside(output) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for held in buffers(records):
            writer.write_table(_rows(held, embedder.embed(held), schema))


def _rows(held: list[Record], vectors: np.ndarray, schema: pa.Schema) -> pa.Table:
    largest = np.abs(vectors).max()
    if not largest <= np.finfo(np.float16).max:
        raise CheckFailed(f"the student gave a value of {largest:g}, which float16 cannot hold; was it trained?")
    flat = pa.array(vectors.astype(np.float16).ravel())
    return pa.table(
        {
            "id": [record.name for record in held],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "tokens": pa.array([len(record.sequence) for record in held], pa.int32()),
            "truncated": pa.array([False] * len(held)),
        },
        schema=schema,
    )
