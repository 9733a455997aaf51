"""Downloads from a local server with simulated failures."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from genestill.core.errors import InputError
from genestill.reference.download import fetch

pytestmark = pytest.mark.faults

CONTENT = np.random.default_rng(1).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path; ``script`` lists the behaviour for the next requests, one word each, then "ok"."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.ranges, self.etag, self.content, self.released = [], [], '"one"', CONTENT, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        deed = server.script.pop(0) if server.script else "ok"
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if deed.isdigit():
            self.send_response(int(deed))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if deed == "silent":
            server.released.wait(20)
            return
        if deed in ("endless", "trickle"):
            self.send_response(200)
            self.end_headers()
            try:
                while not server.released.wait(0.01 if deed == "trickle" else 0):
                    self.wfile.write(b"x" if deed == "trickle" else b"x" * (1 << 20))
            except OSError:
                self.close_connection = True
            return
        same = deed == "changed" or self.headers.get("If-Range") in (None, server.etag)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same and deed != "no-range" else 0
        body = server.content[start:]
        self.send_response(206 if start or deed == "part" else 200)
        if deed in ("gzip", "br"):
            self.send_header("Content-Encoding", deed)
        if start or deed == "part":
            whole = len(server.content)
            self.send_header("Content-Range", f"bytes {start + (deed == 'elsewhere')}-{whole - 1}/{whole}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", "abc" if deed == "no-number" else str(len(body)))
        self.end_headers()
        self.close_connection = deed == "no-number"
        if deed == "drop":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif deed == "stall":
            self.wfile.write(body[: (1 << 20) + 10])
            self.wfile.flush()
            server.released.wait(20)
        elif deed == "damage":
            self.wfile.write(b"\0" * len(body))
        else:
            self.wfile.write(body)


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def get(server, output, **more):
    return fetch(server.url, output, **{"attempts": 3, "timeout": 5.0, "first_wait": 0.01} | more)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_completely_and_no_temporary_file_remains(server, tmp_path):
    assert get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}", size=len(CONTENT)) == SHA256
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert left(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
def test_published_checksums_of_every_kind_are_checked(server, tmp_path, algorithm):
    get(server, tmp_path / "data.bin", checksum=f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest().upper()}")
    other = hashlib.new(algorithm, b"other").hexdigest()
    with pytest.raises(InputError, match=f"the {algorithm} of the received file is .* but {other} was expected"):
        get(server, tmp_path / "more.bin", checksum=f"{algorithm}:{other}")
    assert left(tmp_path) == ["data.bin"]


def test_a_server_error_500_is_retried(server, tmp_path):
    server.script = ["500", "503"]
    assert get(server, tmp_path / "data.bin") == SHA256


def test_repeated_server_errors_500_end_with_a_clear_message(server, tmp_path):
    server.script = ["500"] * 9
    with pytest.raises(InputError, match=r"answered 500 .* given up after 3 consecutive attempts"):
        get(server, tmp_path / "data.bin")
    assert len(server.ranges) == 3


@pytest.mark.parametrize(
    ("code", "meaning"), [("404", "there is no such file on the server"), ("403", "access is denied")]
)
def test_a_permanent_error_is_not_retried(server, tmp_path, code, meaning):
    server.script = [code]
    with pytest.raises(InputError, match=f"answered {code} .*: {meaning}"):
        get(server, tmp_path / "data.bin")
    assert len(server.ranges) == 1
    assert left(tmp_path) == []


def test_a_dropped_connection_is_resumed_at_the_break(server, tmp_path):
    server.script = ["drop", "drop"]
    assert get(server, tmp_path / "data.bin") == SHA256
    assert server.ranges == [None, "bytes=1500000-", "bytes=2250000-"]


def test_a_hanging_request_times_out_and_is_retried(server, tmp_path):
    server.script = ["silent", "stall"]
    started = time.monotonic()
    assert get(server, tmp_path / "data.bin", timeout=0.3) == SHA256
    assert time.monotonic() - started < 10
    assert server.ranges[2].startswith("bytes=")


def test_a_server_that_always_hangs_ends_with_a_clear_message(server, tmp_path):
    server.script = ["silent"] * 9
    with pytest.raises(InputError, match=r"the server sent nothing for|no connection within"):
        get(server, tmp_path / "data.bin", timeout=0.2, attempts=2)


def test_an_unreachable_server_ends_with_a_clear_message(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"no connection \(.*refused"):
        get(server, tmp_path / "data.bin", attempts=2)


def test_a_later_run_resumes_where_the_last_one_stopped(server, tmp_path):
    server.script = ["drop", "500", "500", "500"]
    with pytest.raises(InputError, match="run the same command again to resume"):
        get(server, tmp_path / "data.bin")
    assert left(tmp_path) == [".data.bin.origin", ".data.bin.part"]
    server.script.clear()
    server.ranges.clear()
    assert get(server, tmp_path / "data.bin") == SHA256
    assert server.ranges == ["bytes=1500000-"]
    assert left(tmp_path) == ["data.bin"]


def test_a_file_that_changed_on_the_server_is_not_appended_to_the_old_part(server, tmp_path):
    server.script = ["drop", "500", "500", "500"]
    with pytest.raises(InputError):
        get(server, tmp_path / "data.bin")
    server.script.clear()
    server.content, server.etag = bytes(reversed(CONTENT)), '"two"'
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == server.content


def test_a_download_is_restarted_if_the_server_resumes_with_a_changed_file(server, tmp_path):
    server.script = ["drop", "500", "500", "500"]
    with pytest.raises(InputError):
        get(server, tmp_path / "data.bin")
    server.script = ["changed"]
    server.content, server.etag = bytes(reversed(CONTENT)), '"two"'
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == server.content


def test_an_unrequested_partial_response_is_not_accepted_as_the_whole_file(server, tmp_path):
    server.script = ["part"]
    assert get(server, tmp_path / "data.bin") == SHA256
    assert server.ranges == [None, None]


def test_a_response_without_end_is_stopped(server, tmp_path, monkeypatch):
    server.script = ["endless"]
    with pytest.raises(InputError, match="sends more than the 1000 bytes that were expected"):
        get(server, tmp_path / "data.bin", size=1000)
    monkeypatch.setattr("genestill.reference.download.FREE_SPACE", 1 << 60)
    server.script = ["endless"]
    with pytest.raises(InputError, match=r"does not send the length of the file, .* are free; stopped"):
        get(server, tmp_path / "more.bin")


def test_a_server_that_sends_too_slowly_times_out(server, tmp_path):
    server.script = ["trickle"] * 9
    with pytest.raises(InputError, match=r"the server sent only \d+ bytes .* after 2 consecutive attempts"):
        get(server, tmp_path / "data.bin", timeout=0.2, attempts=2)


def test_a_download_has_a_time_limit(server, tmp_path):
    server.script = ["endless"]
    with pytest.raises(InputError, match=r"not finished within 0 s\. The part that was received is kept"):
        get(server, tmp_path / "data.bin", time_limit=0.05)


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_content_compressed_for_the_transfer_is_refused(server, tmp_path, encoding):
    server.script = [encoding]
    with pytest.raises(InputError, match=f"sends the file in the encoding '{encoding}'"):
        get(server, tmp_path / "data.bin")


def test_a_compressed_file_declared_as_compressed_is_kept_unchanged(server, tmp_path):
    server.script, server.url = ["gzip"], server.url + ".gz"
    assert get(server, tmp_path / "data.bin.gz") == SHA256


def test_a_content_length_that_is_not_a_number_is_ignored(server, tmp_path):
    server.script = ["no-number"]
    assert get(server, tmp_path / "data.bin") == SHA256


@pytest.mark.parametrize("url", ["http://", "http://host:port/a", "http://a b/c", "http://host/a b", "http://[::1/a"])
def test_an_invalid_address_is_refused_without_a_request(tmp_path, url):
    with pytest.raises(InputError, match="not an address"):
        fetch(url, tmp_path / "data.bin")


def test_a_partial_file_is_not_reused_without_an_etag_or_a_checksum(server, tmp_path):
    server.etag, server.script = "", ["drop"]
    assert get(server, tmp_path / "data.bin") == SHA256
    assert server.ranges == [None, None]


def test_a_download_is_restarted_if_the_server_cannot_resume_at_the_requested_position(server, tmp_path):
    server.script = ["drop", "no-range"]
    assert get(server, tmp_path / "one.bin") == SHA256
    server.script = ["drop", "elsewhere"]
    assert get(server, tmp_path / "two.bin") == SHA256


def test_a_damaged_partial_file_is_discarded_and_downloaded_again(server, tmp_path):
    (tmp_path / ".data.bin.part").write_bytes(b"\0" * 1000)
    assert get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}") == SHA256
    assert server.ranges == ["bytes=1000-", None]


def test_a_partial_file_longer_than_the_whole_is_discarded(server, tmp_path):
    (tmp_path / ".data.bin.part").write_bytes(CONTENT + b"more")
    server.script = ["416"]
    assert get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}") == SHA256


def test_corruption_during_transfer_is_detected_and_leaves_no_file(server, tmp_path):
    server.script = ["damage"]
    with pytest.raises(InputError, match="damaged or is another version"):
        get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}")
    assert left(tmp_path) == []


def test_a_file_whose_size_differs_from_the_published_one_is_refused_before_download(server, tmp_path):
    with pytest.raises(InputError, match="offers 3000000 bytes, but 5 were expected"):
        get(server, tmp_path / "data.bin", size=5)


def test_an_existing_correct_file_is_not_downloaded_again(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}")
    assert server.ranges == []
    (tmp_path / "data.bin").write_bytes(b"other")
    get(server, tmp_path / "data.bin", checksum=f"sha256:{SHA256}")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_file_larger_than_the_free_disk_space_is_refused_before_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="GB free, but downloading"):
        get(server, tmp_path / "data.bin")


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "data.bin"])
def test_only_web_addresses_are_downloaded(tmp_path, url):
    with pytest.raises(InputError, match="starts with http"):
        fetch(url, tmp_path / "data.bin")


@pytest.mark.parametrize("checksum", ["abc", "crc:12", "sha256:12", "md5:" + "x" * 31])
def test_an_invalid_checksum_is_refused(tmp_path, checksum):
    with pytest.raises(InputError, match="checksum"):
        fetch("http://127.0.0.1:1/data.bin", tmp_path / "data.bin", checksum)
