"""The client against a stand-in server: problems, silence, credentials, TLS."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.service import free_port
from tradewarden.cli.client import Client, Proof, Whereabouts, is_local
from tradewarden.cli.exit_codes import ServiceProblemError, exit_code
from tradewarden.cli.options import Target
from tradewarden.errors import ConfigurationError, InvalidInputError, UnavailableError

PROBLEM = {
    "type": "urn:tradewarden:problem:secret_not_found",
    "title": "Not found",
    "status": 404,
    "detail": "Secret 'x' not found",
    "code": "secret_not_found",
    "request_id": "abc123",
}


class Stub:
    """A server that gives one prepared answer and remembers the requests."""

    def __init__(self) -> None:
        self.status, self.body = 200, b'{"keys":[],"next":null}'
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                named = {name.lower(): value for name, value in self.headers.items()}
                stub.seen.append((self.command, self.path, named, self.rfile.read(length)))
                self.send_response(stub.status)
                for name, value in stub.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(stub.body)))
                self.end_headers()
                self.wfile.write(stub.body)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def problem(self, **changed: object) -> None:
        """Answer with a problem from now on."""
        problem = {**PROBLEM, **changed}
        self.status, self.body = int(str(problem["status"])), json.dumps(problem).encode()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server that answers as it is told."""
    stub = Stub()
    thread = threading.Thread(target=stub.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield stub
    stub.server.shutdown()
    thread.join()
    stub.server.server_close()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process."""
    monkeypatch.chdir(tmp_path)
    for name in ("TRADEWARDEN_URL", "TRADEWARDEN_TOKEN", "TRADEWARDEN_TOKEN_FILE", "TRADEWARDEN_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return Cli(monkeypatch, capfd)


def _private(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (429, 6), (500, 1), (503, 6)]
)
def test_a_problem_becomes_a_message_and_a_code(cli: Cli, stub: Stub, status: int, code: int) -> None:
    """The detail, the stable code and the request id are shown; stdout stays empty."""
    stub.problem(status=status)
    ended = cli("--url", stub.url, "secrets", "get", "x")
    assert (ended.code, ended.out) == (code, "")
    assert "Secret 'x' not found" in ended.err
    assert "secret_not_found, request_id abc123" in ended.err


def test_a_problem_cannot_steer_the_terminal(cli: Cli, stub: Stub) -> None:
    """What a service says is cleaned before it is shown."""
    stub.problem(detail="\x1b]0;owned\x07\u202e")
    assert not {"\x1b", "\x07", "\u202e"} & set(cli("--url", stub.url, "secrets", "get", "x").err)


def test_an_answer_that_is_no_problem_document(cli: Cli, stub: Stub) -> None:
    """Something else that answers there is named as such."""
    stub.status, stub.body = 502, b"<html>bad gateway</html>"
    code, _, err = cli("--url", stub.url, "secrets", "list")
    assert code == 6
    assert "not as Tradewarden does" in err
    assert "html" not in err


def test_nobody_answers(cli: Cli) -> None:
    """A refused connection says where nobody answers and what to do."""
    url = f"http://127.0.0.1:{free_port()}"
    code, out, err = cli("--url", url, "secrets", "list")
    assert (code, out) == (6, "")
    assert f"no service answers at {url}; start it with 'tradewarden serve' or set --url" in err


def test_the_url_comes_from_option_environment_settings(cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' port is used by default, the environment's address before it, the option's first of all."""
    monkeypatch.setenv("SERVICE_PORT", stub.url.rpartition(":")[2])
    assert cli("secrets", "list").code == 0
    monkeypatch.setenv("TRADEWARDEN_URL", f"http://127.0.0.1:{free_port()}")
    assert cli("secrets", "list").code == 6
    assert cli("--url", stub.url, "secrets", "list").code == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8002", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "file:///e"])
def test_a_url_that_is_none(cli: Cli, url: str) -> None:
    """An address that is not http(s) to a host is a usage mistake."""
    assert cli("--url", url, "secrets", "list").code == 2


def test_the_token_comes_from_option_environment_data_directory(
    cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The admin token of the data directory is the default; TRADEWARDEN_TOKEN and --token-file go before it."""
    cli("--url", stub.url, "secrets", "list")
    _private(tmp_path / "cache/security/admin.token", "twa_admin\n")
    cli("--url", stub.url, "secrets", "list")
    monkeypatch.setenv("TRADEWARDEN_TOKEN", "from-environment")
    cli("--url", stub.url, "secrets", "list")
    cli("--url", stub.url, "--token-file", str(_private(tmp_path / "t", "from-file\n")), "secrets", "list")
    sent = [headers.get("authorization") for _, _, headers, _ in stub.seen]
    assert sent == [None, "Bearer twa_admin", "Bearer from-environment", "Bearer from-file"]


def test_a_token_file_that_others_can_read_is_refused(cli: Cli, stub: Stub, tmp_path: Path) -> None:
    """A token that everybody could have read is not used."""
    file = _private(tmp_path / "t", "token")
    file.chmod(0o644)
    assert cli("--url", stub.url, "--token-file", str(file), "secrets", "list").code == 2
    assert stub.seen == []


def test_without_a_token_401_says_how_to_get_one(cli: Cli, stub: Stub) -> None:
    """Who is not known and sent nothing is told what to send."""
    stub.problem(status=401, detail="This call needs a token", code="authentication_failed")
    code, _, err = cli("--url", stub.url, "services", "list")
    assert code == 4
    assert "--token-file" in err
    assert "tradewarden admin token" in err


VOID = {"status": 401, "detail": "Authentication failed", "code": "authentication_failed"}


def test_a_token_that_is_void_is_named_by_where_it_came_from(
    cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A 401 names the file or variable that held our token, and the command that makes a new one."""
    stub.problem(**VOID)
    kept = _private(tmp_path / "cache/security/admin.token", "twa_old\n")
    given = _private(tmp_path / "given", "old\n")
    said = [cli("--url", stub.url, "services", "list")]
    said.append(cli("--url", stub.url, "--token-file", str(given), "ca", "list"))
    monkeypatch.setenv("TRADEWARDEN_TOKEN", "old")
    said.append(cli("--url", stub.url, "secrets", "list"))
    for ended, source in zip(said, (kept.relative_to(tmp_path), given, "TRADEWARDEN_TOKEN"), strict=True):
        assert ended.code == 4
        assert str(source) in ended.err
        assert "'tradewarden admin token'" in ended.err
        assert "twa_old" not in ended.err


@pytest.mark.parametrize("command", ["refresh", "validate"])
def test_a_token_that_was_given_to_look_at_brings_no_advice_on_ours(cli: Cli, stub: Stub, command: str) -> None:
    """A refused refresh token, and one that does not validate, is not the command line's own."""
    stub.problem(**VOID)
    ended = cli("--url", stub.url, "tokens", command, stdin="T.O.K\n")
    assert ended.code == 4
    assert "admin token" not in ended.err


@pytest.mark.parametrize("content", ["", "two words", "\x01"])
def test_a_damaged_admin_token_is_named_with_what_makes_a_new_one(
    cli: Cli, stub: Stub, tmp_path: Path, content: str
) -> None:
    """An empty or garbled admin.token is said as such, and nothing is sent."""
    _private(tmp_path / "cache/security/admin.token", content)
    ended = cli("--url", stub.url, "secrets", "list")
    assert (ended.code, stub.seen) == (2, [])
    assert "admin.token does not hold a token; 'tradewarden admin token'" in ended.err


def test_https_to_a_port_without_tls_says_so(cli: Cli, stub: Stub) -> None:
    """OpenSSL's word for it helps nobody."""
    ended = cli("--url", stub.url.replace("http:", "https:"), "secrets", "list")
    assert ended.code == 6
    assert "does not speak TLS; write http://" in ended.err


def test_a_token_is_not_sent_in_the_clear_to_another_host() -> None:
    """Bearer tokens cross the network over TLS only."""
    with pytest.raises(InvalidInputError, match="https"):
        Client("http://security.example:8002", Proof("token"))
    Client("https://security.example:8002", Proof("token")).__exit__()
    Client("http://localhost:8002", Proof("token")).__exit__()


def test_the_admin_token_stays_on_this_machine(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A foreign address gets no credential that nobody chose for it."""
    _private(tmp_path / "cache/security/admin.token", "twa_admin")
    assert Whereabouts(Target("https://elsewhere.example")).proof.token == ""
    assert Whereabouts(Target("http://127.0.0.1:9")).proof.token == "twa_admin"
    assert Whereabouts(Target()).proof.token == "twa_admin"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:1", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
    ],
)
def test_is_local(url: str, *, local: bool) -> None:
    """Only addresses that cannot leave this machine count as local."""
    assert is_local(url) is local


def test_proxies_and_netrc_are_not_used(cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token never goes to a proxy, and no other credential slips in."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NETRC", str(_private(tmp_path / "netrc", "machine 127.0.0.1 login a password b\n")))
    assert cli("--url", stub.url, "secrets", "list").code == 0
    assert "authorization" not in stub.seen[0][2]


def test_redirects_are_not_followed(cli: Cli, stub: Stub) -> None:
    """A service that sends us elsewhere is not obeyed."""
    stub.status, stub.headers = 307, {"Location": f"{stub.url}/elsewhere"}
    assert cli("--url", stub.url, "secrets", "list").code == 1
    assert len(stub.seen) == 1


def test_validate_proves_the_token_itself(cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token to validate is sent, whatever credential is at hand; it is not echoed."""
    monkeypatch.setenv("TRADEWARDEN_TOKEN", "mine")
    stub.body = b'{"valid":true,"service_name":"t","permissions":["read"],"expires_at":"2026-01-15T10:30:00Z"}'
    ended = cli("--url", stub.url, "tokens", "validate", stdin="T.O.K\n")
    assert ended.code == 0
    assert stub.seen[0][2]["authorization"] == "Bearer T.O.K"
    assert "T.O.K" not in ended.out + ended.err


def test_a_secret_is_in_no_url(cli: Cli, stub: Stub) -> None:
    """Values travel in the body, and paths with odd characters as one path."""
    stub.body = b'{"path":"p","version":1,"created_at":"x"}'
    cli("--url", stub.url, "secrets", "put", "team a/k+1", stdin='{"k":"hunter2"}')
    cli("--url", stub.url, "secrets", "get", "team a/k+1@x,y~", "--json")
    (_, stored, _, body), (_, read, _, _) = stub.seen
    assert (stored, json.loads(body)["data"]) == ("/secrets/store", {"k": "hunter2"})
    assert read == "/secrets/team%20a/k%2B1%40x%2Cy~"


def test_tls_needs_the_ca(cli: Cli, tmp_path: Path) -> None:
    """A server that the named CA did not certify is not spoken to; a file that holds no CA is named."""
    with pytest.raises(ConfigurationError, match=r"not-a-ca\.pem"):
        Whereabouts(Target("https://127.0.0.1:1", ca_file=_private(tmp_path / "not-a-ca.pem", "x"))).trust()
    context = Whereabouts(Target("https://127.0.0.1:1")).trust()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_service_that_hangs_up(stub: Stub) -> None:
    """A connection that breaks off is unavailability, not a crash."""
    stub.headers = {"Content-Length": "5000"}
    with Client(stub.url) as client, pytest.raises(UnavailableError):
        client.get("/secrets")


def test_problem_error_keeps_the_status(stub: Stub) -> None:
    """Callers in the command line can tell problems apart."""
    stub.problem()
    with Client(stub.url) as client, pytest.raises(ServiceProblemError) as caught:
        client.get("/secrets/x")
    assert caught.value.status == 404
    assert exit_code(caught.value) == 3
