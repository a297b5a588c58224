"""Who may see the page: rules for one HTTP request head, which :mod:`viewer.wire` has read.

Nothing is served before the token, the Host and the Origin were checked. The token comes in the address that is printed (``/?token=...``);
the page that answers sets a cookie and goes on to ``/``, so that the token does not stay in the address bar. Host is compared with the
names under which the server was started, which stops DNS rebinding; Origin must be the same host and port, which stops other pages
(also those of other local servers) from opening the WebSocket with the visitor's cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, unquote, urlsplit

from recon.errors import UsageError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
LEAST_TOKEN = 16
"""Characters of a token that a user may choose."""
MOST_HEAD_BYTES = 16 * 1024
MOST_MESSAGE_BYTES = 1 << 20
"""Of one message from a browser: cameras, clicks and numbers take hundreds of bytes; nothing is uploaded."""


class Refused(Exception):
    """A request that is not served.

    Args:
        status: HTTP status.
        reason: One line for the visitor; says nothing about the token.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Head:
    """What somebody asks for.

    Attributes:
        target: Path and query as sent.
        headers: Names in lower case; each at most once.
    """

    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"


@dataclass(frozen=True)
class Access:
    """What a request must show.

    Attributes:
        token: The secret in the printed address.
        names: Host names and addresses under which the page may be asked for, without port.
        any_address: Numeric addresses are fine too: the server listens on all of them, and a name cannot be rebound to be one.
        cookie: Name of the cookie; holds the port, because cookies of one host are shared by its ports.
    """

    token: str
    names: frozenset[str]
    any_address: bool
    cookie: str

    @property
    def cookie_value(self) -> str:
        return hmac.new(self.token.encode(), b"formfield viewer cookie", hashlib.sha256).hexdigest()


def make_access(host: str, port: int, token: str | None) -> Access:
    """The rules for a server on ``host``.

    Args:
        host: Address to listen on.
        port: Its port.
        token: The user's own token, or None for a random one.
    Raises:
        UsageError: If ``host`` can be reached from other machines and no token of at least 16 characters is given.
    """
    loopback = host in LOOPBACK_NAMES
    if token is None and not loopback:
        raise UsageError(
            f"--host {host} lets other machines connect; that needs a token of your own",
            "put one in FORMFIELD_TOKEN or a --token-file, or leave --host out and use: ssh -L 8080:127.0.0.1:8080 THIS-MACHINE",
        )
    if token is not None and (len(token) < LEAST_TOKEN or not re.fullmatch(r"[A-Za-z0-9_-]+", token)):
        raise UsageError(f"the token must have at least {LEAST_TOKEN} characters, of A-Z a-z 0-9 _ -")
    everywhere = host in ("0.0.0.0", "::")
    names = LOOPBACK_NAMES if loopback else frozenset({host.lower()})
    if everywhere:
        names = LOOPBACK_NAMES | {socket.gethostname().lower()}
    return Access(token or secrets.token_urlsafe(24), names, everywhere, f"formfield-{port}")


def check(head: Head, access: Access) -> bool:
    """Apply the rules.

    Returns:
        True to serve the request; False if it brought the token in its address and must be sent on with the cookie.
    Raises:
        Refused: 400, 401, 403 or 404.
    """
    host = head.headers.get("host", "")
    if not _known_host(host, access):
        raise Refused(403, "this host name is not served")
    origin = head.headers.get("origin")
    if origin is None and head.is_upgrade:
        raise Refused(403, "a WebSocket needs an Origin")
    if origin is not None and origin != f"http://{host}":
        raise Refused(403, "requests from other pages are not served")
    given = parse_qs(urlsplit(head.target).query).get("token", [])
    by_address = len(given) == 1 and hmac.compare_digest(given[0].encode(), access.token.encode())
    by_cookie = hmac.compare_digest(_cookie(head, access.cookie).encode(), access.cookie_value.encode())
    if not (by_address or by_cookie):
        raise Refused(401, "open the address that was printed when the viewer started: it holds the token")
    check_path(head.path)
    return by_cookie and not (given and not head.is_upgrade)


def check_path(path: str) -> None:
    """Refuse paths that climb, however they are written.

    Raises:
        Refused: 404.
    """
    for _ in range(3):  # percent signs may be encoded again
        plain = path.replace("\\", "/")
        if ".." in plain.split("/") or "\0" in plain:
            raise Refused(404, "no such page")
        path = unquote(path)
    if "%" in path and unquote(path) != path:
        raise Refused(404, "no such page")


def _known_host(host: str, access: Access) -> bool:
    try:
        parts = urlsplit(f"http://{host}")
        name, _ = parts.hostname, parts.port  # a port that is not a number raises; any port is fine: it may be forwarded
    except ValueError:
        return False
    if not name or parts.netloc != host or "@" in host:
        return False
    if name in access.names:
        return True
    if not access.any_address:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(head: Head, name: str) -> str:
    try:
        jar = SimpleCookie(head.headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""
