"""Ciphers, sealers and keyed hashes through rotations and budgets."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from tradewarden.crypto.aead import AeadKey, key_version
from tradewarden.crypto.keyset import Cipher, Mac, Sealer
from tradewarden.errors import DecryptionError, IntegrityError, UnavailableError

KEYS = {version: bytes([version]) * 32 for version in (1, 2)}


class Row(msgspec.Struct, frozen=True):
    """A row."""

    table: ClassVar[str] = "rows"
    name: str
    seal: bytes = b""


class Moved(Row, frozen=True):
    """The same columns in another table."""

    table: ClassVar[str] = "other"


def test_a_cipher_without_key_or_budget_writes_nothing() -> None:
    """Encrypting needs a key and a budget, and spends one message of it."""
    cipher = Cipher()
    assert (cipher.current, cipher.budget) == (0, 0)
    cipher.grant(1, 5)
    with pytest.raises(UnavailableError):
        cipher.encrypt(b"", b"")
    cipher.install(KEYS, 1, budget=1)
    cipher.encrypt(b"", b"")
    with pytest.raises(UnavailableError):
        cipher.encrypt(b"", b"")


def test_a_budget_belongs_to_its_version() -> None:
    """A rotation leaves the old budget behind; a reload of the same version keeps it; late grants are void."""
    cipher = Cipher()
    cipher.install({1: KEYS[1]}, 1, budget=5)
    cipher.install(KEYS, 1, budget=2)
    assert cipher.budget == 7
    cipher.install(KEYS, 2, budget=3)
    cipher.grant(1, 100)
    cipher.grant(2, 1)
    assert cipher.budget == 4


def test_old_versions_read_and_the_newest_writes() -> None:
    """After a rotation new envelopes and seals carry the new version, and old ones still open."""
    cipher, sealer = Cipher(), Sealer()
    cipher.install(KEYS, 1, budget=1)
    sealer.install(KEYS, 1)
    envelope, row = cipher.encrypt(b"old", b"here"), sealer.seal(Row("a"))
    cipher.install(KEYS, 2, budget=1)
    sealer.install(KEYS, 2)
    assert key_version(cipher.encrypt(b"new", b"here")) == 2
    assert cipher.decrypt(envelope, b"here") == b"old"
    assert sealer.check(row) is row
    assert sealer.seal(row).seal[:4] == b"\0\0\0\2"
    cipher.install({2: KEYS[2]}, 2)
    sealer.install({2: KEYS[2]}, 2)
    with pytest.raises(DecryptionError):
        cipher.decrypt(envelope, b"here")
    with pytest.raises(IntegrityError):
        sealer.check(row)


def test_a_seal_is_bound_to_its_table() -> None:
    """A row that was moved to another table with the same columns is refused, without its values in the message."""
    sealer = Sealer()
    sealer.install(KEYS, 1)
    with pytest.raises(IntegrityError, match="table other") as caught:
        sealer.check(Moved("secret name", sealer.seal(Row("secret name")).seal))
    assert "secret name" not in str(caught.value) + caught.value.reason


def test_keys_are_never_shown() -> None:
    """Nothing that holds a key shows it, and an AES-256 key of another size is refused."""
    cipher = Cipher()
    cipher.install(KEYS, 1)
    shown = repr(AeadKey(KEYS[1], 1)) + repr(Mac(KEYS[1])) + repr(cipher)
    assert repr(KEYS[1]) not in shown
    assert KEYS[1].hex() not in shown
    with pytest.raises(ValueError, match="32 bytes"):
        AeadKey(b"short", 1)


def test_hidden_names_are_comparable_by_field() -> None:
    """A keyed hash is the same for the same field and value, and differs for another field."""
    mac = Mac(KEYS[1])
    assert mac.hidden("user", "ada") == mac.hidden("user", "ada") != mac.hidden("path", "ada")
    assert mac.digest("user", "ada") != Mac(KEYS[2]).digest("user", "ada")
