"""Keys in a PKCS#11 token: SoftHSM 2 stands in for one in hardware."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.softhsm import PIN, SoftHsm, module, softhsm
from tradewarden.crypto.pkcs11 import Access, Token, release
from tradewarden.crypto.token_keys import EcKey, Place, RsaKey, make_ec, make_rsa, token_key
from tradewarden.errors import ConfigurationError, TradewardenError, UnavailableError
from tradewarden.pki.cas.hardware import TokenKeys, brought_token_key
from tradewarden.pki.certificate.algorithm import Algorithm, signing
from tradewarden.settings.pkcs11 import parse_token_uri
from tradewarden.settings.secret import Secret

__all__ = ["module", "softhsm"]
SHA256 = hashes.SHA256()
P256 = ec.SECP256R1()


def certificate(key: EcKey | RsaKey | ec.EllipticCurvePrivateKey, name: str = "test") -> x509.Certificate:
    """Sign a certificate for itself, as `cryptography`'s builder does it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
    )
    how = signing(key)
    return unsigned.sign(key, how.hash, rsa_padding=how.padding)


def works_again(attempt: Callable[[], object]) -> None:
    """Return once an attempt succeeds; between two of them a token is left alone for a second."""
    end = time.monotonic() + 10
    while True:
        try:
            attempt()
        except UnavailableError:
            assert time.monotonic() < end, "the token is back and does not work"
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
@pytest.mark.parametrize("over", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda over: over.name)
def test_an_ec_key_signs(softhsm: SoftHsm, curve: ec.EllipticCurve, over: hashes.HashAlgorithm) -> None:
    """A key made in the token signs what its public half verifies, whatever the hash."""
    key = make_ec(softhsm.token(), "mine", curve)
    key.public_key().verify(key.sign(b"data", ec.ECDSA(over)), b"data", ec.ECDSA(over))
    digest = hashes.Hash(over)
    digest.update(b"data")
    signature = key.sign(digest.finalize(), ec.ECDSA(Prehashed(over)))
    key.public_key().verify(signature, b"data", ec.ECDSA(over))


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384, Algorithm.RSA3072])
def test_the_library_signs_with_it(softhsm: SoftHsm, algorithm: Algorithm) -> None:
    """Certificates, requests and CRLs are signed by `cryptography`'s own builders."""
    keys = TokenKeys(parse_token_uri(softhsm.uri), softhsm.access)
    key = keys.make("ca_key.pem", algorithm)
    made = certificate(key)
    made.verify_directly_issued_by(made)
    how, now = signing(key), datetime.now(UTC)
    assert how.slow
    request = x509.CertificateSigningRequestBuilder(made.subject).sign(key, how.hash, rsa_padding=how.padding)
    assert request.is_signature_valid
    crl = x509.CertificateRevocationListBuilder(made.subject, now, now + timedelta(days=1))
    assert crl.sign(key, how.hash, rsa_padding=how.padding).is_signature_valid(made.public_key())  # type: ignore[arg-type]


