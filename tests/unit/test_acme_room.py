"""The ACME room without HTTP: keys, accounts, orders, their proof in the background, and the certificate."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from tests.support.acme import (
    BASE,
    AcmeRoom,
    Pair,
    acme_room,
    admin,
    grant_for,
    grant_of,
    request,
)
from tests.support.pki import key_usage
from tradewarden.acme import order as rules
from tradewarden.acme.commands import MakeKey, NewAccount, NewOrder, RevokeCert, UpdateAccount
from tradewarden.acme.jws import Signed
from tradewarden.acme.order import Status
from tradewarden.acme.orders import MAX_OPEN
from tradewarden.acme.ports import Ordered
from tradewarden.acme.problem import AcmeError, AcmeProofError, Identifier, Kind
from tradewarden.acme.store import OrderChange
from tradewarden.acme.validation import LEASE
from tradewarden.crypto.base64url import base64url, unbase64url
from tradewarden.errors import (
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from tradewarden.identity.commands import RegisterService

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.rows import Opened
    from tradewarden.acme.store import AccountRow

NAME = "web.test.internal"


def cert_id_of(certificate: bytes) -> str:
    """Return how RFC 9773 section 4.1 names a certificate (DER)."""
    leaf = x509.load_der_x509_certificate(certificate)
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    number = leaf.serial_number
    return f"{base64url(issuer)}.{base64url(number.to_bytes(number.bit_length() // 8 + 1))}"


def lengthened(cert_id: str, octets: bytes) -> str:
    """Return it with octets in front of the serial number's."""
    issuer, _, serial = cert_id.partition(".")
    return f"{issuer}.{base64url(octets + (unbase64url(serial) or b''))}"


@pytest.fixture
async def room(tmp_path: Path) -> AcmeRoom:
    """An ACME room."""
    return await acme_room(tmp_path)


def refused(error: pytest.ExceptionInfo[AcmeError] | pytest.ExceptionInfo[AcmeProofError]) -> Kind:
    """Return the type of a problem."""
    return error.value.kind


# --- nonces ----------------------------------------------------------------------------------------


async def test_a_nonce_is_good_once(room: AcmeRoom) -> None:
    """A nonce is spent by its first use; a made-up, changed or old one was never good."""
    nonces = room.acme.nonces
    first, second = nonces.make(), nonces.make()
    await nonces.spend(first)
    bad = [first, "", "AAAA", second[:-2] + ("AA" if second[-2:] != "AA" else "BA"), "é" + second]
    for nonce in bad:
        with pytest.raises(AcmeError) as error:
            await nonces.spend(nonce)
        assert refused(error) is Kind.BAD_NONCE
    room.clock.time += 3601
    with pytest.raises(AcmeError) as error:
        await nonces.spend(second)
    assert error.value.reason == "nonce is too old"


async def test_one_of_two_who_spend_a_nonce_at_once_is_refused(room: AcmeRoom) -> None:
    """Whoever comes second is told, however close."""
    nonce = room.acme.nonces.make()
    found = await asyncio.gather(*(room.acme.nonces.spend(nonce) for _ in range(4)), return_exceptions=True)
    assert [each for each in found if each is None] == [None]


# --- external account keys -------------------------------------------------------------------------


async def test_a_key_is_for_a_registered_service(room: AcmeRoom) -> None:
    """Nobody makes a key for a service that is not registered, or with more names than they may issue for."""
    with pytest.raises(NotFoundError):
        await room.acme.bindings.make(admin("acme:manage", "web"), MakeKey("web"), room.entry())
    made = await room.key("web", ".test.internal", NAME)
    assert (made.service_name, made.directory) == ("web", f"{BASE}/acme/directory")
    assert made.hmac_key not in repr(made)
    for bad in ("*.test.internal", "Web.test", "tradewarden"):
        with pytest.raises((InvalidInputError, PermissionDeniedError)):
            await room.key("web", bad)
    with pytest.raises(InvalidInputError):
        await room.key("web", profile="root")
    with pytest.raises(InvalidInputError):
        await room.key("web", ttl_hours=0)


async def test_a_key_can_stand_in_a_command(tmp_path: Path) -> None:
    """An HMAC key that begins with "-", which certbot takes for one of its options, is drawn anew."""
    draws = [b"\xfb" * 32, b"\xf8" * 32]
    room = await acme_room(tmp_path, randomness=lambda size: draws.pop() if size == 32 and draws else os.urandom(size))
    made = await room.key("web")
    assert not draws
    assert made.hmac_key[0] != "-"


async def test_who_may_manage_and_not_issue_lists_no_names(room: AcmeRoom) -> None:
    """Naming names in a key vouches for them, which takes the permission to issue to the service."""
    from tradewarden.access.grant import authorize
    from tradewarden.access.permission import PermissionSet
    from tradewarden.access.principal import Kind as Who
    from tradewarden.access.principal import Principal

    await room.key("web")
    clerk = authorize(Principal(Who.SERVICE, "ops"), PermissionSet(("acme:manage",)), "acme:manage", "web")
    await room.acme.bindings.make(clerk, MakeKey("web"), room.entry())
    with pytest.raises(PermissionDeniedError):
        await room.acme.bindings.make(clerk, MakeKey("web", (NAME,)), room.entry())


