"""Nucleotide sequences: reading FASTA, and turning bases into numbers."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import dnaio
import numpy as np

from genestill.ground.errors import InputError

try:
    from isal.isal_zlib import error as _isal_error
except ImportError:  # dnaio reads gzip by it where it is installed
    _isal_error = zlib.error
_BROKEN_STREAM = (zlib.error, _isal_error)

BASES = "ACGT"
UNKNOWN_BASE = 4  # the code of every letter that is not A, C, G or T

_IUPAC = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_AMINO_ACIDS_ONLY = set("EFILPQXZJO*efilpqxzjo")
_CODES = bytes(
    next((code for code, letters in enumerate(("Aa", "Cc", "Gg", "TtUu")) if chr(byte) in letters), UNKNOWN_BASE)
    for byte in range(256)
)
_COMPLEMENT = str.maketrans("ACGTUNRYSWKMBDHVacgtunryswkmbdhv", "TGCAANYRSWMKVHDBtgcaanyrswmkvhdb")


def read_fasta(path: str | Path, unique: bool = True) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of each record of a FASTA file, gzipped or not.

    The id is the header up to the first white space, as every aligner cuts it. Raises `InputError`, naming the file
    and the record, for: a missing or empty file, a truncated gzip stream, something that is not FASTA, an id without
    letters, an id that occurs twice (also after the cut), an empty sequence, letters outside the IUPAC nucleotide
    code, and protein sequences. ``unique`` False passes ids that occur twice, and holds no ids in memory.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    seen: dict[str, str] = {}
    previous = "the start of the file"
    try:
        with dnaio.open(path, fileformat="fasta") as records:
            for number, record in enumerate(records, 1):
                header, sequence = record.name, record.sequence
                name = header.split(maxsplit=1)[0] if header.strip() else ""
                _refuse_bad_record(path, number, name, header, sequence, seen)
                if unique:
                    seen[name] = header
                previous = f"record {number} ({name})"
                yield name, sequence
    except dnaio.FileFormatError as error:
        raise InputError(f"{path}: not a FASTA file after {previous}: {error}") from None
    except (EOFError, OSError, ValueError, *_BROKEN_STREAM) as error:
        raise InputError(f"{path}: cannot be read after {previous}: {error}; is the file truncated?") from None
    if previous == "the start of the file":
        raise InputError(f"{path}: holds no sequence; expected FASTA records (a line '>id', then bases)")


def _refuse_bad_record(path: Path, number: int, name: str, header: str, sequence: str, seen: dict[str, str]) -> None:
    if not name:
        raise InputError(f"{path}: record {number} has an empty header; expected '>id'")
    if name in seen:
        cut = "" if header == name == seen[name] else f" (from the headers {seen[name]!r} and {header!r})"
        raise InputError(
            f"{path}: the id {name!r} occurs twice{cut}; ids end at the first white space and must be unique"
        )
    if not sequence:
        raise InputError(f"{path}: the sequence of {name!r} (record {number}) is empty")
    try:
        strange = sequence.encode("ascii").translate(None, _IUPAC).decode()
    except UnicodeEncodeError:
        strange = "".join(letter for letter in sequence if not letter.isascii())
    if strange:
        letters = "".join(sorted(set(strange)))[:10]
        if _AMINO_ACIDS_ONLY & set(strange) and len(strange) > 0.05 * len(sequence):
            raise InputError(f"{path}: {name!r} looks like a protein (letters {letters!r}); expected nucleotides")
        position = sequence.index(strange[0]) + 1
        raise InputError(
            f"{path}: {name!r} has the letter {strange[0]!r} at position {position} (in all: {letters!r}); "
            "expected IUPAC nucleotide codes"
        )


def encode_bases(sequence: str) -> np.ndarray:
    """Codes of the bases of ``sequence``: uint8, A 0, C 1, G 2, T or U 3, anything else 4; lower case as upper."""
    return np.frombuffer(sequence.encode("ascii").translate(_CODES), dtype=np.uint8)


def reverse_complement(sequence: str) -> str:
    """The reverse complement, IUPAC codes and case kept."""
    return sequence.translate(_COMPLEMENT)[::-1]


def write_fasta(path: str | Path, records) -> None:
    """Write (id, sequence) pairs as FASTA, 80 bases a line, gzipped if ``path`` ends in ``.gz``; atomic."""
    import gzip

    from genestill.ground.files import write_aside

    path = Path(path)
    with write_aside(path) as aside:
        # mtime 0 and no name: the same records give the same bytes.
        if path.suffix == ".gz":
            raw = open(aside, "wb")  # noqa: SIM115
            handle = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
        else:
            raw, handle = None, open(aside, "wb")  # noqa: SIM115
        try:
            for name, sequence in records:
                lines = [sequence[start : start + 80] for start in range(0, len(sequence), 80)]
                handle.write(f">{name}\n{chr(10).join(lines)}\n".encode("ascii"))
        finally:
            handle.close()
            if raw is not None:
                raw.close()
