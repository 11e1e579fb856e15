"""Which addresses and which hosts are this very machine."""

from __future__ import annotations

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.ip import is_loopback, is_this_machine, web_address
from tradewarden.outbound import address

NO_WEB_ADDRESS = [
    "http://[::1",
    "http://[v1.x]",
    "http://[a]:80",
    "http://h:x",
    "http://h:99999",
    "http://a b",
    "http://h\x01",
    "http://" + "a" * 64,
    "http://..",
    "http://xn--0.example",
    "http://",
    "//h",
    "ftp://h",
    "",
]


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


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://127.0.0.1:8002", "127.0.0.1", 8002),
        ("HTTPS://Host.example./a", "host.example.", None),
        ("https://[::1]:8002", "::1", 8002),
        ("https://[fe80::1%eth0]", "fe80::1%eth0", None),
        ("https://my_service", "my_service", None),
        ("https://b\u00fccher.example", "b\u00fccher.example", None),
    ],
)
def test_a_web_address_has_a_host(url: str, host: str, port: int | None) -> None:
    """Addresses and names of hosts pass, with and without a port."""
    parts = web_address(url)
    assert (parts.hostname, parts.port) == (host, port)


@pytest.mark.parametrize("url", NO_WEB_ADDRESS)
def test_what_cannot_be_called_is_no_web_address(url: str) -> None:
    """Brackets that do not fit, ports that are none, names that no resolver takes: each is a `ValueError`."""
    with pytest.raises(ValueError):  # noqa: PT011 - as urllib says it
        web_address(url)


@pytest.mark.parametrize("url", NO_WEB_ADDRESS)
def test_no_service_is_at_such_an_address(url: str) -> None:
    """Every client of ours says so in one sentence, and never shows a password."""
    with pytest.raises(ConfigurationError, match="is no address of a service"):
        address(url)
    with pytest.raises(ConfigurationError, match="holds no user name") as refused:
        address("http://me:hunter2@[::1")
    assert "hunter2" not in str(refused.value)
