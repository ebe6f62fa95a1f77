"""A file server over HTTPS on loopback, for the demo: it gives out firmware and takes what is uploaded.

Owns its files, in memory. Must never be used for anything that is not on loopback.
"""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

MAX_BYTES: Final = 1 << 28


class FileServer:
    """``url`` + name is where a file is, for GET and PUT; :attr:`files` holds them by name."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.files: dict[str, bytes] = {}
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path.lstrip("/"))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def do_PUT(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                if size <= MAX_BYTES:
                    files[self.path.lstrip("/")] = self.rfile.read(size)
                self.send_response(201 if size <= MAX_BYTES else 413)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The tour tells what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """It ends with a slash."""
        return f"https://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
