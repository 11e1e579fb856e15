"""The OpenAPI 3.1 document, made from the route table and from nothing else, so that it cannot disagree with it."""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import msgspec

from tradewarden.http.acme import MEDIA_TYPE as JOSE
from tradewarden.http.problem import MEDIA_TYPE, Problem
from tradewarden.http.route import Proof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradewarden.http.route import Route

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_REFERENCE: Final = re.compile(r'"#/components/schemas/([^"]+)"')
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_QUERY_METHODS: Final = frozenset({"GET", "HEAD", "DELETE"})
_BEARER: Final[Json] = {"bearer": []}
_BASIC: Final[Json] = {"client_secret": []}
_CERTIFICATE: Final[Json] = {"client_certificate": []}
_NOBODY: Final[Json] = {}
_SECURITY: Final[Mapping[Proof, list[Json]]] = {
    Proof.OPEN: [],
    Proof.BEARER: [_BEARER, _CERTIFICATE],
    Proof.CLIENT: [_BEARER, _BASIC, _CERTIFICATE],
    Proof.TOKEN_REQUEST: [_BEARER, _BASIC, _CERTIFICATE, _NOBODY],
    Proof.REFRESH_TOKEN: [],
    Proof.JOIN: [],
    Proof.RENEWAL: [_BEARER, _CERTIFICATE, _NOBODY],
    Proof.ACME: [],
    Proof.OPERATOR: [_BEARER, _CERTIFICATE, _NOBODY],
}
_SCHEMES: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A service's token, or the admin token"},
    "client_secret": {
        "type": "http",
        "scheme": "basic",
        "description": "A registered service's name and client secret",
    },
    "client_certificate": {
        "type": "mutualTLS",
        "description": "A certificate of the service's CA, on the mTLS listener",
    },
}
_ONE_SEGMENT: Final[Json] = {"minLength": 1, "pattern": r"^[^\x00-\x1f\x7f/\\]+$"}
"""What can stand between the slashes of a path."""
_UNPROVEN: Final = frozenset({Proof.OPEN})


def document(routes: Sequence[Route], version: str) -> bytes:
    """Return the document as JSON for a route table and the service's version."""
    schemas = _Schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route, schemas)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Tradewarden",
                "version": version,
                "summary": "Secrets, certificates, tokens and a provable audit log for trading platforms",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in dict.fromkeys(map(_tag, routes))],
            "paths": paths,
            "components": {
                "schemas": schemas.used(paths),
                "responses": {"Problem": _problem()},
                "securitySchemes": _SCHEMES,
            },
        }
    )


class _Schemas:
    """The JSON schemas of every type in the table: `of` gives a reference, `fields` a command's own properties."""

    def __init__(self, routes: Sequence[Route]) -> None:
        answers = [kind for route in routes for kind in _kinds(route)]
        types = list(dict.fromkeys([Problem, *(route.command for route in routes), *answers]))
        found, self._components = msgspec.json.schema_components(types, schema_hook=_anything, ref_template=_REF)
        self._references = dict(zip(types, found, strict=True))
        for component in self._components.values():
            _require_what_is_needed(component)

    def of(self, kind: type[msgspec.Struct]) -> Json:
        return self._references[kind]

    def fields(self, command: type[msgspec.Struct]) -> Json:
        schema: Json = self._components[_name(self._references[command]["$ref"])]
        return schema

    def used(self, paths: Json) -> Json:
        """Return the schemas that the paths refer to, and those that these refer to."""
        kept = {"Problem": self._components["Problem"]}
        waiting = _references(paths)
        while waiting:
            name = waiting.pop()
            if name not in kept:
                kept[name] = self._components[name]
                waiting |= _references(kept[name])
        return dict(sorted(kept.items()))


def _require_what_is_needed(component: Json) -> None:
    """Make a list required that must not be empty, whatever it is in Python when it is left out."""
    properties: Json = component.get("properties", {})
    for name, schema in properties.items():
        if schema.get("minItems") and schema.pop("default", None) == ():
            component["required"] = [*component.get("required", ()), name]


def _references(part: Json) -> set[str]:
    return set(_REFERENCE.findall(msgspec.json.encode(part).decode()))


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _anything(kind: type) -> Json:
    """Describe what msgspec has no schema for: `object` is any JSON value."""
    if kind is object:
        return {"description": "Any JSON value"}
    raise NotImplementedError(f"no JSON schema for {kind!r}")


