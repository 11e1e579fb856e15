"""Findings that someone looked at and accepted: one small file each, so that branches never conflict over them.

Always true here: the value is not in the file and cannot be guessed cheaply from it; who accepted it, why, and until
when is; moving the line or the file changes nothing, and an acceptance that ended counts no more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.clock import Clock, Randomness, rfc3339, system_randomness
from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.migrate.fingerprint import digest

if TYPE_CHECKING:
    from tradewarden.migrate.finding import Finding

DIRECTORY: Final = Path(".tradewarden") / "accepted"
_LEAST_WHY: Final = 3
_MOST: Final = 16 * 1024
_SALT_BYTES: Final = 16


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted finding, as its file holds it. `file` says where it stood then; times are RFC 3339."""

    rule: str
    digest: str
    salt: str
    why: str
    who: str
    when: str
    until: str | None = None
    file: str = ""
    key: str = ""


class Baseline:
    """The acceptances of one directory; remembers which of them were met."""

    def __init__(self, root: Path, *, clock: Clock, randomness: Randomness = system_randomness) -> None:
        self._directory = root / DIRECTORY
        self._now = rfc3339(clock.now())
        self._randomness = randomness
        self._known = {path.name: _read(path) for path in sorted(self._directory.glob("*.json"))}
        self._met: set[str] = set()
        self._digests: dict[tuple[str, str, str], str] = {}

    def __contains__(self, finding: Finding) -> bool:
        """Tell whether a finding is accepted now."""
        met = [name for name, each in self._known.items() if each.rule == finding.rule and self._is(each, finding)]
        self._met.update(met)
        return any(not self._ended(self._known[name]) for name in met)

    def accept(self, finding: Finding, *, why: str, who: str, until: str | None = None) -> Path:
        """Write down that a finding is accepted; `until` is an RFC 3339 time. Returns the file, for the commit."""
        if len(why.strip()) < _LEAST_WHY:
            raise InvalidInputError("Say why it is no credential, or why it may stay")
        salt = min((each.salt for each in self._known.values()), default=self._randomness(_SALT_BYTES).hex())
        mark = digest(finding, bytes.fromhex(salt))
        entry = Acceptance(finding.rule, mark, salt, why.strip(), who, self._now, until, finding.file, finding.key)
        path = self._directory / f"{mark[:16]}-{self._randomness(3).hex()}.json"
        _write(path, msgspec.json.format(msgspec.json.encode(entry), indent=2) + b"\n")
        self._known[path.name] = entry
        return path

    def stale(self) -> list[tuple[str, Acceptance]]:
        """Return what no finding met since this was opened, by file name: it can be deleted."""
        return [(name, each) for name, each in self._known.items() if name not in self._met]

    def ended(self) -> list[tuple[str, Acceptance]]:
        """Return what was met and is accepted no more."""
        return [(name, each) for name, each in self._known.items() if name in self._met and self._ended(each)]

    def _ended(self, each: Acceptance) -> bool:
        return each.until is not None and each.until <= self._now

    def _is(self, each: Acceptance, finding: Finding) -> bool:
        case = (finding.rule, finding.value.reveal(), each.salt)
        if case not in self._digests:
            self._digests[case] = digest(finding, bytes.fromhex(each.salt))
        return self._digests[case] == each.digest


def _read(path: Path) -> Acceptance:
    try:
        if path.is_symlink() or path.stat().st_size > _MOST:
            raise ConfigurationError(f"{path} is no acceptance")
        entry = msgspec.json.decode(path.read_bytes(), type=Acceptance)
        if len(bytes.fromhex(entry.salt)) != _SALT_BYTES:
            raise ConfigurationError(f"{path} has no salt of {_SALT_BYTES} bytes")
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as an acceptance; delete it and accept the finding again"
        ) from error
    return entry


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
