"""A small proxy in front of the viewer's server: nothing reaches that, and nothing leaves it, before :mod:`viewer.guard` agreed."""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import threading
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from recon.errors import CapabilityError, UsageError
from viewer.guard import MOST_HEAD_BYTES, Access, Head, Refused, check
from viewer.wire import Visitor

SECRET_HEADER = "x-formfield-secret"
HEAD_SECONDS = 10.0
"""How long a connection may take to say what it wants."""
MOST_WAITING = 64
"""Connections that have not shown the token yet. More make the oldest of them go, so that idle ones lock nobody out."""
MOST_VISITS = 64
"""Connections that have shown it."""
PORT_TRIES = 20
INNER_QUEUE = 2
"""Messages of the viewer's server that wait for a slow page before the server has to wait: pictures and meshes, some megabytes each."""
INNER_CLOSE_SECONDS = 2.0
"""How long the viewer's server may take to say goodbye to a visitor who left."""

_ICON = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1l6 3.5v7L8 15l-6-3.5v-7z" fill="#36c"/></svg>'


def content_policy(nonce: str) -> str:
    """What the page may do: run the scripts that carry the nonce, in it and in workers, and nothing from elsewhere.

    HTML that got into the page runs nothing: neither scripts inside it, nor handlers, nor frames, which are under the same policy. The page
    itself evaluates text (its Markdown, its WebAssembly): that nothing foreign is in it is seen to by :mod:`viewer.markdown`.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval'; script-src-attr 'none'; worker-src 'self' blob:; frame-src 'none'; "
        "object-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; media-src 'none'; "
        "connect-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


_LOGIN_PAGE = b"<!doctype html><meta charset=utf-8><meta http-equiv=refresh content='0;url=/'><title>Formfield</title>"

_log = logging.getLogger(__name__)


def _safe_headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
    }


_NO_SCRIPTS = _safe_headers("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")


@dataclass
class Proxy:
    """Runs in a thread of its own.

    Attributes:
        host, port: Where visitors connect.
        access: What they must show.
        inner_port: Where the viewer's server listens, on the loopback.
        secret: What the viewer's server asks of whoever connects; only this proxy knows it.
        page: What is served as the page; its scripts carry the nonce.
        nonce: Lets scripts run.
    """

    host: str
    port: int
    access: Access
    inner_port: int
    secret: str
    page: bytes
    nonce: str
    _sockets: list = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _done: asyncio.Event | None = None
    _thread: threading.Thread | None = None
    _visits: int = 0
    _waiting: dict[asyncio.Task, None] = field(default_factory=dict)

    def start(self, sockets: list) -> None:
        """Serve on listening sockets (see :func:`listen`)."""
        self._sockets = sockets
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="viewer-proxy", daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._loop is None or self._done is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(timeout=5.0)
        self._loop = None

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(Visitor(reader, writer))
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                _log.debug("connection lost: %s", error)
            except asyncio.CancelledError:
                _log.debug("connection ended")  # as the server stops, which waits for this, or to let a newer one ask
            finally:
                tasks.discard(task)
                writer.close()

        servers = [await asyncio.start_server(accept, sock=s, limit=MOST_HEAD_BYTES) for s in self._sockets]
        ready.set()
        await self._done.wait()
        for server in servers:
            server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, visitor: Visitor) -> None:
        try:
            head = visitor.head(await self._asked(visitor.reader))
            if not check(head, self.access):
                await self._login(visitor)
                return
            if self._visits >= MOST_VISITS:
                raise Refused(503, "too many connections")
            self._visits += 1
            try:
                await self._visit(head, visitor)
            finally:
                self._visits -= 1
        except Refused as refusal:
            _log.info("refused (%d): %s", refusal.status, refusal.reason)
            await visitor.answer(refusal.status, "text/plain; charset=utf-8", refusal.reason.encode(), _NO_SCRIPTS)

    async def _asked(self, reader: asyncio.StreamReader) -> bytes:
        """The head of a request. Who has not asked yet may be anybody: the one who has waited longest makes room for a newer one."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._waiting) >= MOST_WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel()
        self._waiting[task] = None
        try:
            return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        except asyncio.LimitOverrunError as error:
            raise Refused(413, "the request head is too large") from error
        except TimeoutError as error:
            raise Refused(400, "no request came") from error
        finally:
            self._waiting.pop(task, None)

    async def _visit(self, head: Head, visitor: Visitor) -> None:
        """Answer a request that may be answered."""
        if head.is_upgrade:
            await self._websocket(head, visitor)
        elif head.path == "/favicon.ico":
            # Every browser asks for it by itself, some time after the page; viser has none, and a refusal is an error on the page.
            await visitor.answer(200, "image/svg+xml", _ICON, _NO_SCRIPTS)
        elif head.path in ("/", "/index.html"):
            zipped = "gzip" in head.headers.get("accept-encoding", "")
            body = await asyncio.to_thread(gzip.compress, self.page, 6) if zipped else self.page
            more = {"Content-Encoding": "gzip"} if zipped else {}
            await visitor.answer(200, "text/html; charset=utf-8", body, more | _safe_headers(content_policy(self.nonce)))
        else:
            raise Refused(404, "no such page")

    async def _login(self, visitor: Visitor) -> None:
        # A page that goes on by itself, not a redirect: a strict cookie is not sent on redirects that began on another site.
        cookie = {"Set-Cookie": f"{self.access.cookie}={self.access.cookie_value}; HttpOnly; SameSite=Strict; Path=/"}
        await visitor.answer(200, "text/html; charset=utf-8", _LOGIN_PAGE, cookie | _NO_SCRIPTS)

    async def _websocket(self, head: Head, visitor: Visitor) -> None:
        """Pass messages on in both directions until one side ends."""
        inner = await self._inner(head)
        async with inner:
            await visitor.accept()
            directions = [asyncio.create_task(_to_page(inner, visitor)), asyncio.create_task(_from_page(visitor, inner))]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in directions:
                    task.cancel()
                for error in await asyncio.gather(*directions, return_exceptions=True):
                    if isinstance(error, Exception):
                        _log.debug("connection lost: %s", error)

    async def _inner(self, head: Head) -> ClientConnection:
        offered = [Subprotocol(p.strip()) for p in head.headers.get("sec-websocket-protocol", "").split(",") if p.strip()]
        try:
            return await connect(
                f"ws://127.0.0.1:{self.inner_port}/",
                subprotocols=offered or None,
                additional_headers={SECRET_HEADER: self.secret},
                proxy=None,
                compression=None,
                max_size=None,
                max_queue=INNER_QUEUE,
                ping_interval=None,  # viser asks, and its own loopback does not get lost
                close_timeout=INNER_CLOSE_SECONDS,
            )
        except (OSError, WebSocketException) as error:
            raise Refused(502, "the viewer is not running any more") from error


