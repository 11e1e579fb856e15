"""Known answers of Wycheproof and NIST, through our own envelope, derivation, seal and signature code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from tradewarden.crypto import keyset
from tradewarden.crypto.aead import NONCE_BYTES, TAG_BYTES, AeadKey
from tradewarden.crypto.kdf import KEY_BYTES, RFC9106_SECOND_RECOMMENDED, Argon2Profile, argon2id, hkdf
from tradewarden.crypto.keyset import Mac, Sealer
from tradewarden.crypto.signers import Verifier
from tradewarden.errors import DecryptionError, IntegrityError

VECTORS = Path(__file__).parent
Case = dict[str, Any]


def wycheproof(name: str) -> list[tuple[Case, Case]]:
    """Return every case of a file with its group, and make sure that none is missing."""
    document = json.loads((VECTORS / "wycheproof" / f"{name}_test.json").read_text())
    cases = [(group, case) for group in document["testGroups"] for case in group["tests"]]
    assert len(cases) == document["numberOfTests"]
    return cases


def binary(case: Case, *names: str) -> tuple[bytes, ...]:
    """Return the hexadecimal values of a case as bytes."""
    return tuple(bytes.fromhex(case[name]) for name in names)


def bare(key: bytes) -> AeadKey:
    """Return a key whose envelope has no header, so that associated data are the vector's alone."""
    aead = AeadKey(key, 1)
    aead._header = b""
    return aead


def test_wycheproof_aes_gcm() -> None:
    """AES-256-GCM opens every valid vector of our sizes to its plaintext, and refuses every other one."""
    classes = set()
    for group, case in wycheproof("aes_gcm"):
        key, nonce, associated, plaintext, ciphertext, tag = binary(case, "key", "iv", "aad", "msg", "ct", "tag")
        classes.add((case["result"], *case["flags"]))
        if group["keySize"] != KEY_BYTES * 8:
            with pytest.raises(ValueError, match="AES-256"):
                AeadKey(key, 1)
        elif case["result"] == "valid" and group["ivSize"] == NONCE_BYTES * 8:
            assert bare(key).encrypt(plaintext, associated, nonce) == nonce + ciphertext + tag
            assert bare(key).decrypt(nonce + ciphertext + tag, associated) == plaintext
        else:
            with pytest.raises(DecryptionError):
                bare(key).decrypt(nonce + ciphertext + tag, associated)
    assert {flag for _, *flags in classes for flag in flags} >= {"ModifiedTag", "CounterWrap", "ZeroLengthIv"}


def test_nist_aes_gcm() -> None:
    """AES-256-GCM answers NIST's vectors, and a tag that was cut short never opens."""
    cases = json.loads((VECTORS / "nist" / "aes_gcm_256.json").read_text())
    assert {len(case["tag"]) // 2 for case in cases} >= {TAG_BYTES, 15, 14, 12, 8, 4}
    for case in cases:
        key, nonce, associated, plaintext, ciphertext, tag = binary(case, "key", "iv", "aad", "pt", "ct", "tag")
        sealed = bare(key).encrypt(plaintext, associated, nonce)
        assert sealed[: len(nonce + ciphertext + tag)] == nonce + ciphertext + tag
        assert bare(key).decrypt(sealed, associated) == plaintext
        if len(tag) < TAG_BYTES:
            with pytest.raises(DecryptionError):
                bare(key).decrypt(nonce + ciphertext + tag, associated)


class Info(str):
    """A label that stands for the bytes of a vector."""

    __slots__ = ("raw",)
    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return those bytes."""
        return self.raw


def test_wycheproof_hkdf() -> None:
    """HKDF-SHA256 gives every vector's output, and refuses sizes past 255 blocks."""
    for _, case in wycheproof("hkdf_sha256"):
        key, salt, raw, output = binary(case, "ikm", "salt", "info", "okm")
        info = Info()
        info.raw = raw
        if case["result"] == "valid":
            assert hkdf(key, info, case["size"], salt) == output
        else:
            assert case["flags"] == ["SizeTooLarge"]
            with pytest.raises(ValueError, match="larger"):
                hkdf(key, info, case["size"], salt)


class Message(msgspec.Struct, frozen=True):
    """A row that stands for the message of a vector."""

    table: ClassVar[str] = "messages"

    message: bytes
    seal: bytes = b""


def test_wycheproof_hmac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seals and keyed hashes are HMAC-SHA256; a changed or a shortened tag never passes."""
    monkeypatch.setattr(keyset, "place", lambda *parts: parts[1])
    for group, case in wycheproof("hmac_sha256"):
        key, message, tag = binary(case, "key", "msg", "tag")
        sealer = Sealer()
        sealer.install({1: key}, 1)
        given = Message(message, b"\0\0\0\1" + tag)
        true = Mac(key).digest("", message)  # type: ignore[arg-type]
        assert sealer.seal(given).seal == b"\0\0\0\1" + true
        assert (true[: len(tag)] == tag) == (case["result"] == "valid")
        if case["result"] == "valid" and group["tagSize"] == 256:
            assert sealer.check(given) is given
        else:
            with pytest.raises(IntegrityError):
                sealer.check(given)


def test_wycheproof_ed25519() -> None:
    """Ed25519 accepts every valid signature and refuses malleable, cut and padded ones."""
    for group, case in wycheproof("ed25519"):
        message, signature = binary(case, "msg", "sig")
        verifier = Verifier.from_pem(group["publicKeyPem"].encode())
        if case["result"] == "valid":
            verifier.verify(signature, message)
        else:
            with pytest.raises(IntegrityError):
                verifier.verify(signature, message)


def test_rfc9106_second_recommended_profile() -> None:
    """The profile is the second recommended one of RFC 9106 section 4, and it derives what argon2 1.3 derives."""
    assert RFC9106_SECOND_RECOMMENDED._asdict() == {"iterations": 3, "lanes": 4, "memory_cost": 2**16}
    # Known answer of the reference implementation (P-H-C/phc-winner-argon2, src/test.c; CC0 1.0).
    known = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
    assert argon2id(b"password", b"somesalt", Argon2Profile(2, 1, 2**16)).hex() == known
