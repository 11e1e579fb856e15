"""The certificate of our own listeners: issued by our CA, one for all workers, renewed at two thirds of its life.

It lies in the data directory, its key encrypted under the root key. Always true here: whoever renews it holds the lock
and has looked again, so that of several workers one issues and the others read; a file that cannot be used is replaced.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from tradewarden.crypto.keyfile import read_private, write_private
from tradewarden.errors import TradewardenError
from tradewarden.keys.purpose import Purpose
from tradewarden.pki.listener_file import Shown, from_file, shown, to_file
from tradewarden.policies import listener_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.app import Warden

_log = structlog.get_logger("tradewarden.tls")
_MAX_FILE_BYTES: Final = 64 * 1024
_LOCK: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class OwnCertificate:
    """The listeners' certificate as one process sees it."""

    def __init__(self, warden: Warden) -> None:
        self._warden = warden
        self._path = warden.settings.data_dir / "listener.pem"
        self._password = warden.keyring.derive(Purpose.CA, "listener-key").hex().encode()
        self._shown: Shown | None = None
        self._stamp: tuple[int, int] | None = None

    async def current(self, *, recheck: bool = False) -> Shown:
        """Return what to show now, renewed when it is time; `recheck` after something about CAs or revocation changed.

        Raises what issuing raises; the one before can go on being shown then.
        """
        held = self._shown
        if held is not None and not recheck and self._stamp == self._look() and not self._old(held):
            return held
        async with _locked(self._path.with_suffix(".lock")):
            found = await asyncio.to_thread(self._read)
            if found is None or self._old(found) or not await self._counts(found):
                found = await self._issue(renewal=found is not None)
            elif held is not None and found.serial == held.serial:
                found = held
            self._shown, self._stamp = found, self._look()
        return found

    def _old(self, held: Shown) -> bool:
        return not held.starts <= self._warden.clock.now() < held.renewed_at

    async def _counts(self, found: Shown) -> bool:
        """Tell whether it comes from the CA that issues now, is not revoked, and bears the names that we go by."""
        authority = self._warden.authority
        names, addresses = listener_names(self._warden.settings)
        if not found.bears([*names, *addresses]):
            return False
        if not found.comes_from(authority.ca_chain(), len(authority.trusted_roots())):
            return False
        return not await authority.is_revoked(found.serial)

    async def _issue(self, *, renewal: bool) -> Shown:
        chain, key = await self._warden.listener_certificate("renew" if renewal else "issue")
        made = shown(chain.encode(), key.encode())
        try:
            await asyncio.to_thread(write_private, self._path, to_file(made, self._password))
        except TradewardenError as error:  # this worker has it; another will issue its own
            _log.warning("the listener's certificate cannot be stored", reason=error.reason)
        _log.info("the listener has a new certificate", serial_number=made.serial, renewal=renewal)
        return made

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> Shown | None:
        """Return what lies in the data directory; None when it is missing or of no use."""
        if not os.path.lexists(self._path):
            return None
        try:
            return from_file(read_private(self._path, _MAX_FILE_BYTES), self._password)
        except TradewardenError as error:
            _log.warning("the listener's certificate is made anew", file=str(self._path), reason=str(error))
            return None


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Let one process of this host at a time renew; the kernel frees the lock of a dead one."""
    descriptor = os.open(path, _LOCK, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
