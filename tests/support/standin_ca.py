"""A small TLS server with a CA of its own that answers as the service does.

For what the real one does not do in a test: it issues certificates that live for seconds, goes down, refuses, loses
answers, and changes its root.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.pki import key_usage
from tradewarden.workload.pair import fingerprint, public_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

DOMAIN = "trade.example"
YEAR = 365 * 86_400.0


class Authority(NamedTuple):
    """A CA: its certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


def authority(name: str, above: Authority | None = None) -> Authority:
    """Make a root, or a CA below another one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    constraints = x509.BasicConstraints(ca=True, path_length=0 if above else None)
    issuer = above or Authority(None, key)  # type: ignore[arg-type]
    issuer_name = above.certificate.subject if above else subject
    builder = _builder(subject, key.public_key(), issuer, issuer_name, YEAR)
    builder = builder.add_extension(constraints, critical=True)
    builder = builder.add_extension(key_usage(signs_certificates=True, signs_crls=True), critical=True)
    return Authority(builder.sign(issuer.key, hashes.SHA256()), key)


def cross(root: Authority, above: Authority, path_length: int | None = None) -> Authority:
    """Certify a root's name and key by another root."""
    certified = root.certificate.subject
    builder = _builder(certified, root.key.public_key(), above, above.certificate.subject, YEAR)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(key_usage(signs_certificates=True, signs_crls=True), critical=True)
    return Authority(builder.sign(above.key, hashes.SHA256()), root.key)


