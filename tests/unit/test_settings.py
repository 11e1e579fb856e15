"""Settings: what a start takes from the environment, and what it refuses."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.settings import RateLimit, Secret, Settings, load_settings, pages
from tradewarden.settings.pkcs11 import TokenUri
from tradewarden.settings.table import CREDENTIALS, OF_LIBRARIES, VARIABLES
from tradewarden.settings.vault import VaultAccess

ROOT = Path(__file__).resolve().parents[2]
STRONG = "s3cret-" * 6
FERNET = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
PRODUCTION = {"ALPHAPULSE_ENV": "production", "TRADEWARDEN_ROOT_KEY": "env:ROOT"}


def mistakes(environ: Mapping[str, str], dotenv: Path | None = None) -> tuple[str, ...]:
    """Returns what is wrong with an environment that must not be accepted."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ, dotenv)
    return caught.value.mistakes


def mistake(environ: Mapping[str, str], dotenv: Path | None = None) -> str:
    """Returns the only thing that is wrong."""
    (only,) = mistakes(environ, dotenv)
    return only


def write(path: Path, text: str) -> Path:
    """Writes a file and returns its path."""
    path.write_text(text, encoding="utf-8")
    return path


# --- defaults ---


def test_an_empty_environment_is_a_development_service() -> None:
    """Nothing set gives the documented defaults."""
    settings = load_settings({})
    assert settings.development
    assert settings.loopback
    assert (settings.host, settings.port) == ("127.0.0.1", 8002)
    assert (settings.mtls_port, settings.workers) == (8443, 1)
    assert (settings.enable_mtls, settings.enable_jwt, settings.enable_vault) == (True, True, False)
    assert (settings.jwt_algorithm, settings.jwt_expiration_hours) == ("HS256", 24)
    assert settings.cert_validity_days == 365
    assert settings.data_dir == Path("cache/security")
    assert settings.database_path == Path("cache/security/secrets/tradewarden.db")
    assert settings.ca_cert_path == Path("cache/security/ca/ca_cert.pem")
    assert settings.ca_key_path == Path("cache/security/ca/ca_key.pem")
    assert settings.root_key.reveal() == "file:cache/security/root.key"
    assert settings.jwt_secret is None
    assert settings.allowed_ips == ()
    assert settings.log_format == "console"


def test_places_follow_the_data_directory() -> None:
    """Database, root key and CA move with the data directory."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": "/srv/tw"})
    assert settings.database_path == Path("/srv/tw/secrets/tradewarden.db")
    assert settings.root_key.reveal() == "file:/srv/tw/root.key"
    assert settings.ca_cert_path == Path("/srv/tw/ca/ca_cert.pem")


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen."""
    settings = load_settings({})
    with pytest.raises(AttributeError):
        settings.workers = 2  # type: ignore[misc]


def test_every_variable_reaches_the_settings() -> None:
    """There is one field a row, but for the two names of the JWT secret and what the service does not read."""
    given = len(Settings.__dataclass_fields__) - len(["vault"]) + len(VaultAccess.__dataclass_fields__)
    assert given == len(VARIABLES) - 1 - len(OF_LIBRARIES) - len(CREDENTIALS)
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VAULT_URL", "https://admin:hunter2@vault.corp:8200"),
        ("VAULT_URL", "hvs.hunter2" + "x" * 20),
        ("TRADEWARDEN_TRUST_DOMAIN", "AKIAhunter2hunter2hunter2"),
        ("TRADEWARDEN_CORS_ORIGINS", "https://x.example,https://u:hunter2@a/x"),
    ],
)
def test_a_message_repeats_no_credential(name: str, text: str) -> None:
    """A login in an address, and what was pasted into the wrong variable, are told without being shown."""
    said = mistake({name: text})
    assert said.startswith(name)
    assert "hunter2" not in said


# --- values ---


