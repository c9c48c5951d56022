"""Who may use a server of ours: the one decision before every request, for every kind of server.

A page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding), or let a visitor's
browser write to a server on the visitor's machine; and whoever reaches a port may use what
listens there. So the Host must be one of the server's own, a write must not come from another
page, and a server that listens on more than loopback asks for a token.
"""

import errno
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

import psutil

from autotune.errors import PortError

LOOPBACK_HOST = "127.0.0.1"

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Names under which a browser on this machine reaches a server on it."""

_HTTP_PORT = 80
_QUERY_NAME = "token"
"""Name of the token in an address."""


@dataclass(frozen=True)
class Request:
    """What the decision depends on."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Header values by lower-case name."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request that does not reach the server."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """Lets through what may be asked of one server.

    Args:
        host: Host that the server listens on.
        port: Port that the server listens on.
        token: Token that a request must carry; None where every user of this machine may ask.
    """

    def __init__(self, host: str, *, port: int, token: str | None) -> None:
        self.hosts = allowed_hosts(host, port=port)
        self._origins = frozenset(f"http://{name}" for name in self.hosts)
        self._token = token
        self._cookie = f"autotune-{port}"  # a browser's cookies are those of all ports

    def answer(self, request: Request) -> Answer | None:
        """What to answer; None to let the request through."""
        if request.headers.get("host", "").lower() not in self.hosts:
            return _refuse(f"This server answers under {', '.join(sorted(self.hosts))} only.")
        if self._token is not None and not self._is_known(request):
            return self._admit(request)
        if request.method not in READING and not self._is_own_page(request):
            return _refuse("Only a page of this server may change anything.")
        return None

    def _is_own_page(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return False
        return request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}

    def _is_known(self, request: Request) -> bool:
        assert self._token is not None
        cookies = SimpleCookie()
        try:
            cookies.load(request.headers.get("cookie", ""))
        except CookieError:
            return False
        morsel = cookies.get(self._cookie)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = [morsel.value if morsel else "", bearer if scheme.lower() == "bearer" else ""]
        return any(_is_same(each, self._token) for each in given)

    def _admit(self, request: Request) -> Answer:
        """A browser that opens the address with the token gets a cookie, and the address without it."""
        assert self._token is not None
        query = parse_qsl(request.query, keep_blank_values=True)
        given = [value for name, value in query if name == _QUERY_NAME]
        if request.method != "GET" or not any(_is_same(each, self._token) for each in given):
            return _refuse("This server was started with --host: open the address with the token that it printed.")
        rest = urlencode([(name, value) for name, value in query if name != _QUERY_NAME])
        # Never another server's: "//host" would be one.
        where = "/" + request.path.lstrip("/") + (f"?{rest}" if rest else "")
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        return Answer(303, "", (("Location", where), ("Set-Cookie", cookie)))


def make_token(host: str) -> str | None:
    """A new token for a server on this host; None on loopback, which this machine alone reaches."""
    return None if host == LOOPBACK_HOST or host in {"localhost", "::1"} else secrets.token_urlsafe(24)


def open_address(base: str, *, token: str | None) -> str:
    """The address to open first: with the token, where one is asked for."""
    return base if token is None else f"{base}/?{urlencode({_QUERY_NAME: token})}"


def base_address(host: str, *, port: int) -> str:
    """An address such as ``http://127.0.0.1:8080``; with this machine's name for a server on all addresses."""
    return f"http://{_in_address(socket.gethostname() if _is_wildcard(host) else host)}:{port}"


def near_address(host: str, *, port: int) -> str:
    """The address at which this machine itself reaches the server, even if no resolver knows its name."""
    return base_address(LOOPBACK_HOST if _is_wildcard(host) else host, port=port)


def allowed_hosts(host: str, *, port: int) -> frozenset[str]:
    """The Host headers that a browser may send to a server on this address."""
    names = {*_LOOPBACK_NAMES, _in_address(host), *(_own_names() if _is_wildcard(host) else ())}
    with_port = {f"{name.lower()}:{port}" for name in names}
    return frozenset(with_port | {name.lower() for name in names} if port == _HTTP_PORT else with_port)


def _own_names() -> Iterable[str]:
    """Names and addresses of this machine."""
    yield socket.gethostname()
    yield socket.getfqdn()
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in {socket.AF_INET, socket.AF_INET6}:
                yield _in_address(address.address.partition("%")[0])


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def _refuse(why: str) -> Answer:
    return Answer(403, f"{why}\n")


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def explain_refusal(error: OSError, *, host: str, port: int) -> PortError:
    """Why no server can listen on this address, with the option that mends it."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        rule = f"{host}: must be an address or a name of this machine"
        return PortError(f"{rule}, got {error.strerror!r}; choose another with --host")
    rule = f"{host}:{port}: the port must be free"
    if error.errno == errno.EADDRINUSE:
        return PortError(f"{rule}, got one in use; choose another with --port")
    return PortError(f"{rule} to listen on, got {error.strerror!r}; choose another with --port")
