"""The server over real sockets: what is refused before anything is served, the inner port, and that connections leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Iterator

import pytest

viser = pytest.importorskip("viser", reason="the live viewer's extra [viewer] is not installed")
import msgspec.msgpack  # noqa: E402
import websockets  # noqa: E402

from recon.errors import CapabilityError, UsageError  # noqa: E402
from viewer.guard import MOST_HEAD_BYTES, MOST_MESSAGE_BYTES  # noqa: E402
from viewer.proxy import HEAD_SECONDS, MOST_WAITING, SECRET_HEADER, content_policy, listen  # noqa: E402
from viewer.server import Server, start_server  # noqa: E402

TOKEN = "a-token-of-a-test-1234"
PROTOCOL = websockets.Subprotocol(f"viser-v{viser.__version__}")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = start_server("127.0.0.1", 0, TOKEN)
    yield started
    started.stop()


def raw(port: int, data: bytes) -> bytes:
    """All that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(data)
        received = b""
        try:
            while part := s.recv(1 << 16):
                received += part
        except ConnectionResetError:
            pass
        return received


def get(server: Server, target: str = "/", *headers: str, host: str | None = None) -> tuple[int, str, bytes]:
    """Status, headers, body."""
    port = server.proxy.port
    lines = [f"GET {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *headers]
    head, _, body = raw(port, ("\r\n".join(lines) + "\r\n\r\n").encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


def cookie(server: Server) -> str:
    return f"Cookie: {server.access.cookie}={server.access.cookie_value}"


def connect(server: Server, **changes):
    """A WebSocket as the page opens it."""
    port = server.proxy.port
    headers = {"Cookie": f"{server.access.cookie}={server.access.cookie_value}"} | changes.pop("headers", {})
    origin = changes.pop("origin", f"http://127.0.0.1:{port}")
    headers = {k: v for k, v in headers.items() if v}
    return websockets.connect(
        f"ws://127.0.0.1:{port}/",
        origin=origin,
        additional_headers=headers,
        subprotocols=[PROTOCOL],
        max_size=None,
        open_timeout=10,
        **changes,
    )


def camera() -> bytes:
    """What the page sends first; with it a connection becomes a visitor."""
    message = {"type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (0, 0, 3), "fov": 0.8, "near": 0.01, "far": 100.0}
    message |= {"image_height": 100, "image_width": 100, "look_at": (0, 0, 0), "up_direction": (0, 0, 1)}
    return msgspec.msgpack.encode(message)


def test_the_page_comes_with_the_token_and_only_then(server: Server):
    status, head, body = get(server)
    assert status == 401
    assert b"viser" not in body.lower()
    status, head, body = get(server, f"/?token={TOKEN}")
    assert status == 200
    assert "HttpOnly; SameSite=Strict" in head
    assert TOKEN not in head + body.decode()
    status, head, body = get(server, "/", cookie(server))
    assert status == 200
    assert b"<html" in body
    assert content_policy(server.proxy.nonce) in head


@pytest.mark.parametrize(
    ("target", "headers", "host", "expected"),
    [
        ("/?token=wrong", (), None, 401),
        ("/", ("Origin: http://evil.example",), None, 403),
        ("/", (), "evil.example", 403),
        ("/..%2f..%2f..%2fetc/passwd", (), None, 404),
        ("/../../../etc/passwd", (), None, 404),
        ("/_infra.py", (), None, 404),
    ],
)
def test_refused_with_a_good_cookie(server: Server, target: str, headers: tuple[str, ...], host: str | None, expected: int):
    given = () if expected == 401 else (cookie(server),)
    status, _, body = get(server, target, *given, *headers, host=host)
    assert status == expected
    assert b"root:" not in body


def test_the_icon_that_browsers_ask_for_by_themselves(server: Server):
    """A refusal would be an error on the page; without the cookie it is refused all the same."""
    status, head, body = get(server, "/favicon.ico", cookie(server))
    assert (status, b"<svg" in body) == (200, True)
    assert "image/svg+xml" in head
    assert get(server, "/favicon.ico")[0] in (401, 403)


def test_a_head_that_is_too_large_is_refused(server: Server):
    answer = raw(server.proxy.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (2 * MOST_HEAD_BYTES))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"Cookie": ""}},
        {"headers": {"Cookie": "formfield=1"}},
        {"origin": None},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"headers": {"Host": "evil.example"}},
    ],
)
def test_websockets_are_refused(server: Server, changes: dict):
    async def attempt() -> int:
        try:
            async with connect(server, **changes):
                return 101
        except websockets.InvalidStatus as refused:
            return refused.response.status_code

    assert asyncio.run(attempt()) in (400, 401, 403)


