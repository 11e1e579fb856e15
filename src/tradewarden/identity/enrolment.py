"""Join tokens: how a service gets its first certificate without a human beside it.

Always true here: a join token is good once, for one service and the names that it was made with, until it ends. It is
shown once and kept as a keyed hash. It is used up before a certificate is signed: of two that come with it at the same
time one wins, and a crash in between costs the token and never gives two certificates.
"""

from __future__ import annotations

from copy import copy
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from tradewarden.access import listing
from tradewarden.access.grant import Credential, Grant, authorize
from tradewarden.access.hosts import dns_name, ip
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal, service_name
from tradewarden.clock import rfc3339
from tradewarden.crypto.base64url import base64url
from tradewarden.errors import AuthenticationError, InvalidInputError, NotFoundError, UnavailableError
from tradewarden.identity.commands import JoinTokenListed, JoinTokenMade, JoinTokensListed, JoinTokensWithdrawn
from tradewarden.identity.credential import credential_hash
from tradewarden.identity.joins import JoinChange, JoinRow
from tradewarden.identity.limits import MAX_JOIN_NAMES, MAX_MINUTES
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.identity.commands import ListJoinTokens, MakeJoinToken, WithdrawJoinTokens
    from tradewarden.identity.joins import JoinStore
    from tradewarden.keys.port import Keys

T = TypeVar("T")

JOIN_TOKEN_PREFIX: Final = "twj_"  # noqa: S105  (how scanners recognise one)
DEFAULT_MINUTES: Final = 60
KEPT_SECONDS: Final = 7 * 86_400
"""Rows of tokens that ended are kept this long, for whoever looks into an incident."""
MAX_LISTED: Final = 1000
_ISSUE, _READ = "credentials:issue", "credentials:read"
_ID_DIGITS: Final = 16
_BYTES = 32
_REFUSED = "The join token is not accepted; ask an operator for another one"
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


class Registration(Protocol):
    """One registered service."""

    @property
    def incarnation(self) -> str:
        """Differs for every registration of a name, so that a join token never outlives its own."""
        ...

    @property
    def permissions(self) -> tuple[str, ...]:
        """The most that it may ever be granted."""
        ...


class Register(Protocol):
    """The register of services (`tradewarden.identity.services.Services`)."""

    async def registered(self, name: str) -> Registration | None:
        """Return the registration that stands now; None when the name is not registered."""
        ...


class Joining(msgspec.Struct, frozen=True):
    """Who comes in with a join token that is good, and what it may be certified under.

    `grant` is that of whoever made the token, for this one certificate. `incarnation` is the registration that the
    token was made for (empty: for none), and the only one that the certificate may be issued to. `spend` uses the token
    up and is awaited last before the certificate is signed.
    """

    service_name: str
    incarnation: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    grant: Grant
    spend: Callable[[], Awaitable[None]]


