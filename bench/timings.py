"""What the library's own cryptography costs in this process, beside the bare primitive under it."""

from __future__ import annotations

import os
import timeit
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.result import Timing
from tradewarden.crypto.keyset import Cipher, Sealer
from tradewarden.crypto.place import place

_CALLS = 20_000
_ROUNDS = 7
_VALUE = b"k-3f9a2c71d4e85b06" * 2


class _Row(msgspec.Struct, frozen=True):
    table: ClassVar[str] = "bench"
    path: str
    version: int
    created_at: float
    envelope: bytes
    seal: bytes = b""


def timings() -> Sequence[Timing]:
    """Measure the envelope and the row seal."""
    return [*_envelope(), *_seal()]


def _envelope() -> Sequence[Timing]:
    key, associated = os.urandom(32), place("secrets", "bench/0001", 1, 1)
    cipher, bare = Cipher(), AESGCM(key)
    cipher.install({1: key}, 1, budget=2 * _CALLS * _ROUNDS)
    envelope, nonce = cipher.encrypt(_VALUE, associated), os.urandom(12)
    sealed = bare.encrypt(nonce, _VALUE, associated)
    return [
        Timing(
            f"encrypt {len(_VALUE)} bytes for a place (Cipher)",
            _best(lambda: cipher.encrypt(_VALUE, associated)),
            "AESGCM with os.urandom",
            _best(lambda: bare.encrypt(os.urandom(12), _VALUE, associated)),
        ),
        Timing(
            f"decrypt {len(_VALUE)} bytes (Cipher)",
            _best(lambda: cipher.decrypt(envelope, associated)),
            "AESGCM",
            _best(lambda: bare.decrypt(nonce, sealed, associated)),
        ),
    ]


def _seal() -> Sequence[Timing]:
    sealer = Sealer()
    sealer.install({1: os.urandom(32)}, 1)
    row = sealer.seal(_Row("bench/0001", 1, 1_700_000_000.0, os.urandom(260)))
    return [
        Timing("seal a row (Sealer)", _best(lambda: sealer.seal(row))),
        Timing("check a row's seal (Sealer)", _best(lambda: sealer.check(row))),
    ]


def _best(call: Callable[[], object]) -> float:
    """Return microseconds a call: the least of several rounds, as the others are disturbed ones."""
    return min(timeit.repeat(call, number=_CALLS, repeat=_ROUNDS)) / _CALLS * 1e6
