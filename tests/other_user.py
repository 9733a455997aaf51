"""Files that the user of a test may not read or write, also where tests run as root."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


class Capabilities(ctypes.Structure):
    """What capget and capset of Linux read and write: version, process, and two words each of three sets."""

    _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int), ("sets", ctypes.c_uint32 * 6)]


@contextmanager
def without_rights_on_files_of_others() -> Iterator[None]:
    """Files without permission are refused to this thread, also if it is root's."""
    library, override, search = ctypes.CDLL(None, use_errno=True), 1, 2
    if not hasattr(library, "capget"):  # not Linux: nobody runs tests as root there
        yield
        return
    held = Capabilities(version=0x20080522, process=0)
    header, words = ctypes.byref(held), ctypes.byref(held, Capabilities.sets.offset)
    if library.capget(header, words):
        raise OSError(ctypes.get_errno(), "capget")
    effective = held.sets[0]
    try:
        held.sets[0] = effective & ~(1 << override | 1 << search)
        library.capset(header, words)
        yield
    finally:
        held.sets[0] = effective
        library.capset(header, words)