def test_every_variable_is_read() -> None:
    """Each variable changes the field that is named after it."""
    settings = load_settings(
        {
            "ALPHAPULSE_ENV": "staging",
            "ALPHAPULSE_JWT_SECRET": STRONG,
            "ALPHAPULSE_ENCRYPTION_KEY": FERNET,
            "TRADEWARDEN_DATA_DIR": "/srv/tw",
            "TRADEWARDEN_DATABASE_URL": "sqlite:////srv/db/my%20own.db",
            "TRADEWARDEN_ROOT_KEY": "env:TRADEWARDEN_MY_ROOT",
            "TRADEWARDEN_PASSPHRASE": "correct horse",
            "TRADEWARDEN_PKCS11_MODULE": "/usr/lib/hsm.so",
            "TRADEWARDEN_PKCS11_PIN": "482093",
            "TRADEWARDEN_MY_ROOT": "named by the root key, so it is known",
            "SERVICE_HOST": "0.0.0.0",  # noqa: S104 - only parsed
            "SERVICE_PORT": "9000",
            "TRADEWARDEN_MTLS_PORT": "9443",
            "TRADEWARDEN_CA_HTTP_PORT": "8080",
            "TRADEWARDEN_TLS_CERT": "tls.crt",
            "TRADEWARDEN_TLS_KEY": "tls.key",
            "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
            "TRADEWARDEN_CORS_ORIGINS": "https://a.example, https://b.example:8443",
            "TRADEWARDEN_ALLOWED_IPS": "192.0.2.7",
            "TRADEWARDEN_PUBLIC_URL": "http://ca.example/pki/",
            "TRADEWARDEN_WORKERS": "2",
            "TRADEWARDEN_RATE_LIMITS": "anonymous=5/10",
            "TRADEWARDEN_MAX_BODY_BYTES": "2048",
            "TRADEWARDEN_MAX_CONCURRENCY": "64",
            "TRADEWARDEN_REQUEST_SECONDS": "5",
            "TRADEWARDEN_SHUTDOWN_SECONDS": "6",
            "ENABLE_JWT": "no",
            "JWT_ALGORITHM": "eddsa",
            "JWT_EXPIRATION_HOURS": "1",
            "TRADEWARDEN_ACCESS_TOKEN_MINUTES": "15",
            "TRADEWARDEN_REFRESH_DAYS": "7",
            "TRADEWARDEN_BCRYPT_COST": "11",
            "ENABLE_MTLS": "0",
            "CERT_VALIDITY_DAYS": "90",
            "TRADEWARDEN_RENEWAL_GRACE_HOURS": "72",
            "CA_CERT_PATH": "ca.pem",
            "CA_KEY_PATH": "ca.key",
            "TRADEWARDEN_CA_KEYS": "pkcs11:token=trading",
            "TRADEWARDEN_CA_ALGORITHM": "p-384",
            "TRADEWARDEN_CA_OVERLAP_DAYS": "30",
            "TRADEWARDEN_CA_ANNOUNCE_MINUTES": "45",
            "TRADEWARDEN_CERT_PROFILES": "Service, short-lived,service",
            "TRADEWARDEN_TRUST_DOMAIN": "trading.example",
            "TRADEWARDEN_ACME_URL": "https://ca.example:8002",
            "TRADEWARDEN_ACME_HTTP_PORT": "5002",
            "TRADEWARDEN_ACME_DNS": "[fd00::53]:5353",
            "ENABLE_VAULT": "TRUE",
            "VAULT_URL": "https://vault:8200/",
            "VAULT_TOKEN": "hvs.x",
            "VAULT_AUTH_METHOD": "AppRole",
            "VAULT_AUTH_MOUNT": "desk-approle",
            "VAULT_ROLE_ID": "r-1",
            "VAULT_SECRET_ID": "s-1",
            "VAULT_SECRET_ID_WRAPPED": "yes",
            "VAULT_ROLE": "bots",
            "VAULT_JWT_PATH": "/run/jwt",
            "VAULT_CLIENT_CERT": "vault.crt",
            "VAULT_CLIENT_KEY": "vault.key",
            "VAULT_CACERT": "vault-ca.pem",
            "VAULT_NAMESPACE": "trading",
            "VAULT_MOUNT": "kv",
            "VAULT_PREFIX": "desk/",
            "VAULT_CLIENT_TIMEOUT": "7",
            "TRADEWARDEN_STALE_SECONDS": "60",
            "TRADEWARDEN_MAX_VERSIONS": "3",
            "TRADEWARDEN_ROTATION_HOSTS": "db.internal:5432",
            "TRADEWARDEN_AUDIT_SYNC": "full",
            "TRADEWARDEN_LOG_LEVEL": "WARNING",
            "TRADEWARDEN_LOG_FORMAT": "console",
        }
    )
    limits = settings.rate_limits
    assert limits["anonymous"] == RateLimit(5, 10)
    assert limits["read"] == load_settings({}).rate_limits["read"]
    assert settings == Settings(
        environment="staging",
        data_dir=Path("/srv/tw"),
        database_path=Path("/srv/db/my own.db"),
        root_key=Secret("env:TRADEWARDEN_MY_ROOT"),
        passphrase=Secret("correct horse"),
        pkcs11_module=Path("/usr/lib/hsm.so"),
        pkcs11_pin=Secret("482093"),
        encryption_key=Secret(FERNET),
        host="0.0.0.0",  # noqa: S104 - only parsed
        port=9000,
        mtls_port=9443,
        ca_http_port=8080,
        tls_cert=Path("tls.crt"),
        tls_key=Path("tls.key"),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        cors_origins=("https://a.example", "https://b.example:8443"),
        allowed_ips=(ip_network("192.0.2.7/32"),),
        public_url="http://ca.example/pki",
        workers=2,
        rate_limits=limits,
        max_body_bytes=2048,
        max_concurrency=64,
        request_seconds=5,
        shutdown_seconds=6,
        enable_jwt=False,
        jwt_secret=Secret(STRONG),
        jwt_algorithm="EdDSA",
        jwt_expiration_hours=1,
        access_token_minutes=15,
        refresh_days=7,
        bcrypt_cost=11,
        enable_mtls=False,
        cert_validity_days=90,
        renewal_grace_hours=72,
        ca_cert_path=Path("ca.pem"),
        ca_key_path=Path("ca.key"),
        ca_keys=TokenUri(token="trading"),
        ca_algorithm="P-384",
        ca_overlap_days=30,
        ca_announce_minutes=45,
        cert_profiles=("service", "short-lived"),
        trust_domain="trading.example",
        acme_url="https://ca.example:8002",
        acme_http_port=5002,
        acme_dns=("fd00::53", 5353),
        enable_vault=True,
        vault=VaultAccess(
            url="https://vault:8200",
            token=Secret("hvs.x"),
            auth_method="approle",
            auth_mount="desk-approle",
            role_id=Secret("r-1"),
            secret_id=Secret("s-1"),
            secret_id_wrapped=True,
            role="bots",
            jwt_path=Path("/run/jwt"),
            client_cert=Path("vault.crt"),
            client_key=Path("vault.key"),
            cacert=Path("vault-ca.pem"),
            namespace="trading",
            mount="kv",
            prefix="desk/",
            client_timeout=7,
        ),
        stale_seconds=60,
        max_versions=3,
        rotation_hosts=(("db.internal", 5432),),
        audit_sync="full",
        log_level="warning",
        log_format="console",
    )
    assert not settings.development
    assert not settings.loopback


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ALPHAPULSE_ENV", "prod", "'prod' is not one of development, staging, production"),
        ("ENABLE_JWT", "maybe", "'maybe' is neither true nor false"),
        ("SERVICE_PORT", "80a", "'80a' is no whole number from 0 to 65535"),
        ("SERVICE_PORT", "65536", "'65536' is no whole number from 0 to 65535"),
        ("SERVICE_PORT", "-1", "'-1' is no whole number"),
        ("SERVICE_PORT", "1_000", "'1_000' is no whole number"),
        ("SERVICE_PORT", "\u0668\u0660", "is no whole number"),
        ("SERVICE_HOST", "http://x", "'http://x' is no address or host name"),
        ("JWT_ALGORITHM", "none", "'none' is not one of HS256, ES256, EdDSA"),
        ("VAULT_URL", "vault:8200", "is no http or https address"),
        ("VAULT_URL", "https://[", "is no http or https address"),
        ("VAULT_URL", "https://vault:x", "is no http or https address"),
        ("VAULT_URL", "https://vault:82000", "is no http or https address"),
        ("TRADEWARDEN_PUBLIC_URL", "https://..", "is no http or https address"),
        ("VAULT_URL", "https://me:pw@vault", "carries a login"),
        ("TRADEWARDEN_TRUSTED_PROXIES", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("TRADEWARDEN_ALLOWED_IPS", "here", "holds 'here', which is no network"),
        ("TRADEWARDEN_ALLOWED_IPS", "", "set and empty"),
        ("TRADEWARDEN_CORS_ORIGINS", "a.example", "which is no origin"),
        ("TRADEWARDEN_CORS_ORIGINS", "https://a.example/x", "which is no origin"),
        ("TRADEWARDEN_RATE_LIMITS", "read=1", "write class=count/seconds"),
        ("TRADEWARDEN_RATE_LIMITS", "reads=1/1", "unknown class 'reads'"),
        ("TRADEWARDEN_RATE_LIMITS", "read=0/1", "at least 1"),
        ("TRADEWARDEN_TRUST_DOMAIN", "Not A Domain", "is no SPIFFE trust domain"),
        ("TRADEWARDEN_ACME_DNS", "ns1.example", "is no address"),
        ("TRADEWARDEN_ACME_DNS", "10.0.0.53:0", "names no port"),
        ("TRADEWARDEN_ACME_HTTP_PORT", "0", "is no whole number"),
        ("TRADEWARDEN_ROOT_KEY", "awskms:alias/x", "no root key source of this version"),
        ("TRADEWARDEN_ROOT_KEY", "env:", "nothing after it"),
        ("TRADEWARDEN_ROOT_KEY", "passphrase:hunter2", "is no passphrase:, passphrase:env:NAME"),
        ("TRADEWARDEN_DATABASE_URL", "postgresql://u:pw@db/x", "does not have yet"),
        ("TRADEWARDEN_DATABASE_URL", "postgresql+asyncpg://db/x", "does not have yet"),
        ("TRADEWARDEN_DATABASE_URL", "sqlite://x.db", "is no sqlite:///relative/path"),
        ("TRADEWARDEN_DATABASE_URL", "sqlite:///:memory:", "must name a plain file"),
        ("TRADEWARDEN_DATABASE_URL", "sqlite:///x.db?mode=ro", "must name a plain file"),
        ("JWT_SECRET_KEY", "s" * 31, "is shorter than 32 bytes"),
        ("ALPHAPULSE_JWT_SECRET", "s" * 31, "is shorter than 32 bytes"),
        ("ALPHAPULSE_ENCRYPTION_KEY", STRONG, "is no Fernet key"),
        ("ALPHAPULSE_ENCRYPTION_KEY", FERNET[:-1], "is no Fernet key"),
    ],
)
def test_a_wrong_value_is_named(name: str, text: str, says: str) -> None:
    """A wrong value gives one mistake, with the variable's name first."""
    said = mistake({name: text})
    assert said.startswith(f"{name}: ")
    assert says in said


