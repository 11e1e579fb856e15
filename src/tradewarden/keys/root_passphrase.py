"""`passphrase:`: a root key stretched from a passphrase with Argon2id (RFC 9106, second recommended profile).

The salt and the parameters stand in the root record, so that a later version can choose others for new data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.kdf import RFC9106_SECOND_RECOMMENDED, Argon2Profile, argon2id
from tradewarden.crypto.keyfile import read_private
from tradewarden.errors import ConfigurationError
from tradewarden.keys.root import RootKey, Stretching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tradewarden.clock import Randomness

FEWEST_CHARACTERS: Final = 16
_MOST_BYTES: Final = 4096
_SALT_BYTES: Final = 16
# What a stored record may ask for: someone who can write to the database must not choose our memory or our minutes.
_MOST = Argon2Profile(iterations=10, lanes=16, memory_cost=1024 * 1024)


class PassphraseRoot:
    """The root source of `passphrase:`; `read` brings the passphrase each time it is needed."""

    def __init__(self, uri: str, name: str, read: Callable[[], bytes]) -> None:
        self.uri = uri
        self.name = name
        self._read = read

    def examine(self) -> None:
        """Raise `ConfigurationError` when there is no passphrase, or one that is too short."""
        self._passphrase()

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:
        """Stretch the passphrase as the root record says."""
        return self.look(check_value, stretching)

    def look(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Stretch the passphrase as the root record says."""
        profile = Argon2Profile(stretching.iterations, stretching.lanes, stretching.memory_cost)
        if not stretching.salt or not stretching.iterations:
            raise ConfigurationError(
                f"{self.name} is a passphrase, and the database was written with a root key that is none; "
                "nothing was changed; set TRADEWARDEN_ROOT_KEY to what it was"
            )
        if not _within_limits(profile):
            raise ConfigurationError("The root record asks for Argon2id parameters out of bounds; restore the database")
        return self._stretch(stretching.salt, profile)

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:  # noqa: ARG002
        """Stretch the passphrase with a new salt."""
        salt, profile = randomness(_SALT_BYTES), RFC9106_SECOND_RECOMMENDED
        return self._stretch(salt, profile), Stretching(salt, *profile)

    def settle(self, root: RootKey) -> None:
        """Do nothing: the passphrase is its owner's to keep."""

    def discard(self, root: RootKey) -> None:
        """Do nothing: the passphrase is its owner's to keep."""

    def _stretch(self, salt: bytes, profile: Argon2Profile) -> RootKey:
        return RootKey(argon2id(self._passphrase(), salt, profile))

    def _passphrase(self) -> bytes:
        passphrase = self._read()
        if len(passphrase.decode(errors="replace")) < FEWEST_CHARACTERS:
            raise ConfigurationError(
                f"{self.name} must hold a passphrase of at least {FEWEST_CHARACTERS} characters; "
                "six random words or more are a good one"
            )
        return passphrase


def passphrase_from_environment(variable: str, environment: Mapping[str, str]) -> PassphraseRoot:
    """Return the source that takes the passphrase from a variable, exactly as it is written there."""
    uri = f"passphrase:env:{variable}"
    return PassphraseRoot(uri, variable, lambda: environment.get(variable, "").encode("utf-8", "surrogateescape"))


def passphrase_from_file(path: Path) -> PassphraseRoot:
    """Return the source that takes the passphrase from a private file, without the line end at its end."""
    uri = f"passphrase:file:{path}"
    return PassphraseRoot(uri, str(path), lambda: _without_line_end(path))


def _without_line_end(path: Path) -> bytes:
    return read_private(path, _MOST_BYTES).removesuffix(b"\n").removesuffix(b"\r")


def _within_limits(profile: Argon2Profile) -> bool:
    fits = all(1 <= asked <= most for asked, most in zip(profile, _MOST, strict=True))
    return fits and profile.memory_cost >= 8 * profile.lanes  # RFC 9106 section 3.1
