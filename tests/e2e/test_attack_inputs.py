"""What no client should send, sent over real sockets: every byte of it is answered with a 4xx, once, and recorded."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.service import Service, wait_until
from tests.support.trial import Ledger, assert_refused, done, events
from tests.support.wire import Wire
from tradewarden.audit.flood import WINDOW_SECONDS

HOST = "Host: {host}\r\n"
STORE = '{{"path":"smuggled/x","data":{{}}}}'
UNREADABLE = {
    "CL and TE": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n",
    "two CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nGET /",
    "two equal CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0, 0\r\n\r\n",
    "a signed CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: +5\r\n\r\nGET /",
    "a hex CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0x5\r\n\r\nGET /",
    "a huge CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 99999999999999999999\r\n\r\n",
    "a negative CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: -1\r\n\r\n",
    "TE identity": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: identity\r\n\r\n",
    "TE list": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked, identity\r\n\r\n",
    "TE gzip": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE hidden": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: xchunked\r\n\r\n",
    "TE of vertical tab": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: \x0bchunked\r\n\r\n",
    "TE twice": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE at HTTP/1.0": "POST /secrets/store HTTP/1.0\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bad chunk": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a folded header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\r\n b\r\n\r\n",
    "LF only": "GET /health HTTP/1.1\nHost: {host}\n\n",
    "a bare CR": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\rb\r\n\r\n",
    "a space before the colon": "GET /health HTTP/1.1\r\n" + HOST + "Content-Length : 0\r\n\r\n",
    "a header without a name": "GET /health HTTP/1.1\r\n" + HOST + ": x\r\n\r\n",
    "a NUL in a header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\0b\r\n\r\n",
    "a NUL in the path": "GET /hea\0lth HTTP/1.1\r\n" + HOST + "\r\n",
    "a tab in the path": "GET /hea\tlth HTTP/1.1\r\n" + HOST + "\r\n",
    "no Host": "GET /health HTTP/1.1\r\n\r\n",
    "a Host that is empty": "GET /health HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host that is none": "GET /health HTTP/1.1\r\nHost: a b/c@d\r\n\r\n",
    "a Host behind a port": "GET /health HTTP/1.1\r\nHost: {host}.evil.com\r\n\r\n",
    "two Hosts": "GET /health HTTP/1.1\r\n" + HOST + "Host: evil.com\r\n\r\n",
    "no version": "GET /health\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": "GET /health HTTP/9.9\r\n" + HOST + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "CONNECT": "CONNECT evil.com:443 HTTP/1.1\r\n" + HOST + "\r\n",
    "a target elsewhere": "GET http://evil.com/health HTTP/1.1\r\n" + HOST + "\r\n",
    "a target without a slash": "GET health HTTP/1.1\r\n" + HOST + "\r\n",
    "an unknown method": "FROB /health HTTP/1.1\r\n" + HOST + "\r\n",
    "a lower-case method": "get /health HTTP/1.1\r\n" + HOST + "\r\n",
    "rubbish": "\x00\xff\x00\xff\r\n\r\n",
    "a long URL": "GET /" + "a" * 20_000 + " HTTP/1.1\r\n" + HOST + "\r\n",
    "a large header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: " + "a" * 70_000 + "\r\n\r\n",
    "many headers": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\r\n" * 500 + "\r\n",
}


def sent(text: str, host: str) -> bytes:
    """Return what goes over the wire."""
    return text.replace("{host}", host).encode("latin-1")


@pytest.mark.parametrize("name", list(UNREADABLE))
def test_what_could_be_read_in_two_ways_is_refused_and_closed(stranger: Wire, name: str) -> None:
    """A request that two parsers could frame differently, or that is none, is answered once; then it ends."""
    answer = stranger.exchange(sent(UNREADABLE[name], stranger.host))
    assert_refused(answer, 400, 405, 413, 414, 431, 505)


def slow_head(wire: Wire) -> bool:
    """Send a head that never ends; tell whether the service closes."""
    wire.send(sent("GET /health HTTP/1.1\r\n" + HOST, wire.host))
    return wire.answer().status == 408 and wire.is_closed()


def slow_start(wire: Wire) -> bool:
    """Connect and say nothing but a letter."""
    wire.send(b"G")
    return wire.answer().status == 408 and wire.is_closed()


def test_slow_clients_are_closed_and_refusals_are_counted_in_the_log(trial: Service, admin: Wire) -> None:
    """A head that never ends is closed in time; every refusal before the door is in a counted entry of its address."""
    source = "127.0.0.11"

    def counted() -> int:
        return sum(
            int(each.get("count", 1)) for each in events(admin, action="throttle") if each["ip_address"] == source
        )

    before = counted()
    with ThreadPoolExecutor(8) as pool:
        slow = [Wire(trial.url, source="127.0.0.12", seconds=20) for _ in range(8)]
        closed = [pool.submit(slow_head if each % 2 else slow_start, wire) for each, wire in enumerate(slow)]
        for text in UNREADABLE.values():
            with Wire(trial.url, source=source) as wire:
                wire.exchange(sent(text, wire.host))
        began = time.monotonic()
        done(admin.ask("GET", "/health"))
        assert time.monotonic() - began < 2, "slow clients hold up others"
        wait_until(lambda: counted() - before >= len(UNREADABLE), "refusals are not counted", WINDOW_SECONDS * 2)
        assert all(each.result() for each in closed)
        for wire in slow:
            wire.close()
    assert counted() - before == len(UNREADABLE)


def test_a_body_that_never_comes_is_given_up(trial: Service, admin: Wire) -> None:
    """A body that is announced and not sent is recorded as failed when the client goes, and holds nothing up."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        wire.send(wire.request("POST", "/secrets/store", b"", [("Content-Type", "application/json")]).replace(
            b"Content-Length: 0", b"Content-Length: 100"))  # fmt: skip
        done(admin.ask("GET", "/health"))
        since = events(admin)[0]["timestamp"]
    wait_until(
        lambda: bool(events(admin, since=since, action="write", result="failure")), "no entry of the broken call"
    )


