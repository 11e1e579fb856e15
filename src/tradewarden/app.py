"""The composition root: settings in, one wired `Warden` out. It, `ground` and `records` alone name adapters."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from tradewarden import __version__
from tradewarden.access.grant import ANY, authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import OWN_NAME
from tradewarden.acme.acme import Acme
from tradewarden.audit.checkpointing import Checkpointer
from tradewarden.audit.clerk import Clerk
from tradewarden.audit.entry import Entry, EventType
from tradewarden.audit.flood import Flood
from tradewarden.audit.log import AuditLog
from tradewarden.audit.shipping import Shipper
from tradewarden.background import begin
from tradewarden.clock import Clock, Randomness, SystemClock, system_randomness
from tradewarden.crypto.signers import Signer
from tradewarden.datadir import require_data, stage
from tradewarden.errors import AuditUnavailableError, ConfigurationError, FeatureDisabledError
from tradewarden.forked import Home
from tradewarden.ground import Ground, lay_ground
from tradewarden.identity.admin import AdminToken
from tradewarden.identity.enrolment import Enrolment
from tradewarden.identity.services import Services
from tradewarden.keys.purpose import Purpose
from tradewarden.local import Local, local_principal
from tradewarden.lookout import Lookout, Sights
from tradewarden.own_services import OwnServices
from tradewarden.pki.authority import Authority
from tradewarden.policies import acme_policy, ca_token, listener_names, pki_policy, refusals, root_sources, token_policy
from tradewarden.records import checkpoint_signer
from tradewarden.secrets.rewrap import Rewrap
from tradewarden.secrets.rotation.rotations import ROTATE, Rotations
from tradewarden.secrets.rotation.rotators.outbound import Outbound
from tradewarden.secrets.rotation.rotators.registry import rotators
from tradewarden.secrets.secrets import SecretLimits, Secrets
from tradewarden.secrets.vaulted.vaulted import VaultedSecrets
from tradewarden.settings import Settings, load_settings
from tradewarden.storage.beginning import Stage
from tradewarden.storage.sql_acme import SqlAcmeStore
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sql_enrolment import SqlJoinStore
from tradewarden.storage.sql_identity import SqlServiceStore
from tradewarden.storage.sql_pki import SqlPkiStore
from tradewarden.storage.sql_rotation import SqlRotationStore
from tradewarden.storage.sql_secrets import SqlSecretStore
from tradewarden.storage.sql_tokens import SqlTokenStore
from tradewarden.tokens.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.keys.root import RootSource
    from tradewarden.pki.store import Tally
    from tradewarden.readiness import Readiness
    from tradewarden.secrets.room import SecretsRoom
    from tradewarden.storage.database import Revisions


class Warden:
    """All rooms of one installation, open in this process. Made by `start` (or, as `async with`, by `open`)."""

    version = __version__
    authority: Authority  # this and the next two are made by `start`: making them reads and writes
    acme: Acme
    _lookout: Lookout

    def __init__(self, settings: Settings, ground: Ground) -> None:
        database, keyring = ground.database, ground.keyring
        clock, randomness, revisions = ground.clock, ground.randomness, database.revisions
        self._ground = ground
        self.settings = settings
        self.clock: Clock = clock
        self.floor = ground.floor
        self.randomness = randomness
        self.database = database
        self.keyring = keyring
        self.journal = ground.journal
        self.metrics: Measured | None = None
        self.mtls_fault = ""
        self.ended: list[str] = []
        self._hide = keyring.mac(Purpose.AUDIT, "hidden")
        self._keys_seen = -1
        self._authorities_seen = -1
        self._refusals = refusals(settings)
        self.auditor = ground.auditor
        self.flood = Flood(ground.journal, clock)
        self.visits = Flood(ground.journal, clock, visits=True)
        audit, signer = SqlAuditStore(database), checkpoint_signer(keyring)
        self.clerk = _clerk(settings, ground, audit, signer)
        self.audit_log = AuditLog(audit, signer, clock)
        secret_store = SqlSecretStore(database)
        limits = SecretLimits(max_versions=settings.max_versions)
        self.vaulted = _vaulted(settings, ground, limits, self._count_vault)
        self.secrets: SecretsRoom = self.vaulted or Secrets(secret_store, keyring, clock, randomness, limits)
        self.rewrap = Rewrap(secret_store, keyring)
        services = SqlServiceStore(database)
        self.services = Services(services, keyring, clock, randomness, revisions)
        self.enrolment = Enrolment(
            SqlJoinStore(database), keyring, self.services, clock, randomness, lambda: self.authority.root_fingerprint
        )
        self.admin_token = AdminToken(services, keyring, settings.data_dir, clock, randomness)
        self.tokens = Tokens(
            SqlTokenStore(database),
            keyring,
            self.services,
            token_policy(settings),
            clock,
            randomness,
            revisions,
            lambda serial: self.authority.is_revoked(serial),  # noqa: PLW0108  (`start` makes it)
        )
        ways = rotators(Outbound(settings.rotation_hosts), OwnServices(self), clock, randomness)
        self.rotations = Rotations(SqlRotationStore(database), self.secrets, keyring, ways, clock, randomness)

    @classmethod
    async def start(
        cls,
        settings: Settings,
        *,
        create: bool = False,
        follow: bytes | None = None,
        clock: Clock | None = None,
        randomness: Randomness = system_randomness,
    ) -> Self:
        """Open the installation that `settings` name; a fresh one is made in development, or with `create`.

        A process of a running service gives `follow`, that service's `keyring.lineage`: it then also opens what was
        put under another root key since the service started.

        Raises `ConfigurationError` naming what is missing, damaged or foreign; nothing is changed then.
        """
        ground = await lay_ground(settings, clock or SystemClock(), randomness, create=create, follow=follow)
        warden = cls(settings, ground)
        try:
            await warden._begin(first=ground.first)
        except BaseException:
            await warden._close_ground()
            raise
        return warden

    async def _begin(self, *, first: bool) -> None:
        settings = self.settings
        await self.floor.load()
        async with self.entry(EventType.CONFIGURATION_CHANGE, "start"):
            secret = settings.jwt_secret.reveal() if settings.jwt_secret else None
            await self.tokens.open(secret, self.entry(EventType.KEY, "create", "signing"))
            self.authority = await Authority.open(
                SqlPkiStore(self.database),
                self.keyring,
                settings.data_dir,
                pki_policy(settings),
                self.clock,
                self.randomness,
                first_start=first,
                entry=self.entry(EventType.CERTIFICATE, "create", "ca"),
                register=self.services,
            )
            self.acme = Acme(
                SqlAcmeStore(self.database),
                self.keyring,
                self.services,
                self.authority.registration,
                acme_policy(settings),
                self.clock,
                self.randomness,
                entries=lambda action, resource: self.entry(EventType.CERTIFICATE, action, resource),
            )
            await self.admin_token.ensure(self.entry(EventType.AUTHENTICATION, "create", "admin_token"))
        self._lookout = Lookout(self._sights(), self.clock)

    def _sights(self) -> Sights:
        return Sights(
            self.settings.data_dir / "audit",
            self.database,
            self.keyring,
            ca_token(self.settings),
            self.authority,
            self.rotations,
            self.vaulted,
            self._refusals,
            self.floor,
            self.ended,
        )

    def entry(self, event: EventType, action: str, resource: str = ANY) -> Entry:
        """Return the audit entry of something that this process does by itself, holding the root key."""
        return self._ground.entry(event, action, resource)

    def rotating(self, path: str) -> tuple[Grant, Entry]:
        """Return the grant and the entry under which this process rotates a secret by itself."""
        return authorize(local_principal(), ALL, ROTATE, path), self.entry(EventType.SECRET_ACCESS, "rotate", path)

    @property
    def local(self) -> Local:
        """The rooms for this very process: `await warden.local.secrets.get("api_keys/binance")`."""
        return Local(self)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings | None = None, *, create: bool = False) -> AsyncIterator[Self]:
        """Open an installation in this process for as long as the block runs; the environment names it by default.

        While it is open, this process also numbers and signs the audit log when no service does.
        """
        warden = await cls.start(settings or load_settings(os.environ, Path(".env")), create=create)
        stop, home = asyncio.Event(), Home()
        background = begin(warden, stop, warden.ended)
        try:
            yield warden
        finally:
            stop.set()
            if home.here:  # a fork that leaves this block has nothing to finish
                try:
                    await asyncio.gather(background, return_exceptions=True)  # how it ended stands in the log
                finally:
                    await warden.close()

    async def close(self) -> None:
        """Finish what is under way, write what waits, let everything go."""
        await close_windows(self)
        await self.authority.close()
        await self._close_ground()

    async def _close_ground(self) -> None:
        if self.vaulted is not None:
            await self.vaulted.close()
        await self._ground.close()

    async def revisions(self) -> Revisions:
        """Return the revisions as of now; a rotation of keys or CAs by another process is followed first."""
        revisions = await self.database.revisions()
        if revisions.keys != self._keys_seen:
            await self.keyring.refresh()
            self._keys_seen = revisions.keys
        if revisions.authorities != self._authorities_seen:
            await self.authority.follow(revisions)
            self._authorities_seen = revisions.authorities
        return revisions

    def hidden(self, field: str, value: str) -> str:
        """Return what an audit entry shows in place of an unknown name or path (decision 20)."""
        return self._hide.hidden(field, value)

    def root_source(self, uri: str) -> RootSource:
        """Return the root source that a URI names, for a rotation; raises `ConfigurationError`.

        Outside development a file is refused: the next start would refuse it, and leave the data closed.
        """
        if uri.startswith("file:") and not self.settings.development:
            raise ConfigurationError("a root key on disk (file:) is refused outside development")
        return root_sources(self.settings).named(uri)

    async def active(self) -> tuple[Tally, int]:
        """Return the certificates and the number of tokens that are valid; a few seconds old at most."""
        return await self.authority.counts(), await self.tokens.counts()

    async def listener_certificate(self, action: str = "issue") -> tuple[str, str]:
        """Issue (or `renew`) the certificate of our own listeners; returns its chain and its key, both PEM."""
        names, addresses = listener_names(self.settings)
        async with self.entry(EventType.CERTIFICATE, action, OWN_NAME) as entry:
            grant = authorize(local_principal(), ALL, "credentials:issue", OWN_NAME)
            made = await self.authority.server_certificate(grant, names, addresses, entry)
        return made.certificate_chain, made.private_key or ""

    def require(self, feature: str) -> None:
        """Raise `FeatureDisabledError` when a setting turns this part off, or asks for one that cannot be had."""
        refusal = self._refusals.get(feature)
        if refusal:
            raise FeatureDisabledError(refusal)

    async def readiness(self) -> Readiness:
        """Say whether requests can be answered now; looks at most once a second."""
        found = await self._lookout.readiness()
        told = () if self.metrics is None else self.metrics.warnings()
        return msgspec.structs.replace(found, warnings=(*found.warnings, *told))

    def _count_vault(self, outcome: str) -> None:
        if self.metrics is not None:
            self.metrics.count_vault(outcome)


def _clerk(settings: Settings, ground: Ground, audit: SqlAuditStore, signer: Signer) -> Clerk:
    clock, seal = ground.clock, ground.seal
    shipper = Shipper(settings.data_dir / "audit", audit, ground.keyring.cipher(Purpose.AUDIT), seal, clock)
    checkpointer = Checkpointer(audit, signer, f"{settings.trust_domain}/audit", clock)
    return Clerk(audit, shipper, checkpointer, seal, clock, ground.randomness)


def _vaulted(
    settings: Settings, ground: Ground, limits: SecretLimits, count: Callable[[str], None]
) -> VaultedSecrets | None:
    if ground.vault is None:
        return None
    return VaultedSecrets(ground.vault, ground.clock, settings.stale_seconds, count, limits)


async def close_windows(warden: Warden) -> None:
    """Record what was counted and not recorded one by one; what cannot be recorded stays counted."""
    with suppress(AuditUnavailableError):
        if warden.journal.spare():
            await warden.flood.close_window()
            await warden.visits.close_window()


class Measured(Protocol):
    """What knows the figures of all processes (`tradewarden.http.metrics.Metrics`)."""

    def render(self) -> bytes:
        """Return them as Prometheus text."""
        ...

    def count_ocsp(self, status: str) -> None:
        """Count what an OCSP answer said about one certificate, or that it refused."""
        ...

    def count_vault(self, outcome: str) -> None:
        """Count what a use of Vault came to."""
        ...

    def warnings(self) -> Sequence[str]:
        """Return what an operator must know about the processes."""
        ...


async def initialise(settings: Settings) -> Path:
    """Make a new installation (`tradewarden init`), or finish one that was cut off; return where its admin token lies.

    Raises `ConfigurationError` when there is one already.
    """
    if stage(settings.data_dir, settings.database_path) is Stage.INITIALISED:
        raise ConfigurationError(f"{settings.database_path} is initialised already; nothing was changed")
    warden = await Warden.start(settings, create=True)
    await warden.close()
    return warden.admin_token.path


async def new_admin_token(settings: Settings) -> Path:
    """Make another admin token, which voids the one before, and return the file it lies in."""
    require_data(settings.data_dir, settings.database_path)
    warden = await Warden.start(settings)
    try:
        async with warden.entry(EventType.AUTHENTICATION, "create", "admin_token") as entry:
            return await warden.admin_token.issue(entry)
    finally:
        await warden.close()
