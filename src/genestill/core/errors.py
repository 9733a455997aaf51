"""The errors that stop a run with a message."""

import errno
import os


class InputError(Exception):
    """The input is wrong. The message gives the place, what was found and what was expected."""


class ProgramFailed(Exception):
    """An external program failed. The message gives its name and its last lines of output."""


class CheckFailed(Exception):
    """A model or a result failed a check on which later steps depend; the message gives the measured value."""


# Errors of the operating system that are due to the machine or the path, and not to a bug.
_REFUSALS = (
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS,
)  # fmt: skip


def refusal(error: OSError) -> str | None:
    """A message with path and reason if the operating system reported an error that the user can fix, else None.

    These are: disk full, no permission, a folder instead of a file or the reverse, a name that is too long, a disk
    error.
    """
    if error.errno not in _REFUSALS:
        return None
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return ": ".join([*paths[-1:], os.strerror(error.errno)])
