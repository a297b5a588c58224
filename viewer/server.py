"""The viewer's server: viser on an inner loopback port, which answers only to the proxy that checks every visitor."""

from __future__ import annotations

import contextlib
import hmac
import io
import secrets
from dataclasses import dataclass
from pathlib import Path

import viser
from viser.infra import WebsockClientConnection

from recon.errors import CapabilityError
from viewer.guard import Access, make_access
from viewer.index import page_with_nonce
from viewer.proxy import SECRET_HEADER, Proxy, listen


class _InnerServer(viser.ViserServer):
    """Viser without its tunnel to the outside."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        raise CapabilityError("the viewer is not shared through other people's servers", "use ssh -L to see it from another machine")


@dataclass
class Server:
    """What visitors connect to.

    Attributes:
        viser: The scene and the panels.
        proxy: In front of it.
        access: Token and names.
        address: To open in a browser; holds the token.
    """

    viser: viser.ViserServer
    proxy: Proxy
    access: Access
    address: str

    def stop(self) -> None:
        """Close all connections and end all threads."""
        self.proxy.stop()
        with contextlib.redirect_stdout(io.StringIO()):  # viser says goodbye
            self.viser.stop()
            self.viser._thread_executor.shutdown(wait=True, cancel_futures=True)


def start_server(host: str = "127.0.0.1", port: int | None = None, token: str | None = None, title: str = "Formfield") -> Server:
    """Start to listen.

    Other users of this machine can connect to the inner port; without the secret, which never leaves this process, all they get from it is
    viser's empty page: a WebSocket without it is closed before anything is sent or read.

    Args:
        host: Address to listen on; other machines can connect to anything but the loopback.
        port: Port, or None for the first free one from 8080 on.
        token: The user's own token, or None for a random one.
        title: Of the browser's window.
    Raises:
        UsageError: For a host beyond the loopback without a token, a port that is taken.
    """
    make_access(host, port or 0, token)  # refuses before anything listens
    sockets, bound = listen(host, port)
    access = make_access(host, bound, token)
    secret = secrets.token_urlsafe(32)
    with contextlib.redirect_stdout(io.StringIO()):  # viser prints its own address, which is not the visitor's
        inner = _InnerServer(host="127.0.0.1", port=0, label="Formfield", verbose=False)
    _require_secret(inner, secret)
    nonce = secrets.token_urlsafe(16)
    page = page_with_nonce(Path(viser.__file__).parent / "client" / "build" / "index.html", nonce, title)
    proxy = Proxy(host, bound, access, inner.get_port(), secret, page, nonce)
    proxy.start(sockets)
    shown = "127.0.0.1" if host in ("0.0.0.0", "127.0.0.1") else f"[{host}]" if ":" in host else host
    return Server(inner, proxy, access, f"http://{shown}:{bound}/?token={access.token}")


def _require_secret(inner: viser.ViserServer, secret: str) -> None:
    """Let viser end every WebSocket that did not come through the proxy, before it is a client."""
    websocket = inner._websock_server

    async def check(connection: WebsockClientConnection) -> None:
        live = websocket._live_connections[connection.client_id]
        request = live.request
        given = "" if request is None else request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), secret.encode()):
            websocket._live_connections.pop(connection.client_id)
            websocket._client_state_from_id.pop(connection.client_id)
            live.transport.abort()
            raise ConnectionRefusedError("a connection that did not come through the viewer's proxy")

    websocket.on_client_connect(check)