async def _to_page(inner: ClientConnection, visitor: Visitor) -> None:
    try:
        while True:
            await visitor.send(await inner.recv(decode=False))
    except ConnectionClosed as closed:
        said = closed.rcvd
        if said is None or said.code == CloseCode.NO_STATUS_RCVD:
            await visitor.close(CloseCode.GOING_AWAY, "")
        else:
            await visitor.close(said.code, said.reason)


async def _from_page(visitor: Visitor, inner: ClientConnection) -> None:
    async for message in visitor.messages():
        await inner.send(message)


def listen(host: str, port: int | None, first_port: int = 8080) -> tuple[list, int]:
    """Listening sockets.

    Args:
        host: Address or name.
        port: The port, or None for the first free one from ``first_port`` on.
    Returns:
        The sockets and their port.
    Raises:
        UsageError: If the port is taken, or the host is not an address of this machine.
        CapabilityError: If no port of the range is free.
    """
    import socket

    for candidate in [port] if port is not None else range(first_port, first_port + PORT_TRIES):
        sockets = []
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
                s = socket.socket(family, kind, protocol)
                sockets.append(s)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((address[0], sockets[0].getsockname()[1] if len(sockets) > 1 else candidate, *address[2:]))
                s.listen(64)
                s.setblocking(False)
            return sockets, sockets[0].getsockname()[1]
        except OSError as error:
            for s in sockets:
                s.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(f"cannot listen on {host}: {error}", "give --host an address of this machine") from error
            if port is not None:
                raise UsageError(f"port {port} of {host} is taken", "leave --port out to use the next free one") from error
    raise CapabilityError(f"no free port from {first_port} to {first_port + PORT_TRIES - 1}", "give one with --port")
