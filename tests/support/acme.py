"""An ACME client of few words: keys that sign, calls that can be bent, and the room with everything around it."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.http import Answer
from tests.support.keys import keyring
from tests.support.pki import POLICY, KeptEntries, SetClock, csr
from tests.support.wire import Wire
from tradewarden.access.grant import ANY, Credential, Grant, authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.acme.acme import Acme, AcmePolicy
from tradewarden.acme.commands import KeyMade, MakeKey, NewAccount, NewOrder
from tradewarden.acme.jwk import AccountKey, key_of
from tradewarden.acme.problem import AcmeError, Identifier
from tradewarden.acme.rights import rights, service_principal
from tradewarden.acme.rows import Opened
from tradewarden.acme.store import AccountRow, AcmeStore
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import Randomness
from tradewarden.crypto.base64url import base64url, unbase64url
from tradewarden.identity.commands import RegisterService
from tradewarden.identity.services import Services
from tradewarden.pki.authority import Authority
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_acme import MemoryAcmeStore
from tradewarden.storage.memory_identity import MemoryServiceStore
from tradewarden.storage.memory_pki import MemoryPkiStore

BASE = "http://127.0.0.1:8002"
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
MAKERS: Mapping[str, Callable[[], PrivateKey]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


class Pair:
    """An account's key pair."""

    def __init__(self, algorithm: str = "ES256", private: PrivateKey | None = None) -> None:
        self.algorithm = algorithm
        self.private = private or MAKERS[algorithm]()
        known = key_of(self.private.public_key())
        assert known is not None
        self.public: AccountKey = known
        self.jwk: dict[str, Any] = msgspec.json.decode(known.text)

    def sign(self, data: bytes) -> bytes:
        """Sign as JWS does."""
        match self.private:
            case ec.EllipticCurvePrivateKey() as key:
                size = (key.curve.key_size + 7) // 8
                digest = hashes.SHA256() if size == 32 else hashes.SHA384()
                r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
                return r.to_bytes(size) + s.to_bytes(size)
            case rsa.RSAPrivateKey() as key:
                return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case key:
                return key.sign(data)

    def jws(self, header: Mapping[str, Any], payload: object) -> dict[str, str]:
        """Return a flattened JWS; a payload of None is empty (POST-as-GET), bytes go as they are."""
        protected = base64url(msgspec.json.encode(header))
        raw = payload if isinstance(payload, bytes) else b"" if payload is None else msgspec.json.encode(payload)
        data = f"{protected}.{base64url(raw)}"
        return {"protected": protected, "payload": base64url(raw), "signature": base64url(self.sign(data.encode()))}


def binding(kid: str, hmac_key: str, jwk: Mapping[str, Any], url: str, algorithm: str = "HS256") -> dict[str, str]:
    """Return an external account binding."""
    protected = base64url(msgspec.json.encode({"alg": algorithm, "kid": kid, "url": url}))
    payload = base64url(msgspec.json.encode(jwk))
    tag = hmac.digest(unbase64url(hmac_key) or b"", f"{protected}.{payload}".encode(), "sha256")
    return {"protected": protected, "payload": payload, "signature": base64url(tag)}


async def show_key(acme: Acme, kid: str, hmac_key: str) -> None:
    """Show an external account key, as a client does that opens an account with it; raises `AcmeProofError`."""
    url, pair = acme.places.at(acme.places.NEW_ACCOUNT), Pair()
    header = {"alg": pair.algorithm, "nonce": acme.nonces.make(), "url": url, "jwk": pair.jwk}
    payload = {"externalAccountBinding": binding(kid, hmac_key, pair.jwk, url)}
    await acme.proof.prove(acme.places.NEW_ACCOUNT, msgspec.json.encode(pair.jws(header, payload)))


def request(*names: str, key: PrivateKey | None = None, cn: str | None = None, **more: Any) -> str:  # noqa: ANN401
    """Return a CSR as finalize takes it: DER in base64url; `more` as for `csr`."""
    from ipaddress import ip_address

    def general(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    pem = csr(key, cn=cn, sans=tuple(map(general, names)), **more)
    return base64url(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))


# --- over HTTP -------------------------------------------------------------------------------------


@dataclass
class Client:
    """Talks ACME to a running service over one connection. `kid` is empty before there is an account."""

    wire: Wire
    base: str
    pair: Pair = field(default_factory=Pair)
    kid: str = ""

    def nonce(self) -> str:
        """Return a fresh nonce."""
        return self.wire.ask("HEAD", "/acme/new-nonce").headers["replay-nonce"]

    def post(self, url: str, payload: object = None, /, **header: object) -> Answer:
        """Sign and send; `header` replaces members of the protected header, and None takes them out."""
        who = {"kid": self.kid} if self.kid else {"jwk": self.pair.jwk}
        usual = {"alg": self.pair.algorithm, "nonce": self.nonce(), "url": url, **who, **header}
        bent = {name: value for name, value in usual.items() if value is not None}
        return self.send(url, msgspec.json.encode(self.pair.jws(bent, payload)))

    def send(self, url: str, body: bytes, media_type: str = "application/jose+json") -> Answer:
        """Send a body as it is."""
        path = url.removeprefix(self.base)
        return self.wire.ask("POST", path, body, (("Content-Type", media_type),))

    def open(self, made: Mapping[str, str], **fields: object) -> Answer:
        """Open an account with an external account key."""
        url = f"{self.base}/acme/new-account"
        bound = binding(made["kid"], made["hmac_key"], self.pair.jwk, url)
        answer = self.post(url, {"externalAccountBinding": bound, "termsOfServiceAgreed": True, **fields})
        if answer.status in (200, 201):
            self.kid = answer.headers["location"]
        return answer


