"""Whatever is sent as a CSR, the answer is a certificate's key or an InvalidInputError, never another exception."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pki import csr, key_usage
from tradewarden.access.hosts import dns_name, ip
from tradewarden.errors import InvalidInputError
from tradewarden.pki.certificate.names import names_of
from tradewarden.pki.certificate.profiles import SERVICE
from tradewarden.pki.certificate.request import requested_key
from tradewarden.pki.inventory import serial_of

NAMES = names_of("trade.example", "bot", (), ())
SEEDS = [
    base64.b64decode("".join(pem.splitlines()[1:-1]))
    for pem in (
        csr(),
        csr(
            sans=(x509.DNSName("bot"), x509.RFC822Name("a@b.example")),
            extensions=(x509.BasicConstraints(ca=False, path_length=None), key_usage()),
        ),
        csr(rsa.generate_private_key(65537, 3072)),
        csr(ec.generate_private_key(ec.SECP384R1())),
    )
]


def pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> str:
    """Return a PEM block."""
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def read(text: str) -> None:
    """Read a CSR; anything but a key or an InvalidInputError comes out."""
    try:
        requested_key(text, "bot", SERVICE, NAMES)
    except InvalidInputError as error:
        refused = error.detail
    else:
        return
    assert refused.startswith("The CSR is refused: ")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_in_a_csr_block(der: bytes) -> None:
    """Random bytes in a CSR block are refused."""
    read(pem(der))


@settings(max_examples=800, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
def test_any_change_to_a_good_csr(seed: bytes, changes: list[tuple[int, int]], end: int) -> None:
    """A CSR with bytes changed or cut off is refused or is still one."""
    der = bytearray(seed)
    for at, value in changes:
        der[at % len(der)] = value
    read(pem(bytes(der)))
    read(pem(bytes(seed[: end % len(seed)])))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400), st.text(max_size=30))
def test_any_text(text: str, label: str) -> None:
    """Any text, in any block, is refused."""
    read(text)
    read(pem(text.encode("utf-8", "surrogatepass"), label))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_as_name_address_or_serial_number(text: str) -> None:
    """Names, addresses and serial numbers are taken as they are or refused."""
    for check in (dns_name, ip, serial_of):
        try:
            check(text)
        except InvalidInputError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"\A[a-z0-9_.*-]{1,80}\Z"))
def test_an_accepted_dns_name_is_in_the_preferred_syntax(text: str) -> None:
    """What is accepted has labels of 1 to 63 letters, digits and inner hyphens, the last not a number."""
    try:
        accepted = dns_name(text)
    except InvalidInputError:
        return
    labels = accepted.split(".")
    assert accepted == text
    assert not labels[-1].isdigit()
    for label in labels:
        assert 1 <= len(label) <= 63
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert label.strip("-") == label
