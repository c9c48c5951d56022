"""An HTTP proxy in front of a real MLflow server that does to its clients what bad servers do."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["pass", "hang", "fail", "slow", "late", "lose"]
"""Answer; never answer; answer 500; answer after ten seconds; write when nobody waits any more; do it, and drop some
answers."""

SLOW_SECONDS = 10.0
LATE_SECONDS = 2.0
"""Longer than a client waits whose MLFLOW_HTTP_REQUEST_TIMEOUT is 1."""

_LOST = {number * (number + 1) // 2 for number in range(1, 50)}
"""Answers that are lost, the first being 1: ever more of them arrive in between, so that everything gets its turn."""

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class FaultProxy:
    """Refuses connections until ``listen``; then does as its mode says, which may change at any time."""

    def __init__(self, port: int) -> None:
        """Take a port.

        Args:
            port: Of the MLflow server, on loopback.
        """
        self.mode: Mode = "pass"
        self.asked: Counter[Mode] = Counter()
        self.let_go = threading.Event()
        """Ends all that hangs."""
        self._late: list[threading.Thread] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection for each request

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    length = int(self.headers.get("Content-Length", 0))
                    proxy.handle(self, port=port, body=self.rfile.read(length))
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.server_bind()
        self._thread: threading.Thread | None = None
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def listen(self) -> None:
        """Refuse no more."""
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until all that is late has been done."""
        for thread in self._late:
            thread.join()

    def close(self) -> None:
        self.let_go.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler, *, port: int, body: bytes) -> None:
        mode = self.mode
        self.asked[mode] += 1
        match mode:
            case "hang":
                self.let_go.wait()
            case "fail":
                handler.send_error(500)
            case "late" if handler.command == "POST" and not handler.path.endswith("/search"):
                self._late.append(threading.Thread(target=self._do_late, args=(handler, port, body)))
                self._late[-1].start()
                self.let_go.wait(LATE_SECONDS)
            case "slow":
                self.let_go.wait(SLOW_SECONDS)
                _answer(handler, *_forward(handler, port=port, body=body))
            case "lose":
                answer = _forward(handler, port=port, body=body)
                if self.asked["lose"] not in _LOST:
                    _answer(handler, *answer)
            case "pass" | "late":
                _answer(handler, *_forward(handler, port=port, body=body))

    def _do_late(self, handler: BaseHTTPRequestHandler, port: int, body: bytes) -> None:
        self.let_go.wait(LATE_SECONDS)
        _forward(handler, port=port, body=body)


@contextmanager
def fault_proxy(port: int) -> Iterator[FaultProxy]:
    """A proxy in front of the server on that port, which refuses until it is told to listen."""
    proxy = FaultProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def _forward(handler: BaseHTTPRequestHandler, *, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=50)
    headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
    connection.request(handler.command, handler.path, body, {**headers, "Host": f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.getheaders(), content


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
    try:
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
    except OSError:
        pass  # nobody waits for it any more
