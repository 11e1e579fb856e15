"""The envelope and the seal under every change that someone with the database in hand can make."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewarden.crypto.aead import OVERHEAD_BYTES, AeadKey, key_version
from tradewarden.crypto.keyset import Cipher, Sealer
from tradewarden.crypto.place import place
from tradewarden.errors import DecryptionError, IntegrityError

KEYS = {1: bytes(range(32)), 2: bytes(range(1, 33))}
PLACE = place("secrets", "api_keys/binance", b"incarnation", 7)
SAME_TEXT = str(DecryptionError())

plaintexts = st.binary(max_size=300)
parts = st.lists(st.one_of(st.text(max_size=9), st.binary(max_size=9), st.integers(-(2**63), 2**63 - 1)), max_size=4)


def cipher(current: int = 2) -> Cipher:
    """Return a cipher with both versions."""
    made = Cipher()
    made.install(KEYS, current, budget=10)
    return made


def refused(envelope: bytes, associated: bytes = PLACE, keys: Cipher | None = None) -> None:
    """Check that an envelope does not open, and that the error gives nothing away."""
    with pytest.raises(DecryptionError) as caught:
        (keys or cipher()).decrypt(envelope, associated)
    assert str(caught.value) == SAME_TEXT


@given(plaintexts, parts)
def test_an_envelope_opens_at_its_place(plaintext: bytes, where: list[object]) -> None:
    """What was encrypted comes back at its place, and the envelope names its key version."""
    envelope = cipher().encrypt(plaintext, place(*where))
    assert cipher().decrypt(envelope, place(*where)) == plaintext
    assert key_version(envelope) == 2
    assert len(envelope) == len(plaintext) + OVERHEAD_BYTES


@given(plaintexts, st.data())
def test_any_flipped_bit_is_refused(plaintext: bytes, data: st.DataObject) -> None:
    """One flipped bit anywhere, header and key version too, is refused with the one text."""
    envelope = bytearray(cipher().encrypt(plaintext, PLACE))
    bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[bit // 8] ^= 1 << bit % 8
    refused(bytes(envelope))


@given(plaintexts, st.data())
def test_anything_truncated_or_extended_is_refused(plaintext: bytes, data: st.DataObject) -> None:
    """An envelope that was cut at either end, or has more bytes, is refused with the one text."""
    envelope = cipher().encrypt(plaintext, PLACE)
    cut = data.draw(st.integers(0, len(envelope) - 1))
    refused(envelope[:cut])
    refused(envelope[cut + 1 :])
    refused(envelope + b"\0")


@given(plaintexts, parts, parts)
def test_a_moved_envelope_is_refused(plaintext: bytes, here: list[object], there: list[object]) -> None:
    """An envelope opens at no other place; places that differ never look the same."""
    envelope = cipher().encrypt(plaintext, place(*here))
    if [*map(repr, here)] != [*map(repr, there)]:
        assert place(*here) != place(*there)
        refused(envelope, place(*there))


@given(plaintexts)
def test_another_version_is_refused(plaintext: bytes) -> None:
    """An envelope that claims another key version is refused, installed or not."""
    envelope = cipher(1).encrypt(plaintext, PLACE)
    for version in (0, 2, 3, 2**32 - 1):
        refused(envelope[:1] + version.to_bytes(4, "big") + envelope[5:])
    for key in (AeadKey(KEYS[2], 1), AeadKey(KEYS[1], 2)):
        with pytest.raises(DecryptionError):
            key.decrypt(envelope, PLACE)
    with pytest.raises(DecryptionError):
        AeadKey(KEYS[1], 1).decrypt(b"\2" + envelope[1:], PLACE)


class Row(msgspec.Struct, frozen=True):
    """A row with a column of each type."""

    table: ClassVar[str] = "rows"

    name: str
    number: int
    amount: float
    blob: bytes
    seal: bytes = b""


rows = st.builds(
    Row,
    st.text(max_size=9),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=9),
)


@given(rows, rows)
def test_a_seal_holds_for_its_row_alone(mine: Row, other: Row) -> None:
    """A sealed row passes, and its seal on any other row, or shortened, does not."""
    sealer = Sealer()
    sealer.install(KEYS, 2)
    sealed = sealer.seal(mine)
    assert sealer.check(sealed) is sealed
    broken = [
        msgspec.structs.replace(sealed, seal=seal)
        for seal in (b"", sealed.seal[:-1], sealed.seal + b"\0", None, "x", 5)
    ]
    if msgspec.structs.astuple(mine) != msgspec.structs.astuple(other):
        broken.append(msgspec.structs.replace(other, seal=sealed.seal))
    for row in broken:
        with pytest.raises(IntegrityError, match="table rows"):
            sealer.check(row)
