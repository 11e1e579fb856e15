"""Revocation as verifiers use it: openssl and pkilint against a running service, through kills and rotations."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.service import Service, start, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
OPEN = {"TRADEWARDEN_RATE_LIMITS": "open=100000/1,anonymous=100000/1"}
REQUEST = {"content-type": "application/ocsp-request"}
BIN = Path(sys.executable).parent


class Verifier(NamedTuple):
    """Someone with openssl and a folder, who was given a certificate and knows the root."""

    service: Service
    folder: Path

    def issue(self, name: str, service: str = "bot") -> x509.Certificate:
        """Have a certificate issued, and follow its pointer to the CA that issued it."""
        made = self.ask("/credentials/issue", service_name=service)
        self.write(f"{name}.pem", made["certificate"].encode())
        self.write("root.pem", httpx.get(f"{self.service.url}/ca/certificate").content)
        certificate = x509.load_pem_x509_certificate(made["certificate"].encode())
        self.write(f"{name}.issuer.der", httpx.get(self.place(certificate, Access.CA_ISSUERS)).content)
        self.run("x509", "-inform", "DER", "-in", f"{name}.issuer.der", "-out", f"{name}.issuer.pem")
        return certificate

    def ask(self, path: str, **body: object) -> dict[str, str]:
        """Post as the admin."""
        headers = {"authorization": f"Bearer {self.service.admin_token}"}
        answer = httpx.post(f"{self.service.url}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return json.loads(answer.content)  # type: ignore[no-any-return]

    def revoke(self, certificate: x509.Certificate, reason: str = "keyCompromise") -> None:
        """Revoke a certificate as the admin."""
        self.ask("/credentials/revoke", serial_number=f"{certificate.serial_number:x}", reason=reason)

    def write(self, name: str, content: bytes) -> None:
        """Keep a file."""
        (self.folder / name).write_bytes(content)

    def run(self, *arguments: str, program: str = "openssl") -> tuple[int, str]:
        """Run a program and return its exit code and everything it said."""
        ran = subprocess.run(
            [program, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=30, check=False
        )
        return ran.returncode, ran.stdout + ran.stderr

    def verify(self, name: str, *how: str) -> tuple[int, str]:
        """Verify a certificate with its revocation."""
        return self.run("verify", "-CAfile", "root.pem", "-untrusted", f"{name}.issuer.pem", *how, f"{name}.pem")

    def ocsp(self, name: str, *how: str) -> tuple[int, str]:
        """Ask the responder that a certificate points to."""
        certificate = x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())
        about = ["-issuer", f"{name}.issuer.pem", "-cert", f"{name}.pem", "-url", self.place(certificate, Access.OCSP)]
        return self.run("ocsp", *about, "-CAfile", "root.pem", *how)

    def crl(self, certificate: x509.Certificate, name: str) -> httpx.Response:
        """Fetch the list that a certificate points to, and keep it as PEM."""
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert points[0].full_name is not None
        return self.fetch(points[0].full_name[0].value, name)

    def fetch(self, url: str, name: str) -> httpx.Response:
        """Fetch a list and keep it as PEM."""
        answer = httpx.get(url)
        assert answer.is_success, answer.text
        self.write(f"{name}.crl", answer.content)
        self.run("crl", "-inform", "DER", "-in", f"{name}.crl", "-out", f"{name}.crl.pem")
        return answer

    @staticmethod
    def place(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
        """Return where a certificate points for its issuer or its responder."""
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        return str(next(each.access_location.value for each in access if each.access_method == kind))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with two workers."""
    service = start(tmp_path_factory.mktemp("revocation"), TRADEWARDEN_WORKERS="2", **OPEN)
    yield service
    stop(service)


@pytest.fixture
def verifier(running: Service, tmp_path: Path) -> Verifier:
    """Give a verifier with an empty folder."""
    return Verifier(running, tmp_path)


