"""OCSP requests of any bytes: an answer or a refusal, never an exception."""

from __future__ import annotations

import pytest
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.revocation import Ca, asked, begin, ca
from tradewarden.pki.certificate.der import Reader, header, integer, tlv
from tradewarden.pki.revocation.ocsp import STATUSES
from tradewarden.pki.revocation.ocsp_encoding import read_request

fuzz = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TAGS = st.sampled_from([0x01, 0x02, 0x04, 0x05, 0x06, 0x0A, 0x30, 0xA0, 0xA1, 0xA2])
TREES = st.recursive(
    st.builds(tlv, TAGS, st.binary(max_size=12)),
    lambda inner: st.builds(lambda tag, parts: tlv(tag, *parts), TAGS, st.lists(inner, max_size=4)),
    max_leaves=12,
)


@pytest.fixture
async def made() -> Ca:
    """Give a CA with a certificate."""
    return await ca()


async def answered(made: Ca, request: bytes) -> None:
    """Ask, and check that whatever comes is an OCSP response."""
    answer = await made.process().ocsp(request, begin)
    assert set(answer.statuses) <= set(STATUSES)
    ocsp.load_der_ocsp_response(answer.der)


@fuzz
@given(data=st.binary(max_size=300) | TREES)
async def test_any_bytes_are_answered(made: Ca, data: bytes) -> None:
    """Whatever comes, an OCSP response goes out."""
    await answered(made, data)


@fuzz
@given(data=st.data())
async def test_a_damaged_request_is_answered(made: Ca, data: st.DataObject) -> None:
    """A request with bytes changed, cut or doubled is answered or refused."""
    request = bytearray(asked(await made.issued(), made.issuer.certificate, nonce=b"n" * 16))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(request) - 1))
        request[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        request += b"\0" * (not request)
    await answered(made, bytes(request))


@given(request=st.binary(max_size=200) | TREES)
def test_reading_fails_in_one_way(request: bytes) -> None:
    """What is no request is a `ValueError`, and what is one reads the same as the library reads it."""
    try:
        found = read_request(request)
    except ValueError:
        return
    if len(found.certificates) == 1:
        assert ocsp.load_der_ocsp_request(request).serial_number == found.certificates[0].serial


@given(tag=TAGS, value=st.binary(max_size=70_000), rest=st.binary(max_size=3))
def test_what_is_written_is_read(tag: int, value: bytes, rest: bytes) -> None:
    """A value comes back with its tag, whatever its length, and what follows is left."""
    reader = Reader(tlv(tag, value) + rest)
    assert reader.value(tag) == value
    assert reader.tag == (rest[0] if rest else -1)


@given(size=st.integers(0, 2**31), number=st.integers(0, 2**160))
def test_lengths_and_numbers_are_the_shortest(size: int, number: int) -> None:
    """Lengths are as short as DER wants them, and numbers are not negative."""
    made = header(0x30, size)
    assert made[1] == size if size < 128 else made[2] != 0
    assert int.from_bytes(Reader(integer(number)).value(0x02), "big", signed=True) == number
