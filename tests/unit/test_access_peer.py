"""How often a peer may call, which address it is counted under, and whose word about it counts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.support.secrets import HandClock
from tradewarden.access.address import client_address, listed, require_listed
from tradewarden.access.throttle import MAX_KEYS, Throttle, peer_key
from tradewarden.errors import PermissionDeniedError, RateLimitedError

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_a_bucket_holds_so_many_calls_and_fills_up_again() -> None:
    """Three calls in six seconds: the fourth waits two, and then passes."""
    clock = HandClock()
    throttle = Throttle(3, 6, clock)
    assert [throttle.spend("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert throttle.wait("a") == pytest.approx(2.0)
    with pytest.raises(RateLimitedError) as raised:
        throttle.require("a")
    assert raised.value.retry_after == pytest.approx(2.0)
    assert throttle.wait("b") == 0.0
    clock.time += 2.0
    throttle.require("a")
    assert throttle.wait("a") > 0
    clock.time += 100.0
    assert [throttle.spend("a") for _ in range(4)][:3] == [0.0, 0.0, 0.0]


def test_looking_spends_nothing() -> None:
    """However often."""
    throttle = Throttle(1, 1, HandClock())
    assert [throttle.wait("a") for _ in range(5)] == [0.0] * 5


def test_the_number_of_remembered_keys_is_bounded() -> None:
    """The oldest is forgotten, and starts full again."""
    throttle = Throttle(1, 1000, HandClock())
    for number in range(MAX_KEYS + 1):
        throttle.spend(str(number))
    assert throttle.wait("0") == 0.0
    assert throttle.wait("1") > 0.0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("", ""),
        ("rubbish", "rubbish"),
    ],
)
def test_ipv6_peers_are_counted_by_their_network(address: str, key: str) -> None:
    """One host has a /64 of addresses at least (decision 9)."""
    assert peer_key(address) == key


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", "203.0.113.1", "192.0.2.9"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1, 10.2.3.4", "203.0.113.1"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_forwarded_addresses_count_from_listed_proxies_alone(peer: str, forwarded: str, client: str) -> None:
    """And then the right-most that is no proxy itself: what stands left of it can be forged."""
    assert client_address(peer, forwarded, PROXIES) == client


def test_without_proxies_the_peer_is_the_client() -> None:
    """Whatever it says."""
    assert client_address("10.0.0.1", "203.0.113.1", ()) == "10.0.0.1"


def test_an_address_list_lets_in_what_stands_on_it() -> None:
    """No list lets everything in; what is no address is on none."""
    require_listed("203.0.113.1", ())
    require_listed("::ffff:10.1.2.3", PROXIES)
    for address in ("203.0.113.1", "rubbish", ""):
        with pytest.raises(PermissionDeniedError):
            require_listed(address, PROXIES)
        assert not listed(address, PROXIES)
