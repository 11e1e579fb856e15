"""What of a secret's value stays when single fields of it are replaced: all of it, but for what repeats an old one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from tradewarden.errors import RotationFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TELLING: Final = 8
"""Old values of fewer characters are looked for as whole words alone: `app` stands in many an address."""
_OURS: Final = frozenset({"kid", "previous", "previous_kids"})


def carried_over(path: str, current: Mapping[str, object], fresh: Mapping[str, str]) -> dict[str, object]:
    """Return the value as it is carried over; the password in an address is replaced like the field that it repeats.

    Raises `RotationFailedError` for a field that holds an old value in a way that is not understood.
    """
    replaced = {old: new for name, new in fresh.items() if isinstance(old := current.get(name), str) and old}
    value = dict(current)
    for name, text in current.items():
        if name not in fresh and name not in _OURS and isinstance(text, str):
            value[name] = _with_new(path, name, text, replaced)
    return value


def _with_new(path: str, name: str, text: str, replaced: Mapping[str, str]) -> str:
    parts = _parts(text)
    if parts is not None and parts.password is not None and unquote(parts.password) in replaced:
        text = _with_password(parts, replaced[unquote(parts.password)])
    for old in replaced:
        if any(_holds(text, each) for each in {old, quote(old, safe="")}):
            raise RotationFailedError(
                f"Field '{name}' of secret '{path}' repeats the value that is to be replaced, and it is not known how "
                "to write the new one there; keep it in one place, or name both in parameter 'fields'"
            )
    return text


def _parts(text: str) -> SplitResult | None:
    try:
        return urlsplit(text) if "://" in text else None
    except ValueError:
        return None


def _with_password(parts: SplitResult, password: str) -> str:
    given, _, place = parts.netloc.rpartition("@")
    user = given.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))


def _holds(text: str, old: str) -> bool:
    if len(old) >= _TELLING:
        return old in text
    whole = rf"(?<![A-Za-z0-9]){re.escape(old)}(?![A-Za-z0-9])"
    return text == old or (re.search(whole, text) is not None and "=" + old in text)
