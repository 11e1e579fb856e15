"""The numbers in the document of the interface are those that the service goes by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest

from tests.support.service import Service
from tests.support.trial import assert_refused, done
from tests.support.wire import Wire
from tradewarden.http.openapi import document
from tradewarden.http.routes import ROUTES

Json = dict[str, Any]
API: Json = msgspec.json.decode(document(ROUTES, "1"))
NEEDED: Json = {
    "path": "none/none", "service_name": "nobody", "data": {}, "version": 1, "versions": [1], "kind": "random",
    "permissions": [], "sequence": 0, "first": 1,
}  # fmt: skip
NOT_ALONE = {("/credentials/renew", "ttl_hours"), ("/keys/rewrap", "after")}
"""A renewal shows its key before its length counts; `after` is one thing of two parts."""


class Number(NamedTuple):
    """A field that is a whole number, or a list of something, with its least and its most."""

    method: str
    path: str
    field: str
    least: int
    most: int | None
    is_list: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.field}"

    def value(self, size: int) -> object:
        """Return a number, or a list of so many things that are each well-formed."""
        if not self.is_list:
            return size
        kinds = {"versions": range(1, size + 1), "permissions": [f"a{each}:b" for each in range(size)]}
        hosts = {"dns_names": [f"a{each}.b" for each in range(size)], "ip_addresses": ["127.0.0.1"] * size}
        return list((kinds | hosts)[self.field])


def numbers() -> Iterator[Number]:
    """Yield every field of every call that has a least or a most."""
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            for name, schema in fields(operation):
                for part in schema.get("anyOf", [schema]):
                    least, most = part.get("minimum", part.get("minItems")), part.get("maximum", part.get("maxItems"))
                    if (
                        (path, name) not in NOT_ALONE
                        and (least, most) != (None, None)
                        and part.get("type") in ("integer", "array")
                    ):
                        yield Number(method.upper(), path, name, least or 0, most, part["type"] == "array")


def fields(operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield the fields of a call, from its query and its body."""
    for each in operation.get("parameters", ()):
        yield each["name"], each["schema"]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema:
        yield from API["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"].items()


def ask(wire: Wire, number: Number, value: object) -> Any:  # noqa: ANN401
    """Make a call that is well-formed but for this field."""
    operation = API["paths"][number.path][number.method.lower()]
    given = {name: NEEDED[name] for name, _ in fields(operation) if name in NEEDED} | {number.field: value}
    target = number.path
    if "{" in target:
        target = target.partition("{")[0] + given.pop(target.partition("{")[2].rstrip("}"))
    if number.method == "POST":
        return wire.ask("POST", target, given)
    return wire.ask(number.method, f"{target}?{urlencode(given)}")


@pytest.fixture(scope="module")
def nobody(trial: Service) -> None:
    """A service with little, and no secret of its own."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        done(wire.ask("POST", "/services", {"service_name": "nobody", "permissions": []}))


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("number", list(numbers()), ids=str)
def test_beyond_the_least_and_the_most_is_refused(admin: Wire, number: Number) -> None:
    """What the document does not allow the service does not take; no version is current that cannot be one."""
    statuses = (404, 409) if number.field == "cas" else (400,)
    beyond = [number.least - 1] if number.least or not number.is_list else []
    if number.most is not None:
        beyond.append(number.most + 1)
    for size in beyond:
        assert_refused(ask(admin, number, number.value(size)), *statuses)


@pytest.mark.parametrize("number", [each for each in numbers() if each.method == "GET"], ids=str)
def test_the_least_and_the_most_are_taken(admin: Wire, number: Number) -> None:
    """What the document allows is not refused for its size; there may be nothing so large."""
    for size in (number.least, number.most):
        if size is not None and (number.field, size) != ("version", number.most):
            answer = ask(admin, number, size)
            assert answer.status in (200, 404), (number, size, answer.body)


def test_a_null_is_no_value(admin: Wire) -> None:
    """Where the document allows null for an object, it stands for one that is left out."""
    body = {"path": "limits/null", "data": {"a": 1}, "cas": None, "custom": None}
    assert admin.ask("POST", "/secrets/store", body).status == 200
    assert admin.ask("POST", "/secrets/metadata", {"path": "limits/null", "custom": None}).status == 200
