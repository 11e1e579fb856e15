"""Data directories that were made once and are kept: what stands on disks must be read by every later version.

`python -m tests.support.data_directory FOLDER` makes another one, named for the schema of the code that makes it. See
`tests/vectors/data_directory/README.md`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import sys
import tempfile
import zipfile
from base64 import b64encode
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

import msgspec

from tests.support.secrets import HandClock
from tradewarden import Warden, load_settings
from tradewarden.access.grant import Grant, authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.acme.commands import MakeKey
from tradewarden.audit.entry import EventType
from tradewarden.audit.log import RESOURCE as LOG
from tradewarden.crypto.place import place
from tradewarden.identity.commands import MakeJoinToken
from tradewarden.keys.purpose import Purpose
from tradewarden.storage.migration import migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tradewarden.settings import Settings

KEPT: Final = Path(__file__).parents[1] / "vectors" / "data_directory"
MADE_AT: Final = 1_790_000_000.0
"""What the clock showed while they were made: 2026-09-21T14:13:20Z."""
TEST_VECTOR_ROOT_KEY: Final = b"TEST VECTOR, protects no secret!"
"""The root key of all of them. It stands here for everyone to read: nothing under it is secret."""
SERVICE: Final = "golden-bot"
PATH: Final = "golden/secret"
VALUES: Final = ({"password": "the first value"}, {"password": "the second value"})
VARIABLE: Final = "GOLDEN_ROOT_KEY"
"""Where the root key is put for as long as a directory is open."""
_EXPECTED: Final = "expected.json"
_LEFT_OUT: Final = ("admin.token", "*.lock", "listener.pem", "credentials", "*.db-wal", "*.db-shm")
_LABEL: Final = "golden"


class KeyExpected(msgspec.Struct, frozen=True):
    """What one purpose's keys make: an envelope, a keyed hash, and the SHA-256 of a key derived for a use."""

    version: int
    envelope: bytes
    hidden: str
    derived_sha256: str


class Expected(msgspec.Struct, frozen=True):
    """What a reader must find, and the credentials that must still be good at `MADE_AT`."""

    schema: int
    client_secret: str
    token: str
    refresh_token: str
    join_token: str
    kid: str
    hmac_key: str
    serial_number: str
    fingerprint_sha256: str
    keys: dict[str, KeyExpected]
    checkpoint: str


def grant(action: str, resource: str) -> Grant:
    """Return an administrator's grant."""
    return authorize(Principal(Kind.USER, "admin"), ALL, action, resource)


def golden_settings(directory: Path) -> Settings:
    """Return the settings of an installation of which only this root key is said."""
    return load_settings({"TRADEWARDEN_DATA_DIR": str(directory), "TRADEWARDEN_ROOT_KEY": f"env:{VARIABLE}"})


@asynccontextmanager
async def opened(directory: Path, now: float) -> AsyncIterator[Warden]:
    """Open such a directory at a time of one's own, without background work."""
    with patch.dict(os.environ, {VARIABLE: b64encode(TEST_VECTOR_ROOT_KEY).decode()}):
        warden = await Warden.start(golden_settings(directory), clock=HandClock(now))
        try:
            yield warden
        finally:
            await warden.close()


def unpacked(archive: Path, directory: Path) -> Expected:
    """Unpack a kept directory with the permissions that it had, and return what is expected of it."""
    with zipfile.ZipFile(archive) as files:
        files.extractall(directory)
    for each in (directory, *directory.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)
    return msgspec.json.decode((directory / _EXPECTED).read_bytes(), type=Expected)


def associated(purpose: Purpose) -> bytes:
    """Return the place that a purpose's envelope is bound to."""
    return place(purpose, "golden", 1)


async def fill(warden: Warden) -> Expected:
    """Make one of everything that a later version must be able to read."""
    local, keyring = warden.local, warden.keyring
    await local.secrets.put(PATH, VALUES[0])
    entry = warden.entry(EventType.KEY, "rotate", Purpose.SECRETS.value)
    await keyring.rotate(grant("keys:rotate", Purpose.SECRETS.value), Purpose.SECRETS, entry)
    await local.secrets.put(PATH, VALUES[1])
    await local.secrets.get(PATH, 1)
    registered = await local.services.register(SERVICE, ["read"])
    issued = await local.tokens.issue(SERVICE, refresh=True)
    certificate = await local.credentials.issue(SERVICE)
    entry = warden.entry(EventType.CERTIFICATE, "manage", SERVICE)
    joining = await warden.enrolment.invite(grant("credentials:issue", SERVICE), MakeJoinToken(SERVICE), entry)
    account = await warden.acme.bindings.make(grant("acme:manage", SERVICE), MakeKey(SERVICE), entry)
    await local.rotations.set_policy(PATH, "random", {"make": "password"})
    await warden.floor.keep(last=True)
    keys = {purpose.value: await _made_by(warden, purpose) for purpose in Purpose}
    await warden.clerk.run_once(last=True)
    return Expected(
        schema=migrations("sqlite")[-1][0],
        client_secret=registered.client_secret,
        token=issued.token,
        refresh_token=issued.refresh_token or "",
        join_token=joining.join_token,
        kid=account.kid,
        hmac_key=account.hmac_key,
        serial_number=certificate.serial_number,
        fingerprint_sha256=certificate.fingerprint_sha256,
        keys=keys,
        checkpoint=(await warden.audit_log.checkpoint(grant("audit:read", LOG))).decode(),
    )


async def _made_by(warden: Warden, purpose: Purpose) -> KeyExpected:
    keyring = warden.keyring
    await keyring.reserve(purpose)
    return KeyExpected(
        keyring.current(purpose),
        keyring.cipher(purpose).encrypt(purpose.encode(), associated(purpose)),
        hidden(warden, purpose),
        derived_sha256(warden, purpose),
    )


def hidden(warden: Warden, purpose: Purpose) -> str:
    """Return the keyed hash that `KeyExpected.hidden` is."""
    return warden.keyring.mac(purpose, _LABEL).hidden("field", "value")


def derived_sha256(warden: Warden, purpose: Purpose) -> str:
    """Return the digest that `KeyExpected.derived_sha256` is; the key itself stands nowhere."""
    return hashlib.sha256(warden.keyring.derive(purpose, _LABEL)).hexdigest()


async def make(folder: Path) -> Path:
    """Make a data directory with the code of now, and pack it into `folder`; return the archive."""
    with tempfile.TemporaryDirectory(dir=folder) as place_:
        directory = Path(place_) / "data"
        async with opened(directory, MADE_AT) as warden:
            expected = await fill(warden)
        (directory / _EXPECTED).write_bytes(msgspec.json.format(msgspec.json.encode(expected)))
        _shrink(golden_settings(directory).database_path)
        return _pack(directory, folder / f"schema-{expected.schema:04}.zip")


def _shrink(database: Path) -> None:
    """Bring a database into one small file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


def _kept(directory: Path) -> Iterator[Path]:
    for each in sorted(directory.rglob("*")):
        parts = (Path(part) for part in each.relative_to(directory).parts)
        if each.is_file() and not any(part.match(pattern) for part in parts for pattern in _LEFT_OUT):
            yield each


def _pack(directory: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as files:
        for each in _kept(directory):
            files.write(each, each.relative_to(directory))
    return archive


if __name__ == "__main__":
    print(asyncio.run(make(Path(sys.argv[1]))))  # noqa: T201
