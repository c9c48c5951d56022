"""optuna-dashboard on loopback, behind the checks that it doesn't make itself.

optuna-dashboard 0.21 answers whatever Host a request names. A page elsewhere could point a name
of its own at 127.0.0.1 (DNS rebinding) and read or delete studies from a visitor's browser; with
the Host checked, such a request is refused. A write is refused as well when the browser says
that it comes from another page.
"""

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import waitress
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from autotune.errors import PortError, StorageError
from autotune.search.storage import open_for_reading

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Names under which a browser on this machine reaches a server on it."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing in optuna-dashboard."""

HTTP_PORT = 80


def serve_dashboard(
    url: str, *, host: str = "127.0.0.1", port: int = 8080, announce: Callable[[str], None] | None = None
) -> None:
    """Serves the dashboard of a storage until Ctrl-C.

    Args:
        url: An existing storage. It is read without taking a write lock.
        host: Address to listen on.
        port: 0 for any that is free.
        announce: Told the address, such as ``http://127.0.0.1:8080``, once the server listens.

    Raises:
        PortError: the address is in use, or can't be listened on.
        StorageError: there is no database, or it has no studies of Optuna's.
    """
    storage = _existing_storage(url)
    # It would warn on stderr whenever a page asks for more at once than there are threads.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    with _listen(host, port=port) as listener:
        bound = int(listener.getsockname()[1])
        app = dashboard_app(storage, hosts=allowed_hosts(host, port=bound))
        server = waitress.create_server(app, sockets=[listener], threads=8)
        if announce is not None:
            announce(f"http://{_in_address(host)}:{bound}")
        try:
            server.run()
        finally:
            server.close()


def dashboard_app(storage: BaseStorage, *, hosts: Iterable[str]) -> "WSGIApplication":
    """The dashboard as a WSGI application that answers only under these values of the Host header."""
    return _Gate(storage, hosts=hosts)


def allowed_hosts(host: str, *, port: int) -> frozenset[str]:
    """The Host headers of a browser that means a server on this address."""
    names = {*LOOPBACK, _in_address(host)}
    with_port = {f"{name}:{port}" for name in names}
    return frozenset(with_port | names if port == HTTP_PORT else with_port)


def study_address(base: str, *, study_id: int) -> str:
    """Where the dashboard at ``base`` shows a study; the id is Optuna's."""
    return f"{base.rstrip('/')}/dashboard/studies/{study_id}"


def find_study_id(url: str, *, name: str) -> int | None:
    """Optuna's id of the study, for ``study_address``; None while Optuna has not got it.

    Raises:
        StorageError: there is no database, or it has no studies of Optuna's.
    """
    try:
        return _existing_storage(url).get_study_id_from_name(name)
    except KeyError:
        return None


class _Gate:
    """Passes on what a page of the dashboard itself may ask for."""

    def __init__(self, storage: BaseStorage, *, hosts: Iterable[str]) -> None:
        import optuna_dashboard  # brings scikit-learn in: a second that whoever wants an address only must not pay

        self._app: WSGIApplication = optuna_dashboard.wsgi(storage)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal is None:
            return self._app(environ, start_response)
        body = f"{refusal}\n".encode()
        start_response(
            "403 Forbidden", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        )
        return [body]

    def _refusal(self, environ: dict[str, Any]) -> str | None:
        if environ.get("HTTP_HOST", "").lower() not in self._hosts:
            return f"This server answers under {', '.join(sorted(self._hosts))} only."
        if environ.get("REQUEST_METHOD", "GET") in READING:
            return None
        origin = environ.get("HTTP_ORIGIN")
        site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
        is_own = site in {"same-origin", "none"} if origin is None else origin.lower() in self._origins
        return None if is_own else "Only a page of this server may change anything."


def _existing_storage(url: str) -> BaseStorage:
    path = url.removeprefix("sqlite:///").partition("?")[0]
    if url.startswith("sqlite:///") and not Path(path).is_file():
        raise StorageError(f"--storage: the database must exist, got {path}; start a study first")
    try:
        return open_for_reading(url)
    except StorageInternalError as error:
        raise StorageError(
            "--storage: a database with studies is needed, got one without; start a study first"
        ) from error


def _listen(host: str, *, port: int) -> socket.socket:
    # Not left to waitress: it leaks its socket where this fails.
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            rule = "the port must be free, got one in use"
        else:
            rule = f"the server must be able to listen there, got {error.strerror or error}"
        raise PortError(f"{_in_address(host)}:{port}: {rule}; choose another with --port") from error


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