class Enrolment:
    """Makes join tokens and takes them. `pin` gives the hex fingerprint (SHA-256) of the root CA to put into them."""

    def __init__(
        self,
        store: JoinStore,
        keys: Keys,
        register: Register,
        clock: Clock,
        randomness: Randomness,
        pin: Callable[[], str],
    ) -> None:
        self._store = store
        self._sealer = keys.sealer(Purpose.IDENTITY)
        self._mac = keys.mac(Purpose.IDENTITY, "join-token")
        self._register = register
        self._clock = clock
        self._randomness = randomness
        self._pin = pin

    async def invite(self, grant: Grant, command: MakeJoinToken, entry: Entry) -> JoinTokenMade:
        """Make a join token; whoever may issue to a service may invite it. Raises `InvalidInputError`."""
        name = service_name(command.service_name)
        entry.resource = name
        grant.require(_ISSUE, name)
        minutes = DEFAULT_MINUTES if command.ttl_minutes is None else command.ttl_minutes
        if not 1 <= minutes <= MAX_MINUTES:
            raise InvalidInputError(f"ttl_minutes must be from 1 to {MAX_MINUTES}")
        if len(command.dns_names) > MAX_JOIN_NAMES or len(command.ip_addresses) > MAX_JOIN_NAMES:
            most = MAX_JOIN_NAMES
            raise InvalidInputError(f"At most {most} dns_names and {most} ip_addresses can be given")
        registration = await self._register.registered(name)
        if registration is not None:
            grant.require_over(name, registration.permissions)
        token = self._fresh()
        now = int(self._clock.now())
        row = self._sealer.seal(
            JoinRow(
                digest=credential_hash(self._mac, token),
                service_name=name,
                incarnation="" if registration is None else registration.incarnation,
                dns_names=_names_text(map(dns_name, command.dns_names)),
                ip_addresses=_names_text(str(ip(each)) for each in command.ip_addresses),
                created_at=now,
                created_by=str(grant.principal),
                expires_at=now + minutes * 60,
                used_at=0,
            )
        )
        await self._store.change(row.digest, lambda _: JoinChange(None, entry.draft(_digest(row)), row))
        entry.commit()
        return JoinTokenMade(token, name, rfc3339(row.expires_at))

    async def list(self, grant: Grant, command: ListJoinTokens) -> JoinTokensListed:
        """Return the join tokens that are still good, of services that the grant may see; the first to end first."""
        wanted = service_name(command.service_name) if command.service_name else ""
        grant.require(_READ, wanted or grant.resource)
        now = int(self._clock.now())
        rows, _ = await listing.page(
            listing.names(grant, wanted),
            lambda name: self._store.unused(now, name, MAX_LISTED),
            lambda row: (row.expires_at, row.digest),
            MAX_LISTED,
        )
        return JoinTokensListed(tuple(_listed(self._sealer.check(row)) for row in rows))

    async def withdraw(self, grant: Grant, command: WithdrawJoinTokens, entry: Entry) -> JoinTokensWithdrawn:
        """End the unused join tokens of a service, or one of them; raises `NotFoundError` for an id that is none."""
        name = service_name(command.service_name)
        entry.resource = name
        grant.require(_ISSUE, name)
        ended = 0
        while rows := await self._store.unused(int(self._clock.now()), name, MAX_LISTED):
            chosen = [row for row in rows if command.id in ("", _id(row))]
            if command.id and not chosen:
                raise NotFoundError("Join token not found")
            for row in chosen:
                ended += await self._end(row, entry)
            if command.id:
                break
        return JoinTokensWithdrawn(name, ended)

    async def _end(self, row: JoinRow, entry: Entry) -> int:
        """End one token, with an entry of its own; 0 when it was used meanwhile."""
        now, own = int(self._clock.now()), copy(entry)

        def decide(before: JoinRow | None) -> JoinChange[int]:
            standing = self._sealer.check(row if before is None else before)
            left = not standing.used_at
            ends = min(standing.expires_at, now)
            ended = self._sealer.seal(replace(standing, expires_at=ends, used_at=now)) if left else standing
            own.reason = f"join token {_id(row)}" + ("" if left else f" was {_done(standing)} before")
            return JoinChange(int(left), own.draft(_digest(ended)), ended)

        ended = await self._store.change(row.digest, decide)
        entry.commit()
        return ended

    async def enroll(
        self, token: str, entry: Entry, certify: Callable[[Joining], Awaitable[T]], expected: str = ""
    ) -> T:
        """Let a service in: find its token good, have everything else checked, use the token up, certify.

        `expected`, when given, is the only service that is let in. `certify` awaits `Joining.spend` when nothing is
        left but to sign. What is refused before that leaves the token as good as it was. Raises `AuthenticationError`,
        one for every cause; `InvalidInputError` for a token of another service; `UnavailableError` saying what to do
        when the token is used up and there is no certificate.
        """
        row = await self._good(token)
        entry.user, entry.method, entry.resource = f"service:{row.service_name}", "join_token", row.service_name
        if expected not in ("", row.service_name):
            raise InvalidInputError(
                f"The join token is for the service {row.service_name!r}, not for {expected[:80]!r}; it was not used"
            )
        spent = False

        async def spend() -> None:
            nonlocal spent
            await self._spend(row, entry)
            spent = True
            entry.action = "issue"  # the token's use is recorded; what follows is the certificate

        try:
            return await certify(_joining(row, spend))
        except Exception as error:
            if not spent:
                raise
            raise UnavailableError(
                "The certificate could not be issued, and the join token is used up: see that the service is well, "
                f"then make another with 'tradewarden ca join-token {row.service_name}'",
                reason=f"join token used, and no certificate: {getattr(error, 'reason', type(error).__name__)}",
            ) from error

    async def sweep(self, limit: int = 1000) -> int:
        """Forget up to `limit` tokens that ended more than a week ago; return how many went."""
        return await self._store.sweep(int(self._clock.now()) - KEPT_SECONDS, limit)

    def _fresh(self) -> str:
        secret = base64url(self._randomness(_BYTES))
        return f"{JOIN_TOKEN_PREFIX}{secret}.{self._pin()[:32]}"

    async def _good(self, token: str) -> JoinRow:
        row = await self._store.read(credential_hash(self._mac, token))
        return self._checked(row, "" if row is None else await self._incarnation(row.service_name))

    async def _incarnation(self, name: str) -> str:
        """Return the registration that stands now; empty without one."""
        registration = await self._register.registered(name)
        return "" if registration is None else registration.incarnation

    def _checked(self, row: JoinRow | None, incarnation: str) -> JoinRow:
        if row is None:
            raise AuthenticationError(_REFUSED, reason="join token is unknown")
        self._sealer.check(row)
        if row.used_at:
            raise AuthenticationError(_REFUSED, reason=f"join token of {row.service_name} was {_done(row)} before")
        if self._clock.now() >= row.expires_at:
            raise AuthenticationError(_REFUSED, reason=f"join token of {row.service_name} is expired")
        if row.incarnation != incarnation:
            raise AuthenticationError(
                _REFUSED, reason=f"{row.service_name} is not registered as it was when its join token was made"
            )
        return row

    async def _spend(self, row: JoinRow, entry: Entry) -> None:
        used = self._sealer.seal(replace(row, used_at=int(self._clock.now())))
        incarnation = await self._incarnation(row.service_name)

        def decide(before: JoinRow | None) -> JoinChange[None]:
            self._checked(before, incarnation)
            return JoinChange(None, entry.draft(_digest(used)), used)

        await self._store.change(row.digest, decide)
        entry.commit()


