"""Permissions: what a name stands for, what a scope covers, what two sets have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewarden.access.permission import ALL, MAX_PERMISSIONS, NOTHING, Permission, PermissionSet, expand
from tradewarden.errors import InvalidInputError

SEGMENTS = st.text("abz09_.-", min_size=1, max_size=4).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
SCOPES = PATHS | PATHS.map("{}/*".format) | st.just("*")
NAMES = st.builds("secrets:{}:{}".format, st.sampled_from(["read", "write", "delete"]), SCOPES) | st.sampled_from(
    ["read", "write", "admin", "secrets:read", "secrets:write", "trades:execute", "view_metrics"]
)
ACTIONS = st.sampled_from(["secrets:read", "secrets:list", "secrets:write", "secrets:delete", "trades:execute"])


@pytest.mark.parametrize(
    ("name", "stands_for"),
    [
        ("read", ["secrets:read", "secrets:list"]),
        ("secrets:read", ["secrets:read", "secrets:list"]),
        ("write", ["secrets:write"]),
        ("admin", ["admin"]),
        ("execute_trades", ["trades:execute"]),
        ("view_portfolio", ["portfolio:view"]),
        ("configure_system", ["system:configure"]),
        ("secrets:write:api_keys/*", ["secrets:write:api_keys/*"]),
        ("read:a/b", ["secrets:read:a/b", "secrets:list:a/b"]),
        ("credentials:issue:trading_bot", ["credentials:issue:trading_bot", "credentials:renew:trading_bot"]),
    ],
)
def test_a_name_stands_for_its_actions(name: str, stands_for: list[str]) -> None:
    """Short names are the contract's; a scope goes with every action."""
    assert [str(permission) for permission in expand(name)] == stands_for


@pytest.mark.parametrize(
    "name",
    ["", "secrets", "secrets:", ":read", "Secrets:read", "secrets:read:", "secrets:read:*/a", "secrets:read:a*",
     "secrets:read:a/../b", "secrets:read:/a", "secrets:read:a/", "secrets:read:a//b", "secrets:read:ä", "a:b:c:d",
     "admin:secrets", "read:*:x", "secrets:read:a/*/b", "reads", "secrets:read:%2e"],
)  # fmt: skip
def test_a_name_that_is_not_understood_is_refused(name: str) -> None:
    """Nothing is repaired or guessed."""
    with pytest.raises(InvalidInputError):
        expand(name)


@pytest.mark.parametrize(
    ("scope", "resource", "covered"),
    [
        ("", "a", True),
        ("*", "a/b/c", True),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", True),
        ("a/*", "a", False),
        ("a/*", "ab", False),
        ("a/*", "ab/c", False),
        ("a", "a", True),
        ("a", "a/b", False),
        ("a", "A", False),
        ("api_keys/*", "api_keys_old/x", False),
    ],
)
def test_a_star_means_one_segment_or_more(scope: str, resource: str, covered: bool) -> None:
    """A scope covers what is below it, never what only begins alike, and minds case."""
    name = f"secrets:write:{scope}" if scope else "secrets:write"
    assert PermissionSet([name]).allows("secrets:write", resource) is covered


def test_an_empty_list_grants_nothing() -> None:
    """Neither an action on a thing nor one on anything at all."""
    assert not NOTHING.allows("secrets:read", "a")
    assert not NOTHING.allows_some("secrets:read")
    assert not list(NOTHING)


def test_admin_means_everything() -> None:
    """Also actions that nobody has thought of yet."""
    assert ALL.allows("no:such", "thing")
    assert ALL.allows_some("no:such")
    assert ALL.covers(Permission("no:such"))


def test_names_stay_as_they_were_asked_for_when_all_of_them_is_granted() -> None:
    """A name that is wholly covered is repeated; one that is partly covered is narrowed; the rest is gone."""
    registered = PermissionSet(["secrets:read:a/*", "write", "trades:execute"])
    assert PermissionSet(["write", "execute_trades"]).intersect(registered).names == ("write", "execute_trades")
    assert PermissionSet(["read"]).intersect(registered).names == ("secrets:read:a/*",)
    assert PermissionSet(["secrets:read:a/b"]).intersect(registered).names == ("secrets:read:a/b",)
    assert PermissionSet(["secrets:delete", "credentials:issue"]).intersect(registered).names == ()
    assert PermissionSet(["admin"]).intersect(registered).names == registered.names
    assert PermissionSet(["admin"]).intersect(ALL).names == ("admin",)


def test_a_list_has_a_largest_length() -> None:
    """More names than that are refused."""
    with pytest.raises(InvalidInputError):
        PermissionSet(f"secrets:read:{number}" for number in range(MAX_PERMISSIONS + 1))


@given(mine=st.lists(NAMES, max_size=5), theirs=st.lists(NAMES, max_size=5), action=ACTIONS, path=PATHS)
def test_an_intersection_allows_what_both_allow(mine: list[str], theirs: list[str], action: str, path: str) -> None:
    """For every action and resource, and never more than either."""
    one, other = PermissionSet(mine), PermissionSet(theirs)
    both = one.allows(action, path) and other.allows(action, path)
    assert one.intersect(other).allows(action, path) is both


@given(names=st.lists(NAMES, max_size=5), scope=SCOPES, action=ACTIONS, path=PATHS)
def test_what_covers_a_permission_allows_all_of_it(names: list[str], scope: str, action: str, path: str) -> None:
    """`covers` never says yes to a permission that reaches further than the set."""
    held = PermissionSet(names)
    if held.covers(Permission(action, scope)) and PermissionSet([f"{action}:{scope}"]).allows(action, path):
        assert held.allows(action, path)
