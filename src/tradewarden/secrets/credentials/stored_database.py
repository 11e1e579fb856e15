"""How a database stands in a secret: an object with named fields, or an address with everything in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from tradewarden.secrets.credentials.fields import Fields

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

_SCHEMES = frozenset({"postgres", "postgresql"})
_WHOLE = ("url", "uri", "dsn", "database_url")
_OPTIONS = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "options",
        "require_auth",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)
"""Connection parameters of libpq (PostgreSQL's manual, section 34.1.2) that do not lead anywhere else."""


def laid_out(secret: str, content: Content) -> dict[str, object]:
    """Return the fields of a secret; those of an address are laid under the ones that stand beside it."""
    given: dict[str, object] = {"url": content} if isinstance(content, str) else content
    name = next((name for name in _WHOLE if given.get(name)), "")
    if not name:
        return given
    fields = Fields(secret, given)
    found = _of_address(fields, name, fields.text(name))
    fields.require_sound()
    return found | {key: value for key, value in given.items() if key != name}


def _of_address(fields: Fields, name: str, text: str) -> dict[str, object]:
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        fields.wrong(name, "is no address; write postgresql://user:password@host:5432/database")
        return {}
    if parts.scheme.partition("+")[0] not in _SCHEMES:
        fields.wrong(name, "is no postgresql:// address")
    found: dict[str, object] = dict(parse_qsl(parts.query))
    if "%2f" in host.lower():  # a socket's directory, whose case matters
        host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    host = host or str(found.pop("host", ""))
    given = {
        "host": host,
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.removeprefix("/")),
    }
    return found | {key: value for key, value in given.items() if value}


def chosen_options(fields: Fields) -> dict[str, str]:
    """Return the connection parameters that stand beside the fields, or in an object `options` of their own."""
    inner = fields.raw("options")
    if isinstance(inner, dict):
        given = Fields(fields.secret, inner)
        for name in sorted(set(inner) - _OPTIONS):
            fields.wrong(f"options.{name}", "is no connection parameter that is taken here")
        chosen = {name: given.optional(name) for name in sorted(_OPTIONS & inner.keys())}
        fields.mistakes += given.mistakes
    else:
        chosen = {}
    chosen |= {name: fields.optional(name) for name in sorted(_OPTIONS) if name in fields and name != "options"}
    if isinstance(inner, str):
        chosen["options"] = fields.optional("options")
    if not re.fullmatch(r"[0-9]{0,6}", chosen.get("connect_timeout", "")):
        fields.wrong("connect_timeout", "is no whole number of seconds")
    return {name: value for name, value in chosen.items() if value}
