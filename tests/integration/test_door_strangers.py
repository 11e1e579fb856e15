"""Strangers at the door: what they fail of, promise and write costs them alone, not the log nor who is proven."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.door import SOURCE, Call, Called, Headers
from tests.support.http import until
from tradewarden import Warden, load_settings
from tradewarden.audit.flood import Flood
from tradewarden.http.room import MAX_UNFINISHED

LIMIT, ROOM = 5, 100
REFRESH = "/tokens/refresh"
JOSE = ("content-type", "application/jose+json")
PROXY = "198.51.100.7"


class Log:
    """What is recorded, in order, on its way to the journal."""

    def __init__(self, warden: Warden) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self._journal = warden.journal
        warden.auditor.recorder = self
        warden.flood = Flood(self, warden.clock)

    async def record(self, event: bytes) -> None:
        """Keep one, and pass it on."""
        self.entries.append(msgspec.json.decode(event))
        await self._journal.record(event)

    def counted(self) -> int:
        """Return how many entries tell of throttling."""
        return sum(each["action"] == "throttle" for each in self.entries)

    def single(self, source: str = SOURCE) -> list[Mapping[str, Any]]:
        """Return the entries of one call each, of strangers at an address."""
        return [
            each
            for each in self.entries
            if each["action"] != "throttle" and each["user"] == "anonymous:" and each["ip_address"] == source
        ]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Called]:
    """A service where a few anonymous calls pass in ten minutes, with room for some requests."""
    settings = load_settings(
        {
            "TRADEWARDEN_DATA_DIR": str(tmp_path / "data"),
            "TRADEWARDEN_TRUSTED_PROXIES": PROXY,
            "TRADEWARDEN_MAX_CONCURRENCY": str(ROOM),
            "TRADEWARDEN_RATE_LIMITS": f"anonymous={LIMIT}/600,issue=1000/1,write=1000/1",
        }
    )
    warden = await Warden.start(settings, create=True)
    called = Called(warden)
    yield called
    called.close()
    await warden.close()


@pytest.fixture
def log(door: Called) -> Log:
    """What the door records."""
    return Log(door.warden)


@pytest.fixture
async def admin(door: Called) -> Headers:
    """The header that proves the admin."""
    return [("authorization", f"Bearer {(door.warden.settings.data_dir / 'admin.token').read_text().strip()}")]


FAILING: Mapping[str, tuple[str, bytes, Headers]] = {
    "an unfit refresh": (REFRESH, b'{"other":1}', ()),
    "no refresh at all": (REFRESH, b"", ()),
    "a refresh that is no JSON": (REFRESH, b"{", ()),
    "a refresh of another media type": (REFRESH, b"{}", [("content-type", "text/plain")]),
    "a refresh token of nobody": (REFRESH, b'{"refresh_token":"twr_x"}', ()),
    "an unfit enrolment": ("/credentials/enroll", b"{}", ()),
    "a join token of nobody": ("/credentials/enroll", b'{"join_token":"twj_x","csr":"x"}', ()),
    "an unfit renewal": ("/credentials/renew", b'{"csr":"x","certificate":"y","proof":"z"}', ()),
    "a JWS that is none": ("/acme/new-account", b"{}", [JOSE]),
    "a JWS with a bad nonce": ("/acme/new-account", b'{"protected":"e30","payload":"","signature":"AA"}', [JOSE]),
    "a large body": (REFRESH, b" " * 70_000, ()),
    "a bootstrap from elsewhere": ("/tokens/generate", b'{"service_name":"bot"}', ()),
    "a bearer token of nobody": ("/tokens/generate", b"{}", [("authorization", "Bearer a.b.c")]),
    "a path that leads nowhere": ("/nowhere", b"", ()),
}


@pytest.mark.parametrize("name", FAILING)
async def test_who_is_not_proven_pays_for_every_failure(door: Called, log: Log, name: str) -> None:
    """Whatever a stranger's call fails of, so many are recorded; the next ones get 429 and one entry together."""
    path, body, headers = FAILING[name]
    answers = [await door.begin("POST", path, body=body, headers=headers).told() for _ in range(LIMIT + 3)]
    assert 429 not in [each.status for each in answers[:LIMIT]], answers[0]
    assert [each.status for each in answers[LIMIT:]] == [429] * 3
    assert len(log.single()) == LIMIT
    assert log.counted() == 1


