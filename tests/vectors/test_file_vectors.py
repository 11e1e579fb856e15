"""Known answers of Fernet, and a frozen file of our own format, read by our code and by one that follows its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tradewarden.crypto.fernet import FernetKey
from tradewarden.errors import DecryptionError
from tradewarden.keys.encoding import key_from_base64
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey

VECTORS = Path(__file__).parent
AGE = {"far-future TS (unacceptable clock skew)", "expired TTL"}
"""Refused for their age alone; a file at rest has none."""


def fernet(name: str) -> list[dict[str, Any]]:
    """Return the cases of a file of the specification."""
    cases: list[dict[str, Any]] = json.loads((VECTORS / "fernet" / f"{name}.json").read_text())
    assert cases
    return cases


def opened(case: dict[str, Any]) -> bytes:
    """Return what our code makes of a case."""
    return FernetKey(key_from_base64(case["secret"].encode(), "the vector")).open(case["token"].encode())


@pytest.mark.parametrize("name", ["generate", "verify"])
def test_valid_fernet_tokens_open(name: str) -> None:
    """What the specification generates and verifies is read."""
    for case in fernet(name):
        assert opened(case).decode() == case["src"]


def test_invalid_fernet_tokens_are_refused() -> None:
    """Every class of failure of the specification is one error; age is none."""
    cases = fernet("invalid")
    assert {case["desc"] for case in cases} > AGE
    for case in cases:
        if case["desc"] in AGE:
            assert opened(case) == b""
        else:
            with pytest.raises(DecryptionError):
                opened(case)


def test_a_file_that_was_written_once_is_read_for_ever(tmp_path: Path) -> None:
    """The frozen example has its name, its versions and its contents."""
    example = json.loads((VECTORS / "files" / "example.json").read_text())
    directory = tmp_path / ".secrets"
    directory.mkdir(mode=0o700)
    (directory / example["file"]).write_bytes(bytes.fromhex(example["content"]))
    provider = EncryptedFilesProvider(directory, FilesKey.from_fernet(example["key"]))
    assert provider.names() == [example["name"]]
    assert provider.get(example["name"]).version == example["versions"][0]["version"]
    for each in example["versions"]:
        assert provider.get(example["name"], each["version"]).content == each["content"]


def test_a_file_is_what_its_description_says() -> None:
    """Keys by HKDF-SHA256, name by HMAC-SHA256, both envelopes by AES-256-GCM, computed here step by step."""
    example = json.loads((VECTORS / "files" / "example.json").read_text())
    root, raw = key_from_base64(example["key"].encode(), "the example"), bytes.fromhex(example["content"])

    def derived(use: str, size: int) -> bytes:
        return HKDF(SHA256(), size, None, f"tradewarden/files/v1/{use}".encode()).derive(root)

    def envelope(sealed: bytes, *place: str) -> bytes:
        header, nonce, ciphertext = sealed[:5], sealed[5:17], sealed[17:]
        assert header == b"\x01\x00\x00\x00\x01"
        key = AESGCM(derived("content", 32))
        return key.decrypt(nonce, ciphertext, header + msgspec.msgpack.encode(place))

    mac = HMAC(derived("name", 32), SHA256())
    mac.update(msgspec.msgpack.encode(("files/name", example["name"])))
    file = mac.finalize()[:20].hex()
    assert example["file"] == f"{file}.secret"
    assert raw[:4] == b"TWF1"
    assert raw[4:12] == derived("id", 8)
    end = 14 + int.from_bytes(raw[12:14], "big")
    assert envelope(raw[14:end], "files/name", file).decode() == example["name"]
    incarnation, versions = msgspec.msgpack.decode(envelope(raw[end:], "files/versions", file, example["name"]))
    assert [f"{number}-{incarnation}" for number, _, _ in versions] == [each["version"] for each in example["versions"]]
    assert [at for _, at, _ in versions] == [each["written_at"] for each in example["versions"]]
    assert versions[1][2].decode() == example["versions"][1]["content"]
