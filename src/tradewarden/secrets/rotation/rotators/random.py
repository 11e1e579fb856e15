"""Rotates what only those who read the secret need to know: passwords, tokens and keys, made out of randomness.

A key is replaced with the ones before it kept beside it: `key` and `kid` are what signs or encrypts from now on,
`previous` and `previous_kids` (newest first) what verifies and decrypts still. Every other field stays as it is. A
signing key that may be in wrong hands is not kept: what somebody else signs with it must not pass. An encryption key
is, or nobody could read any more what it encrypted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tradewarden.errors import InvalidInputError, RotationFailedError
from tradewarden.secrets.rotation.rotator import Plain
from tradewarden.secrets.rotation.rotators.carried import carried_over
from tradewarden.secrets.rotation.rotators.generated import FERNET_BITS, KEYS, MAKES, Make, generated
from tradewarden.secrets.rotation.rotators.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.clock import Randomness
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret

Use = Literal["signing", "encryption"]
_NAMES: Final = ("make", "fields", "bits", "keep", "use")
_USES: Final[tuple[Use, ...]] = ("signing", "encryption")
_FIELDS: Final = {"password": "password", "token": "token"}
_LEAST_BITS: Final = 128
_MOST_BITS: Final = 4096
_MOST_KEPT: Final = 10
_KID_BYTES: Final = 8


class Wanted(msgspec.Struct, frozen=True):
    """What is made for which fields, and how many values before the new one are kept beside it."""

    make: Make
    fields: tuple[str, ...]
    bits: int
    keep: int
    use: Use

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Wanted:
        """Read it from parameters; raises `InvalidInputError`."""
        given = Parameters("random", parameters, _NAMES)
        make = given.one_of("make", MAKES)
        bits = given.whole("bits", FERNET_BITS, _LEAST_BITS, _MOST_BITS)
        if make == "fernet" and bits != FERNET_BITS:
            raise given.wrong("bits", f"must be {FERNET_BITS} for a Fernet key")
        fields = given.names("fields", _FIELDS.get(make, "key"))
        keep = given.whole("keep", 1 if make in KEYS and len(fields) == 1 else 0, 0, _MOST_KEPT)
        if keep and len(fields) > 1:
            raise given.wrong("keep", "must be 0 for more than one field")
        if set(fields) & {"kid", "previous", "previous_kids"}:
            raise given.wrong("fields", "must not be kid, previous or previous_kids")
        use = given.one_of("use", _USES, "encryption" if make == "fernet" else "signing")
        return cls(make, fields, bits, keep, use)

    def keeps(self, job: Job) -> bool:
        """Tell whether the value in use is kept beside the new one."""
        return bool(self.keep) and not (job.urgent and self.use == "signing")


class RandomRotator(Plain):
    """Makes new random values. Nobody else has to be told; readers learn of them by reading."""

    kind = "random"
    automatic = True

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` naming a parameter that is wrong."""
        Wanted.read(parameters)

    def suits(self, parameters: Mapping[str, str], value: Mapping[str, object] | None, longest: float) -> None:
        """Raise `InvalidInputError` for a field that the secret does not have: it would get one more, and keep all."""
        del longest
        missing = [name for name in Wanted.read(parameters).fields if value is not None and name not in value]
        if missing:
            raise InvalidInputError(
                f"The secret has no field '{missing[0]}', so nothing of it would be replaced; name those to replace "
                "with parameter 'fields'"
            )

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the value with new contents of its fields."""
        del read
        wanted, current = Wanted.read(job.parameters), job.current or {}
        fresh = {name: generated(wanted.make, wanted.bits, self._randomness) for name in wanted.fields}
        kept = self._kept(wanted, job) if wanted.keep else {}
        return {**carried_over(job.path, current, fresh), **fresh, **kept}

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Do nothing: there is no other side."""

    async def test(self, job: Job, read: ReadSecret) -> None:
        """See that each field has a new value, and that the one before it is kept where it should be."""
        del read
        wanted, current, pending = Wanted.read(job.parameters), job.current or {}, job.pending or {}
        for name in wanted.fields:
            if not pending.get(name) or pending[name] == current.get(name):
                raise RotationFailedError(f"Field '{name}' of the new value of secret '{job.path}' is not new")
        if wanted.keeps(job) and current.get(wanted.fields[0]) not in (None, *_texts(pending.get("previous"))):
            raise RotationFailedError(f"The new value of secret '{job.path}' does not keep the key before it")

    async def finish(self, job: Job, read: ReadSecret) -> None:
        """Do nothing: a value that was kept goes when newer ones have taken its place."""

    def _kept(self, wanted: Wanted, job: Job) -> dict[str, object]:
        if not wanted.keeps(job):
            return {"kid": self._kid(), "previous": [], "previous_kids": []}
        name, current = wanted.fields[0], job.current or {}
        key = current.get(name)
        if key is not None and not isinstance(key, str):
            raise RotationFailedError(f"Field '{name}' is not a text, and cannot be kept as the key before the new one")
        before = _texts(current.get("previous"))
        kids = _texts(current.get("previous_kids"))[: len(before)]
        kids += [self._kid() for _ in before[len(kids) :]]
        if key:
            before, kids = [key, *before], [str(current.get("kid") or self._kid()), *kids]
        return {"kid": self._kid(), "previous": before[: wanted.keep], "previous_kids": kids[: wanted.keep]}

    def _kid(self) -> str:
        return self._randomness(_KID_BYTES).hex()


def _texts(value: object) -> list[str]:
    """Return the texts of a list, or the one that stands alone."""
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, str) and each]
