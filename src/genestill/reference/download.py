"""Downloads from unreliable servers: resumed, retried, verified, and renamed only when complete."""

import hashlib
import http.client
import json
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import make_folder, rename_synced, require_disk_space, write_json
from genestill.core.logs import logger, progress

CHUNK = 1 << 20
LONGEST_WAIT = 120.0  # seconds between two attempts, even if a server requests more
LEAST_PROGRESS = 1 << 16  # minimum number of bytes of an attempt that counts as progress
TIME_LIMIT = 7 * 24 * 3600.0  # seconds for one file, including all attempts
FREE_SPACE = 1 << 30  # bytes of free disk space that a file of unknown size must leave
# Temporary errors: time-out, too early, too many requests; and every 5xx.
_PASSING = {408, 425, 429}
_MEANING = {
    401: "the server requires a password",
    403: "access is denied",
    404: "there is no such file on the server",
    410: "the file was removed",
}


class _Interrupted(Exception):
    """An attempt failed in a way that may be temporary. ``wait``: seconds that the server requests."""

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
    time_limit: float = TIME_LIMIT,
) -> str:
    """Download ``url`` to ``output``.

    A partial download is kept in ``.<name>.part`` beside ``output`` and continued by the next attempt or the next run,
    if the server confirms that the file is unchanged (ETag or Last-Modified, sent back as If-Range) or if a checksum is
    given. ``output`` is only written when it is complete and its checksum is correct. An existing ``output`` with the
    correct checksum (or, without checksum, the correct size) is not downloaded again.

    Args:
        url: ``http://`` or ``https://``.
        output: the file.
        checksum: ``sha256:…``, ``sha1:…`` or ``md5:…``, as published; None if not published.
        size: bytes, if published.
        attempts: maximum number of failures in a row without progress (`LEAST_PROGRESS` bytes).
        timeout: seconds in which a connection must deliver `LEAST_PROGRESS` bytes; otherwise it is closed.
        first_wait: seconds before the second attempt; doubled each time.
        time_limit: seconds for the whole file, including all attempts.

    Returns:
        Hex SHA-256 of the file.

    Raises:
        InputError: with the address, the server's response and what to do.
    """
    output = Path(output)
    _check_address(url)
    algorithm, expected = _parse_checksum(checksum)
    if output.is_file() and (checksum or size) and size in (None, output.stat().st_size):
        digests = _digests(output, algorithm)
        if expected in (None, digests[algorithm]):
            logger.info("%s: already complete", output)
            return digests["sha256"]
    make_folder(output.parent)
    part = output.parent / f".{output.name}.part"
    origin = part.with_suffix(".origin")
    fresh_start = False
    limits = _Limits(size, timeout, time.monotonic() + time_limit, time_limit)
    while True:
        resumed = _download(url, part, origin, limits, attempts, first_wait, trust_part=expected is not None)
        digests = _digests(part, algorithm)
        if expected in (None, digests[algorithm]):
            break
        part.unlink()
        origin.unlink(missing_ok=True)
        if not resumed or fresh_start:
            raise InputError(
                f"{url}: the {algorithm} of the received file is {digests[algorithm]}, but {expected} was expected; "
                "the file was damaged or is another version, and was deleted"
            )
        logger.warning("%s: wrong checksum after a resumed download; starting again", url)
        fresh_start = True
    rename_synced(part, output)
    origin.unlink(missing_ok=True)
    logger.info("%s: %d bytes, sha256:%s", output, output.stat().st_size, digests["sha256"])
    return digests["sha256"]


@dataclass(frozen=True)
class _Limits:
    """Limits of a download: ``size`` in bytes or None, ``timeout`` in seconds, ``deadline`` of the monotonic clock."""

    size: int | None
    timeout: float
    deadline: float
    time_limit: float


def _check_address(url: str) -> None:
    """Raise `InputError` for an invalid address."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url}: not an address ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise InputError(f"{url}: expected an address that starts with http:// or https://")
    if not host or not url.isascii() or any(letter.isspace() or ord(letter) < 32 for letter in url):
        raise InputError(
            f"{url!r}: not an address; expected a host after {parts.scheme}://, and spaces and letters outside "
            "ASCII percent-encoded, such as %20"
        )


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to http and https; the standard library also follows them to ftp."""

    def redirect_request(self, request, handle, code, message, headers, address):
        _check_address(address)
        return super().redirect_request(request, handle, code, message, headers, address)


def _open(request: urllib.request.Request, timeout: float):
    return urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout)


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
    url: str, part: Path, origin: Path, limits: _Limits, attempts: int, wait: float, trust_part: bool
) -> bool:
    """Download to ``part``; return whether a part of it came from an earlier attempt."""
    failures, pause, resumed = 0, wait, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            resumed |= _attempt(url, part, origin, limits, trust_part)
            return resumed
        except _Interrupted as trouble:
            gained = part.exists() and part.stat().st_size - before >= LEAST_PROGRESS
            failures, pause = (1, wait) if gained else (failures + 1, pause)
            if time.monotonic() > limits.deadline:
                raise InputError(
                    f"{url}: {trouble}; not finished within {limits.time_limit:.0f} s. The part that was received is "
                    "kept: run the same command again to resume"
                ) from None
            if failures >= attempts:
                raise InputError(
                    f"{url}: {trouble}; given up after {failures} consecutive attempts without progress. "
                    "The part that was received is kept: run the same command again to resume"
                ) from None
            asked = min(max(pause, trouble.wait or 0), LONGEST_WAIT)
            logger.warning("%s: %s; next attempt in %.0f s", url, trouble, asked)
            time.sleep(asked)
            pause = min(2 * pause, LONGEST_WAIT)


