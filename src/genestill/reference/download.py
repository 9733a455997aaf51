"""Downloads that survive bad servers: resumed, retried, checked, and only then given their name."""

import hashlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import rename_synced, require_disk_space, write_json
from genestill.core.logs import logger, progress

CHUNK = 1 << 20
LONGEST_WAIT = 120.0  # seconds between two attempts, also when a server asks for more
# Answers that may be different next time: time-out, too early, too many requests, and every 5xx.
_PASSING = {408, 425, 429}
_MEANING = {
    401: "it asks for a password",
    403: "it refuses access",
    404: "it has no such file",
    410: "the file was taken away",
}


class _Interrupted(Exception):
    """An attempt failed in a way that may pass; the message says how. ``wait``: seconds that the server asks for."""

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


def fetch(
    url: str,
    output: str | Path,
    checksum: str | None = None,
    size: int | None = None,
    attempts: int = 6,
    timeout: float = 60.0,
    first_wait: float = 1.0,
) -> str:
    """Download ``url`` to ``output``.

    What has arrived stays in ``.<name>.part`` beside ``output`` and is continued by the next attempt, and by the next
    run, if the server says that the file is still the same (ETag or Last-Modified, sent back as If-Range) or a
    checksum will tell. ``output`` appears only when it is whole and its checksum is right. An ``output`` that is
    there already and has the right checksum (or, without checksum, the right size) is not downloaded again.

    Args:
        url: ``http://`` or ``https://``.
        output: the file.
        checksum: ``sha256:…``, ``sha1:…`` or ``md5:…``, as published; None if none is.
        size: bytes, if published.
        attempts: how many in a row may fail without a byte gained.
        timeout: seconds without a byte after which the connection is given up.
        first_wait: seconds before the second attempt; doubled each time.

    Returns:
        Hex SHA-256 of the file.

    Raises:
        InputError: one sentence with the address, what the server did and what to do.
    """
    output = Path(output)
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: expected an address that starts with http:// or https://")
    algorithm, expected = _parse_checksum(checksum)
    if output.is_file() and (checksum or size) and size in (None, output.stat().st_size):
        digests = _digests(output, algorithm)
        if expected in (None, digests[algorithm]):
            logger.info("%s: already here and right", output)
            return digests["sha256"]
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.parent / f".{output.name}.part"
    origin = part.with_suffix(".origin")
    fresh_start = False
    while True:
        resumed = _download(url, part, origin, size, attempts, timeout, first_wait, trust_part=expected is not None)
        digests = _digests(part, algorithm)
        if expected in (None, digests[algorithm]):
            break
        part.unlink()
        origin.unlink(missing_ok=True)
        if not resumed or fresh_start:
            raise InputError(
                f"{url}: the {algorithm} of what arrived is {digests[algorithm]}, but {expected} was expected; "
                "the file was damaged on its way or is another version, and was thrown away"
            )
        logger.warning("%s: wrong checksum after a continued download; starting over", url)
        fresh_start = True
    rename_synced(part, output)
    origin.unlink(missing_ok=True)
    logger.info("%s: %d bytes, sha256:%s", output, output.stat().st_size, digests["sha256"])
    return digests["sha256"]


def _parse_checksum(checksum: str | None) -> tuple[str, str | None]:
    if checksum is None:
        return "sha256", None
    algorithm, _, digest = checksum.partition(":")
    if algorithm not in ("sha256", "sha1", "md5") or not digest.isalnum():
        raise InputError(f"checksum {checksum!r}; expected sha256:…, sha1:… or md5:… with hexadecimal digits")
    if len(digest) != 2 * hashlib.new(algorithm).digest_size:
        raise InputError(f"checksum {checksum!r} has {len(digest)} digits, which is not the length of a {algorithm}")
    return algorithm, digest.lower()


