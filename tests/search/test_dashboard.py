import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults

import pytest

from autotune.errors import PortError, StorageError
from autotune.gate import Gate
from autotune.recording.engines import configure_engine
from autotune.search.dashboard import dashboard_app, find_study_id, serve_dashboard, study_address
from autotune.search.storage import open_for_reading, open_storage
from autotune.search.study import Search
from tests.search.spaces import conditional_space, plan_for, run_trials

Headers = dict[str, str]

SERVER = """
import sys
from autotune.search.dashboard import serve_dashboard

serve_dashboard(sys.argv[1], port=0, announce=lambda address: print(address, flush=True))
print("ended")
"""


@pytest.fixture(scope="module")
def database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dashboard") / "study.db"
    shutil.copy(empty_database, path)
    return path


@pytest.fixture(scope="module")
def study_id(database: Path) -> int:
    storage = open_storage(f"sqlite:///{database}", configure_engine=configure_engine)
    search = Search.create("study", storage=storage, plan=plan_for(conditional_space(), pruner="hyperband"))
    run_trials(search, count=8)
    storage.engine.dispose()
    return search.study_id


@pytest.fixture(scope="module")
def app(database: Path, study_id: int) -> WSGIApplication:
    assert study_id
    return dashboard_app(open_for_reading(f"sqlite:///{database}"), gate=Gate("127.0.0.1", port=8080, token=None))


def ask(
    app: WSGIApplication, path: str, *, method: str = "GET", body: bytes = b"", headers: Headers | None = None
) -> tuple[int, bytes]:
    environ: dict[str, object] = {"HTTP_HOST": "127.0.0.1:8080", **(headers or {})}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": str(len(body))}
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_TYPE": "application/json"}
    statuses: list[int] = []

    def start_response(status: str, _headers: list[tuple[str, str]], _info: object = None) -> object:
        statuses.append(int(status.split(maxsplit=1)[0]))
        return lambda _: None

    content = b"".join(app(environ, start_response))  # type: ignore[arg-type]
    return statuses[0], content


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST:8080"])
def test_loopback_names_with_the_port_are_answered(host: str, app: WSGIApplication) -> None:
    status, content = ask(app, "/api/studies", headers={"HTTP_HOST": host})

    assert status == 200
    assert [study["study_name"] for study in json.loads(content)["study_summaries"]] == ["study"]


@pytest.mark.parametrize(
    "host",
    ["evil.example:8080", "127.0.0.1:9000", "127.0.0.1", "localhost.evil.example:8080", "", "127.0.0.1:8080.evil"],
)
@pytest.mark.parametrize("path", ["/", "/dashboard", "/api/studies", "/api/meta"])
def test_another_host_is_refused(host: str, path: str, app: WSGIApplication) -> None:
    status, content = ask(app, path, headers={"HTTP_HOST": host})

    assert status == 403
    assert b"127.0.0.1:8080" in content


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://127.0.0.1:9000"},
        {"HTTP_ORIGIN": "https://127.0.0.1:8080"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
)
def test_a_write_from_another_page_is_refused(headers: dict[str, str], app: WSGIApplication, study_id: int) -> None:
    status, _ = ask(app, f"/api/studies/{study_id}", method="DELETE", headers=headers)

    assert status == 403
    assert ask(app, f"/api/studies/{study_id}")[0] == 200


@pytest.mark.parametrize(
    "headers", [{"HTTP_ORIGIN": "http://localhost:8080"}, {"HTTP_SEC_FETCH_SITE": "same-origin"}, {}]
)
def test_a_write_from_its_own_page_reaches_the_dashboard(headers: Headers, app: WSGIApplication) -> None:
    no_such_study = 999

    assert ask(app, f"/api/studies/{no_such_study}", method="DELETE", headers=headers)[0] == 404


