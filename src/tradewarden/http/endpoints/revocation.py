"""`/ca/crl`, `/ca/crls`, `/ca/ocsp`, `/ca/issuers`: what verifiers ask about certificates. Anyone may."""

from __future__ import annotations

from base64 import b64decode
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tradewarden.access.principal import OWN_NAME
from tradewarden.audit.entry import EventType
from tradewarden.http.conditional import cached
from tradewarden.http.route import Content, Nothing
from tradewarden.pki.certificate.issuer import utc

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.pki.revocation.crl import Crl
    from tradewarden.pki.revocation.ocsp import OcspAnswer

_KEPT_SECONDS: Final = 60
"""So long a cache may give out a list or an answer without asking again; a revocation is late by that at most."""
_ISSUER_SECONDS: Final = 86_400
_OCSP: Final = "application/ocsp-response"


class NamedList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A revocation list, by the file name that certificates point to."""

    name: str


class NamedIssuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CA's certificate, by the file name that certificates point to."""

    name: str


class OcspRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An OCSPRequest (DER)."""

    body: bytes


class OcspQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An OCSPRequest (DER) in base64, escaped for a URL (RFC 6960 appendix A.1)."""

    request: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[A-Za-z0-9+/]+={0,2}$"})]


async def crl(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the complete revocation list of the CA that issues now (DER, RFC 5280)."""
    del grant, command, entry
    await warden.revisions()
    return _list(warden, await warden.authority.revocation.crl())


async def named_crl(warden: Warden, grant: Grant, command: NamedList, entry: Entry) -> Content:
    """Give the revocation list of any of our CAs, complete or one shard, by its name in certificates (DER)."""
    del grant, entry
    await warden.revisions()
    return _list(warden, await warden.authority.revocation.crl(command.name))


async def all_crls(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the complete lists of the roots and of all CAs that may be met, now or after the next rotation (PEM).

    That is what a verifier needs who reads lists from one file (nginx, PostgreSQL), or checks peers by itself.
    """
    del grant, command, entry
    await warden.revisions()
    found = await warden.authority.revocation.bundle()
    left = found.next_update - int(warden.clock.now())
    return cached(found.pem, "application/x-pem-file", found.tag, utc(found.this_update), min(_KEPT_SECONDS, left))


def _list(warden: Warden, found: Crl) -> Content:
    left = found.next_update - int(warden.clock.now())
    return cached(found.der, "application/pkix-crl", found.tag, utc(found.this_update), min(_KEPT_SECONDS, left))


async def issuer(warden: Warden, grant: Grant, command: NamedIssuer, entry: Entry) -> Content:
    """Give a CA's certificate (DER), by its name in certificates."""
    del grant, entry
    await warden.revisions()
    der, since = warden.authority.revocation.certificate(command.name)
    return cached(der, "application/pkix-cert", sha256(der).hexdigest()[:32], utc(since), _ISSUER_SECONDS)


async def ocsp(warden: Warden, grant: Grant, command: OcspRequest, entry: Entry) -> Content:
    """Answer an OCSP request (RFC 6960)."""
    del grant, entry
    return Content((await _answer(warden, command.body)).der, _OCSP)


async def ocsp_query(warden: Warden, grant: Grant, command: OcspQuery, entry: Entry) -> Content:
    """Answer an OCSP request in the URL (RFC 6960 appendix A.1), so that caches may keep the answer (RFC 5019)."""
    del grant, entry
    try:
        der = b64decode(command.request, validate=True)
    except ValueError:
        der = b""
    answer = await _answer(warden, der)
    if not answer.cacheable:
        return Content(answer.der, _OCSP)
    left = answer.next_update - int(warden.clock.now())
    tag = sha256(answer.der).hexdigest()[:32]
    return cached(answer.der, _OCSP, tag, utc(answer.this_update), min(_KEPT_SECONDS, left))


async def _answer(warden: Warden, request: bytes) -> OcspAnswer:
    begin = partial(warden.entry, EventType.CERTIFICATE, "issue", OWN_NAME)
    await warden.revisions()
    answer = await warden.authority.revocation.ocsp(request, begin)
    if warden.metrics is not None:
        for status in answer.statuses:
            warden.metrics.count_ocsp(status)
    return answer
