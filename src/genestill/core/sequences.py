"""Nucleotide sequences: reading FASTA and FASTQ, and converting bases to numbers."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import dnaio
import numpy as np

from genestill.core.errors import InputError
from genestill.core.text import open_text

BASES = "ACGT"
MOST_UNKNOWN = 0.1  # maximum share of unknown letters in a window
UNKNOWN_BASE = 4  # the code of every letter that is not A, C, G or T

_SAM = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")
_IUPAC = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_AMINO_ACIDS_ONLY = set("EFILPQXZJOefilpqxzjo")
_CODES = bytes(
    next((code for code, letters in enumerate(("Aa", "Cc", "Gg", "TtUu")) if chr(byte) in letters), UNKNOWN_BASE)
    for byte in range(256)
)
_FASTA_SUFFIXES = (".gz", ".fna", ".fa", ".fasta", ".ffn")
_COMPLEMENT = str.maketrans("ACGTUNRYSWKMBDHVacgtunryswkmbdhv", "TGCAANYRSWMKVHDBtgcaanyrswmkvhdb")


def genome_name(file: str | Path) -> str:
    """The name of a genome: the file name without the suffixes of FASTA files and of compression."""
    name = Path(file).name
    while (suffix := Path(name).suffix) in _FASTA_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def read_fasta(path: str | Path, unique: bool = True) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of each record of a FASTA or FASTQ file, compressed or not (see `open_text`).

    The id is the header up to the first white space, as in aligners; the rest of the header may have any encoding.
    White space in a sequence is removed. With ``unique`` False, repeated ids are accepted, and no ids are kept in
    memory.

    Raises `InputError`, with file and line, for: a missing, empty or damaged file, a file that is neither FASTA nor
    FASTQ, an empty id or an id with non-ASCII characters, a repeated id, an empty sequence, letters outside the IUPAC
    nucleotide code, and protein sequences.
    """
    seen: dict[str, str] = {}
    line = 0
    with open_text(path, errors="surrogateescape") as text:
        buffer = cast(io.BufferedReader, text.buffer)
        start = buffer.peek(4096).lstrip()
        if start.startswith(_SAM):
            raise InputError(f"{path}: SAM (alignments), not FASTA; expected a line '>id', then bases")
        records = _fastq_records(path, buffer) if start.startswith(b"@") else _fasta_records(path, text)
        for line, header, sequence in records:
            name = header.split(maxsplit=1)[0] if header.strip() else ""
            _refuse_bad_record(f"{path}: line {line}", name, header, sequence, seen)
            if unique:
                seen[name] = header
            yield name, sequence
    if not line:
        raise InputError(f"{path}: has no sequences; expected FASTA records (a line '>id', then bases)")


def _fasta_records(path: str | Path, text: TextIO) -> Iterator[tuple[int, str, str]]:
    """Yield the line of the header, the header and the sequence of each record."""
    header: str | None = None
    first = 0
    parts: list[str] = []
    for number, line in enumerate(text, 1):
        line = line.strip()
        if line.startswith(">"):
            if header is not None:
                yield first, header, "".join(parts)
            first, header, parts = number, line[1:], []
        elif not line or line.startswith(("#", ";")):
            continue
        elif header is None:
            raise InputError(f"{path}: not a FASTA file: line {number} is {line[:60]!r}{_guess(line)}; expected '>id'")
        else:
            parts.append("".join(line.split()) if " " in line or "\t" in line else line)
    if header is not None:
        yield first, header, "".join(parts)


def _guess(line: str) -> str:
    """A guess at the kind of a file, from a first line that is not FASTA."""
    for start, what in {"LOCUS ": "GenBank", "ID  ": "EMBL", "##gff": "GFF3"}.items():
        if line.startswith(start):
            return f" ({what}; convert it to FASTA)"
    return " (a table? Were two files swapped?)" if "\t" in line else ""


def _fastq_records(path: str | Path, source: io.BufferedReader) -> Iterator[tuple[int, str, str]]:
    """As `_fasta_records`; a record of FASTQ has four lines."""
    try:
        with dnaio.open(source, fileformat="fastq") as records:
            for number, record in enumerate(records):
                yield 4 * number + 1, record.name, record.sequence
    except dnaio.FileFormatError as error:
        raise InputError(f"{path}: not a FASTQ file: {error}") from None


def _refuse_bad_record(where: str, name: str, header: str, sequence: str, seen: dict[str, str]) -> None:
    if not name:
        raise InputError(f"{where}: the header is empty; expected '>id'")
    if not name.isascii():
        raise InputError(f"{where}: the id {name!r} has non-ASCII characters; expected ASCII")
    if name in seen:
        cut = "" if header == name == seen[name] else f" (from the headers {seen[name]!r} and {header!r})"
        raise InputError(
            f"{where}: the id {name!r} occurs twice{cut}; ids end at the first white space and must be unique"
        )
    if not sequence:
        raise InputError(f"{where}: the sequence of {name!r} is empty")
    try:
        strange = sequence.encode("ascii").translate(None, _IUPAC).decode()
    except UnicodeEncodeError:
        strange = "".join(letter for letter in sequence if not letter.isascii())
    if strange:
        letters = "".join(sorted(set(strange)))[:10]
        if _AMINO_ACIDS_ONLY & set(strange) and len(strange) > 0.05 * len(sequence):
            raise InputError(f"{where}: {name!r} looks like a protein (letters {letters!r}); expected nucleotides")
        position = sequence.index(strange[0]) + 1
        raise InputError(
            f"{where}: {name!r} has the letter {strange[0]!r} at position {position} (in all: {letters!r}); "
            "expected IUPAC nucleotide codes"
        )


def encode_bases(sequence: str) -> np.ndarray:
    """Codes of the bases of ``sequence``: uint8 [length], A 0, C 1, G 2, T or U 3, others 4; case is ignored."""
    return np.frombuffer(sequence.encode("ascii").translate(_CODES), dtype=np.uint8)


def sequence_checksum(sequence: str) -> str:
    """First 16 hex digits of the SHA-256 of a sequence, as written: the caller decides on upper case."""
    return hashlib.sha256(sequence.encode("ascii")).hexdigest()[:16]


def has_many_unknown(sequence: str) -> bool:
    """Whether more than a tenth of the letters are not A, C, G, T or U: such windows of genomes are not used."""
    return (encode_bases(sequence) == UNKNOWN_BASE).mean() > MOST_UNKNOWN


def reverse_complement(sequence: str) -> str:
    """The reverse complement; IUPAC codes and case are kept."""
    return sequence.translate(_COMPLEMENT)[::-1]


def write_fasta(path: str | Path, records) -> None:
    """Write (id, sequence) pairs as FASTA, 80 bases per line, gzipped if ``path`` ends in ``.gz``; atomic."""
    from genestill.core.files import write_compressed

    with write_compressed(path) as handle:
        for name, sequence in records:
            lines = [sequence[start : start + 80] for start in range(0, len(sequence), 80)]
            handle.write(f">{name}\n{chr(10).join(lines)}\n".encode("ascii"))
