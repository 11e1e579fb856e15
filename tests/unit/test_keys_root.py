"""Root sources: what a URI names, and what each refuses."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest

from tradewarden.clock import system_randomness
from tradewarden.crypto.keyfile import write_private
from tradewarden.errors import ConfigurationError, DecryptionError
from tradewarden.keys.root import RootKey, Stretching
from tradewarden.keys.source import root_source

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(200, 232))
PHRASE = "orbit velvet canyon mosaic thimble rust"


def opened(uri: str, environment: dict[str, str], stretching: Stretching | None = None) -> RootKey:
    """Open a source as the keyring does on a later start."""
    return root_source(uri, environment).open(b"", stretching or Stretching())


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode, lambda key: b64encode(key).rstrip(b"=")])
def test_env_takes_32_bytes_in_base64(encode: type) -> None:
    """A variable may hold base64 or base64url (a Fernet key), padded or not."""
    value = encode(KEY).decode()
    assert opened("env:ROOT", {"ROOT": value + "\n"}).matches(RootKey(KEY).check_value)


@pytest.mark.parametrize(
    "value",
    ["", "not base64!", b64encode(KEY[1:]).decode(), b64encode(KEY + b"x").decode(), KEY.hex(), "A" * 43 + "=", "ключ"],
)
def test_env_refuses_everything_else(value: str) -> None:
    """A missing, short, long, foreign or placeholder value is refused by the variable's name, and is not repeated."""
    with pytest.raises(ConfigurationError, match="ROOT") as caught:
        opened("env:ROOT", {"ROOT": value})
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("uri", ["passphrase:", "passphrase:env:PHRASE", "passphrase:file:{}/phrase"])
def test_a_passphrase_is_stretched_with_a_stored_salt(tmp_path: Path, uri: str) -> None:
    """A passphrase gives the same root key under its stored salt and parameters, and another one under another salt."""
    write_private(tmp_path / "phrase", PHRASE.encode() + b"\n")
    environment = {"TRADEWARDEN_PASSPHRASE": PHRASE, "PHRASE": PHRASE}
    source = root_source(uri.format(tmp_path), environment)
    root, stretching = source.prepare(system_randomness, None)
    assert (stretching.iterations, stretching.lanes, stretching.memory_cost) == (3, 4, 2**16)
    assert source.open(root.check_value, stretching).matches(root.check_value)
    assert opened("passphrase:env:PHRASE", environment, stretching).matches(root.check_value)
    other = Stretching(b"other salt 12345", 3, 4, 2**16)
    assert not source.open(root.check_value, other).matches(root.check_value)


def test_a_passphrase_has_a_least_length() -> None:
    """A missing or short passphrase is refused."""
    for environment in ({}, {"TRADEWARDEN_PASSPHRASE": "only 15 letters"}):
        with pytest.raises(ConfigurationError, match="at least 16 characters"):
            root_source("passphrase:", environment).prepare(system_randomness, None)


@pytest.mark.parametrize(
    "stretching",
    [
        Stretching(),
        Stretching(b"s" * 16, 0, 4, 2**16),
        Stretching(b"s" * 16, 3, 4, 2**31),
        Stretching(b"s" * 16, 10**6, 4, 2**16),
        Stretching(b"s" * 16, 3, 4, 31),
        Stretching(b"s" * 16, 3, 2**20, 2**20),
    ],
)
def test_the_database_cannot_choose_costs(stretching: Stretching) -> None:
    """Stored Argon2id parameters out of bounds are refused before any memory is taken."""
    with pytest.raises(ConfigurationError):
        opened("passphrase:env:PHRASE", {"PHRASE": PHRASE}, stretching)


@pytest.mark.parametrize("uri", ["awskms:alias/x", "vault-transit:x"])
def test_later_sources_say_so(uri: str) -> None:
    """A source that is planned is refused with what can be used now."""
    with pytest.raises(ConfigurationError, match=r"not in this version yet.*file:PATH"):
        root_source(uri, {})


