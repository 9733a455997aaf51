"""Standard input and pipes as inputs of commands that read a file more than once."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.provenance import is_output

STANDARD_INPUT = "-"


@contextmanager
def streams_as_files(options: dict) -> Iterator[None]:
    """Copy streams among the inputs of a command to temporary files, and replace them in ``options``.

    A stream is ``-`` (standard input) and any readable path that is neither a file nor a folder, such as pipes of
    ``<(…)`` and /dev/stdin. The copies are in the folder of temporary files (TMPDIR) and are removed when the block
    ends. Raises `InputError` if two options use standard input, or if a stream cannot be read completely.
    """
    streams = {
        (name, place): word
        for name, value in options.items()
        if not is_output(name)
        for place, word in enumerate(value if isinstance(value, list | tuple) else [value])
        if isinstance(word, str) and _is_stream(word)
    }
    if not streams:
        yield
        return
    if len(set(streams.values())) < len(streams):
        raise InputError(f"{next(iter(streams.values()))}: is given twice, but a stream can be read only once")
    with tempfile.TemporaryDirectory(prefix="genestill-") as folder:
        for (name, place), word in streams.items():
            file = Path(folder) / ("standard-input" if word == STANDARD_INPUT else Path(word).name)
            _copy(word, file)
            if isinstance(options[name], list | tuple):
                options[name] = [*options[name][:place], str(file), *options[name][place + 1 :]]
            else:
                options[name] = str(file)
        yield


def _is_stream(word: str) -> bool:
    try:
        return word == STANDARD_INPUT or (os.path.exists(word) and not os.path.isfile(word) and not os.path.isdir(word))
    except ValueError:  # a null byte
        return False


def _copy(word: str, file: Path) -> None:
    logger.info("%s: a stream, copied to %s", word, file)
    try:
        with open(file, "wb") as copy:
            if word == STANDARD_INPUT:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with open(word, "rb") as stream:
                    shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise InputError(f"{word}: cannot be read completely ({error})") from None