async def test_strangers_that_come_all_at_once_are_recorded_as_if_one_by_one(door: Called, log: Log) -> None:
    """All are let in before the first fails; still no more stand in the log one by one than the address may write."""
    calls = [door.begin("POST", REFRESH, body=b"{}") for _ in range(60)]
    statuses = Counter([(await each.told()).status for each in calls])
    assert statuses == {400: LIMIT, 429: 60 - LIMIT}
    assert (len(log.single()), log.counted()) == (LIMIT, 1)


async def test_a_proof_that_is_good_costs_nothing(door: Called, log: Log) -> None:
    """More refreshes than an address may fail pass, and failures of who is proven leave the address alone."""
    await door.warden.local.services.register("bot", ["read"])
    issued = await door.warden.local.tokens.issue("bot", refresh=True)
    refresh, token = issued.refresh_token, issued.token
    for _ in range(LIMIT + 2):
        told = await door.begin("POST", REFRESH, body=msgspec.json.encode({"refresh_token": refresh})).told()
        assert told.status == 200, told.body
        refresh, token = told.body["refresh_token"], told.body["token"]
    bearer = [("authorization", f"Bearer {token}")]
    for _ in range(LIMIT + 2):
        assert (await door.begin("POST", "/tokens/revoke", body=b'{"other":1}', headers=bearer).told()).status == 400
    assert (await door.begin("GET", "/nowhere", body=b"").told()).status == 404
    assert log.counted() == 0


