"""One run at a time on a folder."""

import fcntl
import os
from pathlib import Path
from typing import IO

from genestill.core.errors import InputError


def hold(folder: str | Path) -> IO[str]:
    """Claim ``folder`` for this process, through the file ``.lock`` in it; made if it is missing.

    The kernel holds the claim: it ends with the process, however that ends, and nothing has to be cleaned up.

    Returns:
        The open file; the claim lasts until it is closed.

    Raises:
        InputError: another process holds the folder, or it cannot be written.
    """
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{folder}: results cannot be written there ({error.strerror})") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise InputError(f"{folder}: another run (process {holder}) is at work there; let it end first") from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
