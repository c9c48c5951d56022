"""``autotune dashboard`` and ``autotune mlflow``: two servers, on loopback unless told otherwise, until Ctrl-C."""

import contextlib
import signal
import webbrowser
from collections.abc import Iterator

import click

from autotune.cli.options import WholeNumber, storage_option, tracking_option
from autotune.errors import RunError
from autotune.report.text.places import DASHBOARD_PORT, MLFLOW_PORT

_PORT = WholeNumber(min=1, max=65535)
_host_option = click.option(
    "--host",
    metavar="HOST",
    default="127.0.0.1",
    show_default=True,
    help="To listen on; another than this machine's own loopback asks for the token in the address that is printed.",
)
_open_option = click.option("--open", "should_open", is_flag=True, help="Open the address in a browser.")


@click.command()
@click.option("--port", type=_PORT, metavar="PORT", default=DASHBOARD_PORT, show_default=True, help="To listen on.")
@_host_option
@_open_option
@storage_option
def dashboard(*, port: int, host: str, should_open: bool, storage: str) -> None:
    """Serve the Optuna dashboard of a storage.

    Prints its address, answers this machine alone unless --host says otherwise, and runs until Ctrl-C.
    """
    from autotune.recording.database import check_database, normalise_url
    from autotune.recording.files import artifacts_folder
    from autotune.search.dashboard import serve_dashboard

    check_database(storage)
    artifacts = artifacts_folder(storage)
    with _until_stopped():
        serve_dashboard(
            normalise_url(storage),
            host=host,
            port=port,
            artifacts=artifacts if artifacts.is_dir() else None,
            announce=lambda address: _announce(address, page=address, should_open=should_open),
        )


@click.command()
@click.option("--port", type=_PORT, metavar="PORT", default=MLFLOW_PORT, show_default=True, help="To listen on.")
@_host_option
@_open_option
@storage_option
@tracking_option
def mlflow(*, port: int, host: str, should_open: bool, storage: str, tracking_uri: str) -> None:
    """Serve the MLflow UI with the recorded runs.

    Prints its address and those of the storage's studies, answers this machine alone unless --host
    says otherwise, and runs until Ctrl-C.
    """
    from autotune.recording.mlflow.server import MlflowServer
    from autotune.report.dashboards.addresses import runs_addresses

    with _until_stopped(), MlflowServer(tracking_uri, host=host, port=port) as server:
        server.wait_until_ready()
        addresses = runs_addresses(storage, base=server.address)
        for name, address in addresses:
            click.echo(f"study {name}: {address}")
        has_pages = bool(addresses) and server.open_address == server.address
        page = addresses[0][1] if has_pages else server.open_address
        _announce(server.open_address, page=page, should_open=should_open)
        status = server.wait()
        raise RunError(f"{server.address}: mlflow server must run until Ctrl-C, got its end with status {status}")


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """End the block at Ctrl-C, at SIGTERM from a service manager, and when the terminal closes (SIGHUP)."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}  # nohup
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(address: str, *, page: str, should_open: bool) -> None:
    click.echo(f"{address}  (Ctrl-C stops it)")
    if should_open:
        webbrowser.open(page)