async def test_a_key_opens_one_account(room: AcmeRoom) -> None:
    """The second account with one external key is refused, also when both come at once; the same key finds its own."""
    made = await room.key()
    grant = grant_of("web", "acme:account", made.kid, "acme_binding")
    first, second = Pair(), Pair()
    opens = [room.acme.accounts.open(grant, pair.public, NewAccount(), room.entry()) for pair in (first, second)]
    found = await asyncio.gather(*opens, return_exceptions=True)
    assert [isinstance(each, AcmeProofError) for each in found] == [False, True]
    row, fresh = await room.acme.accounts.open(grant, first.public, NewAccount(), room.entry())
    assert (fresh, row.thumbprint) == (False, first.public.thumbprint)


async def test_a_key_ends(room: AcmeRoom) -> None:
    """An unused key is good until its time; the HMAC key is kept encrypted."""
    made = await room.key("web", ttl_hours=2)
    row = await room.store.key(made.kid)
    assert row is not None
    assert room.acme.bindings.secret(row) not in row.secret
    assert base64url(room.acme.bindings.secret(row)) == made.hmac_key
    standing = room.acme.proof._standing
    await standing.key(made.kid)
    room.clock.time += 2 * 3600
    with pytest.raises(AcmeProofError):
        await standing.key(made.kid)


# --- accounts --------------------------------------------------------------------------------------


async def test_an_account_is_changed_and_closed_by_itself(room: AcmeRoom) -> None:
    """Contacts change; a closed account acts no more; another's account is not touched."""
    accounts = room.acme.accounts
    mine, other = await room.account(Pair()), await room.account(Pair())
    grant = grant_for(mine, "acme:account")
    changed = await accounts.update(grant, mine.id, UpdateAccount(("mailto:ops@example.com",)), room.entry())
    assert changed.contact == '["mailto:ops@example.com"]'
    with pytest.raises(AcmeError) as error:
        await accounts.update(grant, other.id, UpdateAccount(status="deactivated"), room.entry())
    assert refused(error) is Kind.UNAUTHORIZED
    with pytest.raises(AcmeError):
        await accounts.update(grant, mine.id, UpdateAccount(status="valid"), room.entry())
    await accounts.update(grant, mine.id, UpdateAccount(status="deactivated"), room.entry())
    with pytest.raises(AcmeProofError) as ended:
        await accounts.own(grant, mine.id)
    assert refused(ended) is Kind.UNAUTHORIZED


@pytest.mark.parametrize(
    ("contact", "kind"),
    [
        ("tel:+1", Kind.UNSUPPORTED_CONTACT),
        ("mailto:a@b.c,d@e.f", Kind.INVALID_CONTACT),
        ("mailto:a@b.c?cc=d", Kind.INVALID_CONTACT),
        ("mailto:nobody", Kind.INVALID_CONTACT),
    ],
)
async def test_contacts_are_plain_mail_addresses(room: AcmeRoom, contact: str, kind: Kind) -> None:
    """Several addresses in one, header fields and other schemes are refused by their types."""
    row = await room.account(Pair())
    with pytest.raises(AcmeError) as error:
        await room.acme.accounts.update(grant_for(row, "acme:account"), row.id, UpdateAccount((contact,)), room.entry())
    assert refused(error) is kind


async def test_an_account_ends_with_its_service(room: AcmeRoom) -> None:
    """A service that is deleted, or registered anew, has no account any more; nor has its key any use."""
    row, made = await room.account(Pair()), await room.key()
    standing = room.acme.proof._standing
    assert (await standing.account(row.id)).id == row.id
    await room.services.delete(admin("services:manage"), "web", room.entry())
    await room.services.register(admin("services:manage"), RegisterService("web", ()), room.entry())
    for gone in (standing.account(row.id), standing.key(made.kid)):
        with pytest.raises(AcmeProofError) as error:
            await gone
        assert "not registered" in error.value.detail


async def test_an_administrator_lists_and_ends_accounts(room: AcmeRoom) -> None:
    """An ended account is shown as revoked and acts no more; nobody sees services beyond their grant."""
    row = await room.account(Pair())
    page = await room.acme.accounts.list(admin("acme:read"))
    assert [(each.id, each.service_name, each.status) for each in page.accounts] == [(row.id, "web", "valid")]
    assert (await room.acme.accounts.end(admin("acme:manage"), row.id, room.entry())).status == "revoked"
    with pytest.raises(AcmeProofError):
        await room.acme.proof._standing.account(row.id)
    with pytest.raises(NotFoundError):
        await room.acme.accounts.end(admin("acme:manage"), "no", room.entry())


def inner(new: Pair, old: Pair, account: str, url: str, **header: object) -> Signed:
    """Return the inner JWS of a change of keys."""
    head = {"alg": new.algorithm, "jwk": new.jwk, "url": url, **header}
    return Signed(**new.jws(head, {"account": account, "oldKey": old.jwk}))


