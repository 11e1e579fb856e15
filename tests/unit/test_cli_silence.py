"""What a person is told when no answer comes."""

from __future__ import annotations

import ssl

import httpx
import pytest

from tradewarden.cli.silence import why_silent

URL = "https://127.0.0.1:8443"


def refused(reason: str, kind: type[httpx.TransportError] = httpx.ConnectError) -> httpx.TransportError:
    """Return httpx's error over OpenSSL's."""
    cause = ssl.SSLError(1, reason)
    cause.reason = reason
    error = kind(reason)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused("WRONG_VERSION_NUMBER"), "does not speak TLS; write http://"),
        (refused("TLSV13_ALERT_CERTIFICATE_REQUIRED", httpx.ReadError), "asks for a client certificate"),
        (refused("CERTIFICATE_VERIFY_FAILED"), "name the CA it trusts with --ca-file"),
        (httpx.ConnectError("refused"), "no service answers at"),
        (httpx.ReadTimeout("slow"), "did not answer in time"),
        (httpx.ReadError("reset"), "broke off (ReadError)"),
    ],
)
def test_silence_is_told_by_its_cause(error: httpx.TransportError, told: str) -> None:
    """Each cause has its own text, which says what to do."""
    assert told in why_silent(URL, error)


def test_an_answer_that_is_no_http_may_be_tls() -> None:
    """Somebody who wrote http:// to a TLS port is told of https://, and nobody else."""
    error = httpx.RemoteProtocolError("illegal status line")
    assert "write https://" in why_silent("http://127.0.0.1:8443", error)
    assert "write https://" not in why_silent(URL, error)
