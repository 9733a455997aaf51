"""Parquet tables with a schema, and text tables: atomic writing, validated reading."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genestill.core.cells import read_number, unquoted
from genestill.core.errors import InputError
from genestill.core.files import write_aside
from genestill.core.text import blanks_for_tabs, text_lines

# Errors of pyarrow for a file that is truncated, damaged or not Parquet.
NOT_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)


def write_table(
    path: str | Path, table: pd.DataFrame | pa.Table, schema: pa.Schema, metadata: Mapping[str, object] | None = None
) -> None:
    """Write ``table`` with exactly the columns and types of ``schema``; ``metadata`` becomes the file's metadata."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)
    else:
        table = table.select(schema.names).cast(schema)
    text = {key: str(value) for key, value in (metadata or {}).items()}
    with write_aside(path) as aside:
        # Page checksums detect flipped bits when the table is read.
        pq.write_table(table.replace_schema_metadata(text), aside, compression="zstd", write_page_checksum=True)


def write_tsv(path: str | Path, table: pd.DataFrame, digits: int = 6) -> None:
    """Write ``table`` as tab-separated text with a header, atomically.

    Floats have ``digits`` significant digits; missing values are empty cells.
    """

    def shown(value: float) -> str:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.{digits}g}"

    with write_aside(path) as aside:
        table.to_csv(aside, sep="\t", index=False, float_format=shown, lineterminator="\n")


def read_arrow(path: str | Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a table and check that it has the columns of ``schema`` with their types.

    Raises `InputError`, with file and column, if the file is missing, not Parquet, truncated, or of another schema.
    Columns that are not in ``schema`` are left out.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_columns(path, file.schema_arrow, schema)
            chosen = columns or schema.names
            # Group by group: decoding a whole column of float16 at once needs four times the memory of the table.
            groups = [file.read_row_group(group, chosen) for group in range(file.num_row_groups)]
            return pa.concat_tables(groups) if groups else file.read(chosen)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None


def read_batches(
    path: str | Path, schema: pa.Schema, columns: list[str], rows: int, dictionaries: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield ``columns`` of a table, in batches of 1 to ``rows`` rows.

    Text columns in ``dictionaries`` are dictionary arrays: each distinct text is stored once. Raises `InputError` as
    `read_arrow` does.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_columns(path, file.schema_arrow, schema)
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=list(dictionaries)) as file:
            for batch in file.iter_batches(rows, columns=columns, use_threads=False):
                if len(batch):
                    yield batch.select(columns)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None


def _check_columns(path: str | Path, found: pa.Schema, schema: pa.Schema) -> None:
    for field in schema:
        position = found.get_field_index(field.name)
        if position < 0:
            raise InputError(f"{path}: no column {field.name!r}; found {', '.join(found.names)}")
        if found.field(position).type != field.type:
            raise InputError(f"{path}: column {field.name!r} is {found.field(position).type}; expected {field.type}")


def read_table(path: str | Path, schema: pa.Schema, columns: list[str] | None = None) -> pd.DataFrame:
    """`read_arrow` with a pandas data frame as the result."""
    return read_arrow(path, schema, columns).to_pandas()


def sample_names(path: str | Path) -> list[str]:
    """The samples of a table of abundances: its columns except ``id``. Raises `InputError` as `read_arrow` does."""
    try:
        return [name for name in pq.read_schema(path).names if name != "id"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None


def read_abundances(path: str | Path) -> pd.DataFrame:
    """Abundances: ``id`` and one column of depths per sample, float32. Raises `InputError` as `read_arrow` does."""
    return read_table(path, pa.schema([("id", pa.string()), *((name, pa.float32()) for name in sample_names(path))]))


def read_tsv(path: str | Path, columns: Iterable[str] = (), header: bool = True) -> pd.DataFrame:
    """Read a tab-separated table, compressed or not, as text: cells are not converted to numbers or missing values.

    White space around a cell is removed, and so are the double quotes that spreadsheets add. Empty lines are skipped,
    and so are comments before the header (lines that start with ``#`` and have no tab) and empty cells after the last
    column.

    Args:
        path: the file.
        columns: required columns.
        header: whether the first line has the names of the columns; otherwise they are "1", "2", …

    Returns:
        The table; its index has the line number of each row, for messages.

    Raises:
        InputError: as `text.open_text`; and, with file and line, if the table is empty, lacks a column, has two columns
            of the same name, or a row with another number of cells.
    """
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, line in enumerate(text_lines(path), 1):
        comment = header and not rows and line.startswith("#") and "\t" not in line
        if line.strip() and not comment:
            numbers.append(number)
            rows.append([unquoted(cell) for cell in line.split("\t")])
    if not rows:
        raise InputError(f"{path}: not a table: it is empty")
    if header:
        numbers.pop(0)
        names = rows.pop(0)
        named = max((place for place, name in enumerate(names, 1) if name), default=0)
        if not any(any(row[named:]) for row in rows):
            names = names[:named]
        rows = [row if any(row[len(names) :]) else row[: len(names)] for row in rows]
        names = [name or f"column {place}" for place, name in enumerate(names, 1)]
    else:
        names = [str(place) for place in range(1, len(rows[0]) + 1)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two columns are called {twice!r}")
    if len(names) == 1 and header and (blanks := blanks_for_tabs(names[0])):
        raise InputError(f"{path}: line 1 is {names[0][:60]!r}{blanks}")
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; found {', '.join(names)[:200]}")
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}: line {number} has {len(row)} columns; expected {len(names)}, as the first line has"
            )
    cells = list(zip(*rows, strict=True)) or [()] * len(names)
    index = pd.Index(numbers, name="line", dtype="int64")
    return pd.DataFrame(dict(zip(names, cells, strict=True)), index=index, dtype=object)


def number_columns(table: pd.DataFrame, columns: Sequence[str], source: str | Path) -> np.ndarray:
    """Numeric columns of a table from `read_tsv`: float64 [rows, columns].

    Raises `InputError`, with ``source``, line and column, for a cell that is not a finite number.
    """
    numbers = np.empty((len(table), len(columns)))
    for place, name in enumerate(columns):
        for row, (line, cell) in enumerate(table[name].items()):
            number = read_number(cell)
            if number is None:
                raise InputError(
                    f"{source}: line {line} has {cell[:40]!r} in the column {name!r}; expected a finite number"
                )
            numbers[row, place] = number
    return numbers


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata stored by `write_table`; raises `InputError` for a file that is missing or truncated."""
    try:
        stored = pq.read_metadata(path).metadata or {}
        return {key.decode(): value.decode() for key, value in stored.items() if not key.startswith(b"ARROW:")}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NOT_PARQUET as error:
        raise InputError(f"{path}: not a complete Parquet file ({error})") from None
