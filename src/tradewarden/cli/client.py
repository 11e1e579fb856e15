"""The command line's side of a running service: where it is, how to be known there, and its problems as errors.

Always true here: a credential goes only to the service it is for. The admin token of the data directory is sent to the
service of these settings or to this machine; nothing is sent in the clear to another host; proxies, `.netrc` and
redirects are not followed.
"""

from __future__ import annotations

import os
import ssl
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import msgspec

from tradewarden import __version__
from tradewarden.cli import environment
from tradewarden.cli.exit_codes import ServiceProblemError
from tradewarden.cli.silence import why_silent
from tradewarden.crypto.keyfile import read_private
from tradewarden.errors import ConfigurationError, InvalidInputError, UnavailableError
from tradewarden.ip import is_this_machine, web_address
from tradewarden.outbound import problem_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tradewarden.cli.options import Target
    from tradewarden.settings import Settings

_MAX_TOKEN_BYTES = 16 * 1024
_SECONDS = 60.0
_NOT_AUTHENTICATED = 401
_CONNECT_SECONDS = 5.0
_MAKE_ANOTHER = "'tradewarden admin token', run beside the data directory, makes a new one"
_LOGIN_HINT = (
    "; give a token with --token-file or TRADEWARDEN_TOKEN, or run this beside the data directory, where "
    "'tradewarden admin token' makes one"
)
_URL_HINT = "--url must be like http://127.0.0.1:8002 or https://host:8002"
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to call a service that listens everywhere


class Reply(msgspec.Struct, frozen=True):
    """An answer's status and body."""

    status: int
    body: bytes


class Proof(msgspec.Struct, frozen=True):
    """A bearer token, empty for none; and what to tell the person when the service does not take it."""

    token: str = ""
    hint: str = ""


class Whereabouts:
    """Where the service is and what proves us there, found out when it is needed: options, environment, settings."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @cached_property
    def settings(self) -> Settings:
        """The settings of this directory; raises `ConfigurationError`."""
        return environment.settings()

    @cached_property
    def url(self) -> str:
        """The service's base address."""
        given = self._target.url
        if not given:
            return service_url(self.settings)
        try:
            parts = web_address(given)
        except ValueError:
            raise InvalidInputError(_URL_HINT) from None
        if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
            raise InvalidInputError(_URL_HINT)
        return given.rstrip("/")

    @cached_property
    def proof(self) -> Proof:
        """The bearer token to send: the option's file, the environment's, the data directory's; empty when none."""
        if self._target.token_file is not None:
            return _given(read_token(self._target.token_file), str(self._target.token_file))
        named = os.environ.get(environment.TOKEN, "").strip()
        return _given(named, environment.TOKEN) if named else self._admin_token()

    def _admin_token(self) -> Proof:
        nothing = Proof("", _LOGIN_HINT)
        if self._target.url and not is_local(self.url) and self.url != self._own_url():
            return nothing
        try:
            path = self.settings.data_dir / "admin.token"
        except ConfigurationError:
            if self._target.url:
                return nothing
            raise
        return _kept(path) if os.access(path, os.R_OK) else nothing

    def _own_url(self) -> str:
        try:
            return service_url(self.settings)
        except ConfigurationError:
            return ""

    def trust(self) -> ssl.SSLContext:
        """Return what a server's certificate is checked against: TLS 1.3, our CA, or the file that was named."""
        named = self._target.ca_file
        context = self._trust_in(named) if named is not None else self._own_trust()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def _own_trust(self) -> ssl.SSLContext:
        try:
            settings = self.settings
        except ConfigurationError:
            if self._target.url:
                return ssl.create_default_context()
            raise
        if settings.ca_cert_path.exists() and settings.tls_cert is None:
            return self._trust_in(settings.ca_cert_path)
        return ssl.create_default_context()

    @staticmethod
    def _trust_in(path: Path) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(path))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{path} cannot be read as a CA certificate in PEM") from error


