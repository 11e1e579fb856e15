"""Whatever is thrown at the door as a token is a `TokenError` and nothing else."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tokens import SHARED_SECRET, START, Room, admin, room
from tradewarden.errors import TokenError
from tradewarden.tokens.commands import IssueToken, RefreshToken
from tradewarden.tokens.policy import TokenKind, TokenPolicy
from tradewarden.tokens.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = int(START)
GOOD = {
    "iss": "tradewarden",
    "sub": "service:bot",
    "aud": "tradewarden",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 60,
    "jti": "0" * 32,
}


def b64(raw: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hs256(header: bytes, payload: bytes, secret: bytes = SHARED_SECRET.encode()) -> str:
    """Sign by hand, with any header."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), sha256))}"


async def refusal(made: Room, token: str) -> str:
    """Return the reason why a token is refused; anything but a `TokenError` fails the test."""
    with pytest.raises(TokenError) as refused:
        await made.authenticate(token)
    return refused.value.reason


async def issued(made: Room) -> str:
    """Return a good token."""
    answer = await made.tokens.issue(admin("tokens:issue", "bot"), IssueToken("bot"), made.entry())
    return answer.token


async def signer(made: Room) -> SigningKey:
    """Return the key that signs."""
    return (await made.tokens._parts.ring()).signer(TokenKind.ACCESS)


ROOMS: dict[str, tuple[Room, str]] = {}


async def shared(algorithm: str) -> tuple[Room, str]:
    """Return a room that is made once for all examples, and a good token of it."""
    if algorithm not in ROOMS:
        made = await room(TokenPolicy(algorithm=algorithm, unregistered_ceiling=("read",)), secret=SHARED_SECRET)
        ROOMS[algorithm] = made, await issued(made)
    return ROOMS[algorithm]


@given(st.text(max_size=300) | st.from_regex(r"[\w-]{1,60}(\.[\w-]{0,60}){2}", fullmatch=True))
@settings(deadline=None)
async def test_any_text_is_refused(text: str) -> None:
    """Text of any kind, tokens by shape among them, is refused by name."""
    made, _ = await shared("HS256")
    await refusal(made, text)


@given(st.text(max_size=300))
@settings(deadline=None, max_examples=50)
async def test_any_text_is_no_refresh_token(text: str) -> None:
    """The same holds for refresh tokens, with and without our prefix."""
    made, _ = await shared("HS256")
    for guess in (text, f"twr_{text}"):
        with pytest.raises(TokenError):
            await made.tokens.refresh(RefreshToken(guess), made.entry())


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
async def test_a_token_with_one_flipped_bit_is_refused(algorithm: str, data: st.DataObject) -> None:
    """No bit of a token is without meaning."""
    made, good = await shared(algorithm)
    place = data.draw(st.integers(0, len(good) - 1))
    bit = data.draw(st.integers(0, 6))
    changed = good[:place] + chr(ord(good[place]) ^ (1 << bit)) + good[place + 1 :]
    await refusal(made, changed)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
async def test_a_token_that_is_cut_or_extended_is_refused(data: st.DataObject) -> None:
    """A part of a token, or a token and more, is none."""
    made, good = await shared("HS256")
    end = data.draw(st.integers(0, len(good) - 1))
    more = data.draw(st.text("Aa0_-=. \n", min_size=1, max_size=3))
    for changed in (good[:end], good + more, more + good):
        await refusal(made, changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(GOOD)), value=JSON, drop=st.booleans())
@settings(deadline=None)
async def test_claims_of_any_type_are_refused(name: str, value: object, drop: bool) -> None:
    """Even with our own key: a claim that is missing, of another type or value makes no token."""
    made, _ = await shared("HS256")
    claims: dict[str, object] = {**GOOD, name: value}
    if drop:
        del claims[name]
    key = await signer(made)
    await refusal(made, key.sign(json.dumps(claims).encode()))


@given(payload=st.binary(max_size=200))
@settings(deadline=None)
async def test_a_payload_of_any_bytes_is_refused(payload: bytes) -> None:
    """Even with our own key: what is no claims set is no token."""
    made, _ = await shared("HS256")
    await refusal(made, (await signer(made)).sign(payload))


@given(header=st.dictionaries(st.text(max_size=10), JSON, max_size=5))
@settings(deadline=None)
async def test_a_header_of_any_kind_is_refused(header: dict[str, Any]) -> None:
    """Even with the shared secret: a header that is not ours chooses nothing."""
    made, _ = await shared("HS256")
    text = json.dumps(header).encode()
    await refusal(made, hs256(text, json.dumps(GOOD).encode()))


CLAIMS = {
    "other issuer": ({"iss": "evil"}, "issuer is another"),
    "other audience": ({"aud": "user"}, "audience is another"),
    "list audience": ({"aud": ["tradewarden", "x"]}, "claims are missing or of the wrong type"),
    "expired": ({"exp": NOW}, "token is expired"),
    "not yet": ({"nbf": NOW + 31}, "token is not valid yet"),
    "from the future": ({"iat": NOW + 31}, "token was issued in the future"),
    "exp is text": ({"exp": "9999999999"}, "claims are missing or of the wrong type"),
    "exp is a float": ({"exp": 1e300}, "claims are missing or of the wrong type"),
    "all good, not registered": ({}, "token is not in the register of issued tokens"),
}


