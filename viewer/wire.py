"""What goes over one visitor's connection: HTTP heads, answers and WebSocket messages, all of them read and written by websockets.

The library is used without its own server (its "sans-I/O" half): how many connections there may be, how long each may wait and what it must
show is the proxy's to say, before the library accepts anything.
"""

from __future__ import annotations

import asyncio
import http
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from viewer.guard import MOST_MESSAGE_BYTES, Head, Refused

_TARGET = re.compile(r"/[\x21-\x7e]*")

_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.INFO)  # in more detail it writes whole heads, and so the token


def _first(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The page offers one, its version of viser; whether that fits is for the viewer's server to say."""
    return offered[0] if offered else None


@dataclass
class Visitor:
    """A connection that somebody made.

    Attributes:
        reader, writer: Its bytes.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _protocol: ServerProtocol = field(
        default_factory=lambda: ServerProtocol(select_subprotocol=_first, max_size=MOST_MESSAGE_BYTES, logger=_library_log)
    )
    _request: Request | None = None

    def head(self, data: bytes) -> Head:
        """Take in what was asked.

        Args:
            data: From the first byte to the empty line.
        Raises:
            Refused: 400 if it is not a plain GET of a path of this server: another method, a body, a header twice, folded or not ASCII.
        """
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        if not events:
            raise Refused(400, "not a plain HTTP/1.1 GET request")
        assert isinstance(events[0], Request)
        self._request = events[0]
        headers = list(self._request.headers.raw_items())
        named = {name.lower(): value.strip() for name, value in headers}
        if len(named) < len(headers) or not all(value.isascii() for value in named.values()):
            raise Refused(400, "a header is malformed or given twice")
        if not _TARGET.fullmatch(self._request.path):
            raise Refused(400, "not a path of this server")
        return Head(self._request.path, named)

    async def answer(self, status: int, kind: str, body: bytes, more: Mapping[str, str]) -> None:
        """Send a whole answer, which ends the connection.

        Args:
            status: HTTP status.
            kind: MIME type.
            more: Further headers.
        """
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **more})
        self.writer.write(Response(status, http.HTTPStatus(status).phrase, headers, body).serialize())
        await self.writer.drain()

    async def accept(self) -> None:
        """Make the connection a WebSocket, as it asked.

        Raises:
            Refused: 400 if its headers do not open one.
        """
        assert self._request is not None
        response = self._protocol.accept(self._request)
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            raise Refused(400, "the headers do not open a WebSocket")
        self._protocol.send_response(response)
        await self._flush()

    async def messages(self) -> AsyncIterator[bytes]:
        """Messages of the page until it leaves or breaks a rule: one too large, frames without a mask, text. Pings are answered."""
        parts: list[bytes] = []
        while self._protocol.state is State.OPEN and (data := await self.reader.read(1 << 16)):
            self._protocol.receive_data(data)
            for frame in self._protocol.events_received():
                assert isinstance(frame, Frame)
                if frame.opcode is Opcode.TEXT:
                    self._protocol.fail(CloseCode.UNSUPPORTED_DATA)
                    break
                if frame.opcode in (Opcode.BINARY, Opcode.CONT):
                    parts.append(bytes(frame.data))
                    if frame.fin:
                        yield b"".join(parts)
                        parts.clear()
            await self._flush()

    async def send(self, message: bytes) -> None:
        """Send a message; waits while much of what was sent before has not gone."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(message)
            await self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Say why the WebSocket ends."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self.writer.write(data)  # nothing for the end: the proxy closes the connection
        await self.writer.drain()
