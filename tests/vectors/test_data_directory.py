"""Data directories that earlier versions left are read whole, at whatever time they are opened."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

import pytest
from cryptography import x509

from tests.support import data_directory as golden
from tests.support.acme import show_key
from tests.support.data_directory import KEPT, MADE_AT, PATH, SERVICE, VALUES, Expected, opened, unpacked
from tradewarden.audit.entry import EventType
from tradewarden.audit.examine import Report
from tradewarden.errors import ConfigurationError
from tradewarden.keys.purpose import Purpose
from tradewarden.records import open_for_reading
from tradewarden.storage.migration import migrations
from tradewarden.tokens.commands import RefreshToken

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden import Warden
    from tradewarden.identity.enrolment import Joining

ARCHIVES: Final = sorted(KEPT.glob("schema-*.zip"))
SOON: Final = MADE_AT + 60
YEAR: Final = 365 * 86_400.0


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Expected]:
    """A copy of one of them, and what it holds."""
    directory = tmp_path / "data"
    return directory, unpacked(request.param, directory)


async def secrets_are_read(warden: Warden) -> None:
    """Both versions of the secret are as they were written."""
    found = [await warden.local.secrets.get(PATH, number) for number in (1, 2)]
    assert tuple(each.value() for each in found) == VALUES
    assert warden.keyring.current(Purpose.SECRETS) == 2


async def service_is_proven(warden: Warden, expected: Expected) -> None:
    """The client secret still proves the service, with what it was registered for."""
    record = await warden.services.authenticate(SERVICE, expected.client_secret)
    assert (record.service_name, record.permissions) == (SERVICE, ("read",))


async def tokens_are_good(warden: Warden, expected: Expected) -> None:
    """The access token is accepted, and the refresh token gives another one."""
    assert (await warden.local.tokens.validate(expected.token)).service_name == SERVICE
    async with warden.entry(EventType.TOKEN, "refresh") as entry:
        again = await warden.tokens.refresh(RefreshToken(expected.refresh_token), entry)
    assert (await warden.local.tokens.validate(again.token)).permissions == ("read",)


async def what_was_promised_is_kept(warden: Warden, expected: Expected) -> None:
    """The join token and the external account key are accepted, and the policy is the secret's."""
    async with warden.entry(EventType.CERTIFICATE, "join") as entry:
        joining = await warden.enrolment.enroll(expected.join_token, entry, joined)
    assert joining == SERVICE
    await show_key(warden.acme, expected.kid, expected.hmac_key)
    (rotation,) = await warden.local.rotations.list(PATH)
    assert (rotation.policy.kind, rotation.policy.parameters) == ("random", {"make": "password"})


async def joined(joining: Joining) -> str:
    """Take a join token, and say whose it is."""
    await joining.spend()
    return joining.service_name


async def certificates_are_held(warden: Warden, expected: Expected) -> None:
    """The inventory knows the certificate, and the CA's private key signs another one of the same chain."""
    held = await warden.authority.get(golden.grant("credentials:read", SERVICE), expected.serial_number)
    assert (held.fingerprint_sha256, held.state) == (expected.fingerprint_sha256, "active")
    made = await warden.local.credentials.issue(SERVICE)
    ca = x509.load_pem_x509_certificates(warden.authority.ca_chain().encode())[0]
    for pem in (held.certificate, made.certificate):
        x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(ca)


def keys_are_the_same(warden: Warden, expected: Expected) -> None:
    """Each purpose's keys open what they encrypted, and derive what they derived."""
    assert set(expected.keys) <= {purpose.value for purpose in Purpose}
    for name, each in expected.keys.items():
        purpose = Purpose(name)
        opened_ = warden.keyring.cipher(purpose).decrypt(each.envelope, golden.associated(purpose))
        assert opened_ == name.encode()
        assert warden.keyring.current(purpose) == each.version
        assert golden.hidden(warden, purpose) == each.hidden
        assert golden.derived_sha256(warden, purpose) == each.derived_sha256


async def verified(directory: Path, expected: Expected) -> Report:
    """Verify the audit log offline, against the checkpoint of that time."""
    with patch.dict(os.environ, {golden.VARIABLE: b64encode(golden.TEST_VECTOR_ROOT_KEY).decode()}):
        async with open_for_reading(golden.golden_settings(directory)) as records:
            return await records.verify(kept=expected.checkpoint.encode())


async def read_whole(directory: Path, expected: Expected) -> None:
    """Read everything that such a directory holds, and go on with its log."""
    async with opened(directory, SOON) as warden:
        keys_are_the_same(warden, expected)
        await secrets_are_read(warden)
        await service_is_proven(warden, expected)
        await tokens_are_good(warden, expected)
        await what_was_promised_is_kept(warden, expected)
        await certificates_are_held(warden, expected)
        await warden.clerk.run_once(last=True)
    report = await verified(directory, expected)
    assert report.ok, report.problems
    assert report.findings == ()
    assert report.size == report.entries > int(expected.checkpoint.split("\n")[1])


async def test_what_an_earlier_version_left_is_read(kept: tuple[Path, Expected]) -> None:
    """Secrets, credentials, certificates, keys and the log of every kept directory are as they were."""
    await read_whole(*kept)


@pytest.mark.parametrize("shift", [-30 * YEAR, 30 * YEAR], ids=["earlier", "later"])
async def test_it_is_read_whatever_the_clock_shows(kept: tuple[Path, Expected], shift: float) -> None:
    """A clock that is far off keeps nobody from secrets, services and keys; time stays at what was seen, or goes on."""
    directory, expected = kept
    async with opened(directory, MADE_AT + shift) as warden:
        assert warden.clock.now() == max(MADE_AT, MADE_AT + shift)
        keys_are_the_same(warden, expected)
        await secrets_are_read(warden)
        await service_is_proven(warden, expected)
    assert (await verified(directory, expected)).ok


async def test_another_root_key_opens_none(kept: tuple[Path, Expected], monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is under that root key, and nothing else reads it."""
    monkeypatch.setattr(golden, "TEST_VECTOR_ROOT_KEY", bytes(32))
    with pytest.raises(ConfigurationError):
        async with opened(kept[0], SOON):
            pass


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)
def test_each_is_small_and_holds_no_open_key(archive: Path, tmp_path: Path) -> None:
    """A kept directory is named for the schema that it holds, below 400 KB, and its private keys are encrypted."""
    expected = unpacked(archive, tmp_path / "data")
    assert archive.name == f"schema-{expected.schema:04}.zip"
    assert archive.stat().st_size < 400_000
    assert not open_keys(tmp_path / "data")


def open_keys(directory: Path) -> list[str]:
    """Return the files with a private key or an admin token for everyone to read."""
    files = [each for each in directory.rglob("*") if each.is_file()]
    marks = (b"BEGIN PRIVATE KEY", b"BEGIN EC PRIVATE KEY", b"twa_")
    return [each.name for each in files if any(mark in each.read_bytes() for mark in marks)]


def test_one_is_kept() -> None:
    """The tests above have something to run on."""
    assert ARCHIVES


async def test_another_one_can_be_made(tmp_path: Path) -> None:
    """The code of today makes one that it reads itself, named for its schema, without an open private key."""
    archive = await golden.make(tmp_path)
    assert archive.name == f"schema-{migrations('sqlite')[-1][0]:04}.zip"
    directory = tmp_path / "data"
    expected = unpacked(archive, directory)
    assert not open_keys(directory)
    await read_whole(directory, expected)
