"""Secrets Manager without AWS: moto's own server, and a server before it that answers as AWS does where moto cannot.

What moto (5.2) does differently from AWS, and what is done about it:

- It writes versions of a secret that is scheduled for deletion; AWS refuses (`InvalidRequestException`). Mended here.
- Without a `VersionStage` it answers with a version that a moved stage has left; so the provider always names one.
- It knows no throttling, no permissions, no KMS failures and no expired credentials: `Front` plays those.
- It takes any credentials and any signature.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

__all__ = ["Answer", "Front", "aws_url", "front", "refusal"]
REGION = "eu-central-1"


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """Moto's Secrets Manager, for the session; credentials are made up in the environment."""
    from moto.secretsmanager.exceptions import InvalidRequestException
    from moto.secretsmanager.models import SecretsManagerBackend
    from moto.server import ThreadedMotoServer

    written = SecretsManagerBackend.put_secret_value

    def put_secret_value(self: SecretsManagerBackend, secret_id: str, *rest: object, **named: object) -> str:
        if secret_id in self.secrets and self.secrets[secret_id].is_deleted():
            raise InvalidRequestException(
                "You can't perform this operation on the secret because it was marked for deletion."
            )
        return written(self, secret_id, *rest, **named)  # type: ignore[arg-type]

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecretsManagerBackend, "put_secret_value", put_secret_value)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


class Answer(NamedTuple):
    """What is answered instead of moto's answer; status 0 cuts the connection in the middle of it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def refusal(code: str, status: int = 400, message: str = "said by AWS") -> Answer:
    """Return an error as AWS writes it (JSON 1.1)."""
    return Answer(status, json.dumps({"__type": code, "message": message}).encode())


class Front:
    """A server before moto: plays `answers` one after the other, then hands on. `asked` are the calls, in order."""

    def __init__(self, behind: str) -> None:
        self.answers: list[Answer] = []
        self.always: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._behind = urlsplit(behind)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def operations(self) -> list[str]:
        """The names of what was asked."""
        return [operation for operation, _ in self.asked]

    def _handler(front) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].partition(".")[2]
                front.asked.append((operation, json.loads(body)))
                if front.answers:
                    self._say(front.answers.pop(0))
                elif operation in front.always:
                    self._say(front.always[operation])
                else:
                    self._say(front.hand_on(body, dict(self.headers)))

            def _say(self, answer: Answer) -> None:
                if not answer.status:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + answer.body)
                    self.close_connection = True
                    self.wfile.flush()
                    return
                self.send_response(answer.status)
                for name, value in (*answer.headers, ("Content-Length", str(len(answer.body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def hand_on(self, body: bytes, headers: dict[str, str]) -> Answer:
        """Ask moto."""
        connection = http.client.HTTPConnection(self._behind.hostname or "", self._behind.port)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), (("Content-Type", "application/x-amz-json-1.1"),))
        finally:
            connection.close()


@pytest.fixture
def front(aws_url: str) -> Iterator[Front]:
    """A server before moto for one test."""
    made = Front(aws_url)
    yield made
    made.close()
