"""The errors that stop a run with a message."""

import errno
import os


class InputError(Exception):
    """The input is wrong. The message is a sentence that says where, what was found and what was expected."""


class ProgramFailed(Exception):
    """A program of others failed. The message names it and ends with its last lines."""


class CheckFailed(Exception):
    """A model or a result failed a check that guards everything after it; the message says which and by how much."""


# What the operating system refuses because of the machine or the path, and not because of a defect of the program.
_REFUSALS = (
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS,
)  # fmt: skip


def refusal(error: OSError) -> str | None:
    """One sentence with path and reason if the operating system refused something that the user can change.

    No space, no permission, a folder where a file is expected or the reverse, a name that is too long, a broken disk.
    """
    if error.errno not in _REFUSALS:
        return None
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return ": ".join([*paths[-1:], os.strerror(error.errno)])
