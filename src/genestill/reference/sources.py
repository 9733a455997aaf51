"""The table of published data: address, size and checksum of each file."""

import re
from dataclasses import dataclass
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.text import read_text_lines

COLUMNS = ("dataset", "sample", "role", "url", "checksum", "bytes", "version", "licence", "doi", "state", "holds")
ROLES = (
    "contigs",
    "setup",
    "reads",
    "taxonomy",
    "metadata",
    "checksums",
    "table",
    "page",
    "train",
    "validation",
    "test",
    "genome",
    "regions",
)
STATES = ("checked", "unchecked", "landing")


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
        dataset, sample: data set and sample of the file; sample is empty for files of a whole data set.
        role: one of ``ROLES``; ``page`` is a web page.
        url: address of the file.
        checksum: ``md5:…`` or ``sha256:…`` if published, else None.
        size: bytes if published, else None.
        version, licence, doi, holds: for information.
        state: ``checked`` (the file was downloaded from there and read), ``unchecked`` (a published address that was
            not downloaded in this project), ``landing`` (the address of a page, not of the file).
    """

    dataset: str
    sample: str
    role: str
    url: str
    checksum: str | None
    size: int | None
    version: str
    licence: str
    doi: str
    state: str
    holds: str

    @property
    def fetch_options(self) -> list[str]:
        """Published checksum and size, as options of ``genestill reference fetch``."""
        checksum = ["--checksum", self.checksum] if self.checksum else []
        return [*checksum, *(["--bytes", str(self.size)] if self.size else [])]


def read_sources(path: str | Path) -> list[Source]:
    """Read the table (TSV, columns ``COLUMNS``, ``#`` starts a comment line); raise `InputError` with the line."""
    lines = read_text_lines(path)
    rows = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not rows or tuple(rows[0][1].split("\t")) != COLUMNS:
        raise InputError(f"{path}: the first row is not the header {', '.join(COLUMNS)}")
    found: list[Source] = []
    line_of: dict[tuple, int] = {}
    for number, line in rows[1:]:
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise InputError(f"{path}: line {number} has {len(cells)} columns; expected {len(COLUMNS)}")
        row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
        if row["role"] not in ROLES or row["state"] not in STATES:
            raise InputError(
                f"{path}: line {number}: role {row['role']!r}, state {row['state']!r}; expected one of "
                f"{', '.join(ROLES)} and one of {', '.join(STATES)}"
            )
        if not row["url"].startswith(("http://", "https://")):
            raise InputError(f"{path}: line {number}: the url is {row['url']!r}; expected http:// or https://")
        if row["checksum"] and not re.fullmatch(r"(md5|sha256):[0-9a-f]+", row["checksum"]):
            raise InputError(f"{path}: line {number}: checksum {row['checksum']!r}; expected md5:… or sha256:…")
        if row["bytes"] and not (row["bytes"].isascii() and row["bytes"].isdigit() and len(row["bytes"]) < 19):
            raise InputError(f"{path}: line {number}: bytes {row['bytes']!r}; expected a whole number or nothing")
        key = (row["dataset"], row["sample"], row["role"])
        if key in line_of:
            raise InputError(f"{path}: line {number} repeats {' '.join(filter(None, key))} of line {line_of[key]}")
        line_of[key] = number
        size = int(given) if (given := row.pop("bytes")) else None
        checksum = row.pop("checksum") or None
        found.append(Source(**row, checksum=checksum, size=size))
    return found
