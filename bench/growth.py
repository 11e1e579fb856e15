"""Does issuing, the CRL or OCSP get slower as the inventory grows? 20,000 certificates, half of them revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from bench import wrk
from bench.compare import Tell
from bench.ours import Tradewarden
from bench.request import Load, Request, look, send, write_replay
from bench.result import Stage
from bench.side import field, send_all

CERTIFICATES = 20_000
_SECONDS = 3
_SERVICES = 500
_PAGE = 1000
_QUESTIONS = 500


def growth(side: Tradewarden, directory: Path, tell: Tell) -> list[Stage]:
    """Measure at the start, with 20,000 certificates, and with half of them revoked."""
    measure = _Growth(side, directory, tell)
    measure.issue(1)
    stages = [measure.stage("at the start")]
    while measure.issued < CERTIFICATES:
        measure.issue(_SECONDS)
    stages.append(measure.stage(f"{CERTIFICATES:,} issued"))
    measure.revoke(CERTIFICATES // 2)
    stages.append(measure.stage(f"{CERTIFICATES // 2:,} revoked"))
    return stages


class _Growth:
    """One service and what was done to it so far."""

    def __init__(self, side: Tradewarden, directory: Path, tell: Tell) -> None:
        self._side = side
        self._replay = directory / "growth.requests"
        self._tell = tell
        self.issued = 0
        self._revoked = 0

    def stage(self, name: str) -> Stage:
        """Measure issuing, the CRL and OCSP as things stand."""
        stage = Stage(
            name=name,
            certificates=self.issued,
            revoked=self._revoked,
            issue=self.issue(_SECONDS),
            shard=self._load(Load([self._shard()], "")),
            crl=self._load(Load([Request("GET", "/ca/crl")], "")),
            ocsp=self._load(Load(list(self._questions()), "")),
            ocsp_nonce=self._load(Load(list(self._questions(nonce=True)), "")),
        )
        runs = (stage.issue, stage.shard, stage.crl, stage.ocsp, stage.ocsp_nonce)
        rates = [run.rate for run in runs]
        self._tell(f"growth        {name:20}" + "".join(f"{rate:9,.0f}/s" for rate in rates))
        return stage

    def issue(self, seconds: int) -> wrk.Run:
        """Issue for a while, to many services in turn."""
        asked = [
            self._side.admin_request("/credentials/issue", {"service_name": f"grow-{n}"}) for n in range(_SERVICES)
        ]
        run = self._load(Load(asked, "BEGIN CERTIFICATE"), seconds)
        self.issued += run.requests
        return run

    def revoke(self, count: int) -> None:
        """Revoke so many certificates, one call each."""
        with self._side.client() as client:
            serials = [serial for serial, _ in zip(self._serials(client), range(count), strict=False)]
            calls = [
                self._side.admin_request("/credentials/revoke", {"serial_number": serial, "reason": "superseded"})
                for serial in serials
            ]
            send_all(client, calls)
        self._revoked += len(serials)

    def _load(self, load: Load, seconds: int = _SECONDS) -> wrk.Run:
        url = self._side.url
        with self._side.client() as client:
            look(client, load.requests[0], load.shows)
        write_replay(self._replay, load.requests, url.partition("//")[2])
        run = wrk.run(url, self._replay, seconds)
        self._side.rest()
        return run

    def _shard(self) -> Request:
        """Ask for the list that a certificate points to."""
        with self._side.client() as client:
            extensions = self._chain(client)[0].extensions
        places = extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0].full_name
        return Request("GET", urlsplit(str(places[0].value)).path if places else "")

    def _chain(self, client: httpx.Client) -> list[x509.Certificate]:
        """Issue one certificate and return it with what is above it."""
        made = send(client, self._side.admin_request("/credentials/issue", {"service_name": "grow-ask"}))
        self.issued += 1
        return x509.load_pem_x509_certificates(field(made, "certificate_chain").encode())

    def _serials(self, client: httpx.Client) -> Iterator[str]:
        after = ""
        while True:
            path = f"/credentials?limit={_PAGE}" + (f"&after={after}" if after else "")
            page = send(client, self._side.admin_request(path)).json()
            yield from (each["serial_number"] for each in page["certificates"])
            after = page["next"]
            if not after:
                return

    def _questions(self, *, nonce: bool = False) -> Iterator[Request]:
        """Ask for the first certificates that were issued: later on, these are the revoked ones."""
        with self._side.client() as client:
            issuer = self._chain(client)[1]
            serials = [serial for serial, _ in zip(self._serials(client), range(_QUESTIONS), strict=False)]
        for serial in serials:
            yield Request("POST", "/ca/ocsp", _OCSP, _question(issuer, int(serial, 16), nonce=nonce))


_OCSP = {"Content-Type": "application/ocsp-request"}


def _question(issuer: x509.Certificate, serial: int, *, nonce: bool) -> bytes:
    """Return an OCSP request (RFC 6960) by issuer hashes; the nonce is the serial's own, it need not be fresh here."""
    name, key = hashes.Hash(hashes.SHA1()), hashes.Hash(hashes.SHA1())  # noqa: S303 - as a name (RFC 5019 section 2.1.1)
    name.update(issuer.subject.public_bytes())
    key.update(issuer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name.finalize(),
        key.finalize(),
        serial,
        hashes.SHA1(),  # noqa: S303 - as above
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(serial.to_bytes(20, "big")), critical=False)
    return builder.build().public_bytes(Encoding.DER)
