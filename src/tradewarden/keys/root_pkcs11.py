"""`pkcs11:…`: a root key that only a token can open.

The root key is 32 random bytes. The token's own key, AES-256 and not extractable, encrypts them by AES-GCM (NIST SP
800-38D, CKM_AES_GCM of PKCS#11 v2.40) inside the token, bound to this use; what comes out stands in the root record. So
the token is needed at every start and for a rotation, and not in between; and a copy of the database opens nothing.

Always true here: nothing is written under a token key but what that key was seen to open again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.crypto.aead import NONCE_BYTES
from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.crypto.pkcs11 import Token
from tradewarden.crypto.token_wrap import open_in_token, seal_in_token
from tradewarden.errors import ConfigurationError, DecryptionError, UnavailableError
from tradewarden.keys.root import RootKey, Stretching

if TYPE_CHECKING:
    from tradewarden.clock import Randomness
    from tradewarden.crypto.pkcs11 import Access
    from tradewarden.settings.pkcs11 import TokenUri

DEFAULT_LABEL: Final = "tradewarden-root"
_FORMAT: Final = b"\x01"
_USE: Final = b"tradewarden/root/pkcs11"


class TokenRoot:
    """The root source of `pkcs11:`; `object` in the URI is the label of the token's key."""

    def __init__(self, uri: TokenUri, access: Access) -> None:
        self._uri = uri
        self._token = Token(uri, access)
        self._label = uri.object or DEFAULT_LABEL

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"object '{self._label}' in {self._token.name}"

    @property
    def uri(self) -> str:
        """What names it. How a process gets there, its module and PIN, is that process's own."""
        return self._uri.place

    def look(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002 - the caller compares
        """Return the root key that the token opens; raises `UnavailableError` while it is away."""
        sealed = stretching.salt
        if stretching.iterations or sealed[:1] != _FORMAT:
            raise ConfigurationError(
                f"The {self.name} is to open the root key, and the database was written with a root key from elsewhere;"
                " nothing was changed; set TRADEWARDEN_ROOT_KEY to what it was"
            )
        try:
            key = open_in_token(self._token, self._label, self._uri.id, sealed[1:], _USE)
        except DecryptionError as error:
            raise ConfigurationError(
                f"The {self.name} is not the key that this data's root key was encrypted with; nothing was changed;"
                " bring back the token that it was, or set TRADEWARDEN_ROOT_KEY to it"
            ) from error
        except UnavailableError as error:
            raise UnavailableError(f"The root key cannot be opened: {error.detail}") from error
        return RootKey(key)

    def examine(self) -> None:
        """Raise `ConfigurationError` when the token does not let us in, `UnavailableError` when it is away."""
        self._token.require_present()

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:
        """Do what `look` does."""
        return self.look(check_value, stretching)

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:  # noqa: ARG002
        """Make a root key and have the token encrypt it; the token's key is made when there is none of that label."""
        key = randomness(KEY_BYTES)
        sealed = seal_in_token(self._token, self._label, self._uri.id, key, randomness(NONCE_BYTES), _USE)
        made = Stretching(salt=_FORMAT + sealed)
        root = RootKey(key)
        if not self.look(root.check_value, made).matches(root.check_value):
            raise ConfigurationError(f"The {self.name} does not open what it encrypted; use another token")
        return root, made

    def settle(self, root: RootKey) -> None:
        """Do nothing: the token keeps its key."""

    def discard(self, root: RootKey) -> None:
        """Do nothing: the token's key may be in use elsewhere, and what it encrypted is forgotten."""
