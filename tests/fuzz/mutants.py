"""Mutants of a file: bytes turned, cut, doubled and swapped, and in text numbers and names replaced by what programs stumble over."""

from __future__ import annotations

import random
import re

NUMBERS = (
    "0",
    "-1",
    "1e999",
    "-1e308",
    "NaN",
    "Infinity",
    "1e-320",
    "2147483648",
    "-9223372036854775809",
    "0.5",
    "9" * 5000,
    "null",
    '"7"',
    "[]",
)
WORDS = (
    '"\\u0000"',
    '""',
    '"../../../etc/passwd"',
    '"/dev/zero"',
    '"' + "a" * 5000 + '"',
    '"\\ud800"',
    "{}",
    "true",
    "[[[[0]]]]",
    "3",
    "null",
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(rb'"[^"\n]*"')


def mutant(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a file's bytes; the same generator state gives the same mutant."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(CHANGES)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _bytes(data: bytes, rng: random.Random) -> bytes:
    at, width = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8))
    return data[:at] + rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * width + data[at + width :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 64) :]


def _double(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at : at + rng.randrange(1, 256)] + data[at:]


def _replaced(pattern: re.Pattern[bytes], choices: tuple[str, ...]):
    def change(data: bytes, rng: random.Random) -> bytes:
        found = list(pattern.finditer(data[: 1 << 16]))
        if not found:
            return _flip(data, rng)
        match = rng.choice(found)
        return data[: match.start()] + rng.choice(choices).encode() + data[match.end() :]

    return change


def _nested(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + b"[" * 20_000 + data[at:]


CHANGES = (
    _flip, _flip, _bytes, _cut, _drop, _double, _nested,
    _replaced(_NUMBER, NUMBERS), _replaced(_NUMBER, NUMBERS), _replaced(_NUMBER, NUMBERS), _replaced(_WORD, WORDS), _replaced(_WORD, WORDS),
)  # fmt: skip
