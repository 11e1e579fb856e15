"""What the comparison after signing expects is what the library writes, for any order."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pki import START
from tradewarden.pki.certificate.issuer import Issuer, Order, self_signed
from tradewarden.pki.certificate.names import names_of
from tradewarden.pki.certificate.profiles import ROOT, SERVER, SERVICE

NOW, END = int(START), int(START) + 60 * 366 * 86_400
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = (KEY.public_key(), ec.generate_private_key(ec.SECP384R1()).public_key())


def named(text: str) -> x509.Name:
    """Return a name of one CN."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


ISSUER = Issuer(self_signed(Order(ROOT, named("CA"), KEY.public_key(), 1, NOW, END), KEY), KEY)
addresses = st.ip_addresses(v=4).filter(lambda ip: not ip.is_multicast and not ip.is_unspecified).map(str)
label = st.from_regex(r"[a-z][a-z0-9]{0,59}", fullmatch=True)


@given(
    st.sampled_from([SERVICE, SERVER]),
    label,
    st.sampled_from(PUBLIC),
    st.integers(1, (1 << 159) - 1),
    st.tuples(st.integers(NOW, END), st.integers(NOW, END)).map(sorted),
    st.lists(st.lists(label, min_size=1, max_size=4).map(".".join), max_size=32),
    st.lists(
        st.ip_addresses(v=4).filter(lambda ip: not ip.is_multicast and not ip.is_unspecified).map(str), max_size=32
    ),
)
def test_every_order_comes_through(profile, service, public, serial, term, dns, ips) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Whatever is ordered is issued, so the two encodings agree: small and large, before 2050 and after."""
    names = names_of("trade.example", service, dns, ips)
    order = Order(profile, named(service), public, serial, term[0], term[1], names.general())
    issued = ISSUER.issue(order).certificate
    assert issued.serial_number == serial