def test_all_mistakes_are_reported_together() -> None:
    """One error lists every mistake, and its text has a line each."""
    environ = {"SERVICE_PORT": "x", "ENABLE_JWT": "x", "TRADEWARDEN_WORKERS": "0"}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert [text.partition(":")[0] for text in caught.value.mistakes] == [
        "SERVICE_PORT",
        "TRADEWARDEN_WORKERS",
        "ENABLE_JWT",
    ]
    assert str(caught.value).count("\n") == 2


def test_an_empty_value_is_no_value() -> None:
    """A variable that is set to nothing keeps its default."""
    assert load_settings({"SERVICE_PORT": "", "JWT_SECRET_KEY": ""}) == load_settings({})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    """Addresses that only this machine reaches are loopback."""
    assert load_settings({"SERVICE_HOST": host}).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example"])  # noqa: S104
def test_everything_else_is_not_loopback(host: str) -> None:
    """Any other address, and any other name, may be reached by others."""
    assert not load_settings({"SERVICE_HOST": host}).loopback


# --- secrets ---


def test_a_secret_shows_only_when_asked() -> None:
    """Printing and formatting a secret, or settings that hold one, does not show it."""
    settings = load_settings({"JWT_SECRET_KEY": STRONG, "TRADEWARDEN_PASSPHRASE": "abc"})
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.reveal() == STRONG
    shown = f"{settings} {settings!r} {settings.jwt_secret} {settings.jwt_secret!r:>20}"
    assert STRONG not in shown
    assert "abc" not in shown
    assert "Secret('…')" in shown


