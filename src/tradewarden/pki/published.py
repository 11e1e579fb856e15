"""`credentials/<service>.json`: certificate data for people and scripts, written behind the answer.

The database is the truth. These files follow it: one a service, the newest certificate only, never a private key. A
write that fails is logged and tried again; it never fails an issue.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.crypto.keyfile import private_directory, read_private, write_private
from tradewarden.errors import TradewardenError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.pki.credentials import Credentials

_log = logging.getLogger(__name__)
MAX_WAITING = 10_000
_MAX_FILE_BYTES = 256 * 1024


class PublishedCertificate(msgspec.Struct, frozen=True):
    """What stands in a file; times in RFC 3339."""

    service_name: str
    certificate: str
    ca_certificate: str
    certificate_chain: str
    serial_number: str
    fingerprint_sha256: str
    spiffe_id: str
    issued_at: str
    expires_at: str


class Published:
    """The `credentials/` directory. `pause` seconds lie between two rounds, so that a busy service is written once."""

    def __init__(self, directory: Path, pause: float = 0.5, retry: float = 5.0) -> None:
        self._directory = directory
        self._pause = pause
        self._retry = retry
        self._waiting: dict[str, Credentials] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def offer(self, credentials: Credentials) -> None:
        """Have the file of this service written soon."""
        self._waiting[credentials.service_name] = credentials
        if len(self._waiting) > MAX_WAITING:
            forgotten = next(iter(self._waiting))
            del self._waiting[forgotten]
            _log.warning("credentials file of service %s is not written: too many are waiting", forgotten)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Write what waits, once, and stop."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await self._round()

    async def _follow(self) -> None:
        while self._waiting and not self._closing.is_set():
            await self._rest(self._pause)
            if not await self._round():
                await self._rest(self._retry)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not when this is about to close."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _round(self) -> bool:
        """Write all that waits; put back what could not be written and tell whether nothing was."""
        batch, self._waiting = self._waiting, {}
        failed = await asyncio.to_thread(self._write_all, batch) if batch else {}
        self._waiting = {**failed, **self._waiting}
        return not failed

    def _write_all(self, batch: dict[str, Credentials]) -> dict[str, Credentials]:
        failed, reason = {}, ""
        for service, credentials in batch.items():
            try:
                self._write(credentials)
            except (TradewardenError, OSError) as error:
                failed[service] = credentials
                reason = str(error)
        if failed:
            _log.warning("%d files of %s could not be written: %s", len(failed), self._directory, reason)
        return failed

    def _write(self, credentials: Credentials) -> None:
        path = private_directory(self._directory) / f"{credentials.service_name}.json"
        data = _published(credentials)
        if _issued_at(path) <= data.issued_at:  # another process may have issued a newer one
            write_private(path, msgspec.json.format(msgspec.json.encode(data)) + b"\n")


def _issued_at(path: Path) -> str:
    """Return when the certificate in a file was issued; empty when there is none that can be read."""
    with suppress(TradewardenError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(read_private(path, _MAX_FILE_BYTES), type=PublishedCertificate).issued_at
    return ""


def _published(credentials: Credentials) -> PublishedCertificate:
    return PublishedCertificate(
        service_name=credentials.service_name,
        certificate=credentials.certificate,
        ca_certificate=credentials.ca_certificate,
        certificate_chain=credentials.certificate_chain,
        serial_number=credentials.serial_number,
        fingerprint_sha256=credentials.fingerprint_sha256,
        spiffe_id=credentials.spiffe_id,
        issued_at=rfc3339(credentials.issued_at),
        expires_at=rfc3339(credentials.expires_at),
    )