def test_openssl_follows_the_list_that_a_certificate_points_to(verifier: Verifier) -> None:
    """Good before, revoked at once after, by the shard and by the complete list."""
    certificate = verifier.issue("bot")
    assert verifier.verify("bot", "-crl_check", "-crl_download")[0] == 0
    assert verifier.crl(certificate, "shard").headers["content-type"] == "application/pkix-crl"
    code, said = verifier.run("crl", "-in", "shard.crl.pem", "-CAfile", "bot.issuer.pem", "-verify", "-noout")
    assert (code, "verify OK" in said) == (0, True)
    verifier.revoke(certificate)
    code, said = verifier.verify("bot", "-crl_check", "-crl_download")
    assert (code != 0, "certificate revoked" in said) == (True, True)
    verifier.fetch(f"{verifier.service.url}/ca/crl", "whole")
    code, said = verifier.verify("bot", "-crl_check", "-CRLfile", "whole.crl.pem")
    assert (code != 0, "certificate revoked" in said) == (True, True)


def test_openssl_refuses_the_list_of_another_shard(verifier: Verifier) -> None:
    """A shard says nothing about certificates that point elsewhere."""
    first = verifier.issue("bot")
    other = verifier.issue("other")
    while other.serial_number % 32 == first.serial_number % 32:
        other = verifier.issue("other")
    verifier.crl(other, "other")
    assert verifier.verify("other", "-crl_check", "-CRLfile", "other.crl.pem")[0] == 0
    code, said = verifier.verify("bot", "-crl_check", "-CRLfile", "other.crl.pem")
    assert (code != 0, "CRL scope" in said) == (True, True)


def test_a_whole_chain_is_checked(verifier: Verifier) -> None:
    """With the root's list beside the issuing CA's, OpenSSL checks every certificate of the chain."""
    certificate = verifier.issue("bot")
    verifier.crl(certificate, "shard")
    verifier.crl(x509.load_pem_x509_certificate((verifier.folder / "bot.issuer.pem").read_bytes()), "root")
    lists = b"".join((verifier.folder / f"{name}.crl.pem").read_bytes() for name in ("shard", "root"))
    verifier.write("all.pem", lists)
    assert verifier.verify("bot", "-crl_check_all", "-CRLfile", "all.pem")[0] == 0
    assert verifier.verify("bot", "-crl_check_all", "-CRLfile", "shard.crl.pem")[0] != 0


def test_openssl_asks_the_responder(verifier: Verifier) -> None:
    """Good and revoked, with a nonce and without, by SHA-1 and SHA-256, each with a signature that verifies."""
    certificate = verifier.issue("bot")
    for how in (["-nonce"], ["-no_nonce"]):
        code, said = verifier.ocsp("bot", *how)
        assert (code, "bot.pem: good" in said, "Response verify OK" in said) == (0, True, True), said
        assert "WARNING" not in said
    verifier.revoke(certificate, "superseded")
    for how in (["-nonce"], ["-no_nonce"]):
        code, said = verifier.ocsp("bot", *how)
        assert (code, "bot.pem: revoked" in said, "Reason: superseded" in said) == (0, True, True), said


