"""Turns the input of a call into its command: a struct with known fields, strict types and nothing else."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, get_args, get_origin

import msgspec

from tradewarden.errors import InvalidInputError, UnsupportedMediaTypeError
from tradewarden.http.connection import fields
from tradewarden.http.route import Proof
from tradewarden.secrets.value import parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.http.connection import Connection
    from tradewarden.http.route import Route

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[msgspec.Struct]] = {}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def read_command(route: Route, argument: str, connection: Connection, limit: int) -> msgspec.Struct:
    """Return the command of a call from its path argument, query and body; raises `InvalidInputError` saying where."""
    headers = connection.headers
    body = b""
    if route.proof is Proof.ACME:
        return await _signed(route, argument, connection, limit)
    if b"content-length" in headers or b"transfer-encoding" in headers:
        body = await connection.body(limit)
    try:
        if body or route.raw:  # what is taken as it is may be empty
            return _from_body(route, connection, body)
        return _from_query(route, argument, connection.query)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"The request does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The body is no valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidInputError("The body is nested too deeply") from error


async def _signed(route: Route, argument: str, connection: Connection, limit: int) -> msgspec.Struct:
    """Return the JWS that proved the caller, together with what the path names."""
    if connection.query:
        raise InvalidInputError("This call takes no query")
    fields_found = msgspec.json.decode(await connection.body(limit), type=dict[str, str])
    named = {route.parameter: argument} if route.parameter else {}
    return msgspec.convert(fields_found | named, route.command)


def _from_body(route: Route, connection: Connection, body: bytes) -> msgspec.Struct:
    if connection.query or route.parameter:
        raise InvalidInputError("This call takes its input in the body or in the URL, not in both")
    media_type = connection.media_type()
    if route.raw:
        return _as_it_is(route, media_type, body)
    if media_type == _JSON:
        decoder = _decoders.get(route.command)
        if decoder is None:
            decoder = _decoders[route.command] = msgspec.json.Decoder(route.command)
        command = decoder.decode(body)
        _require_once(msgspec.json.format(body, indent=-1), _maps(route.command))
        return command
    if route.form and media_type == _FORM:
        return msgspec.convert(fields(body, "form"), route.command, strict=False)
    wanted = f"{_JSON} or {_FORM}" if route.form else _JSON
    raise UnsupportedMediaTypeError(f"The body must be {wanted}, and its Content-Type must say so")


def _as_it_is(route: Route, media_type: str, body: bytes) -> msgspec.Struct:
    if media_type != route.raw:
        raise UnsupportedMediaTypeError(f"The body must be {route.raw}, and its Content-Type must say so")
    return route.command(body)


def _require_once(compact: bytes, maps: Sequence[str]) -> None:
    """Refuse a field that stands twice: two parsers could take different ones. The names of fields need no escapes.

    `maps` are the fields that hold an object of the caller's own names, in which none may stand twice either.
    """
    found = _fields(compact)
    length = sum([len(name.encode()) + len(value) + 4 for name, value in found.items()])  # "name":value,
    if length + 1 != len(compact) and compact != b"{}":
        raise InvalidInputError("The body names a field twice, or with escapes")
    for name in maps:
        if name in found and bytes(found[name]) != b"null":
            parse_object(bytes(found[name]), name=name)


@cache
def _maps(command: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a command that are dictionaries."""
    return tuple(field.encode_name for field in msgspec.structs.fields(command) if _is_map(field.type))


def _is_map(kind: object) -> bool:
    """Tell whether a type is a dictionary, or may be one."""
    return get_origin(kind) is dict or any(map(_is_map, get_args(kind)))


def _from_query(route: Route, argument: str, query: bytes) -> msgspec.Struct:
    found: dict[str, str] = fields(query, "query") if query else {}
    if route.method == "POST" and found:
        raise InvalidInputError("This call takes its input in the body, not in the URL")
    if route.parameter:
        if route.parameter in found:
            raise InvalidInputError(f"{route.parameter} stands in the path already")
        found[route.parameter] = argument
    return msgspec.convert(found, route.command, strict=False)
