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

_CALLS = 5_000
_ROUNDS = 30
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
    encrypt, encrypt_bare = _best(
        lambda: cipher.encrypt(_VALUE, associated),
        lambda: bare.encrypt(os.urandom(12), _VALUE, associated),
    )
    decrypt, decrypt_bare = _best(
        lambda: cipher.decrypt(envelope, associated),
        lambda: bare.decrypt(nonce, sealed, associated),
    )
    size = f"{len(_VALUE)} bytes"
    return [
        Timing(f"encrypt {size} for a place (Cipher)", encrypt, "AESGCM, os.urandom", encrypt_bare),
        Timing(f"decrypt {size} (Cipher)", decrypt, "AESGCM", decrypt_bare),
    ]


def _seal() -> Sequence[Timing]:
    sealer = Sealer()
    sealer.install({1: os.urandom(32)}, 1)
    row = sealer.seal(_Row("bench/0001", 1, 1_700_000_000.0, os.urandom(260)))
    seal, check = _best(lambda: sealer.seal(row), lambda: sealer.check(row))
    return [Timing("seal a row (Sealer)", seal), Timing("check a row's seal (Sealer)", check)]


def _best(*calls: Callable[[], object]) -> Sequence[float]:
    """Return microseconds of each call, measured in turn: the least of the rounds, as the others were disturbed."""
    rounds = [[timeit.timeit(call, number=_CALLS) for call in calls] for _ in range(_ROUNDS)]
    return [min(times) / _CALLS * 1e6 for times in zip(*rounds, strict=True)]
