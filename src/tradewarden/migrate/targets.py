"""Where a migration writes: an env file, encrypted files, both, Vault, AWS, or Tradewarden."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import ProviderUnavailableError, SecretNotFoundError
from tradewarden.migrate.rewriting import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tradewarden.migrate.finding import Destination
    from tradewarden.migrate.plan import Plan
    from tradewarden.secrets.providers.provider import Content, Provider


class Method(StrEnum):
    """The documented methods, and the other providers."""

    ENV = "env"
    ENCRYPTED = "encrypted"
    BOTH = "both"
    VAULT = "vault"
    AWS = "aws"
    TRADEWARDEN = "tradewarden"

    @property
    def reading(self) -> Reading:
        """How rewritten Python reads what was written so."""
        return Reading.ENVIRON if self is Method.ENV else Reading.PROVIDER


_OTHER_SHAPE: Final = ""


def _takes_all(_value: str) -> str:
    return ""


class Target:
    """One place that is written to. `path` is the file or directory that holds it, when it is one.

    `refuses` says why the place cannot take a value, or nothing. `reserved` names a secret that means something there
    already, so that a found one goes to another slot.
    """

    def __init__(
        self,
        provider: Provider,
        label: str,
        path: Path | None = None,
        refuses: Callable[[str], str] = _takes_all,
        reserved: str = "",
        *,
        is_directory: bool = False,
    ) -> None:
        self._provider = provider
        self.label = label
        self.path = path
        self.refuses = refuses
        self.is_directory = is_directory
        self._reserved = reserved
        self._held: dict[str, Content | None] = {}

    def held(self, name: str) -> Content | None:
        """Return what stands under a name (asked once); None when nothing does."""
        if name not in self._held:
            try:
                self._held[name] = self._provider.get(name).content
            except SecretNotFoundError:
                self._held[name] = None
        return self._held[name]

    def value(self, destination: Destination) -> str | None:
        """Return the text at a slot, None when nothing is there; a secret of another shape is no text of ours."""
        content = self.held(destination.name)
        if destination.name == self._reserved:
            return _OTHER_SHAPE
        if isinstance(content, dict) and destination.field:
            content = content.get(destination.field)  # type: ignore[assignment]  # of any JSON type
        elif content is not None and destination.field:
            return _OTHER_SHAPE
        return content if content is None or isinstance(content, str) else _OTHER_SHAPE

    def close(self) -> None:
        """Let go of the provider."""
        self._provider.close()

    def write(self, name: str, content: Content) -> bool:
        """Write a secret, read it back, and return whether it was not there before."""
        held = self.held(name)
        if isinstance(held, dict) and isinstance(content, dict):
            content = {**held, **content}
        if held == content:
            return False
        self._provider.put(name, content)
        del self._held[name]
        if self.held(name) != content:
            raise ProviderUnavailableError(
                f"{self.label} took secret '{name}' and does not give it back as it was; no file was changed. "
                "Look at who else writes there, and try again"
            )
        return True


class Written(msgspec.Struct, frozen=True):
    """One secret that is at a target now. `fresh`: it was not there before."""

    name: str
    label: str
    fresh: bool


def holds(targets: Sequence[Target], destination: Destination) -> set[str]:
    """Return the values that the targets hold at a slot (see `tradewarden.migrate.accounts.Holds`)."""
    return {value for target in targets if (value := target.value(destination)) is not None}


def contents(plan: Plan) -> Mapping[str, Content]:
    """Return the secrets of a plan, each with its fields."""
    secrets: dict[str, Content] = {}
    for move in plan.moves:
        value, field = move.finding.value.reveal(), move.destination.field
        held = secrets.get(move.destination.name)
        fields = held if isinstance(held, dict) else {}
        secrets[move.destination.name] = {**fields, field: value} if field else value
    return dict(sorted(secrets.items()))


def write_all(plan: Plan, targets: Sequence[Target]) -> list[Written]:
    """Write every secret of the plan to every target and read it back; what is there already is left alone."""
    return [
        Written(name, target.label, target.write(name, content))
        for target in targets
        for name, content in contents(plan).items()
    ]
