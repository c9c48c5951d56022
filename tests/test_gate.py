import pytest

from autotune.gate import Gate, Request, allowed_hosts, base_address, make_token, open_address

LOCAL = Gate("127.0.0.1", port=8080, token=None)
ELSEWHERE = Gate("127.0.0.2", port=8080, token="secret")
COOKIE = {"cookie": "other=1; autotune-8080=secret"}


def status(gate: Gate, *, method: str = "GET", query: str = "", **headers: str) -> int | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    usual = {"host": "127.0.0.1:8080" if gate is LOCAL else "127.0.0.2:8080"}
    answer = gate.answer(Request(method, path="/page", query=query, headers={**usual, **named}))
    return None if answer is None else answer.status


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST:8080"])
def test_own_names_are_let_through(host: str) -> None:
    assert status(LOCAL, host=host) is None


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1:9000", "127.0.0.1", "", "192.168.1.5:8080"])
def test_another_host_gets_403(host: str, method: str) -> None:
    assert status(LOCAL, host=host, method=method) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "https://127.0.0.1:8080"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "cross-site"},
    ],
)
def test_a_write_from_another_page_gets_403(method: str, headers: dict[str, str]) -> None:
    assert status(LOCAL, method=method, **headers) == 403


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}]
)
def test_a_write_from_its_own_page_or_from_no_page_is_let_through(headers: dict[str, str]) -> None:
    assert status(LOCAL, method="POST", **headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": "autotune-8080=guess"},
        {"cookie": "autotune-9000=secret"},
        {"cookie": "autotune-8080=\x00;;=\udcff".encode("utf-8", "replace").decode()},
        {"authorization": "Bearer guess"},
        {"authorization": "Basic secret"},
    ],
)
def test_without_the_token_elsewhere_gets_403(headers: dict[str, str]) -> None:
    assert status(ELSEWHERE, **headers) == 403
    assert status(ELSEWHERE, query="token=guess", **headers) == 403
    assert status(ELSEWHERE, method="POST", query="token=secret", **headers) == 403


@pytest.mark.parametrize("headers", [COOKIE, {"authorization": "Bearer secret"}])
def test_the_token_is_known_by_cookie_and_by_header(headers: dict[str, str]) -> None:
    assert status(ELSEWHERE, **headers) is None
    assert status(ELSEWHERE, method="POST", **headers) is None
    assert status(ELSEWHERE, method="POST", origin="http://evil.example", **headers) == 403
    assert status(ELSEWHERE, host="evil.example:8080", **headers) == 403


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/", "token=secret", "/"),
        ("/page", "a=1&token=secret&b=", "/page?a=1&b="),
        ("//evil.example", "token=secret", "/evil.example"),
    ],
)
def test_the_address_with_the_token_is_left_for_one_without_it(path: str, query: str, location: str) -> None:
    answer = ELSEWHERE.answer(Request("GET", path=path, query=query, headers={"host": "127.0.0.2:8080"}))
    assert answer is not None
    assert answer.status == 303
    assert dict(answer.headers) == {
        "Location": location,
        "Set-Cookie": "autotune-8080=secret; Path=/; HttpOnly; SameSite=Strict",
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert make_token(host) is None


def test_each_server_elsewhere_has_a_token_of_its_own() -> None:
    first, second = make_token("0.0.0.0"), make_token("0.0.0.0")
    assert first is not None
    assert second is not None
    assert first != second
    assert open_address("http://box:1", token="a b") == "http://box:1/?token=a+b"


def test_a_server_on_all_addresses_is_known_by_the_machines_own() -> None:
    hosts = allowed_hosts("0.0.0.0", port=8080)
    assert base_address("0.0.0.0", port=8080).removeprefix("http://") in hosts
    assert "127.0.0.1:8080" in hosts
    assert "evil.example:8080" not in hosts


def test_the_port_80_may_go_without_saying() -> None:
    assert allowed_hosts("127.0.0.1", port=80) >= {"localhost", "localhost:80", "[::1]"}
