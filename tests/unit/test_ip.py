"""Which addresses and which hosts are this very machine."""

from __future__ import annotations

import pytest

from tradewarden.ip import is_loopback, is_this_machine


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("x", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine(address: str, local: bool) -> None:
    """In IPv4, IPv6 and mapped form, as an address and as a host."""
    assert is_loopback(address) is local
    assert is_this_machine(address) is local


def test_localhost_is_a_host_and_no_address() -> None:
    """The name means this machine where a host may stand; names like it do not, and a peer has no name."""
    assert is_this_machine("localhost")
    assert not is_loopback("localhost")
    for name in ("localhost.example", "localhost.", "0.0.0.0", "::"):  # noqa: S104
        assert not is_this_machine(name)
