"""SHA-256 that goes on after a restart: Python's own does not hand out its state.

Source: https://doi.org/10.6028/NIST.FIPS.180-4 (5.1, 5.3.3, 6.2). It is slow, and only for little
data: of a backup it gets 32 bytes for each 4 MiB.
"""

from dataclasses import dataclass
from typing import Self

_BLOCK = 64
_LENGTH = 8
_MOST = 2**61
_WORD = 2**32
_START = (
    *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
    *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
)
_ROUNDS = (
    *(0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4),
    *(0xAB1C5ED5, 0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE),
    *(0x9BDC06A7, 0xC19BF174, 0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F),
    *(0x4A7484AA, 0x5CB0A9DC, 0x76F988DA, 0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7),
    *(0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967, 0x27B70A85, 0x2E1B2138, 0x4D2C6DFC),
    *(0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85, 0xA2BFE8A1, 0xA81A664B),
    *(0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070, 0x19A4C116),
    *(0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3),
    *(0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7),
    0xC67178F2,
)


@dataclass(frozen=True, slots=True)
class ResumableHash:
    """What is known after `count` bytes: the state after all whole blocks, and the bytes since."""

    state: tuple[int, ...] = _START
    rest: bytes = b""
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote. Raises `ValueError`."""
        count, state, rest = text.split(":")
        words = bytes.fromhex(state)
        found = cls(_words(words), bytes.fromhex(rest), int(count))
        possible = 0 <= found.count < _MOST and len(words) == 4 * len(_START)
        if not possible or len(found.rest) != found.count % _BLOCK:
            raise ValueError("not the state of a hash")
        return found

    def __str__(self) -> str:
        """Return it as a short text."""
        return f"{self.count}:{_bytes(self.state).hex()}:{self.rest.hex()}"

    def plus(self, data: bytes) -> Self:
        """Return what is known after more bytes."""
        data = self.rest + data
        whole = len(data) - len(data) % _BLOCK
        state = self.state
        for start in range(0, whole, _BLOCK):
            state = _after(state, data[start : start + _BLOCK])
        return type(self)(state, data[whole:], self.count + len(data) - len(self.rest))

    def hexdigest(self) -> str:
        """Return the hash as `hashlib` does."""
        fill = b"\x80" + bytes(-(self.count + 1 + _LENGTH) % _BLOCK)
        return _bytes(self.plus(fill + (8 * self.count).to_bytes(_LENGTH)).state).hex()


def _after(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    """Return the state after one block more."""
    words = list(_words(block))
    for index in range(16, len(_ROUNDS)):
        older, newer = words[index - 15], words[index - 2]
        mixed = _turned(older, 7) ^ _turned(older, 18) ^ older >> 3
        mixed += _turned(newer, 17) ^ _turned(newer, 19) ^ newer >> 10
        words.append((words[index - 16] + words[index - 7] + mixed) % _WORD)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_ROUNDS, words, strict=True):
        chosen = (e & f) ^ (~e & g)
        first = h + (_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + chosen + constant + word
        most = (a & b) ^ (a & c) ^ (b & c)
        second = (_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + most
        a, b, c, d, e, f, g, h = (first + second) % _WORD, a, b, c, (d + first) % _WORD, e, f, g
    after = (a, b, c, d, e, f, g, h)
    return tuple((one + other) % _WORD for one, other in zip(state, after, strict=True))


def _turned(word: int, by: int) -> int:
    return word >> by | word << 32 - by & _WORD - 1


def _words(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 4]) for at in range(0, len(data), 4))


def _bytes(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(4) for word in words)