async def test_an_account_gets_a_new_key(room: AcmeRoom) -> None:
    """The new key takes the old one's place; a stale old key, another account or a used key is refused."""
    accounts, url = room.acme.accounts, f"{BASE}/acme/key-change"
    old, new, used = Pair(), Pair("RS256"), Pair()
    row, other = await room.account(old), await room.account(used)
    grant, kid = grant_for(row, "acme:account"), f"{BASE}/acme/account/{row.id}"
    bad = [
        inner(new, old, kid, f"{BASE}/acme/new-order"),
        inner(new, old, f"{BASE}/acme/account/{other.id}", url),
        inner(new, used, kid, url),
        inner(new, old, kid, url, nonce="n"),
        inner(new, old, kid, url, jwk=old.jwk),
    ]
    for call in bad:
        with pytest.raises((AcmeError, AcmeProofError)):
            await accounts.change_key(grant, url, call, room.entry())
    with pytest.raises(AcmeError) as error:
        await accounts.change_key(grant, url, inner(used, old, kid, url), room.entry())
    assert error.value.account == f"{BASE}/acme/account/{other.id}"
    changed = await accounts.change_key(grant, url, inner(new, old, kid, url), room.entry())
    assert changed.thumbprint == new.public.thumbprint
    assert await room.store.holder(old.public.thumbprint) is None
    with pytest.raises(AcmeError):
        await accounts.change_key(grant, url, inner(Pair(), old, kid, url), room.entry())


# --- orders ----------------------------------------------------------------------------------------


async def test_an_order_is_for_the_services_own_names(room: AcmeRoom) -> None:
    """Each name that is refused is told of by itself; names of other services are refused to everyone."""
    account = await room.account(Pair(), "web", ".test.internal", "orders")
    await room.key("orders")
    with pytest.raises(AcmeError) as error:
        await room.order(account, NAME, "evil.example", "orders", "*.test.internal")
    assert refused(error) is Kind.REJECTED_IDENTIFIER
    with pytest.raises(AcmeError) as error:
        await room.order(account, NAME, "evil.example", "orders")
    named = [each.identifier.value for each in error.value.subproblems if each.identifier]
    assert named == ["evil.example", "orders"]
    opened = await room.order(account, NAME, "web", NAME)
    assert [each.value for each in opened.order.identifiers()] == [NAME, "web"]
    assert opened.status is Status.PENDING


async def test_a_key_without_names_gives_what_the_service_is_registered_for(room: AcmeRoom) -> None:
    """Without names of its own a key narrows nothing; without any anywhere there is the service's own label."""
    command = RegisterService("web", (), dns_names=(".prod.internal",), ip_addresses=("10.1.2.3",))
    await room.services.register(admin("services:manage"), command, room.entry())
    account = await room.account(Pair())
    wanted = NewOrder((Identifier("dns", "a.prod.internal"), Identifier("ip", "10.1.2.3")))
    opened = await room.acme.orders.new(grant_for(account), account, wanted, room.entry())
    kinds = [[each.type for each in part.challenges] for part in opened.order.authorizations]
    assert kinds == [["http-01", "dns-01"], ["http-01"]]
    with pytest.raises(AcmeError):
        await room.order(account, NAME)
    plain = await room.account(Pair(), "plain")
    await room.order(plain, "plain")
    with pytest.raises(AcmeError):
        await room.order(plain, NAME)


@pytest.mark.parametrize(
    ("identifier", "kind"),
    [
        (Identifier("dns", "a b"), Kind.MALFORMED),
        (Identifier("dns", "10.0.0.1"), Kind.MALFORMED),
        (Identifier("dns", "*.test.internal"), Kind.REJECTED_IDENTIFIER),
        (Identifier("dns", "xn--abc.test.internal"), Kind.MALFORMED),
        (Identifier("dns", "ab--cd.test.internal"), Kind.MALFORMED),
        (Identifier("ip", "::"), Kind.MALFORMED),
        (Identifier("ip", "10.0.0"), Kind.MALFORMED),
        (Identifier("email", "a@b"), Kind.UNSUPPORTED_IDENTIFIER),
    ],
)
async def test_identifiers_that_are_not_issued_for(room: AcmeRoom, identifier: Identifier, kind: Kind) -> None:
    """What is no host name or address is refused by its type, with the identifier beside it."""
    account = await room.account(Pair())
    with pytest.raises(AcmeError) as error:
        await room.acme.orders.new(grant_for(account), account, NewOrder((identifier,)), room.entry())
    assert refused(error) is kind
    assert error.value.subproblems[0].identifier == identifier


async def test_a_wildcard_is_refused_by_its_name(room: AcmeRoom) -> None:
    """Every wildcard of an order is told of by itself, with what to do, wherever its star stands."""
    account = await room.account(Pair(), "web", ".test.internal")
    wildcards = ["*.test.internal", "*", "w*.test.internal", "web.*"]
    with pytest.raises(AcmeError) as error:
        await room.order(account, NAME, *wildcards)
    assert refused(error) is Kind.REJECTED_IDENTIFIER
    told = error.value.subproblems
    assert [each.identifier for each in told] == [Identifier("dns", each) for each in wildcards]
    assert {each.type for each in told} == {"urn:ietf:params:acme:error:rejectedIdentifier"}
    assert told[0].detail == "'*.test.internal' is a wildcard, and none is issued here; name every host"
    assert (await room.acme.orders.list(admin("acme:read"))).orders == ()


