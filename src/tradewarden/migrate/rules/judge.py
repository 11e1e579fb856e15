"""Whether a candidate is a credential, and by which rule. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.rules import values
from tradewarden.migrate.rules.keys import Trust, trust, words
from tradewarden.secrets.naming import DATA_PROVIDERS, EXCHANGES

if TYPE_CHECKING:
    from tradewarden.migrate.candidate import Candidate

_SERVICES: Final = (*EXCHANGES, *(name.partition("_")[0] for name in DATA_PROVIDERS))
_SHORTEST: Final = {Trust.PASSWORD: 4, Trust.SIGNING: 8, Trust.SECRET: 8, Trust.HINT: 16}
_PHRASE_LEAST: Final = 12
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_.:/ -][A-Za-z0-9]+)*")
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_SAID = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+){3,11}")
_SEED = re.compile(r"[a-z]{3,8}(?: [a-z]{3,8}){11,23}")
"""A wallet's words (BIP 39)."""
_CODE = re.compile(r"[^\S ]|\\.|[A-Za-z_]{3,}\(|\(\)")
"""What is computed, and what has line ends."""
_SCHEMA_WORDS: Final = frozenset(
    {"string", "boolean", "integer", "object", "optional", "required", "forbidden", "nullable", "varchar", "sensitive"}
)


def judge(candidate: Candidate) -> str | None:
    """Return the rule that makes it a credential; None when it is none."""
    value, level = candidate.value, trust(candidate.key)
    if candidate.member and level >= Trust.SIGNING:
        level = Trust.SECRET
    if level is Trust.NONE or not _SHORTEST[level] <= len(value) <= values.MAX_VALUE:
        return None
    if values.placeholder(value) or values.never(value) or _repeats(candidate):
        return None
    return _rule(candidate) if _convinces(level, candidate) else None


def _convinces(level: Trust, candidate: Candidate) -> bool:
    value = candidate.value
    if level is Trust.PASSWORD:
        return _password(candidate)
    if words(candidate.key)[-1] in ("mnemonic", "phrase", "seed") and _SEED.fullmatch(value):
        return True
    if level is Trust.SIGNING and "://" not in value and not _CODE.search(value):
        return values.random(value) or _phrase(value)
    if "://" in value or re.search(r"\s|\\.|[()]", value):
        return False
    if level is Trust.SECRET:
        return values.random(value) or values.is_uuid(value) or _letters(value)
    return values.random(value, 16) and not values.is_uuid(value)


def _password(candidate: Candidate) -> bool:
    value = candidate.value
    if re.search(r"\s", value):
        said = "passphrase" in words(candidate.key) and _SAID.fullmatch(value) is not None
        return said or values.spaced(value)
    if _ENVIRONMENT_NAME.fullmatch(value) or value.lower() in _SCHEMA_WORDS or "://" in value:
        return False
    if not re.search("[A-Za-z]", value) and (len(value) < 6 or not value.isdigit()):  # noqa: PLR2004 - a PIN has six digits
        return False
    if value.isalpha() and (value.islower() or value.istitle()):
        return len(value) >= (6 if value.islower() else 12)
    return not re.fullmatch(r"[a-z]+(?:[_.][a-z]+)+", value)


def _phrase(value: str) -> bool:
    """A signing key that someone typed: `hedgehog-sings-at-noon-2019`."""
    if " " in value:
        return values.phrase(value)
    return len(value) >= _PHRASE_LEAST and not re.fullmatch(r"[a-z]+(?:[_.][a-z]+)*|[A-Z][A-Z0-9_]*", value)


def _letters(value: str) -> bool:
    """Random letters without a digit."""
    return len(value) >= 20 and values.random(value, 20)  # noqa: PLR2004


def _repeats(candidate: Candidate) -> bool:
    """Tell whether the value only repeats names: `API_KEY = "api_key"`, `"secret": "binance_secret"`."""
    if not _NAME.fullmatch(candidate.value):
        return False
    said = words(candidate.value)
    known = {*words(candidate.key), *(word for owner in candidate.owners for word in words(owner))}
    return bool(said) and not re.search(r"\d{2}", candidate.value) and known.issuperset(said)


def _rule(candidate: Candidate) -> str:
    """Name the rule after the service that the names around speak of, or after the key."""
    around = [word for name in (candidate.key, *reversed(candidate.owners)) for word in words(name)]
    service = next((each for word in around for each in _SERVICES if word.startswith(each)), "")
    level = trust(candidate.key)
    kind = {Trust.PASSWORD: "password", Trust.SIGNING: "signing-key"}.get(level, "secret")
    return f"{service}-credential" if service and level is not Trust.SIGNING else kind
