"""The one rule of names: a service is certified under its own names and nobody else's."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import NameRefusedError, PermissionDeniedError
from tradewarden.pki.allowance import require_own
from tradewarden.pki.certificate.names import names_of


@dataclass(frozen=True)
class Allotment:
    """A registration, as far as names go."""

    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    incarnation: str = "first"


@dataclass(frozen=True)
class Case:
    """Names that are asked for, and what stands in the register."""

    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    allotted: Allotment | None = None
    owners: dict[str, str] = field(default_factory=dict)
    service: str = "orders"


LISTED = Allotment(("web.internal", ".trading.internal"), ("10.0.0.1", "2001:db8::1"))

GOOD_FOR_ITSELF = [
    Case(),
    Case(allotted=Allotment()),
    Case(dns=("orders",), owners={"orders": "orders"}),
    Case(dns=("web.internal",), allotted=LISTED, owners={"web.internal": "orders"}),
    Case(dns=("a.trading.internal", "a.b.trading.internal"), allotted=LISTED),
    Case(ips=("10.0.0.1", "2001:DB8:0::1"), allotted=LISTED),
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
    require_own(case.service, names, case.allotted, case.owners, vouched=vouched)


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


def test_the_refusal_does_not_tell_whose_a_name_is() -> None:
    """The other service is named for the log only."""
    with pytest.raises(NameRefusedError) as refused:
        check(Case(dns=("db.internal",), owners={"db.internal": "billing"}), vouched=True)
    assert "billing" not in str(refused.value)
    assert "billing" in refused.value.reason
