"""Answers as bytes: JSON or a content of its own, with the security headers that every answer carries."""

from __future__ import annotations

import msgspec

from tradewarden.http.route import Content

Answer = msgspec.Struct | Content
Headers = list[tuple[bytes, bytes]]

EVERYWHERE = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
)
LOCKED_DOWN = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_JSON = (*EVERYWHERE, LOCKED_DOWN, (b"content-type", b"application/json"))
_BODILESS = frozenset({204, 304})
_encode = msgspec.json.Encoder().encode


def render(answer: Answer, request_id: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of an answer; a header that a content brings stands in place of ours."""
    if isinstance(answer, Content):
        return _content(answer, request_id)
    body = _encode(answer)
    length = str(len(body)).encode()
    return 200, [(b"content-length", length), (b"x-request-id", request_id.encode()), *_JSON], body


def _content(answer: Content, request_id: str) -> tuple[int, Headers, bytes]:
    headers = [] if answer.status in _BODILESS else [(b"content-length", str(len(answer.body)).encode())]
    headers.append((b"x-request-id", request_id.encode()))
    if answer.media_type:
        headers.append((b"content-type", answer.media_type.encode()))
    headers += answer.headers
    own = {name for name, _ in answer.headers}
    headers += [header for header in (*EVERYWHERE, LOCKED_DOWN) if header[0] not in own]
    return answer.status, headers, answer.body