def test_requests_sent_ahead_are_answered_in_order_or_refused(stranger: Wire, admin: Wire) -> None:
    """Of 300 requests sent in one piece, each is answered in turn, as far as the service takes them, then it closes."""
    admin.send(b"".join(admin.request("GET", f"/secrets/none/{each}") for each in range(16)))
    for each in range(16):
        answer = admin.answer()
        assert_refused(answer, 404)
        assert answer.json()["detail"] == f"Secret 'none/{each}' not found"
    stranger.send(b"".join(stranger.request("GET", f"/nowhere/{each}") for each in range(300)))
    answered = 0
    try:
        for _ in range(300):
            assert_refused(stranger.answer())
            answered += 1
    except ConnectionError:
        assert answered
    admin.close()


def test_one_request_hidden_in_another_is_only_a_body(trial: Service, admin: Wire) -> None:
    """What stands in a body is never taken for a request of its own, whatever the first one's answer was."""
    hidden = admin.request("POST", "/secrets/store", {"path": "smuggled/x", "data": {}})
    with Wire(trial.url) as wire:
        assert_refused(wire.ask("GET", "/secrets/none", hidden, [("Content-Type", "application/json")]), 401)
        assert wire.ask("GET", "/health/live").status == 200
    assert_refused(admin.ask("GET", "/secrets/smuggled/x"), 404)


def test_http_1_0_is_answered_and_closed(trial: Service) -> None:
    """An HTTP/1.0 client gets its answer with a length, and the connection ends."""
    with Wire(trial.url) as wire:
        assert wire.exchange(b"GET /health/live HTTP/1.0\r\n\r\n").status == 200
        assert_refused(wire.exchange(b"GET /secrets/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 401)
        body = b'{"service_name":"old"}'
        head = b"POST /tokens/generate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            body
        )
        assert_refused(wire.exchange(head + body), 401)


def test_head_is_answered_without_a_body(trial: Service, admin: Wire, ledger: Ledger) -> None:
    """HEAD passes the same checks as GET and answers its headers alone."""
    done(admin.ask("POST", "/secrets/store", {"path": "head/x", "data": {"v": 1}}))
    assert admin.ask("HEAD", "/secrets/head/x").headers["content-length"] != "0"
    with Wire(trial.url) as wire:
        answer = wire.ask("HEAD", "/secrets/head/x")
        ledger.expect(assert_refused(answer, 401, body=False), result="denied")
        assert wire.ask("GET", "/health/live").status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "PURGE"])
