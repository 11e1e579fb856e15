"""Names of hosts: labels in other scripts, as they are written in DNS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewarden.access.hosts import below, dns_name, domains, ip, own_label
from tradewarden.errors import InvalidInputError

PUBLISHED = [
    "xn--bcher-kva",
    "xn--strae-oqa",  # straße: valid in IDNA2008, and not what IDNA2003 would write
    "xn--hxajbheg2az3al",  # the next ones are IANA's test domains
    "xn--kgbechtv",
    "xn--hgbk6aj7f53bba",
    "xn--0zwm56d",
    "xn--deba0ad",
    "xn--11b5bs3a9aj6g",
    "xn--zckzah",
    "xn--9t4b11yi5a",
    "xn--80akhbyknj4f",
    "xn--hlcj6aya9esc7a",
    "xn--p1ai",
    "xn--fiqs8s",
    "xn--mgba3gch31f060k",  # with a joiner
    "xn--ll-0ea",  # with a middle dot
]
MADE_UP = {
    "nothing behind it": "xn--",
    "a letter of ASCII": "xn--abc-",
    "ends in the middle": "xn--bcher-kv",
    "beyond Unicode": "xn--999999999",
    "a control": "xn--a",
    "a surrogate": "xn--0",
    "a picture": "xn--ls8h",
    "a capital": "xn--" + "über".upper().encode("punycode").decode().lower(),
    "not composed": "xn--" + "u\u0308ber".encode("punycode").decode(),
    "begins with a mark": "xn--" + "\u0301a".encode("punycode").decode(),
    "compatibility form": "xn--" + "\ufb01x".encode("punycode").decode(),
    "a hyphen first": "xn--" + "-ü".encode("punycode").decode(),
    "a hyphen before all": "xn---fiqs8s",  # decoded like xn--fiqs8s, which is the way to write that
    "an A-label within": "xn--" + "xn--ü".encode("punycode").decode(),
    "a slash that is none": "xn--" + "a\u2044b".encode("punycode").decode(),
    "a space that is none": "xn--" + "a\u3000b".encode("punycode").decode(),
}
RESERVED = ["ab--cd", "ww--w", "a---b", "xm--p1ai", "0x--1"]


@pytest.mark.parametrize("label", PUBLISHED)
def test_a_label_of_another_script_is_a_name(label: str) -> None:
    """What registries publish is taken as it is, wherever in the name."""
    for name in (label, f"www.{label}", f"{label}.example", f"a.{label}.b"):
        assert dns_name(name) == name
    assert own_label(label) == (label,)


@pytest.mark.parametrize("label", MADE_UP.values(), ids=MADE_UP)
def test_a_label_that_stands_for_no_word_is_refused(label: str) -> None:
    """The label is named, wherever it stands; nothing is repaired."""
    for name in (label, f"www.{label}", f"{label}.example", f"xn--p1ai.{label}"):
        with pytest.raises(InvalidInputError, match="not understood"):
            dns_name(name)
    assert own_label(label) == ()


@pytest.mark.parametrize("label", RESERVED)
def test_a_label_that_is_reserved_is_refused(label: str) -> None:
    """Hyphens in the third and fourth place are for labels that stand for something else (RFC 5890 section 2.3.1)."""
    for name in (label, f"www.{label}", f"{label}.example", f"xn--p1ai.{label}"):
        with pytest.raises(InvalidInputError, match=f"'{label}' has '--' in its third and fourth place"):
            dns_name(name)
    assert own_label(label) == ()


@pytest.mark.parametrize("label", ["a--b", "abc--d", "ab-c--d", "ab-cd", "x-n--a"])
def test_hyphens_elsewhere_are_as_good_as_letters(label: str) -> None:
    """A label may have as many hyphens as it likes in other places."""
    assert dns_name(f"{label}.example") == f"{label}.example"
    assert own_label(label) == (label,)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-", max_size=60))
def test_any_label_is_taken_or_refused(rest: str) -> None:
    """Whatever follows the prefix is a name that is written in one way only, or refused in words."""
    name = f"xn--{rest}"
    try:
        dns_name(name)
    except InvalidInputError:
        return
    assert f"xn--{rest.encode().decode('punycode').encode('punycode').decode()}" == name
    assert not rest.encode().decode("punycode").isascii()


@pytest.mark.parametrize(
    ("name", "above"),
    [("orders", ()), ("a.internal", (".internal",)), ("a.b.internal", (".b.internal", ".internal"))],
)
def test_the_domains_of_a_name_are_all_that_it_is_below(name: str, above: tuple[str, ...]) -> None:
    """Every pattern that the name is a host below, and no other."""
    assert domains(name) == above
    assert all(below(name, (each,)) for each in above)
    assert not below(name, (f".{name}",))


@pytest.mark.parametrize("text", ["::ffff:10.9.9.9", "::FFFF:a09:909", "0:0:0:0:0:ffff:10.9.9.9"])
def test_an_ipv4_address_is_written_as_one(text: str) -> None:
    """Mapped into IPv6 it would be the same host under another name; the refusal says how to write it."""
    with pytest.raises(InvalidInputError, match=r"is an IPv4 one; write '10\.9\.9\.9'"):
        ip(text)
    assert str(ip("10.9.9.9")) == "10.9.9.9"
