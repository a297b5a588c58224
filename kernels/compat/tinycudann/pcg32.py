"""The pseudorandom generator PCG32 (O'Neill 2014, "PCG: a family of simple fast space-efficient statistically good algorithms"): XSH-RR
output of a 64-bit linear congruential state, in bulk."""

from __future__ import annotations

import numpy as np

_MULTIPLIER = 0x5851F42D4C957F2D
_MASK = (1 << 64) - 1


def _jump(multiplier: int, increment: int, steps: int) -> tuple[int, int]:
    """Multiplier and increment of ``steps`` steps taken at once (Brown 1994, "Random number generation with arbitrary strides")."""
    total_multiplier, total_increment = 1, 0
    while steps:
        if steps & 1:
            total_multiplier = total_multiplier * multiplier & _MASK
            total_increment = (total_increment * multiplier + increment) & _MASK
        increment = (multiplier + 1) * increment & _MASK
        multiplier = multiplier * multiplier & _MASK
        steps >>= 1
    return total_multiplier, total_increment


class Pcg32:
    """A generator on stream 1.

    Args:
        seed: Any integer; taken modulo 2**64.
    """

    def __init__(self, seed: int):
        self.increment = 3
        self.state = 0
        self.advance(1)
        self.state = (self.state + seed) & _MASK
        self.advance(1)

    def advance(self, steps: int) -> None:
        """Skip ``steps`` numbers."""
        multiplier, increment = _jump(_MULTIPLIER, self.increment, steps)
        self.state = (self.state * multiplier + increment) & _MASK

    def uniform(self, n: int) -> np.ndarray:
        """The next ``n`` numbers, float32 in [0, 1): 23 random bits each."""
        states = np.empty(n, np.uint64)
        if n:
            states[0] = self.state
        filled = 1
        while filled < n:  # what is there, moved on by its own length, is the next stretch
            more = min(filled, n - filled)
            multiplier, increment = _jump(_MULTIPLIER, self.increment, filled)
            states[filled : filled + more] = states[:more] * np.uint64(multiplier) + np.uint64(increment)
            filled += more
        self.advance(n)
        xorshifted = (((states >> np.uint64(18)) ^ states) >> np.uint64(27)).astype(np.uint32)
        rotation = (states >> np.uint64(59)).astype(np.uint32)
        bits = (xorshifted >> rotation) | (xorshifted << ((-rotation.astype(np.int32)) & 31).astype(np.uint32))
        return ((bits >> np.uint32(9)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)