async def test_an_account_has_so_many_open_orders(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """One order more than may be open is refused for now."""
    assert MAX_OPEN == 300
    monkeypatch.setattr("tradewarden.acme.orders.MAX_OPEN", 2)
    account = await room.account(Pair())
    await room.order(account, "web")
    await room.order(account, "web")
    with pytest.raises(AcmeError) as error:
        await room.order(account, "web")
    assert refused(error) is Kind.RATE_LIMITED
    room.clock.time += rules.LIFETIME
    await room.order(account, "web")


async def test_nobody_reaches_anothers_order(room: AcmeRoom) -> None:
    """Another account's order cannot be read, proven, given up or finalized."""
    mine, other = await room.account(Pair()), await room.account(Pair())
    order, grant, authorizations = await room.order(mine, "web"), grant_for(other), room.acme.authorizations
    calls = [
        room.acme.orders.own(grant, order.row.id),
        authorizations.begin(grant, order.row.id, 0, "http-01", room.entry()),
        authorizations.give_up(grant, order.row.id, 0, room.entry()),
        room.acme.finalizer.finalize(grant, order.row.id, request("web"), room.entry()),
    ]
    for call in calls:
        with pytest.raises(AcmeError) as error:
            await call
        assert refused(error) is Kind.UNAUTHORIZED


async def test_a_changed_row_is_refused(room: AcmeRoom) -> None:
    """Who writes to the database can neither make an order ready nor an account valid."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    forged = replace(order.row, status="ready")
    await room.store.change_order(forged.id, lambda _: OrderChange(None, forged))
    with pytest.raises(IntegrityError):
        await room.acme.orders.own(grant_for(account), forged.id)


# --- proving ---------------------------------------------------------------------------------------


async def test_a_met_challenge_makes_its_authorization_valid(room: AcmeRoom) -> None:
    """One challenge an authorization is enough; the order is ready with its last authorization."""
    account = await room.account(Pair(), "web", ".test.internal")
    order = await room.order(account, "web", NAME)
    grant, orders = grant_for(account), room.acme.orders
    await room.acme.authorizations.begin(grant, order.row.id, 0, "http-01", room.entry())
    await room.acme.validator.work_off()
    found = await orders.own(grant, order.row.id)
    assert [each.status for each in found.order.authorizations] == [Status.VALID, Status.PENDING]
    assert found.status is Status.PENDING
    await room.acme.authorizations.begin(grant, order.row.id, 1, "dns-01", room.entry())
    await room.acme.validator.work_off()
    assert (await orders.own(grant, order.row.id)).status is Status.READY
    assert room.looks.seen == [("http-01", "web"), ("dns-01", NAME)]
    assert any(b'"validate"' in entry for entry in room.store._database.inbox)  # type: ignore[attr-defined]


async def test_a_challenge_is_looked_at_again_before_it_fails(room: AcmeRoom) -> None:
    """A challenge that is not met is looked at five times, later each time; then its order is invalid."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    grant, orders, validator = grant_for(account), room.acme.orders, room.acme.validator
    room.looks.refusal = AcmeError(Kind.CONNECTION, "does not answer")
    await room.acme.authorizations.begin(grant, order.row.id, 0, "http-01", room.entry())
    waits = []
    for _ in range(rules.ATTEMPTS):
        await validator.work_off()
        before = len(room.looks.seen)
        await validator.work_off()
        assert len(room.looks.seen) == before, "it is not due yet"
        row = await room.store.order(order.row.id)
        assert row is not None
        waits.append(row.due_at - room.clock.time if row.due_at else 0)
        room.clock.time = row.due_at or room.clock.time
    assert waits == [1, 2, 4, 8, 0]
    found = await orders.own(grant, order.row.id)
    challenge = found.order.authorizations[0].challenges[0]
    assert (found.status, challenge.status, challenge.attempts) == (Status.INVALID, Status.INVALID, 5)
    assert challenge.error is not None
    assert challenge.error.type.endswith(":connection")
    page = await room.acme.orders.list(admin("acme:read"))
    assert page.orders[0].error == "does not answer"


async def test_a_challenge_that_is_met_late_is_still_met(room: AcmeRoom) -> None:
    """What failed once and succeeds then is valid, without the error."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    room.looks.refusal = AcmeError(Kind.DNS, "no answer")
    await room.acme.authorizations.begin(grant_for(account), order.row.id, 0, "dns-01", room.entry())
    await room.acme.validator.work_off()
    room.looks.refusal = None
    room.clock.time += 1
    await room.acme.validator.work_off()
    found = await room.acme.orders.own(grant_for(account), order.row.id)
    assert found.status is Status.READY
    assert found.order.authorizations[0].challenges[1].error is None


async def test_of_two_workers_one_looks(room: AcmeRoom) -> None:
    """Two processes that find the same order due do not both take it."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    await room.acme.authorizations.begin(grant_for(account), order.row.id, 0, "http-01", room.entry())
    validator = room.acme.validator
    found = await asyncio.gather(validator._take(order.row.id), validator._take(order.row.id))
    assert sorted(each is None for each in found) == [False, True]


async def test_what_a_worker_found_after_its_lease_does_not_count(room: AcmeRoom) -> None:
    """A worker that was stopped for longer than its lease is not heard: another has taken the order."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    grant, validator = grant_for(account), room.acme.validator
    await room.acme.authorizations.begin(grant, order.row.id, 0, "http-01", room.entry())
    slow = await validator._take(order.row.id)
    assert slow is not None
    assert await validator._take(order.row.id) is None
    room.clock.time += LEASE
    other = await validator._take(order.row.id)
    assert other is not None
    await validator._look(slow)
    assert (await room.acme.orders.own(grant, order.row.id)).status is Status.PENDING
    await validator._look(other)
    assert (await room.acme.orders.own(grant, order.row.id)).status is Status.READY


async def test_a_worker_that_dies_loses_nothing(room: AcmeRoom) -> None:
    """An order that was taken and never finished is due again after the lease."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    await room.acme.authorizations.begin(grant_for(account), order.row.id, 0, "http-01", room.entry())
    assert await room.acme.validator._take(order.row.id) is not None
    await room.acme.validator.work_off()
    assert room.looks.seen == []
    room.clock.time += LEASE
    await room.acme.validator.work_off()
    assert room.looks.seen == [("http-01", "web")]


async def test_a_deactivated_authorization_ends_its_order(room: AcmeRoom) -> None:
    """An authorization that is given up is not looked at, and its order comes to nothing."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    grant = grant_for(account)
    await room.acme.authorizations.begin(grant, order.row.id, 0, "http-01", room.entry())
    given = await room.acme.authorizations.give_up(grant, order.row.id, 0, room.entry())
    assert given.status is Status.INVALID
    await room.acme.validator.work_off()
    assert room.looks.seen == []


async def test_an_order_waits_a_day(room: AcmeRoom) -> None:
    """An order that was not finished in a day is invalid, and its challenges are not looked at any more."""
    account = await room.account(Pair())
    order = await room.ready(account, "web")
    assert order.status is Status.READY
    room.clock.time += rules.LIFETIME
    with pytest.raises(AcmeError) as error:
        await room.acme.finalizer.finalize(grant_for(account), order.row.id, request("web"), room.entry())
    assert refused(error) is Kind.ORDER_NOT_READY


async def test_an_ended_account_proves_nothing(room: AcmeRoom) -> None:
    """A challenge of an account that ended meanwhile is not met."""
    account = await room.account(Pair())
    order = await room.order(account, "web")
    await room.acme.authorizations.begin(grant_for(account), order.row.id, 0, "http-01", room.entry())
    await room.acme.accounts.end(admin("acme:manage"), account.id, room.entry())
    await room.acme.validator.work_off()
    assert room.looks.seen == []
    row = await room.store.order(order.row.id)
    assert row is not None
    assert "revoked" in row.state


# --- issuing ---------------------------------------------------------------------------------------


async def finalized(room: AcmeRoom, order: Opened, grant: Grant, csr: str) -> Opened:
    """Finalize an order."""
    return await room.acme.finalizer.finalize(grant, order.row.id, csr, room.entry("order"))


async def issued(room: AcmeRoom) -> list[str]:
    """Return the serial numbers of all certificates of the service web."""
    page = await room.authority.list(admin("credentials:read"), service="web")
    return [item.serial_number for item in page.items]


async def test_a_finalized_order_is_a_certificate(room: AcmeRoom) -> None:
    """The certificate has exactly the names of the order, its key is the CSR's, and its profile the key's."""
    account = await room.account(Pair(), "web", ".test.internal")
    grant = grant_for(account)
    order = await room.ready(account, NAME, "a.test.internal")
    done = await finalized(room, order, grant, request("a.test.internal", NAME, cn=NAME))
    assert done.status is Status.VALID
    pem = await room.acme.certificates.chain(done)
    leaf, *above = x509.load_pem_x509_certificates(pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME, "a.test.internal"]
    assert leaf.subject.rfc4514_string() == f"CN={NAME}"
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in usage] == ["1.3.6.1.5.5.7.3.1"]
    assert len(above) == 1
    leaf.verify_directly_issued_by(above[0])
    assert await issued(room) == [done.row.serial]


@pytest.mark.parametrize(
    "csr",
    [
        "",
        "AAAA",
        "no base64!",
        request(),
        request("a.test.internal"),
        request(NAME, "a.test.internal"),
        request(NAME, cn="a.test.internal"),
        request(NAME, "10.0.0.1"),
        request(NAME, key=Pair("RS256").private),
    ],
    ids=["nothing", "no CSR", "no base64", "no names", "another", "more", "another CN", "an address", "weak key"],
)
async def test_a_csr_names_exactly_what_was_ordered(room: AcmeRoom, csr: str) -> None:
    """A CSR with fewer, other or more names, another subject or a weak key is a badCSR, and the order stays ready."""
    account = await room.account(Pair(), "web", ".test.internal")
    order = await room.ready(account, NAME)
    with pytest.raises(AcmeError) as error:
        await finalized(room, order, grant_for(account), csr)
    assert refused(error) is Kind.BAD_CSR
    assert (await room.acme.orders.own(grant_for(account), order.row.id)).status is Status.READY
    assert await issued(room) == []


async def test_a_csr_that_leaves_a_name_out_is_refused(room: AcmeRoom) -> None:
    """Every name of the order stands in the CSR."""
    account = await room.account(Pair(), "web", ".test.internal")
    order = await room.ready(account, NAME, "web")
    with pytest.raises(AcmeError) as error:
        await finalized(room, order, grant_for(account), request(NAME))
    assert "leaves out 'web'" in error.value.detail


BOTH = request("web", cn=NAME)
SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.mark.parametrize(
    "csr",
    [
        request(cn=NAME),
        BOTH,
        request(NAME, subject=(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Desk"),)),
        request(NAME, extensions=(x509.ExtendedKeyUsage([SERVER_AUTH, CLIENT_AUTH]), key_usage(signs_crls=True))),
    ],
    ids=["CN alone", "CN and name", "organisation", "uses"],
)
async def test_a_csr_may_be_written_as_clients_do(room: AcmeRoom, csr: str) -> None:
    """Names stand in the CN, beside it, or both (RFC 8555 section 7.4); the profile says what the key is for."""
    account = await room.account(Pair(), "web", ".test.internal")
    ordered = (NAME, "web") if csr == BOTH else (NAME,)
    order = await room.ready(account, *ordered)
    done = await finalized(room, order, grant_for(account), csr)
    leaf = x509.load_pem_x509_certificate((await room.acme.certificates.chain(done)).encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(ordered)
    assert leaf.subject.rfc4514_string() == f"CN={NAME}"
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [SERVER_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign


async def test_must_staple_is_refused_by_its_name(room: AcmeRoom) -> None:
    """A promise to clients that is not given must not be left out unseen."""
    account = await room.account(Pair(), "web", ".test.internal")
    order = await room.ready(account, NAME)
    staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    with pytest.raises(AcmeError) as error:
        await finalized(room, order, grant_for(account), request(NAME, extensions=(staple,)))
    assert "must-staple" in error.value.detail


async def test_a_csr_may_spell_names_in_capitals(room: AcmeRoom) -> None:
    """DNS names compare without case (RFC 4343), in order, CSR and CN; the certificate has small letters."""
    account = await room.account(Pair(), "web", ".test.internal")
    order = await room.ready(account, NAME.upper())
    done = await finalized(room, order, grant_for(account), request(NAME.title(), cn=NAME.upper()))
    leaf = x509.load_pem_x509_certificate((await room.acme.certificates.chain(done)).encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert leaf.subject.rfc4514_string() == f"CN={NAME}"


async def test_finalizing_again_finds_the_same_certificate(room: AcmeRoom) -> None:
    """The same CSR again answers the same certificate, another one is refused; side by side too."""
    account = await room.account(Pair())
    grant, order, csr = grant_for(account), await room.ready(account, "web"), request("web")
    first, second = await asyncio.gather(
        finalized(room, order, grant, csr), finalized(room, order, grant, csr), return_exceptions=True
    )
    done = [each for each in (first, second) if not isinstance(each, BaseException)]
    again = await finalized(room, order, grant, csr)
    assert {each.row.serial for each in [*done, again]} == {again.row.serial}
    assert await issued(room) == [again.row.serial]
    with pytest.raises(AcmeError) as error:
        await finalized(room, order, grant, request("web"))
    assert refused(error) is Kind.ORDER_NOT_READY


async def test_a_crash_between_certificate_and_order_neither_loses_nor_doubles(
    room: AcmeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a death at either side of issuing, the background finishes the order with one certificate."""
    account = await room.account(Pair())
    grant, orders = grant_for(account), room.acme.orders
    for dies_at in ("issue", "_settle"):
        order, csr = await room.ready(account, "web"), request("web")
        before = await issued(room)

        async def die(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(room.acme.finalizer, dies_at, die)
            with pytest.raises(asyncio.CancelledError):
                await finalized(room, order, grant, csr)
        held = await orders.own(grant, order.row.id)
        assert held.status is Status.PROCESSING
        assert len(await issued(room)) == len(before) + (dies_at == "_settle")
        room.clock.time += 21
        await room.acme.validator.work_off()
        done = await orders.own(grant, order.row.id)
        assert (done.status, done.row.serial) == (Status.VALID, held.row.serial)
        assert set(await issued(room)) - set(before) == {done.row.serial}
        assert await room.acme.certificates.chain(done)


async def test_an_authority_that_cannot_sign_now_signs_later(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the CA's key is away the order stays in processing; it is issued when the key is back."""
    account = await room.account(Pair())
    order = await room.ready(account, "web")

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("the token is away")

    with monkeypatch.context() as patch:
        patch.setattr(room.authority.registration, "issue", away)
        held = await finalized(room, order, grant_for(account), request("web"))
        assert held.status is Status.PROCESSING
        room.clock.time += 21
        await room.acme.validator.work_off()
    room.clock.time += LEASE
    await room.acme.validator.work_off()
    assert (await room.acme.orders.own(grant_for(account), order.row.id)).status is Status.VALID


async def test_a_name_that_became_anothers_is_not_issued(room: AcmeRoom) -> None:
    """The authority holds its own rule when it signs: what became another service's own makes the order invalid."""
    account = await room.account(Pair(), "web", "shop.internal")
    order = await room.ready(account, "shop.internal")
    command = RegisterService("shop", (), dns_names=("shop.internal",))
    await room.services.register(admin("services:manage"), command, room.entry())
    done = await finalized(room, order, grant_for(account), request("shop.internal"))
    assert done.status is Status.INVALID
    assert done.order.error is not None
    assert await issued(room) == []


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_an_accounts_own_key_gets_no_certificate(room: AcmeRoom, algorithm: str) -> None:
    """A CSR for the key that signs the account's calls is refused (RFC 8555 section 11.1), and another one is taken."""
    pair = Pair(algorithm)
    account = await room.account(pair)
    order, grant = await room.ready(account, "web"), grant_for(account)
    with pytest.raises(AcmeError) as error:
        await finalized(room, order, grant, request("web", key=pair.private))
    assert refused(error) is Kind.BAD_CSR
    assert "own key" in error.value.detail
    assert (await finalized(room, order, grant, request("web"))).status is Status.VALID


def test_the_page_says_how_long_a_challenge_is_looked_at() -> None:
    """docs/acme.md has the pauses between looks, and the time after which a challenge fails at the latest."""
    pauses = [2**number for number in range(rules.ATTEMPTS - 1)]
    page = " ".join((Path(__file__).parents[2] / "docs/acme.md").read_text().split())
    assert f"at most {rules.LOOK_SECONDS:.0f} seconds, with {', '.join(map(str, pauses[:-1]))} and {pauses[-1]}" in page
    longest = rules.ATTEMPTS * rules.LOOK_SECONDS + sum(pauses)
    assert f"about {sum(pauses)} seconds when answers come at once, and {longest:.0f} when" in page


async def test_a_refused_revocation_names_the_certificate(room: AcmeRoom) -> None:
    """The audit entry of a revocation has the serial number, also when the certificate is another service's."""
    account = await room.account(Pair())
    done = await finalized(room, await room.ready(account, "web"), grant_for(account), request("web"))
    held = await room.authority.held(done.row.serial)
    assert held is not None
    entry, revoker = room.entry("revoke"), admin("credentials:revoke", "other")
    with pytest.raises(AcmeError):
        await room.acme.certificates.revoke(
            grant_of("other", "acme:revoke", "x"), revoker, RevokeCert(base64url(held.certificate)), entry
        )
    assert entry.resource == held.serial


async def test_a_certificate_is_revoked_by_its_service(room: AcmeRoom) -> None:
    """A revoked certificate is so at once; a second time, another service and odd reasons are refused."""
    account = await room.account(Pair())
    done = await finalized(room, await room.ready(account, "web"), grant_for(account), request("web"))
    held = await room.authority.held(done.row.serial)
    assert held is not None
    text = base64url(held.certificate)
    as_revoker, certificates = admin("credentials:revoke", "web"), room.acme.certificates
    other = grant_of("other", "acme:revoke", "x")
    mine = grant_for(account, "acme:revoke")
    for grant, command, kind in (
        (other, RevokeCert(text), Kind.UNAUTHORIZED),
        (mine, RevokeCert(text, 2), Kind.BAD_REVOCATION_REASON),
        (mine, RevokeCert("AAAA"), Kind.MALFORMED),
        (mine, RevokeCert(text, 4), None),
        (mine, RevokeCert(text, 4), Kind.ALREADY_REVOKED),
    ):
        if kind is None:
            await certificates.revoke(grant, as_revoker, command, room.entry())
            continue
        with pytest.raises(AcmeError) as error:
            await certificates.revoke(grant, as_revoker, command, room.entry())
        assert refused(error) is kind
    assert await room.authority.is_revoked(done.row.serial)


async def test_a_certificate_tells_when_to_renew_it(room: AcmeRoom) -> None:
    """The window lies behind two thirds of its life; a revoked one is to be renewed now (RFC 9773)."""
    account = await room.account(Pair())
    done = await finalized(room, await room.ready(account, "web"), grant_for(account), request("web"))
    held = await room.authority.held(done.row.serial)
    assert held is not None
    cert_id = cert_id_of(held.certificate)
    window = await room.acme.certificates.window(cert_id)
    life = held.not_after - held.not_before
    assert held.not_before + life * 0.6 < window.start < window.end < held.not_before + life * 0.8
    await room.authority.registration.revoke(
        admin("credentials:revoke", "web"), held.serial, "superseded", room.entry()
    )
    assert (await room.acme.certificates.window(cert_id)).end <= room.clock.time
    for unknown in ("AAAA." + cert_id.partition(".")[2], "AAAA.AAAA", "x"):
        with pytest.raises(NotFoundError):
            await room.acme.certificates.window(unknown)


# --- replacing (RFC 9773 section 5) -----------------------------------------------------------------


async def replacing(room: AcmeRoom, account: AccountRow, replaces: str, *names: str) -> Opened:
    """Make an order that replaces a certificate."""
    wanted = NewOrder(tuple(Identifier("dns", name) for name in names), replaces=replaces)
    return await room.acme.orders.new(grant_for(account), account, wanted, room.entry())


async def predecessor(room: AcmeRoom, account: AccountRow, *names: str) -> str:
    """Get a certificate; returns how RFC 9773 names it."""
    done = await finalized(room, await room.ready(account, *names), grant_for(account), request(*names))
    held = await room.authority.held(done.row.serial)
    assert held is not None
    return cert_id_of(held.certificate)


async def test_an_order_replaces_a_certificate_once(room: AcmeRoom) -> None:
    """The second order for one predecessor is refused while the first waits, and after it became a certificate."""
    account, beside = await room.account(Pair(), "web", ".test.internal"), await room.account(Pair())
    cert_id = await predecessor(room, account, "web", NAME)
    first = await replacing(room, beside, cert_id, "web")  # any account of the service, as with revoking
    assert first.order.replaces == cert_id
    for again in (account, beside):
        with pytest.raises(AcmeError) as error:
            await replacing(room, again, cert_id, "web")
        assert refused(error) is Kind.ALREADY_REPLACED
    await room.acme.authorizations.begin(grant_for(beside), first.row.id, 0, "http-01", room.entry())
    await room.acme.validator.work_off()
    ready = await room.acme.orders.own(grant_for(beside), first.row.id)
    done = await finalized(room, ready, grant_for(beside), request("web"))
    assert (done.status, done.order.replaces) == (Status.VALID, cert_id)
    room.clock.time += 2 * rules.LIFETIME
    with pytest.raises(AcmeError) as error:
        await replacing(room, account, cert_id, "web")
    assert refused(error) is Kind.ALREADY_REPLACED
    await room.order(account, "web")  # without `replaces` a name is ordered as often as one likes


async def test_of_two_orders_at_once_one_replaces(room: AcmeRoom) -> None:
    """However close two come, one predecessor has one successor."""
    account = await room.account(Pair())
    cert_id = await predecessor(room, account, "web")
    tries = [replacing(room, account, cert_id, "web") for _ in range(4)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(isinstance(each, AcmeError) for each in found) == [False, True, True, True]


async def test_an_order_that_came_to_nothing_replaces_nothing(room: AcmeRoom) -> None:
    """After an order that failed, expired or was swept its predecessor can be replaced by another one."""
    account = await room.account(Pair())
    cert_id = await predecessor(room, account, "web")
    failed = await replacing(room, account, cert_id, "web")
    await room.acme.authorizations.give_up(grant_for(account), failed.row.id, 0, room.entry())
    await replacing(room, account, cert_id, "web")
    room.clock.time += rules.LIFETIME
    await replacing(room, account, cert_id, "web")
    room.clock.time += rules.LIFETIME
    assert await room.store.sweep(0, int(room.clock.time) + 1) == 3
    await replacing(room, account, cert_id, "web")


async def test_only_a_certificate_of_ones_own_is_replaced(room: AcmeRoom) -> None:
    """It is one that we issued, to the account's service, with a name of the order; nothing is written otherwise."""
    account, other = await room.account(Pair(), "web", ".test.internal"), await room.account(Pair(), "orders")
    cert_id, others = await predecessor(room, account, NAME), await predecessor(room, other, "orders")
    made_up = cert_id.partition(".")[0] + "." + base64url(b"\x01" * 20)
    for bad in ("", "x", "AAAA.AAAA", "AAAA." + cert_id.partition(".")[2], made_up, cert_id + "=", others):
        with pytest.raises(AcmeError) as error:
            await replacing(room, account, bad, NAME)
        assert refused(error) is Kind.MALFORMED
        assert error.value.detail == "'replaces' names no certificate of this account's service"
    with pytest.raises(AcmeError) as error:
        await replacing(room, account, cert_id, "other.test.internal")
    assert refused(error) is Kind.MALFORMED
    assert "shares no name" in error.value.detail
    await replacing(room, account, cert_id, "other.test.internal", NAME)


@pytest.mark.parametrize("octets", [b"\0", b"\0\0", b"\xff"])
async def test_a_serial_number_with_more_octets_than_its_own_names_nothing(room: AcmeRoom, octets: bytes) -> None:
    """The content of a DER INTEGER is written in one way (RFC 9773 section 4.1), so a certificate has one name."""
    account = await room.account(Pair())
    cert_id = await predecessor(room, account, "web")
    with pytest.raises(AcmeError) as error:
        await replacing(room, account, lengthened(cert_id, octets), "web")
    assert refused(error) is Kind.MALFORMED
    with pytest.raises(NotFoundError):
        await room.acme.certificates.window(lengthened(cert_id, octets))
    await replacing(room, account, cert_id, "web")


async def test_the_octet_of_a_serial_numbers_sign_belongs_to_it(room: AcmeRoom) -> None:
    """A number whose first bit is set has a zero in front of it, and names nothing without."""
    account = await room.account(Pair())
    ordered = Ordered("web", f"{0xFF << 144:040x}", "server", unbase64url(request("web")) or b"", ("web",), ())
    await room.authority.registration.issue(
        admin("credentials:issue", "web"), ordered, room.entry(), vouched=False, incarnation=account.incarnation
    )
    held = await room.authority.held(ordered.serial)
    assert held is not None
    cert_id = cert_id_of(held.certificate)
    assert cert_id.endswith(f".{base64url(bytes([0, 0xFF, *bytes(18)]))}")
    assert (await room.acme.certificates.window(cert_id)).end < held.not_after
    for octets in (bytes([0xFF, *bytes(18)]), b"", b"\0"):
        with pytest.raises(NotFoundError):
            await room.acme.certificates.window(f"{cert_id.partition('.')[0]}.{base64url(octets)}")


async def test_a_forged_replacement_is_refused(room: AcmeRoom) -> None:
    """Who writes to the database cannot keep a service from renewing without being noticed."""
    account = await room.account(Pair())
    cert_id = await predecessor(room, account, "web")
    first = await replacing(room, account, cert_id, "web")
    rows = room.store._replacements  # type: ignore[attr-defined]
    ((serial, row),) = rows.items()
    assert row.order_id == first.row.id
    rows[serial] = replace(row, order_id="0" * 36)
    with pytest.raises(IntegrityError):
        await replacing(room, account, cert_id, "web")


async def test_orders_of_an_account_come_in_pages(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing holds so many orders and tells where it goes on."""
    monkeypatch.setattr("tradewarden.acme.orders.PAGE", 2)
    account = await room.account(Pair())
    made = []
    for _ in range(3):
        room.clock.time += 1
        made.append((await room.order(account, "web")).row.id)
    first, after = await room.acme.orders.of(grant_for(account), account.id, "")
    assert first + (await room.acme.orders.of(grant_for(account), account.id, after))[0] == made


def test_an_order_is_read_as_it_was_written() -> None:
    """The state in a row is JSON of the whole order."""
    challenge = rules.Challenge("http-01", "t", Status.PROCESSING, due_at=1.5)
    order = rules.Order("server", (rules.Authorization(Identifier("dns", "web"), (challenge,)),))
    assert rules.decode(rules.encode(order)) == order
    assert msgspec.json.decode(rules.encode(order))["authorizations"][0]["challenges"][0]["due_at"] == 1.5