def _operation(route: Route, schemas: _Schemas) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": _description(route),
        "security": _SECURITY[route.proof],
    }
    if parameters := _parameters(route, schemas):
        operation["parameters"] = parameters
    if _takes_body(route):
        operation["requestBody"] = _body(route, schemas)
    operation["responses"] = _responses(route, schemas)
    return operation


def _description(route: Route) -> str:
    parts = [inspect.getdoc(route.handler) or ""]
    if route.permission and route.proof not in _UNPROVEN:
        parts.append(f"Needs the permission `{route.permission}`.")
    if route.feature:
        parts.append(f"Answers 503 `feature_disabled` when `{route.feature}` is false.")
    if route.development_only:
        parts.append("In development only.")
    return "\n\n".join(filter(None, parts))


def _parameters(route: Route, schemas: _Schemas) -> list[Json]:
    schema = schemas.fields(route.command)
    required = schema.get("required", ())
    properties: Json = dict(schema.get("properties", {}))
    found = []
    if route.parameter:
        own = properties.pop(route.parameter)
        described = "pattern" in own or "enum" in own or route.takes("/")
        found.append(_parameter(route.parameter, "path", own if described else own | _ONE_SEGMENT, required=True))
    if route.method in _QUERY_METHODS:
        found += [_parameter(name, "query", own, required=name in required) for name, own in properties.items()]
    return found


def _parameter(name: str, place: str, schema: Json, *, required: bool) -> Json:
    text = schema.get("description")
    parameter: Json = {"name": name, "in": place, "required": required, "schema": schema}
    return parameter | {"description": text} if text else parameter


def _takes_body(route: Route) -> bool:
    if route.proof is Proof.ACME:
        return True
    if route.method in _QUERY_METHODS or route.parameter:
        return False
    return bool(route.command.__struct_fields__)


def _body(route: Route, schemas: _Schemas) -> Json:
    if route.raw:
        return {"required": True, "content": {route.raw: {}}}
    media = {"schema": schemas.of(route.command)}
    content = {_JSON: media, _FORM: media} if route.form else {_JSON: media}
    if route.proof is Proof.ACME:
        content = {JOSE: media}
    return {"required": bool(schemas.fields(route.command).get("required")), "content": content}


def _responses(route: Route, schemas: _Schemas) -> Json:
    content = _content(route, schemas)
    answer: Json = {"description": route.summary, "content": content} if content else {"description": route.summary}
    answers: Json = {str(route.status): answer}
    for status in sorted({*_usual(route), *route.errors}):
        answers[str(status)] = {"$ref": "#/components/responses/Problem"}
    return answers


def _content(route: Route, schemas: _Schemas) -> Json:
    if isinstance(route.answer, str):
        told = {"schema": {"type": "string"}} if route.answer.startswith("text/") else {}
        return {route.answer: told} if route.answer else {}
    kinds = [schemas.of(kind) for kind in _kinds(route)]
    return {_JSON: {"schema": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}}


def _kinds(route: Route) -> tuple[type[msgspec.Struct], ...]:
    """Return the types of a JSON answer; none for a content of its own."""
    if isinstance(route.answer, str):
        return ()
    return get_args(route.answer) or (cast("type[msgspec.Struct]", route.answer),)


def _usual(route: Route) -> set[int]:
    statuses = {400, 413, 429, 503}
    if route.proof is not Proof.OPEN:
        statuses |= {401, 403}
    if route.method not in _QUERY_METHODS:
        statuses.add(415)
    elif route.command.__struct_fields__:
        statuses.add(414)
    return statuses


def _problem() -> Json:
    return {
        "description": "; ".join(
            f"{status} {HTTPStatus(status).phrase}" for status in (400, 401, 403, 404, 409, 413, 414, 415, 429, 503)
        ),
        "headers": {"X-Request-Id": {"description": "The id in the log and the audit", "schema": {"type": "string"}}},
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }


def _path(route: Route) -> str:
    return route.path.replace("...}", "}")


def _tag(route: Route) -> str:
    return route.path.split("/")[1].split(".")[0] or "well-known"


def _operation_id(route: Route) -> str:
    words = route.path.replace("...}", "").replace("{", "by_").replace("}", "")
    words = "".join(each if each.isalnum() else "_" for each in words).strip("_")
    return f"{route.method.lower()}_{words}" if words else route.method.lower()