def test_the_study_shows_trials_reports_and_reasons(app: WSGIApplication, study_id: int) -> None:
    status, content = ask(app, f"/api/studies/{study_id}")

    trials = json.loads(content)["trials"]
    assert status == 200
    assert len(trials) == 8
    assert {"key": "outcome", "value": "complete"} in trials[0]["user_attrs"]
    assert [value["step"] for value in trials[0]["intermediate_values"]] == [1, 2, 3]


def test_a_study_is_read_while_another_process_writes(app: WSGIApplication, database: Path, study_id: int) -> None:
    writer = open_storage(f"sqlite:///{database}", configure_engine=configure_engine)

    with writer.engine.begin():
        status, _ = ask(app, f"/api/studies/{study_id}")

    writer.engine.dispose()
    assert status == 200


def test_elsewhere_than_on_loopback_nobody_is_answered_without_the_token(database: Path, study_id: int) -> None:
    storage = open_for_reading(f"sqlite:///{database}")
    app = dashboard_app(storage, gate=Gate("127.0.0.2", port=8080, token="secret"))
    host = {"HTTP_HOST": "127.0.0.2:8080"}
    assert ask(app, f"/api/studies/{study_id}", headers=host)[0] == 403
    assert ask(app, f"/api/studies/{study_id}", method="DELETE", headers=host)[0] == 403
    assert ask(app, "/dashboard", headers={**host, "QUERY_STRING": "token=secret"})[0] == 303
    assert ask(app, f"/api/studies/{study_id}", headers={**host, "HTTP_COOKIE": "autotune-8080=secret"})[0] == 200


def test_the_study_has_an_address() -> None:
    assert study_address("http://127.0.0.1:8080/", study_id=3) == "http://127.0.0.1:8080/dashboard/studies/3"


@pytest.mark.parametrize(("name", "is_there"), [("study", True), ("other", False)])
def test_a_study_is_found_by_its_name(name: str, *, is_there: bool, database: Path, study_id: int) -> None:
    assert find_study_id(f"sqlite:///{database}", name=name) == (study_id if is_there else None)


def test_a_port_in_use_is_one_line(database: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortError, match=rf"^127\.0\.0\.1:{port}: the port must be free, got one in use; .*--port$"):
            serve_dashboard(f"sqlite:///{database}", port=port)


def test_a_database_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the database must exist, got .*missing\.db; start a study first"):
        serve_dashboard(f"sqlite:///{tmp_path / 'missing.db'}")

    assert list(tmp_path.iterdir()) == []


def test_a_database_without_optuna_s_tables_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    with pytest.raises(StorageError, match="a database with Optuna's tables is needed, got one without"):
        serve_dashboard(f"sqlite:///{tmp_path / 'empty.db'}")


@pytest.fixture
def server(database: Path, study_id: int) -> Iterator["subprocess.Popen[str]"]:
    assert study_id
    command = [sys.executable, "-c", SERVER, f"sqlite:///{database}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.slow
def test_it_serves_over_http_until_ctrl_c_and_prints_nothing(server: "subprocess.Popen[str]", study_id: int) -> None:
    assert server.stdout is not None
    address = urlsplit(server.stdout.readline().strip())
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)

    answers = []
    for path, host in (
        ("/dashboard", address.netloc),
        (f"/api/studies/{study_id}", f"localhost:{address.port}"),
        ("/dashboard", "evil.example"),
    ):
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        response.read()
        answers.append(response.status)
    connection.close()
    server.send_signal(signal.SIGINT)
    output, errors = server.communicate(timeout=20)

    assert answers == [200, 200, 403]
    assert (server.returncode, output, errors) == (0, "ended\n", "")


def test_a_server_that_does_not_answer_is_no_database_without_tables(tmp_path: Path) -> None:
    """It was said to have no studies."""
    with pytest.raises(StorageError, match=r"--storage: the database must answer, got .*; start its server"):
        serve_dashboard(f"postgresql+psycopg:///none?host={tmp_path}")