def test_the_key_stays_in_the_token(softhsm: SoftHsm) -> None:
    """It is sensitive, was never anything else, cannot be taken out, and says so when it is asked for."""
    import pkcs11

    key = make_ec(softhsm.token(), "mine", P256)
    wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}

    def flags(session: pkcs11.Session) -> list[object]:
        (found,) = session.get_objects(wanted)
        names = ("SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "PRIVATE", "TOKEN", "EXTRACTABLE", "DERIVE")
        return [found[pkcs11.Attribute[name]] for name in names] + [len(found[pkcs11.Attribute.ID])]

    assert softhsm.token().use(flags, "the test") == [True, True, True, True, True, False, False, 20]
    attempts: list[Callable[[], object]] = [
        lambda: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.private_numbers,
    ]
    for attempt in attempts:
        with pytest.raises(TradewardenError, match=r"object 'mine' in token 'test-.* cannot be read"):
            attempt()
    with pytest.raises(UnsupportedAlgorithm, match="signs and does nothing else"):
        key.exchange(ec.ECDH(), key.public_key())
    with pytest.raises(UnsupportedAlgorithm, match="own randomness"):
        key.sign(b"", ec.ECDSA(SHA256, deterministic_signing=True))
    assert PIN not in repr((key, key.place, softhsm.token(), softhsm.access))


def test_an_rsa_key_pads_by_pss_only(softhsm: SoftHsm) -> None:
    """PKCS#1 v1.5 is refused, in a token too."""
    key = make_rsa(softhsm.token(), "mine")
    pss = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
    key.public_key().verify(key.sign(b"data", pss, SHA256), b"data", pss, SHA256)
    with pytest.raises(UnsupportedAlgorithm, match="by PSS"):
        key.sign(b"data", padding.PKCS1v15(), SHA256)


def test_a_token_that_goes_away_and_comes_back(softhsm: SoftHsm) -> None:
    """Away it is named, with what was needed from it; back it works by itself."""
    key = make_ec(softhsm.token(), "mine", P256)

    def sign() -> bytes:
        return key.sign(b"data", ec.ECDSA(SHA256))

    softhsm.token().require_present()
    for _ in range(2):
        softhsm.take_away()
        for attempt in (sign, sign):
            with pytest.raises(UnavailableError, match=f"token '{softhsm.label}' is away .*object 'mine' in token"):
                attempt()
        with pytest.raises(UnavailableError, match="is away"):
            softhsm.token().require_present()
        softhsm.put_back()
        works_again(sign)
        softhsm.token().require_present()


def test_a_look_notices_a_token_that_went_away(softhsm: SoftHsm) -> None:
    """Readiness finds out before anyone signs."""
    softhsm.token().require_present()
    softhsm.take_away()
    with pytest.raises(UnavailableError, match="is away"):
        softhsm.token().require_present()


def test_dead_sessions_are_reopened(softhsm: SoftHsm) -> None:
    """Sessions that the module no longer knows are opened anew without anyone noticing."""
    import pkcs11

    key = make_ec(softhsm.token(), "mine", P256)
    pkcs11.lib(str(softhsm.module)).finalize()
    key.sign(b"data", ec.ECDSA(SHA256))
    release()
    key.sign(b"data", ec.ECDSA(SHA256))


def test_another_token_of_the_same_name_signs_nothing(softhsm: SoftHsm) -> None:
    """Behind a swapped token there is another key, which is not taken for ours."""
    key = token_key(Place(softhsm.token(), "mine"), make_ec(softhsm.token(), "mine", P256).public_key())
    softhsm.take_away()
    (softhsm.directory / "tokens").mkdir()
    softhsm.another(softhsm.label)
    make_ec(softhsm.token(), "mine", P256)
    with pytest.raises(UnavailableError, match="is not the private key of its certificate; nothing was signed"):
        certificate(key)


def test_a_forked_process_starts_anew(softhsm: SoftHsm) -> None:
    """Child and parent both sign after a fork, each in a session of its own."""
    key = make_ec(softhsm.token(), "mine", P256)
    child = os.fork()
    if child == 0:
        try:
            key.public_key().verify(key.sign(b"data", ec.ECDSA(SHA256)), b"data", ec.ECDSA(SHA256))
            release()
        except BaseException:  # noqa: BLE001 - a child ends here, whatever it is
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    key.public_key().verify(key.sign(b"data", ec.ECDSA(SHA256)), b"data", ec.ECDSA(SHA256))


def test_threads_take_turns(softhsm: SoftHsm) -> None:
    """Many threads sign with two keys at once, and every signature is right."""
    keys = [make_ec(softhsm.token(), name, P256) for name in ("one", "two")]

    def sign(turn: int) -> None:
        key, data = keys[turn % 2], turn.to_bytes(2, "big")
        key.public_key().verify(key.sign(data, ec.ECDSA(SHA256)), data, ec.ECDSA(SHA256))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(sign, range(200)))


