"""`pkcs11:` URIs (RFC 7512): which token, which object in it, and how this process gets there.

Always true here: a URI holds no PIN. `pin-value` is refused, because URIs end in process lists, logs and the database;
a PIN comes from the file that `pin-source` names, or from TRADEWARDEN_PKCS11_PIN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

SCHEME = "pkcs11"
_LONGEST = 4096
_TOKEN = ("token", "serial", "manufacturer", "model")
_PATH = (*_TOKEN, "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source")
# RFC 7512 section 2.3: unreserved, then what else a path may have unescaped; the query part has "/", "?" and "|" too.
_PATH_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")
_QUERY_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*")
_SAFE = ":[]@!$'()*+,=&"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A parsed URI; empty texts and None mean "not said". `type` is that of the object (`private`, `secret-key`)."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    slot_id: int | None = None
    object: str = ""
    id: bytes = b""
    type: str = ""
    module_path: Path | None = None
    pin_source: Path | None = None

    @property
    def place(self) -> str:
        """The URI without its query part: what it names, wherever a process stands and however it logs in."""
        texts = {"token": self.token, "serial": self.serial, "manufacturer": self.manufacturer, "model": self.model}
        parts = [f"{name}={quote(text, safe=_SAFE)}" for name, text in texts.items() if text]
        parts += [f"slot-id={self.slot_id}"] if self.slot_id is not None else []
        parts += [f"object={quote(self.object, safe=_SAFE)}"] if self.object else []
        parts += ["id=" + "".join(f"%{byte:02X}" for byte in self.id)] if self.id else []
        parts += [f"type={self.type}"] if self.type else []
        return f"{SCHEME}:{';'.join(parts)}"

    @property
    def whole_token(self) -> TokenUri:
        """The same without an object: the token itself."""
        return replace(self, object="", id=b"", type="")


def is_token_uri(text: str) -> bool:
    """Tell whether a text means to be such a URI."""
    return text.partition(":")[0].lower() == SCHEME and ":" in text


def parse_token_uri(text: str) -> TokenUri:
    """Read a URI; raises `ValueError` that says what is wrong, names the attribute, and never repeats a value."""
    scheme, colon, rest = text.partition(":")
    if scheme.lower() != SCHEME or not colon:
        raise ValueError("is no pkcs11: URI; write for example pkcs11:token=NAME")
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    path, _, query = rest.partition("?")
    said = {**_attributes(path, ";", _PATH, _PATH_VALUE), **_attributes(query, "&", _QUERY, _QUERY_VALUE)}
    if not {*_TOKEN, "slot-id"} & said.keys():
        raise ValueError("names no token; write for example pkcs11:token=NAME")
    return TokenUri(
        token=_text(said, "token"),
        serial=_text(said, "serial"),
        manufacturer=_text(said, "manufacturer"),
        model=_text(said, "model"),
        slot_id=_slot(said),
        object=_text(said, "object"),
        id=said.get("id", b""),
        type=_type(said),
        module_path=_file(said, "module-path"),
        pin_source=_file(said, "pin-source"),
    )


def _attributes(part: str, separator: str, known: tuple[str, ...], shape: re.Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in part.split(separator) if part else ():
        name, equals, value = item.partition("=")
        if name == "pin-value":
            raise ValueError(
                "holds pin-value, and a PIN in a URI leaks; name a file with pin-source, or set TRADEWARDEN_PKCS11_PIN"
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or not equals:
            raise ValueError(f"has a part that is not name=value; {_listed(known)}")
        if name not in known:
            raise ValueError(f"has the attribute {name}, which is not known here; {_listed(known)}")
        if name in found:
            raise ValueError(f"has {name} twice; say it once (RFC 7512 section 2.3)")
        if not shape.fullmatch(value):
            raise ValueError(f"has a {name} with a character that must be percent-encoded (RFC 7512 section 2.3)")
        found[name] = unquote_to_bytes(value)
    return found


def _listed(known: tuple[str, ...]) -> str:
    where = "after the ? there are" if known == _QUERY else "there are"
    return f"{where} {', '.join(known)}"


def _text(said: dict[str, bytes], name: str) -> str:
    try:
        text = said.get(name, b"").decode()
    except UnicodeDecodeError:
        raise ValueError(f"has a {name} that is not UTF-8") from None
    if name in said and (not text or not text.isprintable()):
        raise ValueError(f"has a {name} that is empty or not printable")
    return text


def _slot(said: dict[str, bytes]) -> int | None:
    if "slot-id" not in said:
        return None
    if not re.fullmatch(rb"[0-9]{1,19}", said["slot-id"]):
        raise ValueError("has a slot-id that is no whole number")
    return int(said["slot-id"])


def _type(said: dict[str, bytes]) -> str:
    kind = _text(said, "type")
    if kind not in {"", "private", "secret-key"}:
        raise ValueError("has a type that is neither private nor secret-key")
    return kind


def _file(said: dict[str, bytes], name: str) -> Path | None:
    text = _text(said, name).removeprefix("file:")
    if not text:
        return None
    # file:///x (RFC 8089) and file:/x mean the same; "|program" (RFC 7512 section 2.4) is not run.
    path = Path(text.removeprefix("//"))
    if text.startswith("|") or not path.is_absolute():
        raise ValueError(f"has a {name} that is no absolute path of a file")
    return path
