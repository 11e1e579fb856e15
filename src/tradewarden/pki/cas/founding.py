"""The authority at start: made once on the first start, afterwards loaded and held against its database rows.

Always true here: files and rows stand together or the start stops, naming what is missing, damaged or foreign; nothing
is ever made anew over what is there. Only the root's key may be away.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from tradewarden.crypto.token_keys import TokenKey
from tradewarden.errors import ConfigurationError
from tradewarden.pki.cas.authorities import Authorities
from tradewarden.pki.cas.brought import (
    acceptable_root,
    brought_certificate,
    brought_key,
    brought_key_is_here,
    may_have_issuing,
)
from tradewarden.pki.cas.files import own_root
from tradewarden.pki.cas.hardware import TokenKeys
from tradewarden.pki.cas.keys import FileKeys
from tradewarden.pki.cas.making import MadeCa, certificate_name, fingerprint, key_name
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from tradewarden.audit.entry import Entry
    from tradewarden.pki.cas.custody import Custody
    from tradewarden.pki.cas.making import CaMaker
    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.policy import Policy

_MARK_DIGITS = 8


class Foundation:
    """Makes or loads the authority's CAs; `now` is seconds since the epoch."""

    def __init__(self, custody: Custody, maker: CaMaker, now: float) -> None:
        self._custody = custody
        self._maker = maker
        self._now = now
        self._brought = custody.brought

    async def lay(self, *, first_start: bool, entry: Entry | None) -> Authorities:
        """Return the authority's CAs; raises `ConfigurationError` naming whatever does not belong together."""
        async with self._custody.files.locked():
            if not await self._custody.rows():
                await self._found(first_start=first_start, entry=entry)
            known = await self._custody.load(strict=True)
            if self._brought is not None:
                await asyncio.to_thread(self._still_brought, self._brought, known)
            return known

    async def _found(self, *, first_start: bool, entry: Entry | None) -> None:
        self._refuse_strangers(first_start=first_start)
        made = await asyncio.to_thread(self._make)
        rows = [self._custody.sealer.seal(ca.row) for ca in made]
        digests = [sha256(row.seal).hexdigest() for row in rows]
        await self._custody.store.change_authorities([], rows, entry.draft(*digests) if entry else b"")
        if entry:
            entry.commit()

    def _refuse_strangers(self, *, first_start: bool) -> None:
        files = self._custody.files
        strangers = files.strangers()
        if strangers:
            raise ConfigurationError(
                f"{', '.join(map(str, strangers))}: found without the database they belong to; restore the database,"
                " or move them away (a CA of your own is named with CA_CERT_PATH and CA_KEY_PATH)"
            )
        if not first_start:
            raise ConfigurationError(
                f"{files.directory}: the certificate authority is missing, in the database too;"
                " restore both from a backup, or start on an empty data directory"
            )

    # -- first start ---------------------------------------------------------------------------

    def _make(self) -> list[MadeCa]:
        """Return the CAs of a first start; their files are staged."""
        self._custody.files.clear()
        made = self._own() if self._brought is None else self._under_brought(self._brought)
        for ca in made:
            self._custody.files.stage(certificate_name(ca.row), ca.certificate)
        return made

    def _own(self) -> list[MadeCa]:
        key = self._maker.key(Role.ROOT)
        root = self._maker.root(key, Standing.ACTIVE)
        return [root, *self._below(root.certificate, key.key)]

    def _below(self, root: x509.Certificate, root_key: PrivateKey) -> list[MadeCa]:
        """Make the issuing CA, and the next one ahead."""
        above = self._custody.above(root, root_key)
        keys = [(self._maker.key(Role.ISSUING), state) for state in (Standing.ACTIVE, Standing.NEXT)]
        return [self._maker.issuing(above, made, state) for made, state in keys]

    def _under_brought(self, path: Path) -> list[MadeCa]:
        files = isinstance(self._custody.keys, FileKeys)
        root, key = foundable(path, self._custody.policy, self._now, files=files)
        mark = fingerprint(root)
        made = MadeCa(root, self._maker.row(Role.ROOT, root, mark, "", Standing.ACTIVE))
        if may_have_issuing(root):
            return [made, *self._below(root, key)]
        name = key_name(Role.ISSUING, mark[:_MARK_DIGITS])
        cast("FileKeys", self._custody.keys).keep(name, key)
        return [made, MadeCa(root, self._maker.row(Role.ISSUING, root, mark, name, Standing.ACTIVE))]

    # -- every other start ---------------------------------------------------------------------

    def _still_brought(self, path: Path, known: Authorities) -> None:
        """Hold the CA that the settings name against the one that they named at first.

        It was judged then. One that has ended since stops nothing but what needs it: secrets and tokens go on.
        """
        certificate = brought_certificate(path)
        ours = next((ca for ca in known.of(Role.ROOT) if ca.certificate == certificate), None)
        if ours is None:
            raise ConfigurationError(
                f"CA_CERT_PATH ({path}) is another CA than the one this data directory was set up with"
            )
        key_path = self._custody.policy.ca_key_path
        access = self._custody.policy.access
        if key_path is not None and brought_key_is_here(key_path, access):
            brought_key(key_path, certificate, access)


def require_foundable(data_directory: Path, policy: Policy, now: float) -> None:
    """Raise, before anything of a first start is made, what the settings would raise in `Foundation.lay`.

    Writes nothing. Raises `ConfigurationError` naming what is wrong, `UnavailableError` when our keys' token is away.
    """
    if policy.ca_keys is not None:
        TokenKeys(policy.ca_keys, policy.access).require_present()
    path = policy.brought(own_root(data_directory))
    if path is not None:
        foundable(path, policy, now, files=policy.ca_keys is None)


def foundable(path: Path, policy: Policy, now: float, *, files: bool) -> tuple[x509.Certificate, PrivateKey]:
    """Return the CA that is brought along and its key, when an authority can be founded under it; writes nothing.

    `files`: our own keys are kept in files. Raises `ConfigurationError` naming what is wrong.
    """
    root = acceptable_root(path, now)
    if policy.ca_key_path is None:
        raise ConfigurationError("CA_KEY_PATH: unset, while CA_CERT_PATH is set; the first start needs the key")
    key = brought_key(policy.ca_key_path, root, policy.access)
    if not may_have_issuing(root) and (not files or isinstance(key, TokenKey)):
        raise ConfigurationError(
            f"CA_CERT_PATH ({path}) is refused: its path length allows no CA below it, so it would have to issue"
            " itself, and its key cannot be moved into a token or out of one"
        )
    return root, key
