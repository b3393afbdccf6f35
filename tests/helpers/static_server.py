"""A local server for a folder, in a thread of its own, as a static host serves it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Files(SimpleHTTPRequestHandler):
    """The files of a folder, each with its type; nothing is kept by the browser, nothing is written to the terminal."""

    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript", ".mjs": "text/javascript",
        ".wasm": "application/wasm", ".json": "application/json",
    }  # fmt: skip

    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")  # what a test changes is seen at once
        super().end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the browser went away
            super().handle_error(request, client_address)


def serve(folder: Path, handler: type[Files] = Files) -> tuple[Server, str]:
    """A server that runs, and its address with a slash at the end."""
    server = Server(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of the folder, with a slash at the end, while it is served."""
    server, address = serve(folder)
    yield address
    server.shutdown()
    server.server_close()
