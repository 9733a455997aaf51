"""Blocks of rows that are bounded in bytes, and memory that goes back to the system."""

import ctypes
from collections.abc import Iterator

MAPPED_FROM = 8 << 20  # bytes
BLOCK_BYTES = 64 << 20
MOST_ROWS = 4096
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def row_blocks(rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut ``rows`` rows of ``row_bytes`` into slices of `BLOCK_BYTES` and `MOST_ROWS` at most, one row at least."""
    size = max(1, min(MOST_ROWS, BLOCK_BYTES // row_bytes))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def give_back_large_arrays() -> None:
    """Have the C library map arrays of `MAPPED_FROM` bytes and more one by one, and unmap them when they are freed.

    By default glibc takes ever larger arrays from its heap once such were freed. Where small objects that stay (the
    columns of a table) come in turn with large ones that go (probabilities over all leaves), the large leave holes that
    the small only nibble at, and a process grows by many times what it holds. C libraries without mallopt are left as
    they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, MAPPED_FROM)
    mallopt(_TRIM_THRESHOLD, 4 * MAPPED_FROM)
