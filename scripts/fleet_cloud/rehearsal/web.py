"""Serves the live page on this machine's loopback, updated by server-sent events. Changes nothing."""

import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.rehearsal import page

HOST = "127.0.0.1"
_IDLE_SECONDS = 15.0  # then a comment goes out, which a browser that has left does not take
_NAMES = {"localhost", HOST}

Report = Mapping[str, object]


class Board:
    """The newest report, and those who wait for the next."""

    def __init__(self, report: Report) -> None:
        self._changed = threading.Condition()
        self._report = report
        self._version = 0
        self.is_over = False

    @property
    def report(self) -> Report:
        """The newest version."""
        return self._report

    def put(self, report: Report, *, is_last: bool = False) -> None:
        """Shows another version."""
        with self._changed:
            self._report, self.is_over = report, is_last
            self._version += 1
            self._changed.notify_all()

    def wait(self, version: int) -> int:
        """Waits for a version other than this one; returns the newest, which is the same if none came for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, _IDLE_SECONDS)
            return self._version


class _Handler(http.server.BaseHTTPRequestHandler):
    board: Board

    def do_GET(self) -> None:
        # Otherwise another site whose name resolves to this address could read it.
        if self.headers.get("Host", "").rpartition(":")[0] not in _NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._answer("text/html; charset=utf-8", page.render(self.board.report))
        elif self.path == "/report.json":
            self._answer("application/json", page.text_of(self.board.report))
        elif self.path == "/events":
            self._follow()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def _follow(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        version = -1
        try:
            while True:
                latest = self.board.wait(version)
                if latest == version:
                    self.wfile.write(b": still here\n\n")
                else:
                    version = latest
                    self.wfile.write(f"data: {page.text_of(self.board.report)}\n\n".encode())
                if self.board.is_over:
                    self.wfile.write(b"event: end\ndata: \n\n")
                    return
        except OSError:
            return  # the browser has left

    def log_message(self, *_: object) -> None:
        """Discards the line: it is not read."""


@contextmanager
def served(board: Board, port: int) -> Iterator[str]:
    """Serves the page for as long as the block lasts; gives its address.

    Raises:
        FleetCloudError: The port is taken.
    """
    handler: Callable[..., _Handler] = type("Handler", (_Handler,), {"board": board})
    try:
        server = http.server.ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise FleetCloudError(
            f"--web {port}: {error.strerror}",
            remedy="pass another port, or 0 for a free one",
            code="port-taken",
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
