"""Parquet tables with a schema: written atomically, validated when read back."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.ground.errors import InputError
from genestill.ground.files import write_aside
from genestill.ground.text import open_text

# What pyarrow raises for a file that is cut, damaged or none of Parquet.
NOT_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)


def write_table(
    path: str | Path, table: pd.DataFrame | pa.Table, schema: pa.Schema, metadata: dict[str, str] | None = None
) -> None:
    """Write ``table`` with exactly the columns and types of ``schema``; ``metadata`` becomes the file's metadata."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)
    else:
        table = table.select(schema.names).cast(schema)
    text = {key: str(value) for key, value in (metadata or {}).items()}
    with write_aside(path) as aside:
        # Page checksums: a bit that falls over on the disk is found when the table is read, not believed.
        pq.write_table(table.replace_schema_metadata(text), aside, compression="zstd", write_page_checksum=True)


def read_arrow(path: str | Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a table and check that it has the columns of ``schema`` with their types.

    Raises `InputError`, naming the file and the column, if the file is missing, not Parquet, cut short, or of
    another schema. Columns beyond ``schema`` are left out.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.schema_arrow
            for field in schema:
                position = found.get_field_index(field.name)
                if position < 0:
                    raise InputError(f"{path}: no column {field.name!r}; found {', '.join(found.names)}")
                if found.field(position).type != field.type:
                    raise InputError(
                        f"{path}: column {field.name!r} is {found.field(position).type}; expected {field.type}"
                    )
            chosen = columns or schema.names
            # Group by group: to decode a whole column of half floats at once takes four times the memory of the table.
            groups = [file.read_row_group(group, chosen) for group in range(file.num_row_groups)]
            return pa.concat_tables(groups) if groups else file.read(chosen)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from None


def read_table(path: str | Path, schema: pa.Schema, columns: list[str] | None = None) -> pd.DataFrame:
    """`read_arrow` as a pandas data frame."""
    return read_arrow(path, schema, columns).to_pandas()


def read_tsv(path: str | Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A tab-separated table with a header, compressed or not, as text: no cell is taken for a number or for nothing.

    Raises `InputError`, naming the file, for what `open_text` refuses, if it is not a table, or lacks one of
    ``columns``.
    """
    columns = list(columns)
    try:
        with open_text(path) as text:
            table = pd.read_csv(text, sep="\t", dtype=str, keep_default_na=False)
    except ValueError as error:
        raise InputError(f"{path}: not a table that can be read ({error})") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; found {', '.join(table.columns)[:200]}")
    # pandas takes the first cells of rows that are too long for names of rows, and fills rows that are too short.
    if not isinstance(table.index, pd.RangeIndex) or table.isna().any(axis=None):
        raise InputError(f"{path}: rows with another number of columns than the {len(table.columns)} of the header")
    return table


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata that `write_table` stored; raises `InputError` for a file that is missing or not whole."""
    try:
        stored = pq.read_metadata(path).metadata or {}
        return {key.decode(): value.decode() for key, value in stored.items() if not key.startswith(b"ARROW:")}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from None