@pytest.mark.parametrize("path", ["/health", "/secrets/store", "/nowhere", "*"])
def test_other_methods_are_refused(stranger: Wire, ledger: Ledger, method: str, path: str) -> None:
    """A method that a path does not answer is refused, recorded, and echoes nothing."""
    answer = stranger.ask(method, path, headers=[("X-Secret", "echo-me")])
    request_id = assert_refused(answer)
    assert b"echo-me" not in answer.body
    if path != "*":
        ledger.expect(request_id)


MALFORMED_TARGETS = (
    "/secrets/%00",
    "/secrets/a%00b",
    "/secrets/%0d%0aX-Injected:%201",
    "/secrets/a%2fb",
    "/secrets/a%5cb",
    "/secrets/%ff%fe",
    "/secrets/%c0%af",
    "/secrets/%u0041",
    "/secrets/%",
    "/secrets/%zz",
    "/secrets/%252e%252e/x",
    "/secrets/%F0%9F%92%A9",
    "/secrets/" + "a/" * 40 + "a",
    "/secrets/" + "a" * 600,
    "/secrets/%2e%2e/%2e%2e/etc/passwd",
    "/secrets/x?version=1&version=2",
    "/secrets/x?version=abc",
    "/secrets/x?version=-1",
    "/secrets/x?version=" + "9" * 400,
    "/secrets/x?version=1e400",
    "/secrets/x?unknown=1",
    "/secrets/x?metadata=perhaps",
    "/secrets/x?path=y",
    "/secrets/x?version=%00",
    "/secrets/x?%",
    "/secrets/x?" + "a=b&" * 200,
    "/secrets?limit=0",
    "/secrets?limit=-1",
    "/secrets?limit=99999999999999999999",
    "/secrets?after=%00",
    "/secrets?prefix=../",
    "/secrets?prefix=" + "p" * 5000,
    "/audit/events?since=yesterday",
    "/audit/events?cursor=%00",
    "/audit/events?cursor=!!!!",
    "/audit/events?limit=NaN",
    "/audit/events?event_type=' OR 1=1 --".replace(" ", "%20"),
    "/audit/events?order=sideways",
    "/audit/proof/inclusion",
    "/audit/proof/inclusion?sequence=-1",
    "/audit/proof/inclusion?sequence=" + "9" * 30,
    "/audit/proof/inclusion?sequence=0&tree_size=" + "9" * 18,
    "/audit/proof/consistency?first=0",
    "/audit/proof/consistency?first=9&second=2",
    "/credentials?state=maybe",
    "/credentials?after=rubbish&limit=1&expiring_within_hours=-5",
    "/credentials/zz",
    "/credentials/" + "f" * 300,
    "/services/UPPER",
    "/services/..",
    "/services/a/b",
    "/docs/../secrets",
    "/docs/%2e%2e",
    "//secrets/x",
    "/secrets//x",
    "/./health",
    "/health/",
    "/HEALTH",
    "/health;x=1",
    "/health%20",
    "/.env",
    "/admin.token",
)


@pytest.mark.parametrize("target", MALFORMED_TARGETS, ids=lambda target: target[:40])
def test_no_odd_path_or_query_is_more_than_a_4xx(admin: Wire, ledger: Ledger, target: str) -> None:
    """Even the admin gets a problem for a malformed path or query, and an entry for it; a header never breaks."""
    answer = admin.ask("GET", target)
    request_id = assert_refused(answer)
    assert "x-injected" not in answer.headers
    ledger.expect(request_id)


