"""Checksums of results that ignore when, where and how fast they were computed."""

import hashlib
import json
from pathlib import Path

from genestill.core import files
from genestill.core.errors import InputError
from genestill.core.files import read_json, sampled_sha256_of, sha256_of

# Keys of JSON files that describe the run (place, time) and not the result.
_CIRCUMSTANCES = {
    "command", "commit", "genestill", "hardware", "inputs", "libraries", "provenance", "python", "source", "written",
}  # fmt: skip
_RECORD = "provenance.json"


def content_checksum(path: str | Path) -> str:
    """Hex SHA-256 of the content of a file, or of all files of a folder in name order (hidden files are left out).

    Two runs that differ only in time and place give the same checksum. Left out are: records of provenance, columns
    of seconds or per-second rates in tables (``.tsv``), and the metadata of Parquet files; their schemas and column
    data are included.
    Raises `InputError` if ``path`` does not exist, or if a JSON or Parquet file is damaged.
    """
    path = Path(path)
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            name = file.relative_to(path)
            if file.name != _RECORD and not any(part.startswith(".") for part in name.parts):
                digest.update(f"{name}\0{content_checksum(file)}\n".encode())
        return digest.hexdigest()
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if path.is_symlink() and path.stat().st_size >= files.LARGE:
        return sampled_sha256_of(path)
    if path.suffix == ".json":
        text = json.dumps(_without_circumstances(read_json(path)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    if path.suffix == ".parquet":
        return _parquet_checksum(path)
    if path.suffix == ".tsv":
        return _table_checksum(path)
    return sha256_of(path)


def _without_circumstances(value):
    if isinstance(value, dict):
        return {key: _without_circumstances(inner) for key, inner in value.items() if key not in _CIRCUMSTANCES}
    return [_without_circumstances(inner) for inner in value] if isinstance(value, list) else value


def _table_checksum(path: Path) -> str:
    data = path.read_bytes()
    lines = data.split(b"\n")
    header = lines[0].split(b"\t")
    kept = [column for column, name in enumerate(header) if b"second" not in name]
    if len(kept) < len(header):
        rows = [line.split(b"\t") for line in lines]
        data = b"\n".join(b"\t".join(row[column] for column in kept if column < len(row)) for row in rows)
    return hashlib.sha256(data).hexdigest()


def _parquet_checksum(path: Path) -> str:
    import pyarrow.parquet as pq

    from genestill.core.tables import NOT_PARQUET

    digest = hashlib.sha256()
    try:
        with pq.ParquetFile(path) as file:
            digest.update(file.schema_arrow.remove_metadata().to_string().encode())
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None
    # The bytes of the column chunks are hashed: no value is decoded, and the table is not loaded into memory.
    with open(path, "rb") as handle:
        for group in groups:
            for number in range(group.num_columns):
                chunk = group.column(number)
                handle.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
                left = chunk.total_compressed_size
                while left > 0 and (block := handle.read(min(left, 1 << 20))):
                    digest.update(block)
                    left -= len(block)
    return digest.hexdigest()
