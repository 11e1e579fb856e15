"""JWS by one algorithm (RFC 7515, RFC 8725 section 3.1): nothing in a message chooses how it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc._rfc7515.model import JWSAlgModel
    from joserfc.jwk import Key

_READ: dict[str, Callable[[bytes], Key]] = {
    "ES256": ECKey.import_key,
    "ES384": ECKey.import_key,
    "EdDSA": OKPKey.import_key,
    "PS256": RSAKey.import_key,
}


class OneAlgorithm(JWSRegistry):
    """Knows a single algorithm, so that no other can be asked for.

    `EdDSA` stays the name that is written: RFC 9864 deprecates it, and readers know no other yet.
    """

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm])
        self._name = algorithm
        self._model = JWSRegistry.algorithms[algorithm]

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return the algorithm; raises `UnsupportedAlgorithmError` for any other."""
        if name != self._name:
            raise UnsupportedAlgorithmError(name)
        return self._model


def verified(compact: str, algorithm: str, public_pem: bytes) -> bytes:
    """Return the payload of a compact JWS that the key (SubjectPublicKeyInfo, PEM) signed by this algorithm.

    `algorithm` is `ES256`, `ES384`, `EdDSA` or `PS256` (RFC 7518 section 3.1, RFC 8037 section 3.1). Raises
    `IntegrityError` for anything else.
    """
    try:
        key = _READ[algorithm](public_pem)
        payload = jws.deserialize_compact(compact, key, registry=OneAlgorithm(algorithm)).payload
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise IntegrityError("The signature does not verify", reason=f"JWS: {type(error).__name__}") from error
    return bytes(payload)