def test_websocket_with_cookie_gets_the_scene(server: Server):
    async def visit() -> bytes:
        async with connect(server) as connection:
            await connection.send(camera())
            data = await asyncio.wait_for(connection.recv(), 10)
            assert isinstance(data, bytes)
            return data

    assert len(asyncio.run(visit())) > 16


def test_an_oversized_frame_ends_the_connection(server: Server):
    async def visit() -> None:
        async with connect(server) as connection:
            await connection.send(bytes(2 * MOST_MESSAGE_BYTES))
            while True:
                await asyncio.wait_for(connection.recv(), 10)

    with pytest.raises(websockets.ConnectionClosed):
        asyncio.run(visit())


def test_the_inner_port_needs_the_secret(server: Server):
    """Another user of the machine finds the inner port: no scene without the secret, with or without a guess."""

    async def attempt(headers: dict[str, str]) -> int:
        url = f"ws://127.0.0.1:{server.proxy.inner_port}/"
        received = 0
        async with websockets.connect(url, subprotocols=[PROTOCOL], additional_headers=headers) as connection:
            try:
                await connection.send(camera())
                while True:
                    received += len(await asyncio.wait_for(connection.recv(), 5))
            except websockets.ConnectionClosed:
                return received

    assert asyncio.run(attempt({})) == 0
    assert asyncio.run(attempt({SECRET_HEADER: "guess"})) == 0
    assert asyncio.run(attempt({"Cookie": f"{server.access.cookie}={server.access.cookie_value}"})) == 0
    assert not server.viser.get_clients()
    websocket = server.viser._websock_server
    assert not websocket._client_state_from_id
    assert not websocket._live_connections


def test_nothing_is_shared_through_other_servers(server: Server):
    with pytest.raises(CapabilityError):
        server.viser.request_share_url()


def test_a_hundred_connections_leave_no_thread_and_no_client(server: Server):
    async def visit(abrupt: bool) -> None:
        async with connect(server) as connection:
            await connection.send(camera())
            await asyncio.wait_for(connection.recv(), 10)
            if abrupt:
                connection.transport.abort()

    async def visits() -> None:
        for i in range(100):
            await visit(abrupt=i % 2 == 0)

    asyncio.run(visit(False))
    before = {t.name for t in threading.enumerate()}
    asyncio.run(visits())
    deadline = time.monotonic() + 10
    while (server.viser.get_clients() or server.proxy._visits) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not server.viser.get_clients()
    assert server.proxy._visits == 0
    assert {t.name for t in threading.enumerate()} <= before


def test_stopping_ends_all_threads():
    gc.collect()
    before = set(threading.enumerate())
    server = start_server("127.0.0.1", 0, None)
    assert set(threading.enumerate()) - before
    server.stop()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.proxy.port), timeout=2)


def test_ports():
    (taken,), port = listen("127.0.0.1", 0)
    with taken:
        with pytest.raises(UsageError, match="taken"):
            listen("127.0.0.1", port)
        sockets, other = listen("127.0.0.1", None, first_port=port)
        assert other > port
        sockets[0].close()
    with pytest.raises(UsageError):
        listen("203.0.113.7", 0)


def test_host_beyond_loopback_without_token_does_not_listen():
    with pytest.raises(UsageError, match="token"):
        start_server("0.0.0.0", 0, None)


def test_idle_connections_lock_nobody_out(server: Server):
    """Whoever has no token may hold connections open; who has it is served at once, again and again."""
    idle = [socket.create_connection(("127.0.0.1", server.proxy.port), timeout=10) for _ in range(3 * MOST_WAITING)]
    try:
        began = time.monotonic()
        for _ in range(3):
            assert get(server, "/", cookie(server))[0] == 200
        assert time.monotonic() - began < HEAD_SECONDS / 2
        assert len(server.proxy._waiting) <= MOST_WAITING
    finally:
        for connection in idle:
            connection.close()


def test_no_more_visits_than_can_be_served(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("viewer.proxy.MOST_VISITS", 2)

    async def visits() -> None:
        async with connect(server), connect(server):
            assert await asyncio.to_thread(lambda: get(server, "/", cookie(server))[0]) == 503
            assert await asyncio.to_thread(lambda: get(server, "/")[0]) == 401  # and it is not told to who has no token

    asyncio.run(visits())
