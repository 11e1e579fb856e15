"""What an entry says of texts that callers chose."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.audit import TestClock
from tradewarden.audit.entry import MAX_NAME, Auditor, EventType, Origin, Result
from tradewarden.errors import InvalidInputError
from tradewarden.identity.credential import ADMIN_TOKEN_PREFIX, CLIENT_SECRET_PREFIX, new_credential
from tradewarden.identity.enrolment import JOIN_TOKEN_PREFIX
from tradewarden.tokens.minting import REFRESH_PREFIX

PREFIXES = (CLIENT_SECRET_PREFIX, ADMIN_TOKEN_PREFIX, JOIN_TOKEN_PREFIX, REFRESH_PREFIX)
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJib3QifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
CREDENTIALS = (
    *((each, new_credential(each, lambda size: bytes(range(90, 90 + size)))) for each in PREFIXES),
    (JOIN_TOKEN_PREFIX, new_credential(JOIN_TOKEN_PREFIX, bytes) + "." + "ab" * 16),
    ("eyJ", JWT),
    ("eyJ", JWT[:30]),
)
NAMES = (
    *("twa_trader", "tws_gateway-production-primary", "tws_", "eyJob-runner-of-production", "eyJob"),
    *("network/two/tw", "twitter_api_credentials_of_production", "db/primary", ""),
)


class Kept:
    """A recorder that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def record(self, event: bytes) -> None:
        """Keep one."""
        self.lines.append(event)


@pytest.mark.parametrize(("prefix", "credential"), CREDENTIALS)
async def test_a_credential_in_a_text_is_cut_down_to_its_prefix(prefix: str, credential: str) -> None:
    """Wherever a caller puts one, alone or within a text: the entry shows what kind it was, and nothing of it."""
    kept = Kept()
    origin = Origin("10.0.0.1", f"curl/8 ({credential})", "r-1")
    entry = Auditor(kept, TestClock()).entry(EventType.TOKEN, "issue", origin)
    entry.resource = credential
    with pytest.raises(InvalidInputError):
        async with entry:
            raise InvalidInputError(f"no such thing as '{credential}' here")
    found = msgspec.json.decode(kept.lines[0])
    assert found["resource"] == f"{prefix}…"
    assert found["user_agent"] == f"curl/8 ({prefix}…)"
    assert found["reason"] == f"no such thing as '{prefix}…' here"


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_only_begins_like_one_stands(name: str) -> None:
    """A name that people gave is shown as it is."""
    kept = Kept()
    async with Auditor(kept, TestClock()).entry(EventType.TOKEN, "issue", Origin()) as entry:
        entry.result, entry.resource = Result.FAILURE, name
    assert msgspec.json.decode(kept.lines[0])["resource"] == name


async def test_a_credential_at_the_cut_is_masked_first() -> None:
    """No part of one stands at the end of a text that is too long."""
    kept = Kept()
    async with Auditor(kept, TestClock()).entry(EventType.TOKEN, "issue", Origin()) as entry:
        entry.result, entry.resource = Result.FAILURE, "a" * (MAX_NAME - 15) + "/" + CREDENTIALS[0][1]
    assert msgspec.json.decode(kept.lines[0])["resource"].endswith("a/tws_…")


async def test_what_a_successful_call_named_stands() -> None:
    """It is a name then, and who looks for what was done to it has to find it."""
    kept = Kept()
    name = CREDENTIALS[0][1]
    async with Auditor(kept, TestClock()).entry(EventType.TOKEN, "issue", Origin()) as entry:
        entry.user, entry.resource = f"service:{name}", name
    found = msgspec.json.decode(kept.lines[0])
    assert (found["user"], found["resource"]) == (f"service:{name}", name)


async def test_what_was_counted_is_not_recorded_too() -> None:
    """A stranger's failure that stands in a flood's count leaves no entry of its own, and is still told."""
    kept = Kept()
    entry = Auditor(kept, TestClock()).entry(EventType.TOKEN, "issue", Origin())
    entry.counted = True
    with pytest.raises(InvalidInputError):
        async with entry:
            raise InvalidInputError("whatever")
    assert kept.lines == []