@pytest.mark.parametrize(("changed", "reason"), CLAIMS.values(), ids=CLAIMS)
async def test_claims_are_checked_one_by_one(changed: dict[str, object], reason: str) -> None:
    """Each claim is checked, and the log says which one failed."""
    made, _ = await shared("HS256")
    claims = json.dumps({**GOOD, **changed}).encode()
    assert await refusal(made, (await signer(made)).sign(claims)) == reason


def ours(made_header: str) -> dict[str, str]:
    """Return our own header as a dict."""
    return dict(json.loads(unb64(made_header)))


HEADERS = {
    "alg none": (lambda own: {**own, "alg": "none"}, "algorithm none is refused"),
    "alg None": (lambda own: {**own, "alg": "NoNe"}, "algorithm none is refused"),
    "no alg": (lambda own: {"typ": own["typ"], "kid": own["kid"]}, "algorithm none is refused"),
    "HS512": (lambda own: {**own, "alg": "HS512"}, "kid and algorithm are none of ours"),
    "ES256": (lambda own: {**own, "alg": "ES256"}, "kid and algorithm are none of ours"),
    "other kid": (lambda own: {**own, "kid": "other"}, "kid and algorithm are none of ours"),
    "kid is a path": (lambda own: {**own, "kid": "../../k"}, "kid and algorithm are none of ours"),
    "typ JWT": (lambda own: {**own, "typ": "JWT"}, "typ is another"),
    "no typ": (lambda own: {"alg": own["alg"], "kid": own["kid"]}, "typ is another"),
    "jku": (lambda own: {**own, "jku": "https://x"}, "header parameter jku is refused"),
    "x5u": (lambda own: {**own, "x5u": "https://x"}, "header parameter x5u is refused"),
    "jwk": (lambda own: {**own, "jwk": {"kty": "oct", "k": "AA"}}, "header parameter jwk is refused"),
    "x5c": (lambda own: {**own, "x5c": ["AA"]}, "header parameter x5c is refused"),
    "crit": (lambda own: {**own, "crit": ["b64"], "b64": True}, "header parameter crit is refused"),
    "b64": (lambda own: {**own, "b64": False}, "header parameter b64 is refused"),
    "more than ours": (lambda own: {**own, "x": 1}, "kid and algorithm are none of ours"),
    "other order": (lambda own: dict(reversed(own.items())), "kid and algorithm are none of ours"),
}


@pytest.mark.parametrize(("change", "reason"), HEADERS.values(), ids=HEADERS)
async def test_nothing_in_a_header_chooses_its_verification(
    change: Callable[[dict[str, str]], dict[str, Any]], reason: str
) -> None:
    """A good token's claims and the true secret under any header but ours are refused."""
    made, good = await shared("HS256")
    header, payload, _ = good.split(".")
    text = json.dumps(change(ours(header)), separators=(",", ":")).encode()
    assert await refusal(made, hs256(text, unb64(payload))) == reason
    unsigned = f"{b64(text)}.{payload}."
    assert await refusal(made, unsigned) == "token is no compact JWS of three segments"


async def test_a_header_with_a_key_twice_is_refused() -> None:
    """A parser that takes the first and one that takes the last are never asked."""
    made, good = await shared("HS256")
    header, payload, _ = good.split(".")
    text = unb64(header)
    twice = text[:-1] + b',"alg":"HS256"}'
    await refusal(made, hs256(twice, unb64(payload)))


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_the_public_key_is_no_shared_secret(algorithm: str) -> None:
    """HS256 over the public key in any spelling, under our own kid, is refused."""
    made, good = await shared(algorithm)
    header, payload, _ = good.split(".")
    (public,) = (await made.tokens.jwks())["keys"]
    own = ours(header)
    for secret in (json.dumps(public).encode(), public["x"].encode(), unb64(public["x"])):
        for alg in ("HS256", algorithm):
            text = json.dumps({**own, "alg": alg}, separators=(",", ":")).encode()
            await refusal(made, hs256(text, unb64(payload), secret))


async def test_an_ecdsa_signature_of_zeros_is_refused() -> None:
    """The signature that verified everything in some libraries verifies nothing here."""
    made, good = await shared("ES256")
    signed = good.rpartition(".")[0]
    assert await refusal(made, f"{signed}.{b64(bytes(64))}") == "signature does not verify"


async def test_large_and_deep_tokens_are_refused_quickly() -> None:
    """Nothing above 8 KiB is read, and no depth of nesting ends in a stack overflow."""
    made, _ = await shared("HS256")
    key = await signer(made)
    deep = b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"
    assert await refusal(made, key.sign(deep)) == "claims are missing or of the wrong type"
    too_large = "token is larger than 8 KiB or not ASCII"
    assert await refusal(made, key.sign(json.dumps({**GOOD, "x": "y" * 8000}).encode())) == too_large
    assert await refusal(made, "a" * 10_000_000) == too_large
    deep_header = b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"
    await refusal(made, f"{b64(deep_header)}.e30.AA")
    assert await refusal(made, "\ud800.a.b") == too_large


async def test_another_encoding_of_the_same_signature_is_refused() -> None:
    """A token has one spelling: spare bits at the end of a segment must be zero."""
    made, good = await shared("HS256")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(good[-1])
    other = good[:-1] + alphabet[last | 1]
    assert unb64(other.rpartition(".")[2]) == unb64(good.rpartition(".")[2])
    assert other != good
    assert await refusal(made, other) == "token is not canonical base64url"