def _digests(path: Path, algorithm: str) -> dict[str, str]:
    found = {name: hashlib.new(name) for name in ("sha256", algorithm)}
    with open(path, "rb") as handle:
        while block := handle.read(CHUNK):
            for digest in found.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in found.items()}


def _download(
    url: str, part: Path, origin: Path, size: int | None, attempts: int, timeout: float, wait: float, trust_part: bool
) -> bool:
    """Fill ``part``; return whether any of it came from an earlier attempt."""
    failures, pause, resumed = 0, wait, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            resumed |= _attempt(url, part, origin, size, timeout, trust_part)
            return resumed
        except _Interrupted as trouble:
            gained = part.exists() and part.stat().st_size > before
            failures, pause = (1, wait) if gained else (failures + 1, pause)
            if failures >= attempts:
                raise InputError(
                    f"{url}: {trouble}; given up after {failures} attempts in a row without progress. "
                    "What has arrived is kept: the same command later goes on from there"
                ) from None
            asked = min(max(pause, trouble.wait or 0), LONGEST_WAIT)
            logger.warning("%s: %s; next attempt in %.0f s", url, trouble, asked)
            time.sleep(asked)
            pause = min(2 * pause, LONGEST_WAIT)


def _attempt(url: str, part: Path, origin: Path, size: int | None, timeout: float, trust_part: bool) -> bool:
    """One request. Return whether it continued an earlier one."""
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have == size:
        return True
    request = urllib.request.Request(url, headers={"User-Agent": "genestill", "Accept-Encoding": "identity"})
    validator = _validator(origin, url)
    if have and (validator or trust_part) and (size is None or have < size):
        request.add_header("Range", f"bytes={have}-")
        if validator:
            request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            continued = response.status == 206
            if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink()
                raise _Interrupted("the server continued at another place than asked")
            start = have if continued else 0
            _write_origin(origin, url, response.headers)
            length = response.headers.get("Content-Length")
            total = start + int(length) if length is not None else size
            if size is not None and total != size:
                raise InputError(f"{url}: the server offers {total} bytes, but {size} were expected; another version?")
            if total is not None:
                require_disk_space(part.parent, total - start, f"downloading {url}")
            with open(part, "ab" if continued else "wb") as handle:
                whole = f"{part.name[1:-5]}"
                blocks = None if total is None else -(-(total - start) // CHUNK)
                for block in progress(_blocks(response), blocks, "MiB", f"downloading {whole}"):
                    handle.write(block)
            arrived = part.stat().st_size
            if total is not None and arrived != total:
                raise _Interrupted(f"the connection ended after {arrived} of {total} bytes")
            return continued
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file, or longer: it is of another version
            part.unlink(missing_ok=True)
            raise _Interrupted("the server does not know the part that is here; starting over") from None
        if error.code in _PASSING or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            raise _Interrupted(f"the server answered {error.code} {error.reason}", _seconds(wait)) from None
        meaning = _MEANING.get(error.code, "it will not give the file")
        raise InputError(f"{url}: the server answered {error.code} {error.reason}: {meaning}") from None
    except TimeoutError:
        raise _Interrupted(f"nothing came from the server for {timeout:.0f} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _Interrupted(f"no connection within {timeout:.0f} s") from None
        raise _Interrupted(f"no connection ({error.reason})") from None
    except (ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection broke ({type(error).__name__})") from None
    except OSError as error:
        raise InputError(f"{part}: cannot be written ({error})") from None


def _blocks(response) -> Iterator[bytes]:
    while block := response.read(CHUNK):
        yield block


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def _write_origin(origin: Path, url: str, headers) -> None:
    etag = headers.get("ETag", "")
    # A weak ETag (W/…) does not promise the same bytes.
    validator = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    write_json(origin, {"url": url, "validator": validator})


def _validator(origin: Path, url: str) -> str | None:
    try:
        known = json.loads(origin.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known.get("validator") if isinstance(known, dict) and known.get("url") == url else None