def _listed(row: JoinRow) -> JoinTokenListed:
    return JoinTokenListed(
        _id(row),
        row.service_name,
        _decode_names(row.dns_names),
        _decode_names(row.ip_addresses),
        rfc3339(row.created_at),
        row.created_by,
        rfc3339(row.expires_at),
    )


def _done(row: JoinRow) -> str:
    """Say what was done with a token that is not open any more."""
    return "withdrawn" if row.withdrawn else "used"


def _id(row: JoinRow) -> str:
    return row.digest.hex()[:_ID_DIGITS]


def _joining(row: JoinRow, spend: Callable[[], Awaitable[None]]) -> Joining:
    """Return what a row lets in; the maker's right to issue was checked when it was made, and is for this service."""
    kind, _, maker = row.created_by.partition(":")
    grant = authorize(
        Principal(Kind(kind), maker),
        PermissionSet((f"{_ISSUE}:{row.service_name}",)),
        _ISSUE,
        row.service_name,
        Credential("join_token", row.service_name),
    )
    names = _decode_names(row.dns_names), _decode_names(row.ip_addresses)
    return Joining(row.service_name, row.incarnation, *names, grant, spend)


def _names_text(names: Iterable[str]) -> str:
    return msgspec.json.encode(tuple(dict.fromkeys(names))).decode()


def _digest(row: JoinRow) -> str:
    """Return what the audit leaf of a change carries: SHA-256 (hex) of the row's seal."""
    return sha256(row.seal).hexdigest()