def test_secrets_compare_and_do_not_hash() -> None:
    """Equal texts are equal secrets; a secret is no dictionary key."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.secret], ids=lambda v: v.name)
def test_no_mistake_shows_a_secret(variable: object) -> None:
    """What a secret variable holds does not appear in what is said about it."""
    name = getattr(variable, "name", "")
    value = "postgresql://u:Tr0ub4dor@db/x"
    environ = {**PRODUCTION, name: value, "VAULT_TOKEN_FILE": "/nowhere", "SERVICE_PORT": "x"}
    assert "Tr0ub4dor" not in "\n".join(mistakes(environ))


def test_the_two_names_of_the_jwt_secret_must_agree() -> None:
    """Set to the same they are one secret; set to different ones they are refused."""
    both = {"JWT_SECRET_KEY": STRONG, "ALPHAPULSE_JWT_SECRET": STRONG}
    assert load_settings(both).jwt_secret == Secret(STRONG)
    said = mistake({**both, "ALPHAPULSE_JWT_SECRET": STRONG + "!"})
    assert "JWT_SECRET_KEY" in said
    assert "ALPHAPULSE_JWT_SECRET" in said
    assert STRONG not in said


def test_a_secret_is_measured_in_bytes() -> None:
    """Thirty-two bytes are enough, whatever the number of characters."""
    assert load_settings({"JWT_SECRET_KEY": "é" * 16}).jwt_secret == Secret("é" * 16)


# --- .env and mounted files ---


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    """A variable in both is taken from the environment, others from the file, literally."""
    dotenv = write(
        tmp_path / ".env",
        f"# a comment\nexport SERVICE_PORT=1111\nTRADEWARDEN_WORKERS=3\n"
        f"JWT_SECRET_KEY='{STRONG}${{HOME}}'\nALPHAPULSE_BINANCE_API_KEY=another's\n",
    )
    settings = load_settings({"SERVICE_PORT": "2222"}, dotenv)
    assert settings.port == 2222
    assert settings.workers == 3
    assert settings.jwt_secret == Secret(STRONG + "${HOME}")


def test_a_missing_dotenv_is_no_mistake(tmp_path: Path) -> None:
    """Without a .env the environment alone counts."""
    assert load_settings({}, tmp_path / ".env") == load_settings({})


def test_a_broken_dotenv_is_named(tmp_path: Path) -> None:
    """A line that is no assignment is named by number, without its text."""
    dotenv = write(tmp_path / ".env", "SERVICE_PORT=1\nthis is 'not it\n")
    said = mistake({}, dotenv)
    assert "line 2" in said
    assert "not it" not in said


def test_an_unreadable_dotenv_is_named(tmp_path: Path) -> None:
    """A .env that is no text file is refused."""
    (tmp_path / ".env").write_bytes(b"JWT_SECRET_KEY=\xff\xfe")
    assert mistake({}, tmp_path / ".env").endswith("cannot be read (not UTF-8); repair or remove it")


def test_a_mounted_file_gives_the_value(tmp_path: Path) -> None:
    """NAME_FILE reads the value from a file and drops the line break at its end."""
    mounted = write(tmp_path / "jwt", STRONG + "\r\n")
    assert load_settings({"JWT_SECRET_KEY_FILE": str(mounted)}).jwt_secret == Secret(STRONG)
    workers = write(tmp_path / "workers", "4\n")
    assert load_settings({"TRADEWARDEN_WORKERS_FILE": str(workers)}).workers == 4


def test_a_mounted_file_in_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    """The environment wins in either form."""
    dotenv = write(tmp_path / ".env", "TRADEWARDEN_WORKERS=3\n")
    workers = write(tmp_path / "workers", "4\n")
    settings = load_settings({"TRADEWARDEN_WORKERS_FILE": str(workers)}, dotenv)
    assert settings.workers == 4


def test_both_forms_together_are_a_mistake(tmp_path: Path) -> None:
    """NAME and NAME_FILE in one place leave open which counts."""
    mounted = write(tmp_path / "jwt", STRONG)
    said = mistake({"JWT_SECRET_KEY": STRONG, "JWT_SECRET_KEY_FILE": str(mounted)})
    assert said == "JWT_SECRET_KEY: set together with JWT_SECRET_KEY_FILE; keep one of the two"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"x" * 70_000, "is larger than"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_bad_mounted_file_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    """A missing, empty, huge or binary file is a mistake that names the variable and the path."""
    mounted = tmp_path / "jwt"
    if content is not None:
        mounted.write_bytes(content)
    said = mistake({"JWT_SECRET_KEY_FILE": str(mounted)})
    assert said.startswith("JWT_SECRET_KEY_FILE: ")
    assert str(mounted) in said
    assert says in said


# --- outside development ---


def test_production_starts_on_its_own_values() -> None:
    """With a root key from elsewhere production has nothing to complain about."""
    settings = load_settings(PRODUCTION)
    assert settings.environment == "production"
    assert settings.host == "127.0.0.1"
    assert settings.log_format == "json"


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_development_defaults_are_refused_by_name(environment: str) -> None:
    """Root key on disk, placeholders, wildcard origin and a cheap hash are named one by one."""
    said = mistakes(
        {
            "ALPHAPULSE_ENV": environment,
            "TRADEWARDEN_CORS_ORIGINS": "https://a.example,*",
            "TRADEWARDEN_BCRYPT_COST": "4",
            **{v.name: v.placeholder for v in VARIABLES if v.placeholder},
        }
    )
    assert [text.partition(":")[0] for text in said] == [
        "TRADEWARDEN_ROOT_KEY",
        "TRADEWARDEN_PASSPHRASE",
        "TRADEWARDEN_PKCS11_PIN",
        "ALPHAPULSE_ENCRYPTION_KEY",
        "JWT_SECRET_KEY",
        "ALPHAPULSE_JWT_SECRET",
        "VAULT_TOKEN",
        "VAULT_ROLE_ID",
        "VAULT_SECRET_ID",
        "TRADEWARDEN_CORS_ORIGINS",
        "TRADEWARDEN_BCRYPT_COST",
    ]
    assert all(environment in text for text in said)


def test_a_root_key_on_disk_is_for_development() -> None:
    """`file:` is refused outside development wherever the file lies."""
    assert load_settings({"TRADEWARDEN_ROOT_KEY": "file:/k"}).root_key == Secret("file:/k")
    said = mistake({**PRODUCTION, "TRADEWARDEN_ROOT_KEY": "file:/k"})
    assert "a root key on disk (file:) is refused in production" in said


@pytest.mark.parametrize(
    "line",
    [
        "ALPHAPULSE_ENV=production",
        "ALPHAPULSE_ENV=development",
        "TRADEWARDEN_ROOT_KEY=env:OTHER",
        "TRADEWARDEN_ROOT_KEY_FILE=/k",
        "TRADEWARDEN_PASSPHRASE=x",
        "TRADEWARDEN_ROTATION_HOSTS=elsewhere:5432",
        "ENABLE_VAULT=false",
        "VAULT_URL=https://elsewhere",
        "VAULT_CACERT=/theirs.pem",
        "VAULT_NAMESPACE=theirs",
        "VAULT_MOUNT=theirs",
        "VAULT_PREFIX=theirs/",
        "VAULT_AUTH_METHOD=cert",
        "VAULT_AUTH_MOUNT=theirs",
        "VAULT_ROLE=theirs",
        "VAULT_JWT_PATH=/theirs",
        "AWS_ENDPOINT_URL=https://elsewhere",
    ],
)
def test_dotenv_decides_nothing_that_is_trusted(tmp_path: Path, line: str) -> None:
    """Outside development .env cannot set the environment, the root key or providers' addresses."""
    said = mistake(PRODUCTION, write(tmp_path / ".env", line + "\n"))
    assert said.startswith(f"{line.partition('=')[0]}: .env may not set it in production")


