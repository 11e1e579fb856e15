"""The requests that wrk replays."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from bench.request import BenchError, Request, look, write_replay


def test_a_request_goes_out_as_http_1_1() -> None:
    """A body is JSON with its length; headers follow the host."""
    request = Request("POST", "/secrets/store", {"Authorization": "Bearer t"}, {"path": "a"})
    assert request.raw("127.0.0.1:1") == (
        b"POST /secrets/store HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\n"
        b'Authorization: Bearer t\r\nContent-Length: 12\r\n\r\n{"path":"a"}'
    )


def test_a_post_without_a_body_says_that_it_has_none() -> None:
    """A server need not wait for a body whose length is zero."""
    assert b"Content-Length: 0\r\n" in Request("POST", "/tokens/validate").raw("h")
    assert b"Content-Length" not in Request("GET", "/health").raw("h")


def test_the_replay_file_holds_each_request_after_its_length(tmp_path: Path) -> None:
    """Lengths separate the requests, so that a body may hold any byte."""
    requests = [Request("GET", "/a"), Request("POST", "/b", body="x\ny")]
    write_replay(tmp_path / "replay", requests, "h")
    rest, found = (tmp_path / "replay").read_bytes(), []
    while rest:
        length, _, rest = rest.partition(b"\n")
        found.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert found == [request.raw("h") for request in requests]


@pytest.mark.parametrize(("status", "text"), [(401, "no"), (302, '"version"'), (200, "nothing here")])
def test_a_wrong_answer_ends_the_measurement(status: int, text: str) -> None:
    """Before each load one answer is read: any status but 2xx, or another content, is no success."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text))
    with httpx.Client(transport=transport, base_url="http://h") as client, pytest.raises(BenchError, match="/x"):
        look(client, Request("GET", "/x"), '"version"')
