"""A folder on a local HTTP server, in place of the servers that the downloads are from."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FolderRequests(SimpleHTTPRequestHandler):
    """Answers with the files of a folder, and prints nothing."""

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder: Path, requests: type[FolderRequests] = FolderRequests) -> Iterator[str]:
    """Make ``folder``, serve it until the context ends, and give the address."""
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(requests, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