def test_dotenv_cannot_leave_development(tmp_path: Path) -> None:
    """A .env that chooses production where the environment chose nothing is refused."""
    dotenv = write(tmp_path / ".env", "ALPHAPULSE_ENV=production\n")
    said = mistakes({"TRADEWARDEN_ROOT_KEY": "env:ROOT"}, dotenv)
    assert any(text.startswith("ALPHAPULSE_ENV: .env may not set it") for text in said)


def test_in_development_dotenv_may_set_them(tmp_path: Path) -> None:
    """On a developer's machine .env is the usual place."""
    dotenv = write(tmp_path / ".env", "ALPHAPULSE_ENV=development\nVAULT_URL=http://vault:8200\n")
    assert load_settings({}, dotenv).vault.url == "http://vault:8200"


def test_vault_without_address_or_token_is_no_mistake() -> None:
    """The service starts and can name what is missing."""
    assert load_settings({**PRODUCTION, "ENABLE_VAULT": "true"}).vault_missing == (
        "VAULT_URL",
        "VAULT_TOKEN",
    )
    assert load_settings({"ENABLE_VAULT": "1", "VAULT_URL": "http://v"}).vault_missing == ("VAULT_TOKEN",)
    assert load_settings({}).vault_missing == ()


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        ("token", ("VAULT_TOKEN",)),
        ("approle", ("VAULT_ROLE_ID",)),
        ("kubernetes", ("VAULT_ROLE",)),
        ("cert", ("VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY")),
    ],
)
def test_each_login_to_vault_needs_its_own_variables(method: str, missing: tuple[str, ...]) -> None:
    """What is named as missing follows the method; once it is there, nothing is."""
    chosen = {"ENABLE_VAULT": "1", "VAULT_URL": "https://v", "VAULT_AUTH_METHOD": method}
    assert load_settings(chosen).vault_missing == missing
    assert load_settings({**chosen, **dict.fromkeys(missing, "x")}).vault_missing == ()


