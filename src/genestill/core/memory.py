"""Memory that is no longer needed goes back to the system."""

import ctypes

MAPPED_FROM = 8 << 20  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


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
