"""How a service comes to a certificate: the first time by a join token, then by the one it has.

The ways, in their order:

1. A certificate that is valid: `POST /credentials/renew` over mTLS, which proves that the old key is held.
2. Without an mTLS address, when that is not reached or refuses, and once the certificate has expired: the same call
   with a proof signed by the old key. The service takes it for an expired certificate within its grace
   (TRADEWARDEN_RENEWAL_GRACE_HOURS).
3. When the service refuses that, or is under a root that is not trusted here: a join token that was not spent yet,
   from the file that is read again at each try.

A new key is made each time, and what comes back replaces the old pair only once it was found to be whole. Nothing is
asked for while the disk has no room for it.

Always true here: a new root is trusted because one that is trusted has certified it, never because of who answered.
TLS says whose certificate answers, and with an issuing CA's stolen key anybody has one; the root has the last word, in
the cross-certificates of a change and in its revocation list.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.clock import rfc3339
from tradewarden.errors import ConfigurationError, IntegrityError, UnavailableError
from tradewarden.outbound import address
from tradewarden.workload import join_token
from tradewarden.workload.contexts import mutual, trusting
from tradewarden.workload.door import Door, first_contact
from tradewarden.workload.errors import (
    CertificateRefusedError,
    EnrolmentNeededError,
    RefusedError,
    RootUnknownError,
)
from tradewarden.workload.lists import read_lists
from tradewarden.workload.pair import Pair
from tradewarden.workload.peer import Peer, peer
from tradewarden.workload.possession import key_pem, new_key, proof, signing_request
from tradewarden.workload.roots import each_once, followed
from tradewarden.workload.standing import standing

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from tradewarden.clock import Clock
    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.door import Fetched, Issued
    from tradewarden.workload.join_token import JoinToken

_LOG: Final = logging.getLogger("tradewarden.workload")
_REPLACED: Final = "the service certifies under a root that is not trusted here, because the root was replaced"
_SERVICE: Final = "tradewarden"
"""The service's own name, in its certificate."""


@dataclass(frozen=True)
class Source:
    """Where certificates come from. Empty addresses: from nowhere, another process renews and this one follows.

    `service_name`, when given, is the only name that is accepted. `mtls_url` is the mTLS port's address.
    """

    url: str = ""
    mtls_url: str = ""
    service_name: str = ""
    join_token: str = ""
    join_token_file: Path | None = None
    ttl_hours: int | None = None

    def __post_init__(self) -> None:
        for each in filter(None, (self.url, self.mtls_url)):
            address(each)
        if self.mtls_url and not self.mtls_url.startswith("https:"):
            raise ConfigurationError(f"{self.mtls_url[:200]}: mutual TLS is spoken with https only")
        if self.join_token:
            join_token.join_token(self.join_token)

    def __repr__(self) -> str:
        return f"Source({self.url!r})"