def leaf(
    issuing: Authority,
    key: CertificatePublicKeyTypes,
    service: str,
    life: float,
    *,
    hosts: bool = True,
    began: float = 0.0,
) -> x509.Certificate:
    """Certify a service's public key for so many seconds from now, or from `began` seconds ago."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
    builder = _builder(subject, key, issuing, issuing.certificate.subject, life, began)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/{service}")]
    if hosts:
        names += [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuing.key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    key: CertificatePublicKeyTypes,
    issuer: Authority,
    issuer_name: x509.Name,
    life: float,
    began: float = 0.0,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return x509.CertificateBuilder(
        issuer_name,
        subject,
        key,
        x509.random_serial_number(),
        now - timedelta(seconds=began),
        now + timedelta(seconds=life),
        [x509.Extension(own.oid, False, own), x509.Extension(above.oid, False, above)],  # noqa: FBT003
    )


def pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class StandIn:
    """The CA and what it was asked; every attribute may be changed while it serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = authority("root")
        self.issuing = authority("issuing", self.root)
        self.roots = [self.root]
        self.crosses: list[Authority] = []
        self.without_crosses = False
        self.own_name = "tradewarden"
        self.life = YEAR
        self.began = 0.0
        self.grace = 0.0
        self.down = False
        self.refuse = False
        self.lose_answers = 0
        self.tokens: dict[str, str] = {}
        self.revoked: list[int] = []
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self.keys: list[bytes] = []
        self.crl_life = 3600.0
        self.crl_number = 0
        self.retired: list[Authority] = []
        self._context = self._tls()
        self._server = _Server(self)
        self.url = f"https://localhost:{self._server.server_address[1]}"

    def token(self, service: str) -> str:
        """Make a join token."""
        made = f"twj_{secrets.token_urlsafe(32)}.{fingerprint(self.root.certificate)[:32]}"
        self.tokens[made] = service
        return made

    def rotate(self, *, keep: bool = True) -> None:
        """Make a new root and a new issuing CA; the old root stays in the bundle and certifies the new one, or not."""
        old, self.root = self.root, authority("root 2")
        self.issuing = authority("issuing 2", self.root)
        self.roots = [self.root, *self.roots] if keep else [self.root]
        self.crosses = [cross(self.root, old), cross(old, self.root)] if keep else []

    def renew_own(self) -> None:
        """Certify its own listener under the CAs of now."""
        self._context = self._tls()

    def _tls(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = leaf(self.issuing, key.public_key(), self.own_name, YEAR)
        chain = self.directory / "server.pem"
        chain.write_bytes(certificate.public_bytes(Encoding.PEM) + self.issuing.pem + pem_key(key))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.num_tickets = 0
        made.load_cert_chain(chain)
        made.verify_mode = ssl.CERT_OPTIONAL
        made.load_verify_locations(cadata="".join(each.pem.decode() for each in self.roots))
        return made

    def context(self) -> ssl.SSLContext:
        """Return the TLS context of now."""
        return self._context

    def issued(self, service: str, csr: str) -> dict[str, str]:
        """Certify a CSR."""
        request = x509.load_pem_x509_csr(csr.encode())
        assert request.is_signature_valid
        self.keys.append(public_bytes(request.public_key()))
        certificate = leaf(self.issuing, request.public_key(), service, self.life, began=self.began)
        return {
            "certificate_chain": (certificate.public_bytes(Encoding.PEM) + self.issuing.pem).decode(),
            "ca_certificate": self.root.pem.decode(),
            "cross_certificates": "".join(each.pem.decode() for each in self.crosses),
        }

    def wear_out(self, life: float = 6.0) -> None:
        """Issue certificates that are due for renewal at once, and valid for so many seconds more."""
        self.life, self.began = life, 2 * life

    def crl(self, issuing: Authority | None = None) -> bytes:
        """Sign a revocation list (PEM), of the CA that issues unless another is given."""
        self.crl_number += 1
        by, now = issuing or self.issuing, datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(
            by.certificate.subject,
            # A second apart, because OpenSSL and we take the one with the later time.
            now - timedelta(hours=1) + timedelta(seconds=self.crl_number),
            now + timedelta(seconds=self.crl_life),
        )
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
        builder = builder.add_extension(above, critical=False).add_extension(
            x509.CRLNumber(self.crl_number), critical=False
        )
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder(serial, now - timedelta(minutes=1))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def ocsp(self, request: bytes) -> bytes:
        """Answer an OCSPRequest of one certificate: good, or revoked (DER)."""
        serial, now = ocsp.load_der_ocsp_request(request).serial_number, datetime.now(UTC)
        gone = serial in self.revoked
        status = ocsp.OCSPCertStatus.REVOKED if gone else ocsp.OCSPCertStatus.GOOD
        by = self.issuing
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            b"n" * 32, b"k" * 32, serial, hashes.SHA256(), status, now, None, now if gone else None, None
        )
        made = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
        return made.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, ca: StandIn) -> None:
        self.ca = ca
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as its parent
        request.settimeout(10)
        with suppress(OSError), self.ca.context().wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)
            connection.unwrap().shutdown(socket.SHUT_WR)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as its parent
        request.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer the public pages."""
        ca = self.server.ca
        ca.asked.append(f"GET {self.path}")
        if ca.down:
            self._answer(503, b"{}")
        elif self.path == "/ca/certificate":
            self._answer(200, b"".join(each.pem for each in ca.roots))
        elif self.path == "/ca/crls":
            self._answer(200, b"".join(ca.crl(each) for each in (*ca.retired, ca.issuing, *ca.roots)))
        elif self.path == "/ca/cross-certificates" and not ca.without_crosses:
            self._answer(200, b"".join(each.pem for each in ca.crosses))
        else:
            self._answer(404, b"{}")

    def do_POST(self) -> None:
        """Enrol or renew."""
        ca = self.server.ca
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/ca/ocsp":
            ca.asked.append("POST /ca/ocsp")
            self._answer(503 if ca.down else 200, b"{}" if ca.down else ca.ocsp(sent))
            return
        ca.bodies.append(sent.decode())
        body = json.loads(ca.bodies[-1])
        how = "proof" if "proof" in body else "mtls" if self._peer() else "token"
        ca.asked.append(f"POST {self.path} {how}")
        service = None if ca.refuse else self._proven(body)
        if ca.down:
            self._answer(503, b"{}")
        elif service is None:
            self._answer(403, json.dumps({"detail": "not proven", "code": "authentication_failed"}).encode())
        else:
            answer = json.dumps(ca.issued(service, body["csr"])).encode()
            if ca.lose_answers:
                ca.lose_answers -= 1
                return
            self._answer(200, answer)

    def _peer(self) -> x509.Certificate | None:
        der = self.connection.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der) if der else None

    def _proven(self, body: dict[str, str]) -> str | None:
        ca, now = self.server.ca, datetime.now(UTC)
        if self.path == "/credentials/enroll":
            return ca.tokens.pop(body["join_token"], None)
        if "proof" in body:
            old = x509.load_pem_x509_certificate(body["certificate"].encode())
            _verify(body["proof"], old, body["csr"])
            return _name(old) if now < old.not_valid_after_utc + timedelta(seconds=ca.grace) else None
        peer = self._peer()
        return None if peer is None or peer.serial_number in ca.revoked else _name(peer)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _name(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0].rpartition("/")[2]


def _verify(proof: str, old: x509.Certificate, csr: str) -> None:
    """Hold a proof against what it has to say."""
    head, claims, signature = proof.split(".")
    raw = _decoded(signature)
    dss = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = old.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(dss, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    said = json.loads(_decoded(claims))
    assert said["csr_sha256"] == sha256(csr.encode()).hexdigest()
    assert said["aud"] == "/credentials/renew"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def stand_in(directory: Path) -> Iterator[StandIn]:
    """Serve from a directory; for a fixture."""
    with StandIn(directory) as ca:
        yield ca
