"""DER as far as revocation needs it (ITU-T X.690): write a value with its tag and length, read one back strictly.

Always true here: what is read has the one encoding that DER allows for tag and length; anything else is a `ValueError`.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_GENERALIZED_FROM: Final = 2050
_LONG: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return tag, length and value (X.690 section 8.1)."""
    value = b"".join(parts)
    return header(tag, len(value)) + value


def header(tag: int, size: int) -> bytes:
    """Return tag and length of a value of `size` bytes."""
    if size < _LONG:
        return bytes((tag, size))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length


def integer(value: int) -> bytes:
    """Return a number from 0 on."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@lru_cache(maxsize=256)
def moment(seconds: int) -> bytes:
    """Return a Time of X.509: from 2050 on with four digits for the year (RFC 5280 section 4.1.2.5)."""
    if time.gmtime(seconds).tm_year < _GENERALIZED_FROM:
        return tlv(_UTC_TIME, time.strftime("%y%m%d%H%M%SZ", time.gmtime(seconds)).encode())
    return generalized(seconds)


@lru_cache(maxsize=256)
def generalized(seconds: int) -> bytes:
    """Return a GeneralizedTime in whole seconds, UTC."""
    return tlv(_GENERALIZED_TIME, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


class Reader:
    """Reads one value after the other out of bytes."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def tag(self) -> int:
        """The tag of the next value; -1 at the end."""
        return self._data[self._at] if self._at < self._end else -1

    def value(self, tag: int) -> bytes:
        """Take the next value, which has this tag, and return it without tag and length."""
        start, end = self._next(tag)
        self._at = end
        return self._data[start:end]

    def whole(self, tag: int) -> bytes:
        """Take the next value, which has this tag, and return it with tag and length."""
        begin = self._at
        _, self._at = self._next(tag)
        return self._data[begin : self._at]

    def inside(self, tag: int) -> Reader:
        """Take the next value, which has this tag, and return the reader of what is in it."""
        return Reader(self.value(tag))

    def end(self) -> None:
        """Raise `ValueError` unless everything was taken."""
        if self._at != self._end:
            raise ValueError("there is more than there should be")

    def _next(self, tag: int) -> tuple[int, int]:
        """Return where the next value starts and ends."""
        data, at = self._data, self._at
        if at + 2 > self._end or data[at] != tag:
            raise ValueError(f"a value with tag {tag:#04x} is missing")
        size, start = data[at + 1], at + 2
        if size >= _LONG:
            count = size - _LONG
            start += count
            size = int.from_bytes(data[at + 2 : start], "big")
            if not 1 <= count <= _MOST_LENGTH_BYTES or header(tag, size) != data[at:start]:
                raise ValueError("a length is not as DER has it")
        if start + size > self._end:
            raise ValueError("a value is longer than what holds it")
        return start, start + size
