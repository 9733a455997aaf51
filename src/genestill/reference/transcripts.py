"""Transcripts: from FASTA, from a table, or spliced from a genome with an annotation; with CDS and splice tracks."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.core.cells import LeftOut, is_missing, read_gene, read_name, read_number, whole_number
from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta, reverse_complement, sequence_checksum, write_fasta
from genestill.core.table_schemas import INDEX, TRANSCRIPTS
from genestill.core.tables import NOT_PARQUET, read_tsv, write_table
from genestill.reference.annotation import Model, read_annotation


@dataclass
class Transcript:
    """A spliced transcript. cds, splice: positions (0-based) of the first base of each codon, the last of each exon."""

    id: str
    sequence: str
    gene: str = ""
    symbol: str = ""
    chromosome: str = ""
    cds: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    splice: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def track(length: int, positions: np.ndarray) -> np.ndarray:
    """A track: int8 [length], 1 at ``positions`` and 0 elsewhere."""
    marks = np.zeros(length, np.int8)
    marks[positions] = 1
    return marks


def codon_starts(start: int, stop: int) -> np.ndarray:
    """Positions of the first base of every complete codon of a coding sequence [start, stop)."""
    return np.arange(start, stop - 2, 3)


def coding_sequence(sequence: str, cds: np.ndarray) -> str:
    """From the first codon of the track ``cds`` to the end of its last; the whole sequence if the track is empty."""
    starts = np.flatnonzero(cds)
    return sequence[starts[0] : starts[-1] + 3] if len(starts) else sequence


def splice_transcript(contig: str, model: Model) -> Transcript:
    """Cut a transcript out of its contig.

    Args:
        contig: the whole contig, forward strand.
        model: the gene model; its segments must be within the contig.

    Returns:
        The transcript in the direction of transcription, upper case, T for U. The CDS starts after the phase of its
        first segment, so that codons are in frame if the 5' end is incomplete.
    """
    sequence = "".join(contig[start:stop] for start, stop in model.exons)
    ends = np.cumsum([stop - start for start, stop in model.exons])
    coding = coding_interval(model)
    if model.strand == "-":
        sequence = reverse_complement(sequence)
        ends = len(sequence) - np.concatenate([[0], ends[:-1]])[::-1]
    return Transcript(
        id=model.id,
        sequence=_upper(sequence),
        gene=model.gene,
        symbol=model.symbol,
        chromosome=model.contig,
        cds=codon_starts(*coding) if coding else np.empty(0, np.int64),
        splice=np.asarray(ends, np.int64) - 1,
    )


def coding_interval(model: Model) -> tuple[int, int] | None:
    """Start and end (half-open) of the codons on the transcript, in the direction of transcription; None without."""
    if not (model.coding and model.in_frame):
        return None
    lengths = [stop - start for start, stop in model.exons]
    offsets = dict(zip((start for start, _ in model.exons), itertools.accumulate([0, *lengths[:-1]]), strict=True))

    def place(position: int) -> int:
        begin = max(start for start, _ in model.exons if start <= position)
        return offsets[begin] + position - begin

    first, last = place(model.coding[0][0]), place(model.coding[-1][1] - 1) + 1
    forward = model.strand == "+"
    five_prime = min(model.phases, default=None) if forward else max(model.phases, default=None)
    phase = model.phases.get(five_prime, 0) if five_prime is not None else 0
    return (first + phase, last) if forward else (sum(lengths) - last + phase, sum(lengths) - first)


def transcripts_of_genome(
    genome: str | Path, annotation: str | Path, left_out: LeftOut | None = None, without_codons: LeftOut | None = None
) -> Iterator[Transcript]:
    """Yield the transcripts of ``annotation`` (see `read_annotation`), in the order of the contigs in ``genome``.

    Args:
        genome, annotation: FASTA file and annotation of one assembly.
        left_out: gets the transcripts that cannot be used, by reason, when all are read: those that `read_annotation`
            leaves out, and those on contigs that are not in the genome, beyond the end of their contig, or across the
            origin of a circular contig.
        without_codons: gets transcripts with a shifted reading frame (ribosomal slippage); they have no codons.

    Raises `InputError`, when all are read, if more than half of the transcripts do not match the genome.
    """
    left_out = LeftOut() if left_out is None else left_out
    without_codons = LeftOut() if without_codons is None else without_codons
    found = read_annotation(annotation)
    left_out.update(found.left_out)
    without_codons.update(found.without_codons)
    total, strange = len(found.models) + len(left_out), LeftOut()
    waiting: dict[str, list[Model]] = {}
    for model in found.models:
        waiting.setdefault(model.contig, []).append(model)
    contigs = []
    for name, sequence in read_fasta(genome):
        contigs.append(name)
        for model in waiting.pop(name, []):
            ends = model.exons[0][0], model.exons[-1][1]
            if name in found.circular and (ends[1] > len(sequence) or (ends == (0, len(sequence)) and model.exons[1:])):
                left_out.add("over the origin of a circular contig", model.id)
            elif ends[1] > len(sequence):
                strange.add(f"that end beyond their contig in {genome}", f"{model.id} at {ends[1]} of {len(sequence)}")
            else:
                yield splice_transcript(sequence, model)
    for name, models in waiting.items():
        for model in models:
            strange.add(f"on contigs that are not in {genome}", f"{model.id} on {name}")
    if 2 * len(strange) > len(found.models):
        raise InputError(
            f"{annotation}: {len(strange):,} of {total:,} transcripts do not match the genome, which has the contigs "
            f"{', '.join(contigs[:3])}, …: {strange}; is it the same assembly, with the same names?"
        )
    left_out.update(strange)
    left_out.report(str(annotation), total, "transcripts")
    if len(without_codons):
        logger.warning("%s: read without codons: %s", annotation, without_codons)


def transcripts_of_fasta(path: str | Path) -> Iterator[Transcript]:
    """Yield the records of a FASTA file as transcripts without tracks and genes."""
    for name, sequence in read_fasta(path):
        yield Transcript(id=name, sequence=_upper(sequence))


@dataclass(frozen=True)
class Columns:
    """The name of the column with each content; None: there is no such column (without ``id``, rows are numbered)."""

    sequence: str = "sequence"
    id: str | None = None
    gene: str | None = None
    symbol: str | None = None
    chromosome: str | None = None
    cds_start: str | None = None  # 0-based
    cds_end: str | None = None  # half-open
    exon_sizes: str | None = None  # comma-separated, in the order of transcription
    cds: str | None = None  # track of 0 and 1; or "whole": the sequence is a coding sequence from its first base
    splice: str | None = None  # track of 0 and 1


def read_rows(path: str | Path, header: bool = True) -> pd.DataFrame:
    """Read a TSV (gzipped or not) or Parquet file as text; without header the columns are named "1", "2", …

    The index has the line of each row (Parquet: the row, from 1). Null becomes an empty text, and lists of a Parquet
    file (tracks, several targets) become arrays.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        return read_tsv(path, header=header)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        table = pq.read_table(path)
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None
    columns = {name: _text_of(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(table) + 1, name="row"), dtype=object)