# --- variables that belong together ---


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("TRADEWARDEN_TLS_CERT", "TRADEWARDEN_TLS_KEY"),
        ("TRADEWARDEN_TLS_KEY", "TRADEWARDEN_TLS_CERT"),
        ("CA_KEY_PATH", "CA_CERT_PATH"),
    ],
)
def test_a_half_is_refused(name: str, missing: str) -> None:
    """A key without its certificate, or the other way round, names the missing half."""
    assert mistake({name: "x.pem"}).startswith(f"{missing}: unset")


def test_a_ca_may_be_without_its_key() -> None:
    """The root CA's key may be offline."""
    assert load_settings({"CA_CERT_PATH": "ca.pem"}).ca_cert_path == Path("ca.pem")


# --- names ---


@pytest.mark.parametrize("name", ["TRADEWARDEN_WORKER", "TRADEWARDEN_WORKER_FILE"])
def test_a_typing_error_is_corrected(name: str) -> None:
    """An unknown name gets the nearest known one as a suggestion."""
    assert mistake({name: "2"}) == f"{name}: no such setting; did you mean TRADEWARDEN_WORKERS?"


@pytest.mark.parametrize("name", ["TRADEWARDEN_MTLS_URL", "TRADEWARDEN_JOIN_TOKEN", "TRADEWARDEN_IDENTITY_DIR"])
def test_what_the_command_line_reads_is_no_mistake(name: str) -> None:
    """A shell, or the command of a renewal, may have variables that are for the command line alone."""
    assert load_settings({name: "anything"}).development


