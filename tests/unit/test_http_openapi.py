"""The OpenAPI document says what the route table says; the docs page lets nothing foreign in."""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import re
from types import UnionType
from typing import Annotated, Any

import msgspec
import pytest

from tradewarden.audit.entry import EventType
from tradewarden.errors import UnknownRouteError
from tradewarden.http import docs
from tradewarden.http.openapi import document
from tradewarden.http.route import Nothing, Proof, Rate, Route

Json = dict[str, Any]


class Put(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to store."""

    path: Annotated[str, msgspec.Meta(max_length=100, description="Where to")]
    data: dict[str, object]
    cas: int | None = None


class Get(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to read."""

    path: Annotated[str, msgspec.Meta(max_length=100)]
    version: int | None = None


class Pick(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions."""

    versions: Annotated[tuple[int, ...], msgspec.Meta(extra_json_schema={"minItems": 1})] = ()


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file."""

    name: str


class Known(msgspec.Struct, frozen=True):
    """What is known."""

    versions: int


class Kept(msgspec.Struct, frozen=True):
    """What was stored."""

    path: str
    version: int


async def handler(*_: object) -> Kept:
    """Do it.

    At length.
    """
    return Kept("a", 1)


def row(
    method: str,
    path: str,
    command: type[msgspec.Struct] = Nothing,
    answer: type[msgspec.Struct] | UnionType | str = Kept,
    **more: Any,  # noqa: ANN401 - any other field of a row
) -> Route:
    """Make up a row."""
    return Route(
        method=method,
        path=path,
        summary=f"Summary of {path}",
        permission=more.pop("permission", "secrets:read"),
        event=EventType.SECRET_ACCESS,
        rate=Rate.READ,
        command=command,
        answer=answer,
        handler=handler,
        **more,
    )


ROUTES = (
    row("GET", "/health", permission="service:view", proof=Proof.OPEN),
    row("POST", "/secrets/store", Put, permission="secrets:write", errors=(409,)),
    row("GET", "/secrets/{path...}", Get, Kept | Known, errors=(404,)),
    row("POST", "/secrets/undelete", Pick),
    row("GET", "/ca/crl/{name}", Named),
    row("GET", "/acme/new-nonce", answer="", status=204, proof=Proof.OPEN),
    row("POST", "/tokens/validate"),
    row("DELETE", "/secrets/{path...}", Get, errors=(404,)),
    row("POST", "/oauth2/introspect", Put, form=True, proof=Proof.CLIENT, feature="ENABLE_JWT"),
    row("POST", "/tokens/generate", Put, proof=Proof.TOKEN_REQUEST),
    row("GET", "/ca/certificate", answer="application/x-pem-file", proof=Proof.OPEN),
    row("GET", "/.well-known/jwks.json", proof=Proof.OPEN),
)


@pytest.fixture(scope="module")
def api() -> Json:
    """The document of the made-up table."""
    return msgspec.json.decode(document(ROUTES, "1.2.3"), type=Json)


def test_every_row_is_there_and_nothing_else(api: Json) -> None:
    """Paths and methods match the table exactly; the rest parameter is written as OpenAPI knows it."""
    found = {(method.upper(), path) for path, item in api["paths"].items() for method in item}
    assert found == {(route.method, route.path.replace("...}", "}")) for route in ROUTES}
    assert (api["openapi"], api["info"]["version"]) == ("3.1.0", "1.2.3")


def test_operations_have_names_of_their_own(api: Json) -> None:
    """Ids are unique; tags are the first segment; summary and description come from the row and the handler."""
    operations = [each for item in api["paths"].values() for each in item.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    assert "get_secrets_by_path" in ids
    assert {each["tags"][0] for each in operations} <= {tag["name"] for tag in api["tags"]}
    store = api["paths"]["/secrets/store"]["post"]
    assert store["tags"] == ["secrets"]
    assert store["summary"] == "Summary of /secrets/store"
    assert store["description"] == "Do it.\n\nAt length.\n\nNeeds the permission `secrets:write`."


def test_a_reading_call_takes_path_and_query(api: Json) -> None:
    """The path parameter is required, every other field is a query parameter, and there is no body."""
    read = api["paths"]["/secrets/{path}"]["get"]
    assert [(each["name"], each["in"], each["required"]) for each in read["parameters"]] == [
        ("path", "path", True),
        ("version", "query", False),
    ]
    assert read["parameters"][0]["schema"]["maxLength"] == 100
    assert "requestBody" not in read


def test_a_writing_call_takes_a_body(api: Json) -> None:
    """The body is the command's schema, closed to unknown fields; a form stands beside JSON where the row says so."""
    body = api["paths"]["/secrets/store"]["post"]["requestBody"]
    assert body["required"] is True
    assert list(body["content"]) == ["application/json"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Put"}
    put = api["components"]["schemas"]["Put"]
    assert put["required"] == ["path", "data"]
    assert put["additionalProperties"] is False
    form = api["paths"]["/oauth2/introspect"]["post"]["requestBody"]["content"]
    assert list(form) == ["application/json", "application/x-www-form-urlencoded"]


def test_a_list_that_must_not_be_empty_is_required(api: Json) -> None:
    """Whatever a field is in Python when it is left out: what the call refuses without it needs it."""
    pick = api["components"]["schemas"]["Pick"]
    assert pick["required"] == ["versions"]
    assert "default" not in pick["properties"]["versions"]


def test_what_stands_in_a_path_is_one_segment(api: Json) -> None:
    """A path parameter that says nothing of itself has at least no slash, backslash or control character."""
    (name,) = api["paths"]["/ca/crl/{name}"]["get"]["parameters"]
    assert name["schema"]["minLength"] == 1
    found = re.compile(name["schema"]["pattern"])
    assert found.search("a.crl")
    assert not any(found.search(text) for text in ("", "a/b", "a\\b", "a\0"))


def test_proofs_are_security_schemes(api: Json) -> None:
    """Open calls need nothing, the others a token, secret or certificate; the bootstrap rule may need nobody."""
    certificate: dict[str, list[str]] = {"client_certificate": []}

    def security(method: str, path: str) -> object:
        return api["paths"][path][method]["security"]

    assert security("get", "/health") == []
    assert security("post", "/secrets/store") == [{"bearer": []}, certificate]
    assert security("post", "/oauth2/introspect") == [{"bearer": []}, {"client_secret": []}, certificate]
    assert security("post", "/tokens/generate") == [{"bearer": []}, {"client_secret": []}, certificate, {}]
    assert set(api["components"]["securitySchemes"]) == {"bearer", "client_secret", "client_certificate"}


def test_answers_and_problems_are_described(api: Json) -> None:
    """The answer's schema or media type, and a problem for each status that may come."""
    store = api["paths"]["/secrets/store"]["post"]["responses"]
    assert store["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Kept"}
    assert set(store) == {"200", "400", "401", "403", "409", "413", "415", "429", "503"}
    assert set(api["paths"]["/health"]["get"]["responses"]) == {"200", "400", "413", "429", "503"}
    read = api["paths"]["/secrets/{path}"]["get"]["responses"]
    assert set(read) == {"200", "400", "401", "403", "404", "413", "414", "429", "503"}
    assert read["200"]["content"]["application/json"]["schema"] == {
        "anyOf": [{"$ref": "#/components/schemas/Kept"}, {"$ref": "#/components/schemas/Known"}]
    }
    assert set(api["paths"]["/tokens/validate"]["post"]["responses"]) >= {"413", "415"}
    assert list(api["paths"]["/ca/certificate"]["get"]["responses"]["200"]["content"]) == ["application/x-pem-file"]
    assert api["paths"]["/acme/new-nonce"]["get"]["responses"]["204"] == {"description": "Summary of /acme/new-nonce"}
    assert "200" not in api["paths"]["/acme/new-nonce"]["get"]["responses"]
    problem = api["components"]["schemas"]["Problem"]
    assert {"code", "request_id"} <= set(problem["required"])


def test_every_reference_leads_somewhere(api: Json) -> None:
    """No `$ref` is left dangling."""
    references = re.findall(r'"\$ref":"#/([^"]+)"', msgspec.json.encode(api).decode())
    assert references
    for reference in references:
        place = api
        for step in reference.split("/"):
            place = place[step]


@pytest.mark.skipif(not importlib.util.find_spec("openapi_spec_validator"), reason="validator not installed")
def test_the_document_is_valid_openapi(api: Json) -> None:
    """The published schema of OpenAPI 3.1 takes it."""
    importlib.import_module("openapi_spec_validator").validate(api)


def test_the_page_names_its_script_by_hash_and_nothing_foreign() -> None:
    """The policy allows our own files and exactly the one inline script; no address of another host appears."""
    page = docs.page()
    policy = dict(page.headers)[b"content-security-policy"].decode()
    scripts = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0]).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert not re.search(rb"(?:src|href)=\"(?!/(?!/)|data:)", page.body)


def test_the_page_asks_only_for_assets_that_there_are() -> None:
    """Each asset that the page names is served with its type; any other name is an unknown path."""
    names = re.findall(rb'"/docs/([^"]+)"', docs.page().body)
    assert [docs.asset(name.decode()).media_type.partition(";")[0] for name in names] == ["text/css", "text/javascript"]
    for name in ("index.html", "../__init__.py", "swagger-ui.css.map", ""):
        with pytest.raises(UnknownRouteError):
            docs.asset(name)
