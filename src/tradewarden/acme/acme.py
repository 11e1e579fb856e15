"""The ACME room: everything of RFC 8555 that needs no HTTP."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from tradewarden.acme.accounts import Accounts
from tradewarden.acme.authorizations import Authorizations
from tradewarden.acme.bindings import Bindings
from tradewarden.acme.certificates import Certificates
from tradewarden.acme.finalization import Finalizer
from tradewarden.acme.nonces import Nonces
from tradewarden.acme.orders import Orders
from tradewarden.acme.places import Places
from tradewarden.acme.proof import Proof
from tradewarden.acme.rows import OrderRows
from tradewarden.acme.standing import Standing
from tradewarden.acme.validation import Validator
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from tradewarden.acme.looks import Looks
    from tradewarden.acme.ports import Register, RegistrationAuthority
    from tradewarden.acme.store import AcmeStore
    from tradewarden.acme.validation import Entries
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys


class AcmePolicy(msgspec.Struct, frozen=True):
    """The rules that the settings give.

    `base` is how clients reach us. Challenges are looked at on `http_port` and at the DNS server `dns` (None: as this
    machine resolves); `listeners` are our own ports, `near` allows loopback and link-local addresses.
    """

    base: str = ""
    http_port: int = 80
    dns: tuple[str, int] | None = None
    listeners: tuple[int, ...] = ()
    near: bool = False


class Acme:
    """All of it, wired: who calls, accounts, orders, certificates, and the background work on them."""

    def __init__(  # noqa: PLR0913  (the composition root's one call)
        self,
        store: AcmeStore,
        keys: Keys,
        register: Register,
        registration: RegistrationAuthority,
        policy: AcmePolicy,
        clock: Clock,
        randomness: Randomness,
        *,
        entries: Entries,
    ) -> None:
        sealer, places = keys.sealer(Purpose.CA), Places(policy.base)
        standing, rows = Standing(store, sealer, register, clock), OrderRows(store, sealer, clock)
        self._policy = policy
        self.places = places
        self.nonces = Nonces(store, keys.mac(Purpose.CA, "acme-nonce"), clock, randomness)
        self.bindings = Bindings(store, keys, register, registration, places, clock, randomness)
        self.accounts = Accounts(store, sealer, standing, places, clock, randomness)
        self.orders = Orders(store, rows, sealer, standing, registration, clock, randomness)
        self.authorizations = Authorizations(rows, clock)
        self.finalizer = Finalizer(store, rows, standing, registration, clock)
        self.certificates = Certificates(registration, clock)
        self.proof = Proof(standing, self.bindings, self.nonces, registration, places)
        self.validator = Validator(store, rows, self.finalizer, standing, self._looks, clock, entries)

    @cache  # noqa: B019  (one object a process; it lives as long as the process)
    def _looks(self) -> Looks:
        """Return what looks at challenges; its libraries take time to load, and most processes never need them."""
        from tradewarden.acme.looks import Looks
        from tradewarden.acme.reach import Reach, Rules
        from tradewarden.acme.resolver import Resolver

        resolver = Resolver(self._policy.dns)
        reach = Reach(resolver, Rules(self._policy.listeners, self._policy.near))
        return Looks(reach, resolver, self._policy.http_port)