def _attempt(url: str, part: Path, origin: Path, limits: _Limits, trust_part: bool) -> bool:
    """Send one request. Return whether it continued an earlier one."""
    have, size, timeout = part.stat().st_size if part.exists() else 0, limits.size, limits.timeout
    if size is not None and have == size:
        return True
    request = urllib.request.Request(url, headers={"User-Agent": "genestill", "Accept-Encoding": "identity"})
    validator = _validator(origin, url)
    asked = bool(have and (validator or trust_part) and (size is None or have < size))
    if asked:
        request.add_header("Range", f"bytes={have}-")
        if validator:
            request.add_header("If-Range", validator)
    try:
        with _open(request, timeout) as response:
            continued = response.status == 206
            if continued and not asked:
                part.unlink(missing_ok=True)
                raise _Interrupted("the server sent a part of the file instead of the whole file")
            if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink()
                raise _Interrupted("the server continued at another position than requested")
            # Servers that do not support If-Range would continue with a file that has changed.
            if continued and validator and _validator_in(response.headers) not in (None, validator):
                part.unlink()
                raise _Interrupted("the file on the server has changed since the download began; starting over")
            _refuse_encoding(url, response.headers.get("Content-Encoding", "identity"))
            start = have if continued else 0
            _write_origin(origin, url, response.headers)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isascii() and length.isdigit() else size
            if size is not None and total != size:
                raise InputError(
                    f"{url}: the server offers {total} bytes, but {size} were expected; is it another version?"
                )
            if total is not None:
                require_disk_space(part.parent, total - start, f"downloading {url}")
            with open(part, "ab" if continued else "wb") as handle:
                whole = f"{part.name[1:-5]}"
                blocks = None if total is None else -(-(total - start) // CHUNK)
                for block in progress(_blocks(response, limits), blocks, "MiB", f"downloading {whole}"):
                    handle.write(block)
                    if total is None and shutil.disk_usage(part.parent).free < FREE_SPACE:
                        raise InputError(
                            f"{url}: the server does not send the length of the file, and after {handle.tell()} bytes "
                            f"less than {FREE_SPACE / 1e9:.1f} GB of {part.parent} are free; stopped"
                        )
                    if total is not None and handle.tell() > total:
                        raise InputError(f"{url}: the server sends more than the {total} bytes that were expected")
            arrived = part.stat().st_size
            if total is not None and arrived != total:
                raise _Interrupted(f"the connection ended after {arrived} of {total} bytes")
            return continued
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is not shorter than the file, so it belongs to another version
            part.unlink(missing_ok=True)
            raise _Interrupted("the partial file here does not match the file on the server; starting over") from None
        if error.code in _PASSING or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            raise _Interrupted(f"the server answered {error.code} {error.reason}", _seconds(wait)) from None
        meaning = _MEANING.get(error.code, "the file cannot be downloaded")
        raise InputError(f"{url}: the server answered {error.code} {error.reason}: {meaning}") from None
    except TimeoutError:
        raise _Interrupted(f"the server sent nothing for {timeout:.0f} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _Interrupted(f"no connection within {timeout:.0f} s") from None
        raise _Interrupted(f"no connection ({error.reason})") from None
    except (ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection broke ({type(error).__name__})") from None
    except OSError as error:
        raise InputError(f"{part}: cannot be written ({error})") from None


def _blocks(response, limits: _Limits) -> Iterator[bytes]:
    """Yield the received blocks; a connection with less than `LEAST_PROGRESS` bytes per time-out is closed."""
    began, arrived = time.monotonic(), 0
    while block := response.read1(CHUNK):
        yield block
        arrived += len(block)
        now = time.monotonic()
        if now > limits.deadline:
            raise _Interrupted("the connection is too slow")
        if now - began > limits.timeout:
            if arrived < LEAST_PROGRESS:
                raise _Interrupted(f"the server sent only {arrived} bytes in {now - began:.0f} s")
            began, arrived = now, 0


def _refuse_encoding(url: str, encoding: str) -> None:
    """Raise `InputError` for content that the server compressed for the transfer without a request.

    Misconfigured servers declare compressed files (.gz) in the same way; these are accepted unchanged.
    """
    packed = urllib.parse.urlsplit(url).path.endswith((".gz", ".tgz", ".bgz"))
    if encoding.lower() != "identity" and not (packed and encoding.lower() in ("gzip", "x-gzip")):
        raise InputError(
            f"{url}: the server sends the file in the encoding {encoding!r}, although the unencoded file was requested"
        )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def _validator_in(headers) -> str | None:
    """The version of the file in a response; a weak ETag (W/…) is not used, because the bytes may differ."""
    etag = headers.get("ETag", "")
    return headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag


def _write_origin(origin: Path, url: str, headers) -> None:
    write_json(origin, {"url": url, "validator": _validator_in(headers)})


def _validator(origin: Path, url: str) -> str | None:
    try:
        known = json.loads(origin.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known.get("validator") if isinstance(known, dict) and known.get("url") == url else None
