"""Frames of a page over a pipe in memory: an independent writer of frames, and what comes out of the visitor's side."""

from __future__ import annotations

import asyncio
import itertools

import pytest

pytest.importorskip("viser", reason="the live viewer's extra [viewer] is not installed")

from viewer.guard import MOST_MESSAGE_BYTES
from viewer.wire import Visitor

UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
MOST = MOST_MESSAGE_BYTES
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Written:
    """Stands for the writing end of a socket."""

    def __init__(self):
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        return None


def frame(payload: bytes, opcode: int = BINARY, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """RFC 6455, section 5.2."""
    n = len(payload)
    size = bytes([n]) if n < 126 else b"\x7e" + n.to_bytes(2, "big") if n < 1 << 16 else b"\x7f" + n.to_bytes(8, "big")
    size = bytes([size[0] | (0x80 if masked else 0)]) + size[1:]
    return bytes([opcode | (0x80 if fin else 0) | reserved]) + size + (b"\0\0\0\0" if masked else b"") + payload


def visit(stream: bytes, piece: int = 10**9, opening: bytes = UPGRADE + KEY) -> tuple[list[bytes], bytes]:
    """The messages that got through, and what was written after the handshake."""

    async def run() -> tuple[list[bytes], bytes]:
        reader, writer = asyncio.StreamReader(), Written()
        visitor = Visitor(reader, writer)  # type: ignore[arg-type]
        visitor.head(opening + b"\r\n")
        await visitor.accept()
        accepted = len(writer.data)

        async def feed() -> None:
            for start in range(0, len(stream), piece):
                reader.feed_data(stream[start : start + piece])
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        messages = [m async for m in visitor.messages()]
        await feeding
        return messages, writer.data[accepted:]

    return asyncio.run(run())


@pytest.mark.parametrize("piece", [1, 3, 7, 1000, 10**9])
def test_messages_pass_however_they_are_cut(piece: int):
    sizes = (0, 1, 125, 126, 1000, 999)
    stream = b"".join(frame(bytes([n % 256]) * n) for n in sizes)
    stream += frame(b"a" * 500, fin=False) + frame(b"ping", PING) + frame(b"b" * 500, CONTINUED)
    messages, written = visit(stream, piece)
    assert messages == [bytes([n % 256]) * n for n in sizes] + [b"a" * 500 + b"b" * 500]
    assert written == frame(b"ping", PONG, masked=False)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (frame(bytes(MOST + 1)), 1009),
        (frame(bytes(MOST + 1))[:14], 1009),  # the header alone is enough
        (frame(bytes(MOST // 2), fin=False) + frame(bytes(MOST // 2 + 1), CONTINUED), 1009),
        (frame(bytes(MOST // 2), fin=False) + frame(b"", PING) + frame(bytes(MOST // 2 + 1), CONTINUED), 1009),
        (b"\x82\xff" + (2**63 - 1).to_bytes(8, "big"), 1009),
        (frame(b"x", masked=False), 1002),
        (frame(bytes(126), PING), 1002),
        (frame(b"x", CONTINUED), 1002),
        (frame(b"x", reserved=0x40), 1002),
        (frame(b"x", 3), 1002),
        (frame(b"x", TEXT), 1003),
    ],
)
def test_what_breaks_a_rule_ends_the_connection(stream: bytes, code: int):
    for piece in (4096, 10**9):
        messages, written = visit(frame(b"before") + stream + frame(b"after"), piece)
        assert messages == [b"before"]
        written = written.removeprefix(frame(b"", PONG, masked=False))
        assert written[0] == 0x80 | CLOSE
        assert int.from_bytes(written[2:4], "big") == code


def test_the_limit_is_of_messages_not_of_the_connection():
    messages, written = visit(b"".join(itertools.repeat(frame(bytes(MOST)), 3)))
    assert [len(m) for m in messages] == [MOST] * 3
    assert written == b""


def test_a_page_that_leaves_is_answered():
    messages, written = visit(frame(b"x") + frame((1000).to_bytes(2, "big"), CLOSE) + frame(b"late"))
    assert messages == [b"x"]
    assert written == frame((1000).to_bytes(2, "big"), CLOSE, masked=False)
