"""Blocks of rows with a limited size in bytes, and returning memory to the operating system."""

import ctypes
from collections.abc import Iterator

MAPPED_FROM = 8 << 20  # bytes
BLOCK_BYTES = 64 << 20
MOST_ROWS = 4096
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def row_blocks(rows: int, row_bytes: int) -> Iterator[slice]:
    """Yield slices of ``rows`` rows of ``row_bytes``, each at most `BLOCK_BYTES` and `MOST_ROWS`, at least one row."""
    size = max(1, min(MOST_ROWS, BLOCK_BYTES // row_bytes))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def give_back_large_arrays() -> None:
    """Make the C library map arrays of at least `MAPPED_FROM` bytes separately, and unmap them when they are freed.

    By default, glibc allocates larger and larger arrays from its heap after such arrays were freed. If small permanent
    objects (columns of a table) and large temporary ones (probabilities over all leaves) are allocated in turn, the
    heap becomes fragmented, and the process needs many times the memory of its data. C libraries without mallopt are
    not changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, MAPPED_FROM)
    mallopt(_TRIM_THRESHOLD, 4 * MAPPED_FROM)