@pytest.mark.parametrize(
    "uri",
    ["", "file:", "env:", "env:a b", "passphrase", "passphrase:x", "passphrase:env:", "passphrase:file:", "s3://x"],
)
def test_other_uris_are_refused(uri: str) -> None:
    """What is no root URI is refused with the list of those that are."""
    with pytest.raises(ConfigurationError, match="env:NAME"):
        root_source(uri, {})


def test_a_key_in_place_of_its_uri_is_not_repeated() -> None:
    """Someone who sets the key itself in place of its URI does not find it in the log."""
    secret = b64encode(KEY).decode()
    for uri in (secret, f"passphrase:{secret}", f"env:{secret}"):
        with pytest.raises(ConfigurationError) as caught:
            root_source(uri, {})
        assert secret not in str(caught.value)


def test_a_file_is_made_private_and_settles(tmp_path: Path) -> None:
    """A new root key waits under its own name until the database has it, then takes its lasting one, mode 0600."""
    source = root_source(f"file:{tmp_path}/keys/root.key", {})
    root, _ = source.prepare(system_randomness, None)
    assert not (tmp_path / "keys" / "root.key").exists()
    source.settle(root)
    source.settle(root)
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["root.key"]
    assert (tmp_path / "keys" / "root.key").stat().st_mode & 0o777 == 0o600
    assert source.open(root.check_value, Stretching()).matches(root.check_value)


def test_a_discarded_file_is_gone(tmp_path: Path) -> None:
    """A root key that was never used leaves no file, and cannot be settled."""
    source = root_source(f"file:{tmp_path}/root.key", {})
    root, _ = source.prepare(system_randomness, None)
    source.discard(root)
    source.discard(root)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="missing"):
        source.settle(root)


def test_a_foreign_file_is_never_replaced(tmp_path: Path) -> None:
    """A root key that belongs to another database is neither used for a first start nor overwritten by a rotation."""
    path = tmp_path / "root.key"
    write_private(path, b64encode(KEY))
    source = root_source(f"file:{path}", {})
    for replaces in (None, b"x" * 32):
        with pytest.raises(ConfigurationError, match=r"holds a root key, but not of this database"):
            source.prepare(system_randomness, replaces)
    assert path.read_bytes() == b64encode(KEY)
    source.prepare(system_randomness, RootKey(KEY).check_value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """A missing, open or damaged root key file is named with what to do, and stays as it is."""
    path = tmp_path / "root.key"
    source = root_source(f"file:{path}", {})
    assert source.name == str(path)
    with pytest.raises(ConfigurationError, match=r"root.key is missing.*put it back"):
        source.open(b"c" * 32, Stretching())
    write_private(path, b"damaged")
    with pytest.raises(ConfigurationError, match=r"root.key must hold 32 random bytes"):
        source.open(b"c" * 32, Stretching())
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        source.open(b"c" * 32, Stretching())
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(ConfigurationError, match="symbolic link"):
        source.open(b"c" * 32, Stretching())


def test_wrapping_is_bound_to_purpose_and_version() -> None:
    """A wrapped key opens under its root, purpose and version alone, and a root key is never shown."""
    root = RootKey(KEY)
    wrapped = root.wrap("secrets", 1, b"k" * 32, system_randomness)
    assert root.unwrap("secrets", 1, wrapped) == b"k" * 32
    for other, purpose, version in ((root, "audit", 1), (root, "secrets", 2), (RootKey(KEY[::-1]), "secrets", 1)):
        with pytest.raises(DecryptionError):
            other.unwrap(purpose, version, wrapped)
    assert repr(root) == "RootKey(…)"
    assert KEY not in [getattr(root, name) for name in RootKey.__slots__]
    with pytest.raises(ConfigurationError):
        RootKey(KEY[1:])
