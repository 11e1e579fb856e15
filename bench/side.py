"""What the benchmark asks of everything it measures: our service, and each peer."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Protocol

import httpx

from bench.request import BenchError, Load, Request, send

PATHS = 1_000
"""How many secrets there are, and how many tokens where many are used in turn."""
VALUE_CHARACTERS = 200
_SEEDING_THREADS = 16


class Work(StrEnum):
    """What is measured; the values are the names that `--only` takes."""

    READ = "read"
    WRITE = "write"
    WRITE_MANY = "write-many"
    VALIDATE = "validate"
    VALIDATE_MANY = "validate-many"
    ISSUE = "issue"
    SIGN = "sign"


class Side(Protocol):
    """A service that is running and holds what the work needs."""

    works: frozenset[Work]
    url: str
    session: int
    """The session of its processes."""

    def load(self, work: Work, at_most: int) -> Load:
        """Return what to send for one of its works; `at_most` requests where none may be sent twice."""
        ...

    def client(self) -> httpx.Client:
        """Return a client for single requests."""
        ...

    def rest(self) -> None:
        """Wait until it has nothing left to do from its last load, so that it takes no time from the next side's."""
        ...

    def stop(self) -> None:
        """End the service."""
        ...


def secret_value(number: int) -> Mapping[str, str]:
    """Return what is stored under path `number`: a credential of about 200 characters."""
    return {"username": f"bench-{number:04d}", "password": "s3cr3t-" * (VALUE_CHARACTERS // 7)}


def send_all(client: httpx.Client, requests: list[Request]) -> list[httpx.Response]:
    """Send what prepares the measurement, several at a time, and return the answers in order."""
    with ThreadPoolExecutor(_SEEDING_THREADS) as pool:
        return list(pool.map(lambda request: send(client, request), requests))


def answers_ok(client: httpx.Client, path: str) -> bool:
    """Tell whether a health check answers 200 by now."""
    try:
        return client.get(path).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def field(answer: httpx.Response, *names: str) -> str:
    """Return a text from a JSON answer, `field(answer, "auth", "client_token")`."""
    value = answer.json()
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise BenchError(f"no {'.'.join(names)} in the answer of {answer.request.url.path}")
        value = value[name]
    return str(value)
