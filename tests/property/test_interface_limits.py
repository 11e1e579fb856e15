"""What the document of the interface says of a text is what the rooms check: neither allows what the other does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tradewarden.access.hosts import DnsName, DnsPattern, IpAddress, dns_name, dns_pattern, ip
from tradewarden.access.permission import PermissionName, expand
from tradewarden.access.principal import ServiceName, service_name
from tradewarden.errors import InvalidInputError
from tradewarden.pki.inventory import serial_of
from tradewarden.pki.limits import SerialNumber
from tradewarden.secrets.path import PathPrefix, SecretPath, path_prefix, secret_path
from tradewarden.secrets.rotation.window import Schedule, parse_window

Check = Callable[[str], object]
TEXTS: dict[str, tuple[Any, Check]] = {
    "service name": (ServiceName, service_name),
    "permission": (PermissionName, expand),
    "secret path": (SecretPath, secret_path),
    "path prefix": (PathPrefix, path_prefix),
    "serial number": (SerialNumber, serial_of),
}
NARROWER: dict[str, tuple[Any, Check]] = {
    "DNS name": (DnsName, dns_name),
    "DNS pattern": (DnsPattern, dns_pattern),
    "schedule": (Schedule, parse_window),
}
"""Here the check knows more than a pattern can say: reserved labels, the names of days."""
PIECES = st.sampled_from(
    [
        "a",
        "Z",
        "9",
        "_",
        "-",
        ".",
        "..",
        "/",
        "*",
        ":",
        " ",
        "%",
        "é",
        "\n",
        "read",
        "admin",
        "secrets",
        "x" * 63,
        "x" * 255,
    ]
)
LIKE_THESE = st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=20)


def schema(kind: object) -> dict[str, Any]:
    """Return what the document says of a type."""
    return msgspec.json.schema(kind)


def allowed(kind: object, text: str) -> bool:
    """Tell whether the document allows a text."""
    said = schema(kind)
    pattern = said["pattern"].removesuffix("$") + r"\Z"  # in ECMA-262 the end is the end
    return len(text) <= said.get("maxLength", len(text)) and re.search(pattern, text) is not None


def accepted(check: Check, text: str) -> bool:
    """Tell whether the room takes a text."""
    try:
        check(text)
    except InvalidInputError:
        return False
    return True


@pytest.mark.parametrize("name", TEXTS)
@given(data=st.data())
def test_whatever_the_document_allows_is_taken(name: str, data: st.DataObject) -> None:
    """A text that fits the schema is refused neither for its length nor for its characters."""
    kind, check = TEXTS[name]
    text = data.draw(st.from_regex(schema(kind)["pattern"], fullmatch=True))
    assume(allowed(kind, text))
    assert accepted(check, text)


@pytest.mark.parametrize("name", [*TEXTS, *NARROWER])
@given(text=LIKE_THESE)
def test_whatever_is_taken_the_document_allows(name: str, text: str) -> None:
    """No client that checks its input by the schema is kept from what the service takes."""
    kind, check = (TEXTS | NARROWER)[name]
    if accepted(check, text):
        assert allowed(kind, text)
    elif name in TEXTS:
        assert not allowed(kind, text)


@pytest.mark.parametrize("name", ["DNS name", "DNS pattern"])
@pytest.mark.parametrize(
    "text",
    ["a.b", "127.0.0.1", "a.1", "a.0x1f", "a.1b", "ab--c.d", "xn--mnchen-3ya.de", "a." * 126 + "b", "a." * 126 + "bc"],
)  # fmt: skip
@pytest.mark.parametrize("dot", ["", "."])
def test_names_that_mean_something_else_are_not_allowed(name: str, text: str, dot: str) -> None:
    """What reads as an address, a reserved label and a name of 254 characters: the schema knows them too."""
    kind, check = NARROWER[name]
    assert accepted(check, dot + text) is allowed(kind, dot + text)


@given(address=st.ip_addresses(), form=st.sampled_from(["compressed", "exploded"]))
def test_an_address_is_allowed_where_it_is_one_hosts(address: Any, form: str) -> None:  # noqa: ANN401
    """Unspecified, multicast and mapped addresses are told apart by the schema as by the room, however written."""
    text = getattr(address, form)
    refused = re.search(schema(IpAddress)["not"]["pattern"], text) is not None
    assert accepted(ip, text) is not refused


@pytest.mark.parametrize(
    "text", ["::", "0:0::0", "224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:1.2.3.4", "::ffff:102:304"]
)  # fmt: skip
def test_the_address_of_no_host_is_not_allowed(text: str) -> None:
    """Neither by the schema nor by the room."""
    assert re.search(schema(IpAddress)["not"]["pattern"], text)
    assert not accepted(ip, text)


def test_the_types_check_nothing_by_themselves() -> None:
    """They are for the document alone: the rooms refuse in their own words."""
    for kind, _ in (TEXTS | NARROWER).values():
        assert msgspec.convert("\0" * 2000, kind) == "\0" * 2000
        assert get_args(kind)[0] is str
