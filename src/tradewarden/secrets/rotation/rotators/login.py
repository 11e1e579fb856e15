"""The user and the password in the value of a database's secret, under the names that people use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from tradewarden.errors import RotationFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

USER: Final = ("user", "username", "login")
PASSWORD: Final = ("password", "pass")
ADDRESS: Final = ("url", "uri", "dsn", "database_url")


class Login(NamedTuple):
    """A user and the password of it, empty where the value holds none."""

    user: str
    password: str


def login_of(value: Mapping[str, object] | None) -> Login:
    """Return the login in a value; fields go before what stands in an address."""
    given = value or {}
    user, password = (_first(given, names) for names in (USER, PASSWORD))
    for text in (given[name] for name in ADDRESS if name in given):
        parts = _parts(text)
        user, password = user or unquote(parts.username or ""), password or unquote(parts.password or "")
    return Login(user, password)


def with_login(value: Mapping[str, object], login: Login) -> dict[str, object]:
    """Return the value with another login in each place where it has one; elsewhere it stays as it is."""
    changed = dict(value)
    for name in ADDRESS:
        if name in changed:
            changed[name] = _addressed(changed[name], login)
    whole = any(name in value for name in ADDRESS)
    for names, text in ((USER, login.user), (PASSWORD, login.password)):
        found = [name for name in names if name in value]
        for name in found if found or whole else names[:1]:
            changed[name] = text
    return changed


def _first(value: Mapping[str, object], names: tuple[str, ...]) -> str:
    found = next((value[name] for name in names if value.get(name)), "")
    return found if isinstance(found, str) else ""


def _addressed(text: object, login: Login) -> str:
    parts = _parts(text)
    place = parts.netloc.rpartition("@")[2]
    given = f"{quote(login.user, safe='')}:{quote(login.password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=given))


def _parts(text: object) -> SplitResult:
    try:
        parts = urlsplit(text if isinstance(text, str) else "")
    except ValueError:
        parts = urlsplit("")
    if not parts.netloc:
        # Without a cause: it would quote the address.
        raise RotationFailedError("The secret holds an address that is not understood") from None
    return parts