class Renewal:
    """Gets new pairs from the service, and roots and revocation lists over connections that are known to be its."""

    def __init__(self, source: Source, directory: IdentityDirectory, clock: Clock) -> None:
        self._source = source
        self._directory = directory
        self._clock = clock
        self._refused: set[str] = set()
        self._known: tuple[bytes, tuple[x509.CertificateRevocationList, ...]] = (b"", ())

    def obtain(self, held: Pair | None) -> Pair | None:
        """Return the pair that replaces `held`, from the service or from a process that was quicker.

        None while another process is at it. Raises `EnrolmentNeededError` when a person must act, else what hindered.
        """
        with self._directory.lock() as mine:
            if not mine:
                return None
            now = self._directory.read()
            if now is not None and (held is None or now.version != held.version):
                return now
            return self._enroll(None) if now is None else self._replace(now)

    def enroll(self) -> Pair:
        """Return a pair for a join token, whatever is held; raises as `obtain` does."""
        with self._directory.lock() as mine:
            if not mine:
                raise UnavailableError(f"{self._directory.path} is being renewed by another process just now")
            return self._enroll(self._directory.read())

    def standing(self, held: Pair) -> str | None:
        """Return why the service takes the certificate no more; empty while it does, None when nobody says."""
        doors = [self._door(held)] if self._source.url else []
        mutual_too = self._source.mtls_url and held.ends > self._clock.now()
        return standing([*doors, self._mutual(held)] if mutual_too else doors, held)

    def _replace(self, held: Pair) -> Pair:
        try:
            return self._renew(held)
        except (RefusedError, RootUnknownError, CertificateRefusedError) as error:
            if self._token() is None:
                raise EnrolmentNeededError(self._way_back(held, _why(error)), reason=error.reason) from error
            return self._enroll(held)

    def _renew(self, held: Pair) -> Pair:
        self._directory.require_room()
        key = new_key()
        csr = signing_request(key)
        answer, authenticated = self._ask(held, csr)
        issued = self._issued(key_pem(key), answer, held.roots_pem)
        renewed = issued.with_roots(self._bundle(self._authenticated(held), issued))
        if not authenticated and not renewed.anchored:
            raise RootUnknownError(_REPLACED)
        return self._take(renewed, held)

    def _ask(self, held: Pair, csr: str) -> tuple[Issued, bool]:
        if self._source.mtls_url and held.ends > self._clock.now():
            door = self._mutual(held)
            try:
                return door.renew({"csr": csr, "ttl_hours": self._source.ttl_hours}), True
            except (UnavailableError, RefusedError) as error:
                if not self._source.url:
                    raise
                _LOG.info("%s; proving the old key at %s instead", error.detail, self._source.url)
        door = self._door(held)
        if not door.authenticated:
            self._require_known_root(door, held)
        shown = held.leaf.public_bytes(Encoding.PEM).decode()
        signed = proof(held.key, csr, self._clock.now())
        asked = {"csr": csr, "certificate": shown, "proof": signed, "ttl_hours": self._source.ttl_hours}
        return door.renew(asked), door.authenticated

    def _require_known_root(self, door: Door, held: Pair) -> None:
        """Ask for no certificate that would not be taken, because none of our roots vouches for the service's."""
        try:
            followed(door, held, self._clock.now(), self._lists())
        except IntegrityError as error:
            raise RootUnknownError(_REPLACED) from error

    def _enroll(self, held: Pair | None) -> Pair:
        token = self._token()
        if token is None or not self._source.url:
            raise EnrolmentNeededError(self._way_back(held, ""))
        self._directory.require_room()
        pinned = first_contact(self._source.url, token.pin)
        door = Door(self._source.url, trusting(pinned, Peer(lists=self._lists())))
        key = new_key()
        try:
            answer = door.enroll(token.text, signing_request(key), self._name(held))
        except RefusedError as refused:
            self._refused.add(token.digest)
            raise EnrolmentNeededError(self._way_back(held, _why(refused)), reason=refused.reason) from refused
        issued = self._issued(key_pem(key), answer, pinned)
        roots = self._bundle(door if door.authenticated else None, issued)
        taken = self._take(issued.with_roots(roots), held)
        self._directory.put_joined(token.digest)
        return taken

    def _take(self, pair: Pair, held: Pair | None) -> Pair:
        """Make a new pair the one that holds, once it was found to be whole, ours, and of use."""
        name = self._name(held)
        if name and pair.service_name != name:
            raise IntegrityError(f"The service certified {pair.spiffe_id}, but this identity is {name}")
        if not pair.anchored:
            raise IntegrityError("The new certificate does not lead to a root that is trusted here; it was not taken")
        if pair.ends <= self._clock.now():
            raise IntegrityError("The new certificate has already expired; look at both clocks")
        mutual(pair)  # OpenSSL's own judgement, before anything is replaced
        return self._directory.put(pair)

    def _name(self, held: Pair | None) -> str:
        """Return the only name that is accepted; empty when any is."""
        return self._source.service_name or (held.service_name if held is not None else "")

    def has_token(self) -> bool:
        """Tell whether there is a join token worth a try; raises `ConfigurationError` for a file that is refused."""
        return self._token() is not None

    def _token(self) -> JoinToken | None:
        """Return a join token that is worth a try: neither spent nor refused before."""
        found = [join_token.from_file(self._source.join_token_file)] if self._source.join_token_file else []
        if self._source.join_token:
            found.append(join_token.join_token(self._source.join_token))
        spent = {self._directory.joined(), *self._refused}
        return next((each for each in found if each is not None and each.digest not in spent), None)

    def _way_back(self, held: Pair | None, why: str) -> str:
        """Say what a person has to do now; `why` goes on after a comma."""
        none = f"There is no certificate yet in {self._directory.path}"
        what = none if held is None else _state(held, self._clock.now())
        name = self._name(held) or "SERVICE"
        file = self._source.join_token_file
        where = f"write it to {file} (mode 0600; it is read again at each try)" if file else "enrol again with it"
        told = f"{what}, and {why}" if why else what
        return f"{told}. Make a join token (tradewarden ca join-token {name}) and {where}"

    def roots(self, held: Pair) -> bytes | None:
        """Return the service's trust bundle (PEM) as far as a root that is trusted here vouches for it.

        None when no address gives an answer that is known to be its.
        """
        door = self._authenticated(held)
        return None if door is None else followed(door, held, self._clock.now(), self._lists())

    def _issued(self, key: bytes, answer: Issued, roots_pem: bytes) -> Pair:
        """Return the new pair over these roots and those that came with it and are vouched for by one of these."""
        issued = Pair.read(key, answer.certificate_chain.encode(), roots_pem)
        offered, crosses = answer.ca_certificate.encode(), answer.cross_certificates.encode()
        more = issued.vouched(offered, crosses, self._clock.now(), self._lists())
        return issued.with_roots(each_once(roots_pem + more))

    def _bundle(self, door: Door | None, known: Pair) -> bytes:
        """Return the trust bundle that goes with a new certificate; what is known anyhow when it cannot be had now."""
        try:
            return known.roots_pem if door is None else followed(door, known, self._clock.now(), self._lists())
        except (UnavailableError, RefusedError, IntegrityError) as error:
            _LOG.warning("the trust bundle is fetched later: %s", error.detail)
            return known.roots_pem

    def replace_roots(self, held: Pair, roots_pem: bytes) -> Pair | None:
        """Return the pair with other roots, made the one that holds; None when another process was quicker."""
        with self._directory.lock() as mine:
            if not mine or self._directory.version() != held.version:
                return None
            return self._directory.put(held.with_roots(roots_pem))

    def crls(self, held: Pair, tag: str) -> Fetched | None:
        """Return all revocation lists (PEM), unless they are still those of `tag`; None when there are none."""
        door = self._authenticated(held)
        if door is None:
            raise UnavailableError("revocation lists are taken over an authenticated connection only")
        try:
            return door.crls(tag)
        except RefusedError:
            return None

    def _authenticated(self, held: Pair) -> Door | None:
        if self._source.url.startswith("https:"):
            return self._door(held)
        if self._source.mtls_url and held.ends > self._clock.now():
            return self._mutual(held)
        return None

    def _mutual(self, held: Pair) -> Door:
        """Return the service's mTLS port, where no proxy stands: it is the service itself, by its SPIFFE ID."""
        itself = peer(None, _SERVICE, held.trust_domain)._replace(lists=self._lists())
        return Door(self._source.mtls_url, mutual(held, itself))

    def _door(self, held: Pair) -> Door:
        if not self._source.url:
            raise UnavailableError("the certificate has expired, and without a url nothing can be asked without it")
        return Door(self._source.url, trusting(held.roots_pem, Peer(lists=self._lists())))

    def _lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """Return the revocation lists that are held, if any: the service's own certificate is on none of them."""
        pem = self._directory.crls()
        digest = sha256(pem).digest()
        if digest != self._known[0]:
            try:
                self._known = digest, tuple(read_lists(pem).values())
            except ValueError:
                self._known = digest, ()
        return self._known[1]


def _why(error: RefusedError | RootUnknownError | CertificateRefusedError) -> str:
    return f"the service refused: {error.detail}" if isinstance(error, RefusedError) else error.detail


def _state(held: Pair, now: float) -> str:
    ended = f"expired at {rfc3339(held.ends)}" if held.ends <= now else f"is valid until {rfc3339(held.ends)}"
    return f"The certificate of {held.service_name} {ended}"