def test_a_wrong_pin_is_tried_once(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a key is needed, the token sees a wrong PIN once; the right one still gets in."""
    import pkcs11

    key = make_ec(softhsm.token(), "mine", P256)
    release()
    tries = []

    class Counting:
        """A token that counts how often somebody logs in."""

        def __init__(self, token: pkcs11.Token) -> None:
            self._token = token
            self.flags = token.flags
            self.serial = token.serial

        def open(self, user_pin: str) -> pkcs11.Session:
            tries.append(user_pin)
            return self._token.open(user_pin=user_pin)

    from tradewarden.crypto.pkcs11 import _Module

    finding = _Module._find
    monkeypatch.setattr(_Module, "_find", lambda self, uri: Counting(finding(self, uri)))
    wrong = token_key(Place(softhsm.token("000000"), "mine"), key.public_key())
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=r"refused its PIN\. It is not given to it again"):
            wrong.require()
    with pytest.raises(UnavailableError, match="refused its PIN"):
        certificate(wrong)
    assert tries == ["000000"]
    key.sign(b"data", ec.ECDSA(SHA256))


@pytest.mark.parametrize(
    ("flag", "said"), [("USER_PIN_FINAL_TRY", "one try for its PIN left"), ("USER_PIN_LOCKED", "is locked")]
)
def test_the_last_try_is_left_to_a_person(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, flag: str, said: str
) -> None:
    """A token that the next wrong PIN locks, or that is locked, is given none."""
    import pkcs11

    from tradewarden.crypto.pkcs11 import _Module

    class Flagged:
        """A token that says how few tries are left, and must not be opened."""

        flags = pkcs11.TokenFlag[flag]
        serial = b"1"

    monkeypatch.setattr(_Module, "_find", lambda *_: Flagged())
    with pytest.raises(ConfigurationError, match=said):
        softhsm.token().require_present()


def test_where_the_pin_comes_from(softhsm: SoftHsm, tmp_path: Path) -> None:
    """From the file that pin-source names, which only this user may read; else from the setting; else it is asked."""
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    uri = parse_token_uri(f"{softhsm.uri}?module-path={softhsm.module}&pin-source=file:{pin}")
    Token(uri, Access()).require_present()
    release()
    pin.chmod(0o644)
    with pytest.raises(ConfigurationError, match="is open to other users"):
        Token(uri, Access()).require_present()
    with pytest.raises(ConfigurationError, match="needs a PIN; set TRADEWARDEN_PKCS11_PIN"):
        Token(parse_token_uri(softhsm.uri), Access(softhsm.module)).require_present()


def test_which_token(softhsm: SoftHsm) -> None:
    """A token is found by any of its attributes; two that fit are refused."""
    other = softhsm.another(f"{softhsm.label}-b")
    found = other.token().use(lambda session: (session.token.serial, session.token.model), "the test")
    serial, model = found[0].decode(), found[1]
    Token(parse_token_uri(f"pkcs11:serial={serial}"), softhsm.access).require_present()
    with pytest.raises(ConfigurationError, match="add serial="):
        Token(parse_token_uri(f"pkcs11:model={model.replace(' ', '%20')}"), softhsm.access).require_present()
    with pytest.raises(UnavailableError, match="TokenNotPresent"):
        Token(parse_token_uri("pkcs11:token=nowhere"), softhsm.access).require_present()


def test_a_module_that_is_none(tmp_path: Path) -> None:
    """A missing module, and a file that is no module, are named."""
    uri = parse_token_uri("pkcs11:token=x")
    with pytest.raises(ConfigurationError, match=r"missing\.so is missing"):
        Token(uri, Access(tmp_path / "missing.so", Secret("1"))).require_present()
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(ConfigurationError, match=r"text\.so cannot be loaded"):
        Token(uri, Access(tmp_path / "text.so", Secret("1"))).require_present()
    with pytest.raises(ConfigurationError, match="set TRADEWARDEN_PKCS11_MODULE"):
        Token(uri, Access())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where python-pkcs11 is not installed, the extra that brings it is named."""
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[hsm\]'"):
        Token(parse_token_uri("pkcs11:token=x"), Access(Path("/usr/lib/x.so"), Secret("1")))


class TestCaKeys:
    """The CA's keys in a token (`pki.cas.hardware`)."""

    def test_made_and_found_again(self, softhsm: SoftHsm) -> None:
        """A key is found by its label and its certificate, beside others of the same label."""
        keys = TokenKeys(parse_token_uri(softhsm.uri), softhsm.access)
        assert not keys.has("issuing_key.1a2b.pem")
        made = [keys.make("issuing_key.1a2b.pem", Algorithm.P256) for _ in range(3)]
        assert keys.has("issuing_key.1a2b.pem")
        release()
        for key in made:
            found = keys.load("issuing_key.1a2b.pem", certificate(key))
            certificate(found).verify_directly_issued_by(certificate(key))
        assert keys.where("issuing_key.1a2b.pem") == f"object 'issuing_key.1a2b' in token '{softhsm.label}'"

    def test_missing_and_foreign(self, softhsm: SoftHsm) -> None:
        """A missing object and another certificate's key are named."""
        keys = TokenKeys(parse_token_uri(softhsm.uri), softhsm.access)
        other = certificate(ec.generate_private_key(P256))
        with pytest.raises(ConfigurationError, match="There is no private EC key as object 'ca_key' in token"):
            keys.load("ca_key.pem", other)
        keys.make("ca_key.pem", Algorithm.P256)
        with pytest.raises(ConfigurationError, match=r"object 'ca_key' in token .* is not the private key of its cert"):
            keys.load("ca_key.pem", other)

    def test_loaded_while_the_token_is_away(self, softhsm: SoftHsm) -> None:
        """A service starts without its token, and signs when it is there."""
        keys = TokenKeys(parse_token_uri(softhsm.uri), softhsm.access)
        made = certificate(keys.make("ca_key.pem", Algorithm.P256))
        release()
        softhsm.take_away()
        key = keys.load("ca_key.pem", made)
        assert not keys.has("ca_key.pem")
        with pytest.raises(UnavailableError, match="object 'ca_key' in token"):
            certificate(key)
        softhsm.put_back()
        works_again(lambda: certificate(key).verify_directly_issued_by(made))

    def test_a_brought_key(self, softhsm: SoftHsm) -> None:
        """The key of a CA that is brought along is found by its URI."""
        key = make_ec(softhsm.token(), "brought ca", P256)
        uri = parse_token_uri(f"{softhsm.uri};object=brought%20ca;type=private")
        found = brought_token_key(uri, softhsm.access, certificate(key))
        certificate(found).verify_directly_issued_by(certificate(key))
        with pytest.raises(ConfigurationError, match="is not the private key"):
            brought_token_key(uri, softhsm.access, certificate(ec.generate_private_key(P256)))

    def test_no_ed25519(self, softhsm: SoftHsm) -> None:
        """What is not made in a token is refused with what is."""
        with pytest.raises(ConfigurationError, match="use P-256, P-384 or RSA-3072"):
            TokenKeys(parse_token_uri(softhsm.uri), softhsm.access).make("ca_key.pem", Algorithm.ED25519)
