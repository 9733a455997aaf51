"""One run at a time in a folder."""

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from genestill.core.errors import InputError
from genestill.core.logs import logger

# Errors of flock on file systems without locks, such as some network file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def hold(folder: str | Path, wait: bool = False) -> IO[str]:
    """Lock ``folder`` for this process, with the file ``.lock`` in it, which is made if it is missing.

    The kernel releases the lock when the process ends for any reason, so nothing has to be cleaned up. On a file
    system without locks, a warning is logged and nothing is locked.

    Args:
        folder: the folder into which the process writes.
        wait: wait until another process releases the folder, instead of raising an error.

    Returns:
        The open file; the lock is held until it is closed.

    Raises:
        InputError: another process has locked the folder, or it cannot be written to.
    """
    held, locked = _claim(folder, wait)
    if not locked:
        _warn([folder])
    return held


def hold_all(folders: Iterable[str | Path]) -> list[IO[str]]:
    """Lock all of ``folders`` or none, as `hold` does; one warning lists those on file systems without locks."""
    held: list[IO[str]] = []
    without: list[str | Path] = []
    for folder in sorted(set(map(str, folders))):
        try:
            handle, locked = _claim(folder, wait=False)
        except InputError:
            for other in held:
                other.close()
            raise
        held.append(handle)
        if not locked:
            without.append(folder)
    if without:
        _warn(without)
    return held


def folders_to_claim(files: Iterable[str | Path]) -> set[str]:
    """The folders to lock for a run that writes ``files``.

    Results of one data set (``results/<recipe>/<dataset>``) are one folder; for any other file it is the folder of
    the file, so that runs which download different sets do not block each other.
    """
    folders = set()
    for file in map(Path, files):
        of_results = len(file.parts) > 3 and file.parts[0] == "results"
        folders.add(str(Path(*file.parts[:3]) if of_results else file.parent))
    return folders


def _claim(folder: str | Path, wait: bool) -> tuple[IO[str], bool]:
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise InputError(f"{folder}: in use by another run (process {holder}); wait until it has finished") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            handle.close()
            raise InputError(f"{path}: cannot be locked ({error.strerror})") from None
        return handle, False
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle, True


def _warn(folders: list[str | Path]) -> None:
    logger.warning(
        "%s: the file system has no file locks (flock), so a second run that writes there at the same time is not "
        "refused; start only one",
        ", ".join(map(str, folders)),
    )
