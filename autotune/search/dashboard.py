"""optuna-dashboard, behind the checks that it doesn't make itself.

optuna-dashboard 0.21 answers whatever Host a request names, takes writes from any page, and asks
nobody for a token.
"""

import logging
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import waitress
from optuna.artifacts import FileSystemArtifactStore
from optuna.storages import BaseStorage
from sqlalchemy.exc import DBAPIError

from autotune.errors import StorageError
from autotune.gate import Gate, Request, base_address, explain_refusal, make_token, open_address
from autotune.search.storage import open_for_reading

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def serve_dashboard(
    url: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    artifacts: Path | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serves the dashboard of a storage until Ctrl-C.

    Args:
        url: An existing storage. It is read without taking a write lock.
        host: Address to listen on; on another than loopback a token is asked for.
        port: 0 for any that is free.
        artifacts: The folder of what is attached to studies, if there is one.
        announce: Told the address to open, such as ``http://127.0.0.1:8080``, once the server listens.

    Raises:
        PortError: the address is in use, or can't be listened on.
        StorageError: there is no database, or it has no studies of Optuna's.
    """
    storage = _existing_storage(url)
    # It would warn on stderr whenever a page asks for more at once than there are threads.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    with _listen(host, port=port) as listener:
        bound = int(listener.getsockname()[1])
        token = make_token(host)
        app = dashboard_app(storage, gate=Gate(host, port=bound, token=token), artifacts=artifacts)
        server = waitress.create_server(app, sockets=[listener], threads=8)
        if announce is not None:
            announce(open_address(base_address(host, port=bound), token=token))
        try:
            server.run()
        finally:
            server.close()


def dashboard_app(storage: BaseStorage, *, gate: Gate, artifacts: Path | None = None) -> "WSGIApplication":
    """The dashboard as a WSGI application that answers what the gate lets through.

    ``artifacts`` is the folder of files that ``notes.attach_files`` attached; without one none is shown.
    """
    return _GatedApp(storage, gate=gate, artifacts=artifacts)


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


class _GatedApp:
    """A WSGI application that passes on the requests that the gate lets through."""

    def __init__(self, storage: BaseStorage, *, gate: Gate, artifacts: Path | None) -> None:
        import optuna_dashboard  # imports scikit-learn, which takes a second that asking for an address must not cost

        store = None if artifacts is None else FileSystemArtifactStore(artifacts)
        self._app: WSGIApplication = optuna_dashboard.wsgi(storage, artifact_store=store)
        self._gate = gate

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = self._gate.answer(_read_request(environ))
        if answer is None:
            return self._app(environ, start_response)
        body = answer.body.encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", [*headers, *answer.headers])
        return [body]


def _read_request(environ: "WSGIEnvironment") -> Request:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        environ.get("REQUEST_METHOD", "GET"),
        path=environ.get("PATH_INFO", "/"),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
    )


def _existing_storage(url: str) -> BaseStorage:
    path = url.removeprefix("sqlite:///").partition("?")[0]
    if url.startswith("sqlite:///") and not Path(path).is_file():
        raise StorageError(f"--storage: the database must exist, got {path}; start a study first")
    try:
        return open_for_reading(url)
    except DBAPIError as error:
        reason, *_ = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        raise StorageError(f"--storage: the database must answer, got {reason!r}; start its server") from error


def _listen(host: str, *, port: int) -> socket.socket:
    # Not left to waitress: it leaks its socket where this fails.
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise explain_refusal(error, host=host, port=port) from error
