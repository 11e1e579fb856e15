"""Grants: made by the decision alone, good for what they were made for."""

from __future__ import annotations

import pytest

from tradewarden.access.grant import ANY, Grant, authorize
from tradewarden.access.permission import ALL, NOTHING, PermissionSet
from tradewarden.access.principal import Kind, Principal, service_name
from tradewarden.errors import InvalidInputError, PermissionDeniedError

BOT = Principal(Kind.SERVICE, "bot")


def test_a_grant_is_made_by_authorize_alone() -> None:
    """Honest code cannot make one by itself."""
    with pytest.raises(TypeError):
        Grant(object(), BOT, ALL, "secrets:read", "a", None)


@pytest.mark.parametrize("names", [(), ("secrets:write",), ("secrets:read:b/*",)])
def test_without_the_permission_there_is_no_grant(names: tuple[str, ...]) -> None:
    """The error shows one text; its reason says what was missing, and no resource."""
    with pytest.raises(PermissionDeniedError) as raised:
        authorize(BOT, PermissionSet(names), "secrets:read", "a/secret")
    assert raised.value.detail == "Insufficient permissions for operation"
    assert raised.value.reason == "service:bot lacks secrets:read on this resource"


def test_a_listing_needs_the_action_on_something() -> None:
    """Then each item is asked for by itself."""
    grant = authorize(BOT, PermissionSet(["secrets:list:a/*"]), "secrets:list", ANY)
    assert grant.sees("a/b")
    assert not grant.sees("b")
    with pytest.raises(PermissionDeniedError):
        authorize(BOT, NOTHING, "secrets:list", ANY)


def test_a_grant_is_good_for_its_action_and_resource() -> None:
    """A room that asks it for anything else is refused."""
    grant = authorize(BOT, PermissionSet(["secrets:read:a/*", "secrets:write"]), "secrets:read", "a/b")
    grant.require("secrets:read", "a/b")
    grant.require("secrets:read", "a/c")
    for action, resource in (("secrets:write", "a/b"), ("secrets:read", "b"), ("secrets:read", ANY)):
        with pytest.raises(PermissionDeniedError):
            grant.require(action, resource)


def test_a_principal_is_typed() -> None:
    """A service never passes for a user of the same name."""
    assert Principal(Kind.SERVICE, "x") != Principal(Kind.USER, "x")
    assert str(BOT) == "service:bot"


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a.b", "ä", "a/b", "a" * 64, "a\n"])
def test_a_service_name_has_a_form(name: str) -> None:
    """Refused, never repaired."""
    with pytest.raises(InvalidInputError):
        service_name(name)


@pytest.mark.parametrize("name", ["a", "0", "trading_bot_service", "a-b", "a" * 63])
def test_good_service_names_are_taken_as_they_are(name: str) -> None:
    """`[a-z0-9][a-z0-9_-]{0,62}` (decision 7)."""
    assert service_name(name) == name
