"""The rules of the proxy, without a network: hosts, origins, tokens, paths; heads as the wire reads them."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("viser", reason="the live viewer's extra [viewer] is not installed")

from recon.errors import UsageError
from viewer.guard import Access, Head, Refused, check, check_path, make_access
from viewer.wire import Visitor

TOKEN = "a-token-of-a-test-1234"
ACCESS = make_access("127.0.0.1", 8080, TOKEN)
HOST = "127.0.0.1:8080"


def head(target: str = "/", **headers: str) -> bytes:
    given = {"host": HOST} | {k.replace("_", "-"): v for k, v in headers.items()}
    return ("\r\n".join([f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items() if v)]) + "\r\n\r\n").encode()


def parse_head(data: bytes) -> Head:
    """What a visitor asks for, who sent just this."""
    return Visitor(asyncio.StreamReader(loop=asyncio.new_event_loop()), None).head(data)  # nothing is written


def cookie(access: Access = ACCESS) -> str:
    return f"{access.cookie}={access.cookie_value}"


def status(data: bytes, access: Access = ACCESS) -> int:
    """200: served; 303: sent on with the cookie; otherwise the refusal."""
    try:
        return 200 if check(parse_head(data), access) else 303
    except Refused as refused:
        return refused.status


UPGRADE = {"upgrade": "websocket", "connection": "Upgrade", "origin": f"http://{HOST}"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head(f"/?token={TOKEN}"), 303),
        (head(cookie=cookie()), 200),
        (head(f"/?token={TOKEN}", cookie=cookie()), 303),
        (head(cookie=cookie(), **UPGRADE), 200),
        (head(), 401),
        (head("/?token="), 401),
        (head(f"/?token={TOKEN}x"), 401),
        (head(f"/?token={TOKEN[:-1]}"), 401),
        (head(f"/?token={TOKEN}&token={TOKEN}"), 401),
        (head("/?token=%00"), 401),
        (head(cookie=f"{ACCESS.cookie}={TOKEN}"), 401),
        (head(cookie=f"formfield-8081={ACCESS.cookie_value}"), 401),
        (head(**UPGRADE), 401),
        (head(cookie=cookie(), origin="http://evil.example"), 403),
        (head(cookie=cookie(), origin="http://127.0.0.1:3000"), 403),
        (head(cookie=cookie(), origin="https://127.0.0.1:8080"), 403),
        (head(cookie=cookie(), origin="null"), 403),
        (head(cookie=cookie(), **(UPGRADE | {"origin": ""})), 403),
        (head(cookie=cookie(), **(UPGRADE | {"origin": "http://evil.example"})), 403),
        (head(cookie=cookie(), host="evil.example"), 403),
        (head(cookie=cookie(), host="evil.example:8080"), 403),
        (head(cookie=cookie(), host=""), 403),
        (head(cookie=cookie(), host="127.0.0.1:8080@evil.example"), 403),
        (head(cookie=cookie(), host="127.0.0.1.evil.example"), 403),
        (head(cookie=cookie(), host="192.168.1.2:8080"), 403),
        (head(cookie=cookie(), host="127.0.0.1:http"), 403),
        (head("/..%2f..%2fetc/passwd", cookie=cookie()), 404),
        (head("/../../etc/passwd", cookie=cookie()), 404),
        (head("/%2e%2e/%2e%2e/etc/passwd", cookie=cookie()), 404),
        (head("/%252e%252e%252fetc/passwd", cookie=cookie()), 404),
        (head("/..%5c..%5cetc", cookie=cookie()), 404),
        (head("/a%00b", cookie=cookie()), 404),
        (b"POST / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: 127.0.0.1:8080\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nhost: evil.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : 127.0.0.1:8080\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n folded\r\n\r\n", 400),
        (head(cookie=cookie(), content_length="5"), 400),
        (head(cookie=cookie(), transfer_encoding="chunked"), 400),
        ("GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nx: é\r\n\r\n".encode(), 400),
    ],
)
def test_requests(data: bytes, expected: int):
    assert status(data) == expected


def test_a_forwarded_port_is_fine():
    """ssh -L 9000:127.0.0.1:8080: the browser's port is another, its Host and Origin agree."""
    assert status(head(cookie=cookie(), host="localhost:9000", **(UPGRADE | {"origin": "http://localhost:9000"}))) == 200
    assert status(head(cookie=cookie(), host="localhost:9000", **(UPGRADE | {"origin": "http://localhost:9001"}))) == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_other_machines_need_a_token(host: str):
    with pytest.raises(UsageError, match="token"):
        make_access(host, 8080, None)
    assert make_access(host, 8080, TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["short", "fifteen-letters", "a token with spaces in it", "semicolon;semicolon;semicolon"])
def test_poor_tokens_are_refused(token: str):
    with pytest.raises(UsageError, match="16 characters"):
        make_access("127.0.0.1", 8080, token)


def test_everywhere_serves_numeric_addresses_but_no_foreign_names():
    access = make_access("0.0.0.0", 8080, TOKEN)
    assert status(head(cookie=cookie(access), host="192.168.1.2:8080"), access) == 200
    assert status(head(cookie=cookie(access), host="[2001:db8::1]:8080"), access) == 200
    assert status(head(cookie=cookie(access), host="evil.example:8080"), access) == 403


def test_random_tokens_differ():
    assert len({make_access("127.0.0.1", 1, None).token for _ in range(20)}) == 20
    assert len(make_access("127.0.0.1", 1, None).token) >= 32


@pytest.mark.parametrize("path", ["/", "/index.html", "/a/b.c/d", "/a..b", "/...", "/%20"])
def test_plain_paths_pass(path: str):
    check_path(path)
