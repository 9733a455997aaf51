"""One shard of an index: a contiguous share balanced by bases, computed by one job and written as one file."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import genestill
from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import sha256_of, write_aside
from genestill.core.logs import logger, progress
from genestill.core.overlap import behind
from genestill.core.reading_frames import coding_bounds
from genestill.core.sequences import read_fasta
from genestill.core.tables import read_table
from genestill.teacher.embedding import EmbeddingSettings, output_schema, unfinished_tables, window_bases
from genestill.teacher.loading import Teacher, load_teacher


def bounds_of_shard(lengths: np.ndarray, shard: int, shards: int) -> tuple[int, int]:
    """`shard_bounds` of the ``shard`` with this number, from 0; raises `InputError` for another number."""
    if not 0 <= shard < shards:
        raise InputError(f"shard {shard} of {shards}: expected 0 to {shards - 1}")
    return shard_bounds(lengths, shards)[shard]


def shard_bounds(lengths: np.ndarray, shards: int) -> list[tuple[int, int]]:
    """(first row, row after the last) of each of ``shards`` contiguous shares with about equal numbers of bases.

    A row belongs to the share that contains its middle base, so every row is in exactly one share; shares may be
    empty. ``lengths`` is int [rows].
    """
    ends = np.cumsum(lengths, dtype=np.float64)
    middles = ends - np.asarray(lengths) / 2
    total = ends[-1] if len(ends) else 0.0
    cuts = np.searchsorted(middles, total * np.arange(1, shards) / shards)
    edges = [0, *(int(cut) for cut in cuts), len(lengths)]
    return list(itertools.pairwise(edges))


def read_rows(fasta: str | Path, index: pd.DataFrame, start: int, stop: int) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of rows ``start`` to ``stop`` of the index, reading the FASTA file of the index.

    Records that are not in the index are skipped. Raises `InputError` if the sequence of a row is missing, in another
    order, or has another length than in the index.
    """
    ids, lengths = index["id"].tolist(), index["length"].tolist()
    place = {name: row for row, name in enumerate(ids)}
    expected = start
    if start >= stop:
        return
    for name, sequence in read_fasta(fasta):
        row = place.get(name)
        if row is None or row < start:
            continue
        if row != expected:
            raise InputError(
                f"{fasta}: found {name!r} where the index has {ids[expected]!r} (row {expected + 1}); "
                "the index was made from another file"
            )
        if len(sequence) != lengths[row]:
            raise InputError(
                f"{fasta}: {name!r} has {len(sequence)} bases, but {lengths[row]} in the index; "
                "the index was made from another file"
            )
        yield name, sequence
        expected += 1
        if expected == stop:
            return
    raise InputError(f"{fasta}: ends before {ids[expected]!r}, row {expected + 1} of the index")


def embed_shard(
    folder: str | Path,
    contigs: str | Path,
    index: str | Path,
    output: str | Path,
    settings: EmbeddingSettings,
    shard: int = 0,
    shards: int = 1,
    device: str = "auto",
    processes: int = 1,
    transcripts: str | Path | None = None,
) -> None:
    """Compute one shard of an index and write it as Parquet, atomically.

    Args:
        folder: the teacher.
        contigs: FASTA file of the index.
        index: Parquet table of `table_schemas.INDEX`.
        output: table of `embeddings`, `token_features` or `BASE_LOG_PROBABILITIES` of `table_schemas`.
        settings: see `EmbeddingSettings`.
        shard, shards: number of the shard (from 0), and number of shards, balanced by bases.
        device: see `choose_device`.
        processes: number of processes among which the shard is divided, each (on CUDA) with a separate GPU.
        transcripts: table of `table_schemas.TRANSCRIPTS` with the ids of the index, for pooling by region.
    """
    table = read_table(index, table_schemas.INDEX)
    lengths = table["length"].to_numpy()
    first, stop = bounds_of_shard(lengths, shard, shards)
    cuts = [(first + a, first + b) for a, b in shard_bounds(lengths[first:stop], processes)]
    extra = {"input": sha256_of(index), "shard": shard, "shards": shards}
    if processes == 1:
        _embed_rows(folder, contigs, table, output, settings, cuts[0], _device(device, 0, 1), extra, transcripts)
        return
    _embed_in_processes(folder, contigs, index, output, settings, cuts, device, extra, transcripts)