# --- the room by itself ----------------------------------------------------------------------------


class Stub:
    """Looks at challenges as a test says: met, or a reason why not."""

    def __init__(self) -> None:
        self.refusal: AcmeError | None = None
        self.seen: list[tuple[str, str]] = []

    async def at(self, challenge: Any, identifier: Identifier, thumbprint: str) -> None:  # noqa: ANN401
        """Look."""
        del thumbprint
        self.seen.append((challenge.type, identifier.value))
        if self.refusal is not None:
            raise self.refusal


@dataclass
class AcmeRoom:
    """The ACME room over memory, with a real authority and register."""

    acme: Acme
    store: AcmeStore
    authority: Authority
    services: Services
    clock: SetClock
    looks: Stub
    entries: KeptEntries
    pki: MemoryPkiStore

    def entry(self, action: str = "order", resource: str = "") -> Entry:
        """Return an open audit entry."""
        made = Auditor(self.entries, self.clock).entry(EventType.CERTIFICATE, action, Origin())
        made.resource = resource
        return made

    async def key(self, service: str = "web", *names: str, **fields: Any) -> KeyMade:  # noqa: ANN401
        """Make an external account key, registering its service when need be."""
        if await self.services.registered(service) is None:
            command = RegisterService(service, ())
            await self.services.register(admin("services:manage"), command, self.entry())
        return await self.acme.bindings.make(
            admin("acme:manage", service), MakeKey(service, names, **fields), self.entry()
        )

    async def account(self, pair: Pair, service: str = "web", *names: str) -> AccountRow:
        """Open an account for a service."""
        made = await self.key(service, *names)
        grant = grant_of(service, "acme:account", made.kid, "acme_binding")
        row, fresh = await self.acme.accounts.open(grant, pair.public, NewAccount(), self.entry())
        assert fresh
        return row

    async def order(self, account: AccountRow, *names: str) -> Opened:
        """Make an order."""
        wanted = NewOrder(tuple(Identifier("dns", name) for name in names))
        return await self.acme.orders.new(grant_for(account), account, wanted, self.entry())

    async def ready(self, account: AccountRow, *names: str) -> Opened:
        """Make an order and prove all of its names."""
        made = await self.order(account, *names)
        for number in range(len(names)):
            await self.acme.authorizations.begin(grant_for(account), made.row.id, number, "http-01", self.entry())
        await self.acme.validator.work_off()
        return await self.acme.orders.own(grant_for(account), made.row.id)


def admin(action: str, resource: str = ANY) -> Grant:
    """Return an administrator's grant."""
    return authorize(Principal(Kind.USER, "admin"), ALL, action, resource)


def grant_of(service: str, action: str, name: str, method: str = "acme_account") -> Grant:
    """Return the grant of who acts for a service through ACME."""
    return authorize(service_principal(service), rights(service), action, ANY, Credential(method, name))


def grant_for(account: AccountRow, action: str = "acme:order") -> Grant:
    """Return an account's grant."""
    return grant_of(account.service_name, action, account.id)


async def acme_room(
    directory: Path,
    store: AcmeStore | None = None,
    policy: AcmePolicy | None = None,
    randomness: Randomness = os.urandom,
) -> AcmeRoom:
    """Return the room, with looks that find every challenge met."""
    database, clock, entries, looks = MemoryDatabase(), SetClock(), KeptEntries(), Stub()
    keys = await keyring(clock=clock)
    services = Services(MemoryServiceStore(database), keys, clock, os.urandom, database.revisions)
    pki = MemoryPkiStore(database)
    authority = await Authority.open(
        pki, keys, directory, POLICY, clock, os.urandom, first_start=True, register=services
    )
    store = store or MemoryAcmeStore(database)

    def entry(action: str, resource: str) -> Entry:
        made = Auditor(entries, clock).entry(EventType.CERTIFICATE, action, Origin())
        made.resource = resource
        return made

    acme = Acme(
        store, keys, services, authority.registration, policy or AcmePolicy(base=BASE), clock, randomness, entries=entry
    )
    acme.validator._looks = lambda: looks  # type: ignore[assignment,return-value]
    return AcmeRoom(acme, store, authority, services, clock, looks, entries, pki)
