"""Published JSON Web Signatures: the good ones verify, every other one is refused."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tradewarden.errors import TokenError
from tradewarden.tokens.policy import TokenKind
from tradewarden.tokens.signing import SigningKey

HERE = Path(__file__).parent
RFC: list[dict[str, Any]] = msgspec.json.decode((HERE / "rfc.json").read_bytes())
WYCHEPROOF: dict[str, Any] = msgspec.json.decode((HERE / "wycheproof_json_web_signature_hs256_es256.json").read_bytes())
NOT_BASE64URL = {372, 373}
"""Labelled valid, but with a `?` in a segment: RFC 7515 section 2 knows no such character."""
LOST_PADDING = {367, 370}
"""Labelled invalid for their padding, which the file does not have: the same text is case 357 there, and valid."""
CASES = [(group, case) for group in WYCHEPROOF["testGroups"] for case in group["tests"]]


def key(jwk: dict[str, str], algorithm: str) -> SigningKey:
    """Return the vector's key as one of ours."""
    return SigningKey("vector", TokenKind.ACCESS, algorithm, msgspec.json.encode(jwk))


@pytest.mark.parametrize("vector", RFC, ids=lambda vector: vector["source"])
def test_the_examples_of_the_rfcs_verify(vector: dict[str, Any]) -> None:
    """Each example token of the standards gives its payload."""
    payload = vector["payload"]
    expected = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert key(vector["key"], vector["algorithm"]).verify(vector["jws"]) == expected


@pytest.mark.parametrize("vector", RFC, ids=lambda vector: vector["source"])
def test_another_algorithm_of_the_same_key_is_refused(vector: dict[str, Any]) -> None:
    """A key verifies by its own algorithm only, whatever the token's header says."""
    others = {one["algorithm"]: one for one in RFC if one is not vector}
    for other in others.values():
        with pytest.raises(TokenError):
            key(other["key"], other["algorithm"]).verify(vector["jws"])


@pytest.mark.parametrize(("group", "case"), CASES, ids=[f"{case['tcId']}-{group['comment']}" for group, case in CASES])
def test_wycheproof(group: dict[str, Any], case: dict[str, Any]) -> None:
    """Good signatures give their payload; everything else is a `TokenError` and nothing else."""
    private = group["private"]
    ours = key(private, private["alg"])
    is_valid = case["result"] == "valid" or case["tcId"] in LOST_PADDING
    if is_valid and case["tcId"] not in NOT_BASE64URL:
        assert ours.verify(case["jws"])
        return
    with pytest.raises(TokenError):
        ours.verify(case["jws"])