def test_the_responder_is_asked_by_get(verifier: Verifier) -> None:
    """A request in the URL is answered, slashes and all, and caches are told how long it may be kept."""
    certificate = verifier.issue("bot")
    issuer = x509.load_pem_x509_certificate((verifier.folder / "bot.issuer.pem").read_bytes())
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256())
    request = builder.build().public_bytes(Encoding.DER)
    text = base64.b64encode(request).decode()
    where = verifier.place(certificate, Access.OCSP)
    with httpx.Client() as client:  # one connection, so one worker: another has an answer of its own
        answers = [client.get(f"{where}/{quote(text, safe=safe)}") for safe in ("", "/")]
        for answer in answers:
            assert answer.headers["content-type"] == "application/ocsp-response"
            response = ocsp.load_der_ocsp_response(answer.content)
            assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
            assert "max-age=60" in answer.headers["cache-control"]
        headers = {"if-none-match": answers[0].headers["etag"]}
        again = client.get(f"{where}/{quote(text, safe='')}", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        posted = client.post(where, content=request, headers=REQUEST)
    assert posted.headers["cache-control"] == "no-store"
    assert ocsp.load_der_ocsp_response(posted.content).certificate_status is ocsp.OCSPCertStatus.GOOD


def test_one_file_is_enough_for_every_certificate(verifier: Verifier) -> None:
    """`/ca/crls` lets openssl check whole chains, of the CA before and of the next one as soon as it issues."""
    before = verifier.issue("before")
    revoked = verifier.issue("revoked")
    verifier.revoke(revoked)
    verifier.write("crls.pem", httpx.get(f"{verifier.service.url}/ca/crls").content)
    verifier.ask("/ca/rotate", what="issuing")
    after = verifier.issue("after")
    assert after.issuer != before.issuer

    how = ("-crl_check_all", "-CRLfile", "crls.pem")
    for good in ("before", "after"):
        assert verifier.verify(good, *how) == (0, f"{good}.pem: OK\n")
    assert "certificate revoked" in verifier.verify("revoked", *how)[1]


@pytest.mark.parametrize("path", ["/ca/crl", "/ca/crls"])
def test_a_list_that_is_known_is_not_sent_again(verifier: Verifier, path: str) -> None:
    """A client that has the list is told so until there is another."""
    certificate = verifier.issue("bot")
    url = f"{verifier.service.url}{path}"
    first = httpx.get(url)
    headers = {"if-none-match": first.headers["etag"]}
    assert httpx.get(url, headers=headers).status_code == 304
    verifier.revoke(certificate)
    second = httpx.get(url, headers=headers)
    assert second.status_code == 200
    since = {"if-modified-since": second.headers["date"]}  # as `curl -z FILE` asks, with the time of its copy
    verifier.revoke(verifier.issue("cat"))
    third = httpx.get(url, headers=since)
    assert (third.status_code, third.content != second.content) == (200, True)
    assert httpx.head(url).headers["content-length"] == str(len(third.content))


@pytest.mark.parametrize("kind", ["CRL", "OCSP"])
def test_pkilint_finds_nothing(verifier: Verifier, kind: str) -> None:
    """Lists and answers are as the standards say, in the judgement of pkilint."""
    good, bad = verifier.issue("good"), verifier.issue("bad")
    verifier.revoke(bad, "cessationOfOperation")
    issuer = x509.load_pem_x509_certificate((verifier.folder / "bad.issuer.pem").read_bytes())
    if kind == "CRL":
        verifier.crl(bad, "shard")
        verifier.crl(issuer, "root")
        verifier.fetch(f"{verifier.service.url}/ca/crl", "whole")
        for name in ("shard", "whole", "root"):
            how = ["lint", "-t", "CRL", "-p", "PKIX", f"{name}.crl.pem"]
            assert verifier.run(*how, program=str(BIN / "lint_crl")) == (0, "\n")
        return
    for each, nonce in ((good, None), (bad, b"n" * 32)):
        builder = ocsp.OCSPRequestBuilder().add_certificate(each, issuer, hashes.SHA256())
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        request = builder.build().public_bytes(Encoding.DER)
        answer = httpx.post(verifier.place(each, Access.OCSP), content=request, headers=REQUEST)
        verifier.write("answer.der", answer.content)
        assert verifier.run("lint", "answer.der", program=str(BIN / "lint_ocsp_response")) == (0, "\n")


def test_several_cas_are_answered_for(verifier: Verifier) -> None:
    """After a rotation old and new certificates have their lists and answers, each of its own CA."""
    old = verifier.issue("old")
    verifier.ask("/ca/rotate", what="issuing")
    new = verifier.issue("new", "other")
    assert verifier.place(old, Access.CA_ISSUERS) != verifier.place(new, Access.CA_ISSUERS)
    for name in ("old", "new"):
        assert verifier.verify(name, "-crl_check", "-crl_download")[0] == 0
        assert "good" in verifier.ocsp(name)[1]
    verifier.revoke(old)
    assert "certificate revoked" in verifier.verify("old", "-crl_check", "-crl_download")[1]
    assert "old.pem: revoked" in verifier.ocsp("old")[1]
    assert "new.pem: good" in verifier.ocsp("new")[1]


def test_a_compromised_ca_ends_with_its_certificates(verifier: Verifier) -> None:
    """Everything that the CA issued is revoked, the root's list names the CA, and its own lists are given no more."""
    certificate = verifier.issue("bot")
    issuer = x509.load_pem_x509_certificate((verifier.folder / "bot.issuer.pem").read_bytes())
    verifier.crl(certificate, "shard")
    verifier.ask("/ca/rotate", what="issuing", compromised=True)
    assert "bot.pem: revoked" in verifier.ocsp("bot")[1]
    root = x509.load_der_x509_crl(verifier.crl(issuer, "root").content)
    assert root.get_revoked_certificate_by_serial_number(issuer.serial_number) is not None
    lists = b"".join((verifier.folder / f"{name}.crl.pem").read_bytes() for name in ("shard", "root"))
    verifier.write("all.pem", lists)
    assert "certificate revoked" in verifier.verify("bot", "-crl_check_all", "-CRLfile", "all.pem")[1]
    for how in ("-crl_check", "-crl_check_all"):  # who checks nothing above a certificate is to refuse it as well
        assert "unable to get certificate CRL" in verifier.verify("bot", how, "-crl_download")[1]
        verifier.write("crls.pem", httpx.get(f"{verifier.service.url}/ca/crls").content)
        assert "unable to get certificate CRL" in verifier.verify("bot", how, "-CRLfile", "crls.pem")[1]


def test_metrics_tell_of_lists_and_answers(verifier: Verifier) -> None:
    """Answers are counted by what they said."""
    verifier.issue("bot")
    before = _counted(verifier)
    verifier.ocsp("bot")
    for content in (b"x", b""):
        told = httpx.post(f"{verifier.service.url}/ca/ocsp", content=content, headers=REQUEST)
        assert (told.status_code, told.headers["content-type"]) == (200, "application/ocsp-response")
        assert ocsp.load_der_ocsp_response(told.content).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    after = _counted(verifier)
    assert after["good"] == before["good"] + 1
    assert after["malformed"] == before["malformed"] + 2


def _counted(verifier: Verifier) -> dict[str, float]:
    headers = {"authorization": f"Bearer {verifier.service.admin_token}"}
    lines = httpx.get(f"{verifier.service.url}/metrics", headers=headers).text.splitlines()
    found = [line.partition("} ") for line in lines if line.startswith("tradewarden_ocsp_answers_total{")]
    return {label.partition('"')[2].rstrip('"'): float(value) for label, _, value in found}


def test_numbers_rise_through_kills(tmp_path: Path) -> None:
    """After a SIGKILL of everything a list's number goes on, and what was revoked stays so."""
    service = start(tmp_path, **OPEN)
    verifier = Verifier(service, tmp_path)
    numbers, revoked = [], set()
    try:
        for _ in range(3):
            certificate = verifier.issue("bot")
            verifier.revoke(certificate)
            revoked.add(certificate.serial_number)
            numbers.append(_number(httpx.get(f"{service.url}/ca/crl").content, revoked))
            service.kill_tree()
            service = service.again()
            verifier = Verifier(service, tmp_path)
            numbers.append(_number(httpx.get(f"{service.url}/ca/crl").content, revoked))
    finally:
        stop(service)
    first = numbers[0]
    assert numbers == [first, first, first + 1, first + 1, first + 2, first + 2]


def _number(der: bytes, revoked: set[int]) -> int:
    crl = x509.load_der_x509_crl(der)
    assert {each.serial_number for each in crl} == revoked
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=200), text=st.text(max_size=60), kind=st.sampled_from(["application/ocsp-request", "x/y"])
)
def test_anything_through_the_door_is_answered(running: Service, body: bytes, text: str, kind: str) -> None:
    """Whatever is posted or stands in the URL, it is an answer or a refusal, and never a failure of ours."""
    with httpx.Client(base_url=running.url) as client:
        posted = client.post("/ca/ocsp", content=body, headers={"content-type": kind})
        asked = client.get(f"/ca/ocsp/{quote(text, safe='')}")
        named = client.get(f"/ca/crl/{quote(text, safe='')}")
    assert posted.status_code in (200, 400, 415)
    assert asked.status_code in (200, 400, 404, 405)
    assert named.status_code in (400, 404)