def service_url(settings: Settings) -> str:
    """Return where the service of these settings answers: https outside development."""
    scheme = "http" if settings.development and settings.tls_cert is None else "https"
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def is_local(url: str) -> bool:
    """Tell whether an address can only mean this machine."""
    return is_this_machine(urlsplit(url).hostname or "")


def _given(token: str, source: str) -> Proof:
    return Proof(token, f"; the token of {source} is not good, or not any more: give another. {_MAKE_ANOTHER}")


def _kept(path: Path) -> Proof:
    """Return the data directory's own token; raises `ConfigurationError` for a file that was damaged."""
    try:
        token = read_token(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.detail}; {_MAKE_ANOTHER}") from error
    return Proof(token, f"; the token in {path} is not good, or not any more: {_MAKE_ANOTHER}")


def read_token(path: Path) -> str:
    """Read a token from a file that only this user can read."""
    token = read_private(path, _MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise ConfigurationError(f"{path} does not hold a token")
    return token


class Client:
    """Calls one service. A problem answer is raised as `ServiceProblemError`, silence as `UnavailableError`."""

    def __init__(self, url: str, proof: Proof = Proof(), trust: ssl.SSLContext | None = None) -> None:  # noqa: B008 - frozen
        import httpx

        token = proof.token
        if token and not url.startswith("https:") and not is_local(url):
            raise InvalidInputError(f"{url}: a token is not sent in the clear to another host; use https")
        if token and not (token.isascii() and token.isprintable()):
            raise InvalidInputError("The token holds characters that no token has")
        login = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url
        self._hint = proof.hint
        self.request_ids: set[str] = set()
        """The ids that the service gave to our requests."""
        self._http = httpx.Client(
            base_url=url,
            headers={"User-Agent": f"tradewarden/{__version__}", **login},
            timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
            verify=trust if trust is not None else False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of a GET; parameters that are empty are left out."""
        return self._settled(self._send("GET", path, query))

    def look(self, path: str) -> Reply:
        """Return the answer of a GET, whatever its status."""
        answer = self._send("GET", path, None)
        return Reply(answer.status_code, answer.content)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> bytes:
        """Return the answer to a JSON body; values that are None are left out."""
        given = {name: value for name, value in (body or {}).items() if value is not None}
        return self._settled(self._send("POST", path, None, msgspec.json.encode(given)))

    def delete(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        """Return the answer to a DELETE."""
        return self._settled(self._send("DELETE", path, query))

    def _send(
        self, method: str, path: str, query: Mapping[str, str | int] | None, body: bytes | None = None
    ) -> httpx.Response:
        import httpx

        wanted = {name: value for name, value in (query or {}).items() if value not in ("", None)}
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._http.request(method, path, params=wanted, content=body, headers=headers)
        except httpx.TransportError as error:
            raise UnavailableError(why_silent(self.url, error)) from error
        self.request_ids.add(answer.headers.get("x-request-id", ""))
        return answer

    def _settled(self, answer: httpx.Response) -> bytes:
        if answer.is_success:
            return answer.content
        problem = problem_in(answer.content)
        if problem is None:
            text = f"{self.url} answered {answer.status_code}, and not as Tradewarden does"
            raise ServiceProblemError(text, answer.status_code)
        text = problem.detail or problem.title or f"status {answer.status_code}"
        marks = (problem.code, problem.request_id and f"request_id {problem.request_id}")
        where = ", ".join(filter(None, marks))
        hint = self._hint if answer.status_code == _NOT_AUTHENTICATED else ""
        raise ServiceProblemError((f"{text} ({where})" if where else text) + hint, answer.status_code)


def connect(target: Target) -> Client:
    """Return a client of the chosen service, to be used as `with`."""
    where = Whereabouts(target)
    trust = where.trust() if where.url.startswith("https:") else None
    return Client(where.url, where.proof, trust)
