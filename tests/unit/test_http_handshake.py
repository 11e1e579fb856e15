"""What a client showed in its handshake, and in what words it is refused."""

from __future__ import annotations

import ssl

from hypothesis import given
from hypothesis import strategies as st

from tradewarden.http.handshake import StrangerError, presented, reason_of

CHAIN = st.lists(st.binary(min_size=1, max_size=300), max_size=4)


def message(chain: list[bytes], context: bytes = b"", extensions: bytes = b"") -> bytes:
    """Write a Certificate message of TLS 1.3 (RFC 8446 4.4.2)."""
    entries = b"".join(
        len(each).to_bytes(3, "big") + each + len(extensions).to_bytes(2, "big") + extensions for each in chain
    )
    body = len(context).to_bytes(1, "big") + context + len(entries).to_bytes(3, "big") + entries
    return b"\x0b" + len(body).to_bytes(3, "big") + body


@given(CHAIN, st.binary(max_size=255), st.binary(max_size=20))
def test_the_chain_is_read_as_it_was_sent(chain: list[bytes], context: bytes, extensions: bytes) -> None:
    """Every certificate in its order, whatever stands between them."""
    assert presented(message(chain, context, extensions)) == chain


@given(CHAIN, st.integers(min_value=0, max_value=1500))
def test_a_message_that_is_cut_off_gives_what_is_whole(chain: list[bytes], length: int) -> None:
    """Never an error, and never half a certificate."""
    found = presented(message(chain)[:length])
    assert found == chain[: len(found)]


@given(st.binary(max_size=200))
def test_rubbish_is_no_error(data: bytes) -> None:
    """Whatever comes is read or left."""
    presented(data)


def test_reasons_are_words() -> None:
    """OpenSSL's names are written plainly, ours stay as they are, and what has no name goes by its kind."""
    error = ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1006)")
    error.reason = "NO_SHARED_CIPHER"
    assert reason_of(error) == "no shared cipher"
    assert reason_of(StrangerError("2 URIs in it")) == "2 URIs in it"
    assert reason_of(ConnectionResetError()) == "connectionreseterror"