def _text_of(column: pa.ChunkedArray) -> list:
    """Cells of a Parquet column as text; numbers in Python's format, booleans as 1 and 0, lists as arrays."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return ["" if cell is None else cell for cell in column.to_pandas()]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return ["" if cell is None else str(cell) for cell in column.to_pylist()]


def transcripts_of_table(path: str | Path, rows: pd.DataFrame, columns: Columns) -> list[Transcript]:
    """Convert the rows of a table to transcripts.

    A row without CDS, exon sizes or track has no such positions; a gene that is empty, ``-`` or ``.`` is missing.

    Args:
        path: the table, for messages.
        rows: from `read_rows`.
        columns: names of its columns.

    Raises:
        InputError: with the line, for a missing column, an empty sequence or id, letters that are not nucleotides, a
            CDS outside of the sequence or with only one end, exon sizes that do not sum to its length, and tracks of
            another length.
    """
    for role in (
        "sequence",
        "id",
        "gene",
        "symbol",
        "chromosome",
        "cds_start",
        "cds_end",
        "exon_sizes",
        "cds",
        "splice",
    ):
        wanted = getattr(columns, role)
        if wanted is not None and wanted not in rows.columns and (role, wanted) != ("cds", "whole"):
            raise InputError(f"{path}: no column {wanted!r} for {role}; found {', '.join(map(str, rows.columns))}")
    transcripts = []
    lines: dict[str, list[int]] = {}
    for number, (line, row) in enumerate(zip(rows.index, rows.to_dict("records"), strict=True), 1):
        where = f"{path}: {rows.index.name or 'row'} {line}"
        name = read_name(row[columns.id]) if columns.id else f"row{number}"
        if not name:
            raise InputError(f"{where} has no {columns.id!r}; expected the name of the transcript")
        lines.setdefault(name, []).append(line)
        where += f" ({name})" if columns.id else ""
        transcript = Transcript(
            id=name,
            sequence=_checked_sequence(row[columns.sequence], where),
            gene=read_gene(row[columns.gene]) if columns.gene else "",
            symbol=read_gene(row[columns.symbol]) if columns.symbol else "",
            chromosome=read_name(row[columns.chromosome]) if columns.chromosome else "",
        )
        transcript.cds = _codons_of_row(row, columns, len(transcript.sequence), where)
        transcript.splice = _exon_ends_of_row(row, columns, len(transcript.sequence), where)
        transcripts.append(transcript)
    _warn_of_names(path, transcripts, {name: where for name, where in lines.items() if len(where) > 1})
    return transcripts


def _checked_sequence(cell: str, where: str) -> str:
    sequence = _upper(cell)
    if is_missing(sequence):
        raise InputError(f"{where} has no sequence ({cell!r}); expected nucleotides")
    if sequence.strip("ACGTNRYSWKMBDHV"):
        raise InputError(
            f"{where} contains letters that are not nucleotides: {sequence.strip('ACGTNRYSWKMBDHV')[:20]!r}"
        )
    return sequence


def _codons_of_row(row: dict, columns: Columns, length: int, where: str) -> np.ndarray:
    if columns.cds == "whole":
        return codon_starts(0, length)
    if columns.cds:
        return _marks(row[columns.cds], length, f"{where}: {columns.cds}")
    if not (columns.cds_start and columns.cds_end):
        return codon_starts(0, 0)
    ends = row[columns.cds_start], row[columns.cds_end]
    if all(is_missing(cell) for cell in ends):
        return codon_starts(0, 0)
    start, stop = (
        whole_number(cell, f"{where}: {column}")
        for cell, column in zip(ends, (columns.cds_start, columns.cds_end), strict=True)
    )
    if not 0 <= start <= stop <= length:
        raise InputError(f"{where} has the coding sequence [{start}, {stop}), but only {length} bases")
    return codon_starts(start, stop)


def _exon_ends_of_row(row: dict, columns: Columns, length: int, where: str) -> np.ndarray:
    if columns.splice:
        return _marks(row[columns.splice], length, f"{where}: {columns.splice}")
    if not columns.exon_sizes or is_missing(row[columns.exon_sizes]):
        return np.empty(0, np.int64)
    words = row[columns.exon_sizes].strip(",").split(",")
    sizes = [whole_number(word, f"{where}: {columns.exon_sizes}") for word in words]
    if min(sizes) <= 0:
        raise InputError(f"{where} has an exon of {min(sizes)} bases")
    if sum(sizes) != length:
        raise InputError(f"{where}: its exons sum to {sum(sizes)}, but it has {length} bases")
    return np.cumsum(sizes) - 1


def _marks(cell, length: int, where: str) -> np.ndarray:
    """Positions at which a track is 1: an array (Parquet), or text such as ``0,0,1`` or ``[0 0 1]``; none if empty."""
    if isinstance(cell, str):
        if is_missing(cell):
            return np.empty(0, np.int64)
        cell = [read_number(word) for word in cell.strip("[]() ").replace(",", " ").split()]
    marks = np.array(cell, dtype=np.float64)
    if marks.shape != (length,):
        raise InputError(f"{where} is a track of {marks.size} numbers, but the sequence has {length} bases")
    if not np.isin(marks, (0, 1)).all():
        raise InputError(f"{where} is a track with {marks[~np.isin(marks, (0, 1))][0]:g}; expected 0 and 1")
    return np.flatnonzero(marks)


def _warn_of_names(path: str | Path, transcripts: list[Transcript], repeated: dict[str, list[int]]) -> None:
    if repeated:
        name, lines = next(iter(repeated.items()))
        logger.warning(
            "%s: %d ids have several rows (the first: %r, rows %s)",
            path, len(repeated), name, ", ".join(map(str, lines[:3])),
        )  # fmt: skip
    genes = Counter(transcript.gene for transcript in transcripts if transcript.gene and is_missing(transcript.gene))
    for gene, count in genes.items():
        if count > 1:
            logger.warning(
                "%s: %d rows have the gene %r, which is read as a name; if it means 'no gene', leave the "
                "cells empty", path, count, gene,
            )  # fmt: skip


def window(transcript: Transcript, longest: int) -> Transcript:
    """The transcript or, if it is longer than ``longest`` bases, a window of this length around the start codon.

    For a transcript without CDS it is the 5' end. A third of the window is before the start codon if possible. With
    ``longest`` 0, the transcript is not cut.
    """
    length = len(transcript.sequence)
    if not longest or length <= longest:
        return transcript
    anchor = int(transcript.cds[0]) if len(transcript.cds) else 0
    start = min(max(0, anchor - longest // 3), length - longest)
    inside = [
        positions[(positions >= start) & (positions < start + longest)] - start
        for positions in (transcript.cds, transcript.splice)
    ]
    return replace(transcript, sequence=transcript.sequence[start : start + longest], cds=inside[0], splice=inside[1])


def collect_corpus(
    sources: dict[str, Iterable[Transcript]], shortest: int, longest: int
) -> tuple[list[Transcript], dict]:
    """Transcripts of all sources without repeated sequences, and counts of those that were left out.

    Args:
        sources: name of a source -> its transcripts; the name is added before each id (``name:id``), and the
            checksum after an id of several sequences.
        shortest: transcripts with fewer bases are left out.
        longest: longer ones are cut to a `window`; 0 for no cutting.

    Returns:
        The transcripts in reading order, and per source the counts ``read``, ``short``, ``ambiguous`` (more than 5 % of
        the bases are not A, C, G, T), ``duplicate``, ``windowed`` and ``kept``.
    """
    kept: dict[str, Transcript] = {}
    named: set[str] = set()
    counts = {}
    for name, transcripts in sources.items():
        count = dict.fromkeys(("read", "short", "ambiguous", "duplicate", "windowed", "kept"), 0)
        for transcript in transcripts:
            count["read"] += 1
            length = len(transcript.sequence)
            if length < shortest:
                count["short"] += 1
                continue
            if sum(transcript.sequence.count(base) for base in "ACGT") < 0.95 * length:
                count["ambiguous"] += 1
                continue
            cut = window(transcript, longest)
            count["windowed"] += cut is not transcript
            key = sequence_checksum(cut.sequence)
            if key in kept:
                count["duplicate"] += 1
                continue
            kept[key] = cut
            cut.id = f"{name}:{cut.id}"
            if cut.id in named:  # an id of several sequences, for example of alternative measurements
                cut.id += f":{key}"
            named.add(cut.id)
            count["kept"] += 1
        counts[name] = count
        logger.info("%s: %s", name, ", ".join(f"{number} {what}" for what, number in count.items()))
    return list(kept.values()), counts


def transcript_table(transcripts: list[Transcript]) -> pd.DataFrame:
    """The columns of `table_schemas.TRANSCRIPTS`."""
    return pd.DataFrame(
        {
            "id": [transcript.id for transcript in transcripts],
            "gene": [transcript.gene for transcript in transcripts],
            "symbol": [transcript.symbol for transcript in transcripts],
            "chromosome": [transcript.chromosome for transcript in transcripts],
            "sequence": [transcript.sequence for transcript in transcripts],
            "cds": [track(len(transcript.sequence), transcript.cds) for transcript in transcripts],
            "splice": [track(len(transcript.sequence), transcript.splice) for transcript in transcripts],
            "length": np.array([len(transcript.sequence) for transcript in transcripts], np.int32),
        }
    )


def write_transcripts(folder: str | Path, transcripts: list[Transcript], summary: dict) -> None:
    """Write ``transcripts.parquet`` and ``transcripts.json`` into ``folder``."""
    if not transcripts:
        raise InputError(f"{folder}: all transcripts were left out; see the counts in the log")
    folder = Path(folder)
    write_table(folder / "transcripts.parquet", transcript_table(transcripts), TRANSCRIPTS)
    write_json(folder / "transcripts.json", summary)


def write_sequences(folder: str | Path, sequences: list[tuple[str, str]]) -> None:
    """Write (id, sequence) pairs as ``sequences.fna.gz`` with ``index.parquet`` (`INDEX`) into ``folder``."""
    folder = Path(folder)
    texts = [sequence for _, sequence in sequences]
    index = pd.DataFrame(
        {
            "id": [name for name, _ in sequences],
            "length": [len(text) for text in texts],
            "gc": [(text.count("G") + text.count("C")) / len(text) for text in texts],
            "sample": "",
            "checksum": [sequence_checksum(text) for text in texts],
        }
    )
    write_fasta(folder / "sequences.fna.gz", sequences)
    write_table(folder / "index.parquet", index, INDEX)


def _upper(sequence: str) -> str:
    return sequence.upper().replace("U", "T")