async def held(
    door: Called, number: int, call: str = f"POST {REFRESH}", headers: Headers = (), source: str = SOURCE
) -> list[Call]:
    """Begin calls that promise a body, never more at once than there is room for; return when all wait or are over."""
    method, _, path = call.partition(" ")
    calls: list[Call] = []
    while len(calls) < number:
        wave = range(min(number - len(calls), ROOM // 3))
        calls += [door.begin(method, path, source=source, length=20, headers=headers) for _ in wave]
        for each in calls:
            await until(each.is_settled)
    return calls


def waiting(calls: list[Call]) -> list[Call]:
    """Return those that are not answered yet."""
    return [each for each in calls if not each.is_answered()]


async def end(calls: list[Call]) -> Counter[int]:
    """Let the clients go; return the answers."""
    for each in calls:
        each.leave()
    return Counter([(await each.told()).status for each in calls])


SPENDING = (REFRESH, "/credentials/enroll", "/credentials/renew", "/acme/new-account")
PROMISING = tuple(f"POST {path}" for path in SPENDING)


@pytest.mark.parametrize("call", [*PROMISING, "GET /health", "POST /ca/ocsp"])
async def test_unfinished_bodies_of_strangers_are_few_an_address(door: Called, log: Log, call: str) -> None:
    """Above so many the oldest of an address get 429, with one entry for all; those of another one are not meant."""
    headers = [JOSE] if "acme" in call else []
    calls = await held(door, MAX_UNFINISHED + 30, call, headers)
    assert {(await each.told()).status for each in calls[:30]} == {429}
    assert waiting(calls) == calls[30:]
    assert log.single() == []
    assert log.counted() == (call in PROMISING)
    assert len(waiting(await held(door, 3, call, headers, "192.0.2.2"))) == 3
    await end(calls[-1:])
    newer = await held(door, 2, call, headers)
    assert (await calls[30].told()).status == 429
    assert waiting([*calls, *newer]) == [*calls[31:-1], *newer]


async def test_a_whole_request_is_answered_beside_unfinished_ones(door: Called) -> None:
    """Whoever sends all at once is no neighbour of those that never finish, though it comes from their address."""
    await held(door, MAX_UNFINISHED)
    token = b'{"refresh_token":"twr_x"}'
    assert (
        await door.begin("POST", REFRESH, body=token, headers=[("content-type", "application/json")]).told()
    ).status == 401


async def test_a_body_that_is_awaited_takes_no_room(door: Called, admin: Headers) -> None:
    """More heads than there is room for, of strangers and of who is proven: others are answered as if nothing were."""
    calls = [call for each in range(6) for call in await held(door, MAX_UNFINISHED, source=f"192.0.2.{10 + each}")]
    calls += await held(door, ROOM, "POST /secrets/store", admin)
    assert len(waiting(calls)) == len(calls) > 4 * ROOM
    for _ in range(3):
        assert (await door.begin("GET", "/secrets", body=b"", headers=admin).told()).status == 200
    assert set(await end(calls)) == {400, 429}


async def test_bodies_that_come_all_at_once_find_only_the_room_there_is(door: Called, admin: Headers) -> None:
    """What waited is in work again from its body on; more than there is room for is told so."""
    calls = await held(door, ROOM + 30, "POST /secrets/store", admin)
    for number, each in enumerate(calls):
        each.give(b'{"path":"a/%d","data":{}}' % number)
    statuses = Counter([(await each.told()).status for each in calls])
    assert set(statuses) == {200, 503}
    assert statuses[200] >= ROOM
    assert (await door.begin("GET", "/secrets", body=b"", headers=admin).told()).status == 200


async def test_bodies_that_never_come_are_recorded_as_any_failure(door: Called, log: Log) -> None:
    """When their time is over, an address with many of them has a bounded number of entries."""
    calls = await held(door, MAX_UNFINISHED)
    door.deadlines.sweep(asyncio.get_running_loop().time() + 60)
    assert Counter([(await each.told()).status for each in calls]) == {503: MAX_UNFINISHED}
    assert (len(log.single()), log.counted()) == (LIMIT, 1)


async def test_only_the_connection_says_who_calls_over_mtls(door: Called, log: Log) -> None:
    """No proxy stands before the mTLS listener: an address in a header is nobody's there, even from a listed host."""
    forwarded = [("x-forwarded-for", "203.0.113.66")]
    bot = await door.peer("bot", "read")
    assert (await door.begin("GET", "/secrets", bot, body=b"", source=PROXY, headers=forwarded).told()).status == 200
    assert log.entries[-1]["ip_address"] == PROXY
    await door.begin("GET", "/secrets", body=b"", source=PROXY, headers=forwarded).told()
    assert log.entries[-1]["ip_address"] == "203.0.113.66"


async def test_a_bound_token_without_its_certificate_is_a_bad_token(door: Called, log: Log) -> None:
    """A thief learns nothing of it: the answer is any bad token's (RFC 8705 section 3); the log tells the reason."""
    bot, other = await door.peer("bot", "read"), await door.peer("other", "read")
    token = (await door.ask("POST", "/tokens/generate", bot, {"service_name": "bot"}))[1]["token"]
    bound, bad = [[("authorization", f"Bearer {each}")] for each in (token, "a.b.c")]
    wrong = await door.begin("GET", "/secrets", body=b"", headers=bad).told()
    for peer in (None, other):
        told = await door.begin("GET", "/secrets", peer, body=b"", headers=bound).told()
        assert log.entries[-1]["reason"] == "the token is bound to another client certificate"
        assert (told.status, told.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert told.headers["www-authenticate"] == wrong.headers["www-authenticate"]
        assert {**told.body, "request_id": ""} == {**wrong.body, "request_id": ""}
    assert (await door.begin("GET", "/secrets", bot, body=b"", headers=bound).told()).status == 200


MISPLACED: Mapping[str, tuple[str, str, Mapping[str, object]]] = {
    "a service of no name": ("POST", "/services", {"service_name": "NAME", "permissions": []}),
    "a certificate for nobody": ("POST", "/credentials/issue", {"service_name": "NAME"}),
    "a token for nobody": ("POST", "/tokens/generate", {"service_name": "NAME"}),
    "a secret": ("POST", "/secrets/store", {"path": "NAME!", "data": {}}),
    "a path": ("GET", "/secrets/NAME!", {}),
    "a serial number": ("GET", "/credentials/NAME", {}),
}
PASSWORD = "Hunter2-of-Ada"


@pytest.mark.parametrize("name", MISPLACED)
async def test_what_is_no_name_is_hidden(door: Called, log: Log, admin: Headers, name: str) -> None:
    """A password where a name belongs is refused as malformed, and stands in the log as a keyed hash alone."""
    method, target, command = MISPLACED[name]
    path, _, query = target.replace("NAME", PASSWORD).partition("?")
    body = msgspec.json.encode(command).replace(b"NAME", PASSWORD.encode()) if command else b""
    call = door.begin(method, path, body=body, headers=admin, query=query)
    assert (await call.told()).status == 400
    entry = log.entries[-1]
    assert entry["resource"].startswith("hmac:"), entry
    assert PASSWORD not in str(log.entries)


@pytest.mark.parametrize("prefix", ["tws_", "twa_", "twr_", "twj_", "eyJ"])
async def test_a_credential_where_a_name_belongs_is_cut_down(
    door: Called, log: Log, admin: Headers, prefix: str
) -> None:
    """A good path that is a credential of ours, and one in a header, stand in the log by their prefix."""
    credential = prefix + "aB3-" * 11
    headers = [*admin, ("user-agent", f"curl {credential}.x")]
    assert (await door.begin("GET", f"/secrets/{credential}", body=b"", headers=headers).told()).status == 404
    entry = log.entries[-1]
    assert (entry["resource"], entry["user_agent"]) == (f"{prefix}…", f"curl {prefix}…")
    assert "aB3-" not in str(log.entries)