JSON = "application/json"
STORE_PATH = '{"path":"odd/x","data":'
MALFORMED_BODIES = (
    ("/secrets/store", "", JSON),
    ("/secrets/store", "{", JSON),
    ("/secrets/store", "null", JSON),
    ("/secrets/store", "[]", JSON),
    ("/secrets/store", '"x"', JSON),
    ("/secrets/store", "{}", JSON),
    ("/secrets/store", "\ufeff{}", JSON),
    ("/secrets/store", STORE_PATH + "{}}garbage", JSON),
    ("/secrets/store", STORE_PATH + '{"a":1,"a":2}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":{"b":1,"b":2}}}', JSON),
    ("/secrets/store", '{"path":"odd/x","path":"odd/y","data":{}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":NaN}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":Infinity}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":-Infinity}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":01}}', JSON),
    ("/secrets/store", STORE_PATH + "1}", JSON),
    ("/secrets/store", STORE_PATH + "null}", JSON),
    ("/secrets/store", STORE_PATH + '"text"}', JSON),
    ("/secrets/store", STORE_PATH + "[1]}", JSON),
    ("/secrets/store", STORE_PATH + "[" * 100_000 + "]" * 100_000 + "}", JSON),
    ("/secrets/store", STORE_PATH + '{"a":' * 100_000 + "1" + "}" * 100_001, JSON),
    ("/secrets/store", "[" * 100_000, JSON),
    ("/secrets/store", '{"x":' + "[" * 100_000, JSON),
    ("/secrets/store", STORE_PATH + '{"a":"\\ud800"}}', JSON),
    ("/secrets/store", '{"path":"\\ud800","data":{}}', JSON),
    ("/secrets/store", STORE_PATH + '{"\\udfff":1}}', JSON),
    ("/secrets/store", '{"path":"a\\u0000b","data":{}}', JSON),
    ("/secrets/store", '{"path":"","data":{}}', JSON),
    ("/secrets/store", '{"path":"../x","data":{}}', JSON),
    ("/secrets/store", '{"path":"/x","data":{}}', JSON),
    ("/secrets/store", '{"path":"a\\r\\nb","data":{}}', JSON),
    ("/secrets/store", '{"path":"ä","data":{}}', JSON),
    ("/secrets/store", '{"path":["x"],"data":{}}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"more":1}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":-1}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":1.5}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":' + "9" * 5000 + "}", JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":1e999}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"custom":{"' + "k" * 200 + '":"v"}}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"custom":{"k":"\\ud800"}}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"custom":{"k":"a","k":"b"}}', JSON),
    ("/secrets/store", "<xml/>", "application/xml"),
    ("/secrets/store", STORE_PATH + "{}}", "text/plain"),
    ("/secrets/store", "path=odd/x", "application/x-www-form-urlencoded"),
    ("/secrets/store", STORE_PATH + "{}}", ""),
    ("/secrets/store", STORE_PATH + "{}}", "application/json; charset=utf-16"),
    ("/secrets/store?path=x", STORE_PATH + "{}}", JSON),
    ("/secrets/undelete", '{"path":"odd/x","versions":[]}', JSON),
    ("/secrets/destroy", '{"path":"odd/x","versions":[' + "1," * 5000 + "1]}", JSON),
    ("/secrets/destroy", '{"path":"odd/x","versions":[' + "9" * 400 + "]}", JSON),
    ("/secrets/rollback", '{"path":"odd/x","version":0}', JSON),
    ("/secrets/rollback", '{"path":"odd/x","version":' + "9" * 30 + "}", JSON),
    ("/secrets/metadata", '{"path":"odd/x","max_versions":0}', JSON),
    ("/tokens/generate", '{"service_name":"UPPER"}', JSON),
    ("/tokens/generate", '{"service_name":"a","ttl_seconds":0}', JSON),
    ("/tokens/generate", '{"service_name":"a","ttl_seconds":-1}', JSON),
    ("/tokens/generate", '{"service_name":"a","permissions":["x"]}', JSON),
    ("/tokens/generate", '{"service_name":"a","permissions":["\\ud800:x"]}', JSON),
    ("/tokens/generate", '{"service_name":"a","permissions":[' + '"a:b",' * 500 + '"a:b:c"]}', JSON),
    ("/tokens/generate", '{"service_name":"a","permissions":["secrets:read:a/*/b"]}', JSON),
    ("/tokens/generate", '{"service_name":"\\ud800"}', JSON),
    ("/tokens/generate", '{"service_name":"' + "a" * 5000 + '"}', JSON),
    ("/services", '{"service_name":"x\\u0000","permissions":[]}', JSON),
    ("/services", '{"service_name":"x","permissions":"admin"}', JSON),
    ("/tokens/refresh", '{"refresh_token":"\\ud800"}', JSON),
    ("/tokens/refresh", '{"refresh_token":""}', JSON),
    ("/tokens/revoke", "{}", JSON),
    ("/tokens/revoke", '{"token":"a","jti":"b"}', JSON),
    ("/tokens/revoke", '{"jti":"\\ud800"}', JSON),
    ("/tokens/revoke", '{"jti":"nothing"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"x"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"\\ud800"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"' + "A" * 20_000 + '"}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["*"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["a\\u0000.com"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["\\ud800"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ip_addresses":["999.1.1.1"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ip_addresses":["10.0.0.0/8"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ttl_hours":0}', JSON),
    ("/credentials/issue", '{"service_name":"a","ttl_hours":-' + "9" * 30 + "}", JSON),
    ("/credentials/revoke", '{"serial_number":"zz"}', JSON),
    ("/credentials/revoke", '{"serial_number":"00"}', JSON),
    ("/credentials/revoke", '{"serial_number":"01","reason":"because"}', JSON),
    ("/keys/rotate", '{"purpose":"everything"}', JSON),
    ("/keys/rotate", '{"purpose":"\\ud800"}', JSON),
    ("/keys/rotate-root", '{"new_root":"http://evil.com/"}', JSON),
    ("/keys/rotate-root", '{"new_root":"env:NO_SUCH"}', JSON),
    ("/keys/rotate-root", '{"new_root":"file:/etc/passwd"}', JSON),
    ("/keys/rotate-root", '{"new_root":""}', JSON),
    ("/keys/rotate-root", '{"new_root":"file:\\u0000"}', JSON),
    ("/keys/rotate-root", '{"new_root":"\\ud800"}', JSON),
    ("/keys/rewrap", '{"after":["x"]}', JSON),
    ("/keys/rewrap", '{"limit":0}', JSON),
    ("/keys/rewrap", '{"limit":' + "9" * 30 + "}", JSON),
    ("/keys/rewrap", '{"after":["\\ud800",1]}', JSON),
    ("/keys/rewrap", '{"after":["x",' + "9" * 30 + "]}", JSON),
    ("/oauth2/introspect", "token=%ff", "application/x-www-form-urlencoded"),
    ("/oauth2/introspect", "token=a&token=b", "application/x-www-form-urlencoded"),
    ("/oauth2/introspect", "nothing", "application/x-www-form-urlencoded"),
    ("/oauth2/revoke", "", "application/x-www-form-urlencoded"),
)


@pytest.mark.parametrize(
    ("target", "body", "media_type"), MALFORMED_BODIES, ids=[f"{t}-{i}" for i, (t, _, _) in enumerate(MALFORMED_BODIES)]
)
def test_no_odd_body_is_more_than_a_4xx(admin: Wire, ledger: Ledger, target: str, body: str, media_type: str) -> None:
    """Even the admin gets a problem for a body that is malformed, promptly, and the entry of it says that it failed."""
    began = time.monotonic()
    answer = admin.ask("POST", target, body.encode(), [("Content-Type", media_type)])
    assert time.monotonic() - began < 5
    ledger.expect(assert_refused(answer), user="user:admin")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(trial: Service, ledger: Ledger) -> None:
    """A body over the limit, announced or in chunks, is a 413, and the connection is of no more use."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        head = wire.request("POST", "/secrets/store", b"", [("Content-Type", JSON)])
        wire.send(head.replace(b"Content-Length: 0", b"Content-Length: 99999999"))
        ledger.expect(assert_refused(wire.answer(), 413), result="failure")
        assert wire.is_closed()
        wire.close()
        wire.send(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        piece = b"%x\r\n" % (1 << 16) + b" " * (1 << 16) + b"\r\n"
        for _ in range(17):
            wire.send(piece)
        ledger.expect(assert_refused(wire.answer(), 413), result="failure")
        assert wire.is_closed()


def test_open_routes_take_no_input(stranger: Wire) -> None:
    """What is open to anyone refuses what it does not know."""
    assert_refused(stranger.ask("GET", "/health?x=1"), 400)
    assert_refused(stranger.ask("GET", "/ca/crl", b"x" * 100), 400, 415)


def test_every_refusal_is_in_the_log(trial: Service, ledger: Ledger) -> None:
    """Calls without credentials, unknown paths and wrong methods each leave an entry under the id that was answered."""
    with Wire(trial.url, source="127.0.0.13") as wire:
        for method, target in (("GET", "/secrets/x"), ("GET", "/nowhere"), ("PUT", "/health"), ("POST", "/services")):
            for _ in range(25):
                ledger.expect(assert_refused(wire.ask(method, target)), user="anonymous:", ip_address="127.0.0.13")
