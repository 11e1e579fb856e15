"""The one rule of names: a service is certified under its own names and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import pytest

from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import NameRefusedError, PermissionDeniedError
from tradewarden.pki.allowance import Allowance, NoRegister, Standing, require_own
from tradewarden.pki.certificate.names import Names, names_of


@dataclass(frozen=True)
class Allotment:
    """A registration, as far as names go."""

    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    incarnation: str = "first"
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """Names that are asked for, and what stands in the register."""

    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    allotted: Allotment | None = None
    owners: dict[str, str] = field(default_factory=dict)
    sharers: dict[str, str] = field(default_factory=dict)
    service: str = "orders"


LISTED = Allotment(("web.internal", ".trading.internal"), ("10.0.0.1", "2001:db8::1"))

SHARED = {"a.feeds.internal": "feeds", "10.9.9.9": "feeds"}

GOOD_FOR_ITSELF = [
    Case(),
    Case(allotted=Allotment()),
    Case(dns=("orders",), owners={"orders": "orders"}),
    Case(dns=("web.internal",), allotted=LISTED, owners={"web.internal": "orders"}),
    Case(dns=("a.trading.internal", "a.b.trading.internal"), allotted=LISTED),
    Case(ips=("10.0.0.1", "2001:DB8:0::1"), allotted=LISTED),
    Case(dns=("a.trading.internal",), allotted=LISTED, sharers={"a.trading.internal": "billing"}),
    Case(ips=("10.0.0.1",), allotted=LISTED, sharers={"10.0.0.1": "billing"}),
    Case(service="trading_bot"),
]
GOOD_WITH_AN_OPERATOR = [
    Case(dns=("orders.internal",)),
    Case(dns=("orders.internal",), ips=("10.9.9.9",), allotted=Allotment()),
    Case(dns=("orders.internal",), service="trading_bot"),
]
BAD_FOR_EVERYONE = [
    (Case(dns=("billing",), owners={"billing": "billing"}), "'billing' belongs to another service"),
    (Case(dns=("db.internal",), owners={"db.internal": "billing"}), "'db.internal' belongs to another service"),
    (
        Case(dns=("db.trading.internal",), allotted=LISTED, owners={"db.trading.internal": "billing"}),
        "belongs to another service",
    ),
    (Case(dns=("a.feeds.internal",), sharers=SHARED), "'a.feeds.internal' belongs to another service; register it"),
    (Case(dns=("a.feeds.internal",), allotted=Allotment(), sharers=SHARED), "'a.feeds.internal' belongs to another"),
    (Case(dns=("a.feeds.internal",), allotted=LISTED, sharers=SHARED), "'a.feeds.internal' belongs to another service"),
    (Case(ips=("10.9.9.9",), sharers=SHARED), "'10.9.9.9' belongs to another service; register it for 'orders' too"),
    (Case(ips=("10.9.9.9",), allotted=Allotment(), sharers=SHARED), "'10.9.9.9' belongs to another service"),
    (Case(ips=("10.8.8.8", "10.9.9.9"), allotted=LISTED, sharers=SHARED), "'10.8.8.8' is not one of service"),
    (Case(owners={"orders": "billing"}), "'orders' belongs to another service"),
    (Case(dns=(OWN_NAME,)), "'tradewarden' belongs to another service"),
    (Case(dns=("mail.internal",), allotted=LISTED), "'mail.internal' is not one of service 'orders''s own"),
    (Case(dns=("trading.internal",), allotted=LISTED), "'trading.internal' is not"),
    (Case(dns=("eviltrading.internal",), allotted=LISTED), "'eviltrading.internal' is not"),
    (Case(dns=("web.internal.evil",), allotted=LISTED), "'web.internal.evil' is not"),
    (Case(dns=("a.web.internal",), allotted=LISTED), "'a.web.internal' is not"),
    (Case(ips=("10.0.0.2",), allotted=LISTED), "IP address '10.0.0.2' is not"),
    (Case(dns=("a.internal",), allotted=Allotment(ip_addresses=("10.0.0.1",))), "'a.internal' is not"),
    (Case(ips=("10.0.0.1",), allotted=Allotment(dns_names=("a.internal",))), "'10.0.0.1' is not"),
]


def check(case: Case, *, vouched: bool) -> None:
    """Hold a case against the rule."""
    names = names_of("trade.example", case.service, case.dns, case.ips)
    require_own(case.service, names, (case.allotted, case.owners, case.sharers), vouched=vouched)


@pytest.mark.parametrize("case", GOOD_FOR_ITSELF)
@pytest.mark.parametrize("vouched", [True, False])
def test_its_own_names_are_given_to_anyone_who_asks_for_it(case: Case, *, vouched: bool) -> None:
    """The own label, what is listed, and what is below a listed domain."""
    check(case, vouched=vouched)


@pytest.mark.parametrize("case", GOOD_WITH_AN_OPERATOR)
def test_a_service_without_a_list_needs_somebody_who_answers_for_its_names(case: Case) -> None:
    """An operator may name hosts; the service for itself may not."""
    check(case, vouched=True)
    with pytest.raises(NameRefusedError, match="is not one of service"):
        check(case, vouched=False)


@pytest.mark.parametrize(("case", "named"), BAD_FOR_EVERYONE)
@pytest.mark.parametrize("vouched", [True, False])
def test_what_is_not_its_own_is_refused_to_everyone(case: Case, named: str, *, vouched: bool) -> None:
    """Names of others, and names beyond the list; the refusal says which."""
    with pytest.raises(NameRefusedError) as refused:
        check(case, vouched=vouched)
    assert named in str(refused.value)
    assert isinstance(refused.value, PermissionDeniedError)  # so it is audited as denied, and answered 403


@pytest.mark.parametrize(
    "case",
    [
        Case(dns=("db.internal",), owners={"db.internal": "billing"}),
        Case(dns=("db.internal",), sharers={"db.internal": "billing"}),
        Case(ips=("10.9.9.9",), sharers={"10.9.9.9": "billing"}),
    ],
)
def test_the_refusal_does_not_tell_whose_a_name_is(case: Case) -> None:
    """The other service is named for the log only."""
    with pytest.raises(NameRefusedError) as refused:
        check(case, vouched=True)
    assert "billing" not in str(refused.value)
    assert "billing" in refused.value.reason


@pytest.mark.parametrize("vouched", [True, False])
def test_an_ipv4_address_mapped_into_ipv6_is_that_address(*, vouched: bool) -> None:
    """As an old certificate may bear it: whose the one is, the other is; who is registered for the one has both."""
    names = Names("spiffe://trade.example/orders", ips=(IPv6Address("::ffff:10.9.9.9"),))
    with pytest.raises(NameRefusedError, match=r"'10\.9\.9\.9' belongs to another service"):
        require_own("orders", names, (None, {}, SHARED), vouched=vouched)
    require_own("orders", names, (Allotment(ip_addresses=("10.9.9.9",)), {}, SHARED), vouched=vouched)


async def test_the_register_is_asked_for_addresses_as_it_has_them() -> None:
    """One way to write each, so that whose it is can be looked up."""
    asked: list[tuple[str, Sequence[str], Sequence[str]]] = []

    class Register:
        async def allotment(self, name: str, dns_names: Sequence[str], addresses: Sequence[str]) -> Standing:
            asked.append((name, tuple(dns_names), tuple(addresses)))
            return None, {}, {}

    names = Names("", ("a.internal",), (IPv6Address("::ffff:10.9.9.9"), IPv6Address("2001:DB8::1")))
    assert await Allowance(Register()).require("orders", names, vouched=True) == ""
    assert asked == [("orders", ("a.internal",), ("10.9.9.9", "2001:db8::1"))]


@pytest.mark.parametrize("asked", [Names("", ("vault.corp",), ()), Names("", (), (IPv4Address("10.0.0.5"),))])
async def test_nobody_is_certified_under_this_services_own_address(asked: Names) -> None:
    """Whoever answers under it is given join tokens and bearer tokens; so no operator can give it away."""
    allowance = Allowance(NoRegister(), frozenset({"vault.corp", "10.0.0.5"}))
    with pytest.raises(NameRefusedError, match="this service's own"):
        await allowance.require("orders", asked, vouched=True)
