"""`pkcs11:` URIs: those of RFC 7512 section 3, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.settings import load_settings
from tradewarden.settings.pkcs11 import TokenUri, is_token_uri, parse_token_uri

MODULE = "/usr/lib/pkcs11.so"


@pytest.mark.parametrize(
    ("uri", "parsed"),
    [
        ("pkcs11:token=Software%20PKCS%2311%20softtoken", TokenUri(token="Software PKCS#11 softtoken")),
        (
            (
                "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
                "object=my-key;type=private;id=%69%95%3E%5C%F4%BD%EC%91?pin-source=file:/etc/token_pin"
            ),
            TokenUri(
                token="The Software PKCS#11 Softtoken",
                manufacturer="Snake Oil, Inc.",
                model="1.0",
                object="my-key",
                type="private",
                id=bytes.fromhex("69953e5cf4bdec91"),
                pin_source=Path("/etc/token_pin"),
            ),
        ),
        ("pkcs11:slot-id=327;object=sign", TokenUri(slot_id=327, object="sign")),
        (
            f"pkcs11:serial=DECC0401648?module-path={MODULE}&pin-source=file:///run/pin",
            TokenUri(serial="DECC0401648", module_path=Path(MODULE), pin_source=Path("/run/pin")),
        ),
        ("PKCS11:token=%C3%A9;id=%00%ff", TokenUri(token="é", id=b"\x00\xff")),
        ("pkcs11:token=a&b=c", TokenUri(token="a&b=c")),
    ],
)
def test_what_a_uri_says(uri: str, parsed: TokenUri) -> None:
    """A URI of RFC 7512 is read to its last attribute, percent decoding and all."""
    assert parse_token_uri(uri) == parsed


def test_its_place_reads_back_without_how_to_get_there() -> None:
    """Written anew a URI names the same object, and neither a module nor where a PIN is."""
    uri = parse_token_uri(f"pkcs11:token=a%3Bb%3F%20;serial=1;slot-id=2;object=%C3%A9;id=%00?module-path={MODULE}")
    assert "?" not in uri.place
    again = parse_token_uri(uri.place)
    assert (again.token, again.serial, again.slot_id, again.object, again.id) == ("a;b? ", "1", 2, "é", b"\x00")
    assert again.module_path is None


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("pkcs11:", "names no token"),
        ("pkcs11:object=only", "names no token"),
        ("pkcs11:token=a?pin-value=1234", "holds pin-value"),
        ("pkcs11:token=a;pin-value=1234", "holds pin-value"),
        ("pkcs11:token=a;library-version=3", "attribute library-version"),
        ("pkcs11:token=a;slot-description=Sun%20Metaslot", "attribute slot-description"),
        ("pkcs11:token=a;x-muppet=cookie", "attribute x-muppet"),
        ("pkcs11:token=a?module-name=softhsm", "attribute module-name"),
        ("pkcs11:token=a?token=b", "attribute token"),
        ("pkcs11:token=a;token=b", "token twice"),
        ("pkcs11:token=a b", "percent-encoded"),
        ("pkcs11:token=a%2", "percent-encoded"),
        ("pkcs11:token=a/b", "percent-encoded"),
        ("pkcs11:token=%FF", "not UTF-8"),
        ("pkcs11:token=%00", "not printable"),
        ("pkcs11:token=", "empty"),
        ("pkcs11:token", "not name=value"),
        ("pkcs11:token=a;type=cert", "type"),
        ("pkcs11:slot-id=x", "slot-id"),
        ("pkcs11:token=a?pin-source=pin", "no absolute path"),
        ("pkcs11:token=a?pin-source=|/bin/pin", "no absolute path"),
        ("pkcs11:token=a?module-path=x.so", "no absolute path"),
        ("pkcs11:token=" + "a" * 5000, "longer than"),
        ("file:/x", "is no pkcs11: URI"),
    ],
)
def test_what_is_refused(uri: str, why: str) -> None:
    """What is not known, said twice or badly written is refused by name, and no value is repeated."""
    with pytest.raises(ValueError, match=why) as refused:
        parse_token_uri(uri)
    assert "1234" not in str(refused.value)


def test_a_path_is_no_token_uri() -> None:
    """Only the scheme makes one."""
    assert is_token_uri("PKCS11:token=a")
    assert not is_token_uri("/srv/pkcs11/key.pem")
    assert not is_token_uri("pkcs11")


def test_the_settings_take_them() -> None:
    """Root key, CA keys and the key of a brought CA may be in tokens."""
    settings = load_settings(
        {
            "TRADEWARDEN_ROOT_KEY": "pkcs11:token=a;object=root",
            "TRADEWARDEN_CA_KEYS": "pkcs11:token=a",
            "TRADEWARDEN_PKCS11_MODULE": MODULE,
            "TRADEWARDEN_PKCS11_PIN": "123456",
            "CA_CERT_PATH": "/etc/ca.pem",
            "CA_KEY_PATH": "pkcs11:token=b;object=ca",
        }
    )
    assert settings.ca_keys == TokenUri(token="a")
    assert settings.ca_key_path == TokenUri(token="b", object="ca")
    assert "123456" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"TRADEWARDEN_CA_KEYS": "pkcs11:token=a"}, "TRADEWARDEN_PKCS11_MODULE: unset"),
        ({"TRADEWARDEN_CA_KEYS": "pkcs11:token=a;object=b"}, "names an object"),
        ({"TRADEWARDEN_CA_KEYS": "file:x"}, "is no pkcs11: URI"),
        (
            {"TRADEWARDEN_CA_KEYS": f"pkcs11:token=a?module-path={MODULE}", "TRADEWARDEN_CA_ALGORITHM": "Ed25519"},
            "Ed25519 keys are not made in a token",
        ),
        ({"CA_CERT_PATH": "a", "CA_KEY_PATH": "pkcs11:token=a"}, "names no key in the token"),
        ({"TRADEWARDEN_ROOT_KEY": "pkcs11:token=a?pin-value=123456"}, "holds pin-value"),
        ({"TRADEWARDEN_PKCS11_PN": "1"}, "did you mean TRADEWARDEN_PKCS11_PIN?"),
    ],
)
def test_mistakes_in_the_settings(given: dict[str, str], said: str) -> None:
    """Each mistake is said in words that show no PIN."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(given)
    assert said in str(refused.value)
    assert "123456" not in str(refused.value)


@pytest.mark.parametrize("name", ["TRADEWARDEN_CA_KEYS", "TRADEWARDEN_PKCS11_MODULE", "TRADEWARDEN_PKCS11_PIN"])
def test_a_file_in_the_working_directory_chooses_no_token(name: str, tmp_path: Path) -> None:
    """Outside development `.env` names neither the code that is loaded nor where keys are."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"{name}=pkcs11:token=a?module-path={MODULE}\nCA_KEY_PATH=pkcs11:token=a;object=b\n")
    environment = {"ALPHAPULSE_ENV": "production", "TRADEWARDEN_ROOT_KEY": "env:ROOT", "CA_CERT_PATH": "ca.pem"}
    with pytest.raises(ConfigurationError) as refused:
        load_settings(environment, dotenv)
    assert f"{name}: .env may not set it" in str(refused.value)
    assert "CA_KEY_PATH: .env may not name a token" in str(refused.value)