def test_an_unknown_name_in_dotenv_is_found(tmp_path: Path) -> None:
    """.env is checked like the environment."""
    said = mistake({}, write(tmp_path / ".env", "TRADEWARDEN_QQQ=1\n"))
    assert said.startswith("TRADEWARDEN_QQQ: no such setting; see .env.example")


def test_kubernetes_own_variables_are_let_through() -> None:
    """What Kubernetes sets for a Service called tradewarden is nobody's mistake."""
    load_settings(
        {
            "TRADEWARDEN_SERVICE_HOST": "10.0.0.1",
            "TRADEWARDEN_SERVICE_PORT": "8002",
            "TRADEWARDEN_SERVICE_PORT_HTTP": "8002",
            "TRADEWARDEN_PORT": "tcp://10.0.0.1:8002",
            "TRADEWARDEN_PORT_8002_TCP_ADDR": "10.0.0.1",
            "OTHERS_ARE": "not ours",
        }
    )


# --- what is made from the table ---


def test_env_example_is_what_the_table_makes() -> None:
    """.env.example stands as it is generated."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == pages.env_example()


def test_the_page_is_what_the_table_makes() -> None:
    """docs/configuration.md holds the generated tables."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert pages.in_page(page) == page
    assert all(f"`{variable.name}`" in page for variable in VARIABLES)


def test_a_page_without_markers_is_refused() -> None:
    """The generator does not guess where its tables go."""
    with pytest.raises(ValueError, match="the page has no"):
        pages.in_page("# Configuration\n")


def test_a_copied_env_example_starts_development() -> None:
    """`cp .env.example .env` leaves a development service that starts, with the defaults."""
    assert load_settings({}, ROOT / ".env.example") == load_settings({})


def test_an_uncommented_env_example_is_accepted_in_development(tmp_path: Path) -> None:
    """Every line of .env.example can be uncommented as it stands."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    names = {variable.name for variable in VARIABLES}
    active = [
        line[2:]
        for line in lines
        if line[2:].partition("=")[0] in names and not line.startswith("# TRADEWARDEN_ALLOWED_IPS")
    ]
    assert len(active) == len(VARIABLES) - 1
    settings = load_settings({}, write(tmp_path / ".env", "\n".join(active)))
    assert settings.development
    assert settings.jwt_secret is not None