def read_coding(transcripts: str | Path, ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """The coding sequence [start, stop) of each of ``ids``, by `reading_frames.coding_bounds`.

    Raises `InputError` for an id that is not in ``transcripts`` (`table_schemas.TRANSCRIPTS`).
    """
    table = read_table(transcripts, table_schemas.TRANSCRIPTS)
    table = table[table["id"].isin(ids)]
    found = dict(zip(table["id"], map(coding_bounds, table["sequence"], table["cds"]), strict=True))
    for name in ids:
        if name not in found:
            raise InputError(f"{transcripts}: no transcript {name!r}, which is in the index")
    return found


def _embed_rows(folder, contigs, table, output, settings, rows, device, extra, transcripts) -> None:
    layer = settings.layer if settings.representation != "base-log-probabilities" else -1
    teacher = load_teacher(folder, device=device, dtype=settings.dtype, layer=layer)
    logger.info("%s (%s, %s) on %s in %s: rows %d to %d", teacher.name, teacher.kind, settings.representation, device,
                teacher.dtype, *rows)  # fmt: skip
    schema = output_schema(teacher, settings)
    records = progress(read_rows(contigs, table, *rows), rows[1] - rows[0], "contigs", "teacher embed")
    metadata = {**_metadata(teacher, settings), **extra}
    coding = None
    if transcripts is not None and settings.pooling == "regions":
        coding = read_coding(transcripts, set(table["id"].iloc[slice(*rows)]))
    write_stream(output, schema, metadata, unfinished_tables(teacher, records, settings, coding))


def _embed_in_processes(folder, contigs, index, output, settings, cuts, device, extra, transcripts) -> None:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    output = Path(output)
    parts = [output.parent / f".part-{number}.{output.name}" for number in range(len(cuts))]
    try:
        with ProcessPoolExecutor(len(cuts), mp_context=multiprocessing.get_context("spawn")) as pool:
            given = folder, contigs, index
            jobs = [
                pool.submit(_embed_part, *given, part, settings, cut, device, number, len(cuts), extra, transcripts)
                for number, (part, cut) in enumerate(zip(parts, cuts, strict=True))
            ]
            for job in jobs:
                job.result()
        first = pq.ParquetFile(parts[0])
        metadata = {key.decode(): value.decode() for key, value in (first.metadata.metadata or {}).items()}
        metadata.pop("ARROW:schema", None)
        groups = (
            file.read_row_group(group)
            for file in map(pq.ParquetFile, parts)
            for group in range(file.metadata.num_row_groups)
        )
        write_stream(output, first.schema_arrow.remove_metadata(), metadata, groups)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _embed_part(folder, contigs, index, part, settings, rows, device, number, processes, extra, transcripts) -> None:
    from genestill.core.logs import configure_logging

    configure_logging()
    table = read_table(index, table_schemas.INDEX)
    _embed_rows(folder, contigs, table, part, settings, rows, _device(device, number, processes), extra, transcripts)


def _device(wanted: str, number: int, processes: int):
    import torch

    from genestill.core.devices import choose_device

    device = choose_device(wanted)
    if device.type == "cuda" and processes > 1:
        found = torch.cuda.device_count()
        if processes > found:
            raise InputError(f"{processes} processes were requested, but only {found} GPUs are visible")
        return torch.device("cuda", number)
    if device.type == "cpu" and processes > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    return device


def _metadata(teacher: Teacher, settings: EmbeddingSettings) -> dict[str, str]:
    return {
        **{key: value for key, value in asdict(settings).items() if key != "batch_tokens"},
        "teacher": teacher.name,
        "revision": teacher.revision,
        "layer": teacher.layer,
        "layers": teacher.layers,
        "window": "first" if settings.window == "first" else window_bases(teacher, settings),
        "dtype": teacher.dtype,
        "tokenizer": teacher.tokenizer.checksum,
        "version": genestill.__version__,
        "size": teacher.hidden_size,
    }


def write_stream(
    path: str | Path, schema: pa.Schema, metadata: dict, tables: Iterable[pa.Table | Callable[[], pa.Table]]
) -> None:
    """Write tables as row groups of one Parquet file, one after another; atomic, so never incomplete.

    A table is written while the next one is computed; a function that makes a table is called when it is written.
    """
    text = {key: str(value) for key, value in metadata.items()}
    with (
        write_aside(path) as aside,
        pq.ParquetWriter(aside, schema.with_metadata(text), compression="zstd", write_page_checksum=True) as writer,
    ):

        def write(table: pa.Table | Callable[[], pa.Table]) -> None:
            made = table() if callable(table) else table
            writer.write_table(made.replace_schema_metadata(text))

        behind(tables, write)
