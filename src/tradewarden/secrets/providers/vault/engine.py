"""Vault's KV secrets engine, version 2: versions with compare-and-set, deleting and destroying, metadata, names.

Always true here: before anything is written, and before "not found" is believed, it is known that version 2 answers at
the mount: version 1 would take a write to `data/…` as a secret of that name.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from hvac.api.secrets_engines.kv_v2 import KvV2  # type: ignore[import-untyped]

from tradewarden.errors import (
    ConflictError,
    InvalidInputError,
    ProviderRefusedError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.providers.vault.answers import (
    Answer,
    ListBody,
    MetadataBody,
    MountBody,
    ReadBody,
    VersionShown,
    WrittenBody,
    read_as,
    seconds,
)
from tradewarden.secrets.providers.vault.faults import no_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.transport import Transport

_DEEPEST: Final = 32
_SAID: Final = 200
_PROOF_SECONDS: Final = 10.0
"""How long it is believed that the token is good and the mount is there, when nothing else is heard."""


class Version(msgspec.Struct, frozen=True):
    """One version, without its value. Times are seconds since the epoch; `deleted_at` may lie in the future."""

    number: int
    created_at: float
    deleted_at: float
    destroyed: bool


class Value(msgspec.Struct, frozen=True):
    """A version's value, one JSON object as Vault sent it."""

    data: bytes
    version: Version

    def __repr__(self) -> str:
        return f"Value(version={self.version.number})"


class Metadata(msgspec.Struct, frozen=True):
    """All that Vault knows of a secret but its values; versions oldest first. `max_versions` 0: the mount decides."""

    current: int
    created_at: float
    updated_at: float
    max_versions: int
    custom: dict[str, str]
    versions: tuple[Version, ...]

    def version(self, number: int) -> Version | None:
        """Return one of the versions."""
        return next((each for each in self.versions if each.number == number), None)


class Engine:
    """Secrets by name below one mount and prefix. Blocks; for many threads.

    Every call may raise `ProviderUnavailableError` and `ProviderRefusedError`, and `InvalidInputError` for what Vault
    does not take.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._config = client.config
        self._known = False
        self._proven_until = 0.0

    def read(self, name: str, version: int | None = None) -> Value:
        """Return a version's value (None: the current one's); raises `SecretNotFoundError`."""
        path = self._path(name)
        answer = self._ask(
            lambda kv: kv.read_secret_version(
                path, version=version, mount_point=self._config.mount, raise_on_deleted_version=False
            ),
            f"read {self._at('data', path)}",
        )
        if answer.good:
            body = read_as(ReadBody, answer, self._config.place).data
            if bytes(body.data).startswith(b"{"):
                self._known = True
                return Value(bytes(body.data), _version(body.metadata, body.metadata.version))
        raise self._not_found(name, answer)

    def write(self, name: str, data: bytes, cas: int | None = None) -> Version:
        """Write a new version of a JSON object; raises `ConflictError` when `cas` is not the current version."""
        path = self._path(name)
        self._require_engine()
        answer = self._write(path, data, cas)
        if answer.status == 400 and cas is None and "check-and-set" in answer.errors():  # noqa: PLR2004
            answer = self._write(path, data, self._current(name))  # the mount or the secret asks for it
        if answer.good:
            written = read_as(WrittenBody, answer, self._config.place).data
            return _version(written, written.version)
        if "check-and-set" in answer.errors():
            raise ConflictError(f"Secret '{name}' is not at version {cas} in Vault (any more); read it again")
        raise self._unfit(answer, f"write {self._at('data', path)}")

    def _write(self, path: str, data: bytes, cas: int | None) -> Answer:
        options = {} if cas is None else {"cas": cas}
        body = msgspec.json.encode({"options": options, "data": msgspec.Raw(data)})
        url = self._url("data", path)
        return self._send(url, body, f"write {self._at('data', path)}")

    def _current(self, name: str) -> int:
        try:
            return self.metadata(name).current
        except SecretNotFoundError:
            return 0

    def delete(self, name: str, versions: Sequence[int]) -> None:
        """Hide versions until they are undeleted; Vault says nothing of those that it does not have."""
        self._change(name, "delete", versions)

    def undelete(self, name: str, versions: Sequence[int]) -> None:
        """Show deleted versions again."""
        self._change(name, "undelete", versions)

    def destroy(self, name: str, versions: Sequence[int]) -> None:
        """Erase the values of versions for good."""
        self._change(name, "destroy", versions)

    def _change(self, name: str, verb: str, versions: Sequence[int]) -> None:
        path, mount, numbers = self._path(name), self._config.mount, list(versions)
        calls = {
            "delete": lambda kv: kv.delete_secret_versions(path, numbers, mount_point=mount),
            "undelete": lambda kv: kv.undelete_secret_versions(path, numbers, mount_point=mount),
            "destroy": lambda kv: kv.destroy_secret_versions(path, numbers, mount_point=mount),
        }
        self._require_engine()
        what = f"{verb} versions of {self._at('data', path)}"
        answer = self._ask(calls[verb], what, change=True)
        if not answer.good:
            raise self._unfit(answer, what)

    def metadata(self, name: str) -> Metadata:
        """Return what is known of a secret; raises `SecretNotFoundError`."""
        path = self._path(name)
        answer = self._ask(
            lambda kv: kv.read_secret_metadata(path, mount_point=self._config.mount),
            f"read {self._at('metadata', path)}",
        )
        if not answer.good:
            raise self._not_found(name, answer)
        found = read_as(MetadataBody, answer, self._config.place).data
        self._known = True
        return Metadata(
            found.current_version,
            seconds(found.created_time),
            seconds(found.updated_time),
            found.max_versions,
            found.custom_metadata or {},
            tuple(_version(found.versions[number], number) for number in sorted(found.versions)),
        )

    def set_metadata(
        self, name: str, *, custom: Mapping[str, str] | None = None, max_versions: int | None = None
    ) -> None:
        """Change the user's own metadata, or how many versions are kept; what is None stays as it is."""
        path = self._path(name)
        body: dict[str, object] = {} if custom is None else {"custom_metadata": dict(custom)}
        if max_versions is not None:
            body["max_versions"] = max_versions
        # Not hvac's update_metadata: it would reset when versions are deleted by themselves.
        url, what = self._url("metadata", path), f"write {self._at('metadata', path)}"
        self._require_engine()
        answer = self._send(url, msgspec.json.encode(body), what)
        if not answer.good:
            raise self._unfit(answer, what)

    def names(self, prefix: str = "", after: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix` and follow `after`, by code point; folders are read as needed.

        Secrets all of whose versions are deleted are among them. What is no name of a secret with us is left out.
        """
        folder = prefix[: prefix.rfind("/") + 1]
        yield from self._walk(folder, prefix, after, 0)

    def _walk(self, folder: str, prefix: str, after: str, depth: int) -> Iterator[str]:
        for key in self._keys(folder):
            name = folder + key
            if key.endswith("/"):
                leads = name.startswith(prefix) or prefix.startswith(name)
                passed = name < after and not after.startswith(name)
                if leads and not passed and depth < _DEEPEST and len(key) > 1:
                    yield from self._walk(name, prefix, after, depth + 1)
            elif name.startswith(prefix) and name > after and _is_name(name):
                yield name

    def _keys(self, folder: str) -> list[str]:
        """Return what a folder holds. Sorted so, with their slashes, walking it gives all names in order."""
        path = (self._config.prefix + folder).rstrip("/")
        answer = self._ask(
            lambda kv: kv.list_secrets(path, mount_point=self._config.mount),
            f"list {self._at('metadata', path)}",
        )
        if answer.good:
            self._known = True
            return sorted(read_as(ListBody, answer, self._config.place).data.keys)
        if answer.status == 404:  # noqa: PLR2004 - an empty folder is none
            self._require_engine()
            return []
        raise self._unfit(answer, f"list {self._at('metadata', path)}")

    # --- what is at the mount -------------------------------------------------------------------

    def _ask(self, call: Callable[[KvV2], Answer], what: str, *, change: bool = False) -> Answer:
        def over(transport: Transport) -> Answer:
            found: Answer = call(KvV2(transport))
            return found

        return self._sound(self._client.ask(over, what, change=change))

    def _send(self, url: str, body: bytes, what: str) -> Answer:
        return self._sound(self._client.ask(lambda transport: transport.send("POST", url, body), what, change=True))

    def _sound(self, answer: Answer) -> Answer:
        """Return the answer; raises `ProviderUnavailableError` when there is no such mount or namespace."""
        if answer.status == 404 and answer.errors():  # noqa: PLR2004 - of a secret that is missing it says nothing
            raise no_engine(self._config.place, self._config.mount, answer)
        return answer

    def _require_engine(self) -> None:
        """Raise `ProviderUnavailableError` unless KV version 2 is at the mount, or Vault will not say."""
        if self._known:
            return
        try:
            self._look()
        except ProviderRefusedError:
            return  # no policy of ours touches the mount; what we want to do there is refused by itself
        self._known = True

    def fault(self) -> str:
        """Return why secrets cannot be had from Vault just now, in words; empty when they can.

        Beside Vault itself it proves the token and the mount, by a look at the mount every ten seconds.
        """
        found = self._client.fault()
        if found or monotonic() < self._proven_until:
            return found
        try:
            self._look()
        except TradewardenError as error:
            return error.detail
        self._proven_until = monotonic() + _PROOF_SECONDS
        return ""

    def _look(self) -> None:
        """Look at the mount with our token; raises `ProviderRefusedError` for either, `ProviderUnavailableError`."""
        mount, place = self._config.mount, self._config.place
        url = f"/v1/sys/internal/ui/mounts/{quote(mount)}"
        what = f"look at the mount {mount}"
        answer = self._client.ask(lambda transport: transport.request("GET", url), what)
        found = read_as(MountBody, answer, place).data if answer.good else None
        if found is None or found.type != "kv" or (found.options or {}).get("version") != "2":
            raise no_engine(place, mount, answer)

    def _not_found(self, name: str, answer: Answer) -> Exception:
        if answer.status == 400:  # noqa: PLR2004
            return self._unfit(answer, f"read {name}")
        self._require_engine()
        return SecretNotFoundError(name, reason=f"vault: {_why_gone(answer)}")

    def _unfit(self, answer: Answer, what: str) -> InvalidInputError:
        said = answer.errors()[:_SAID]
        return InvalidInputError(
            f"Vault at {self._config.place} does not take this ({answer.status} to {what}); its reason is in our log",
            reason=f"vault: status {answer.status} to {what}: {said}",
        )

    def _path(self, name: str) -> str:
        return self._config.path(secret_path(name))

    def _at(self, kind: str, path: str) -> str:
        return f"{self._config.mount}/{kind}/{path}"

    def _url(self, kind: str, path: str) -> str:
        return f"/v1/{quote(self._at(kind, path))}"


def _version(shown: VersionShown, number: int) -> Version:
    return Version(number, seconds(shown.created_time), seconds(shown.deletion_time), shown.destroyed)


def _is_name(text: str) -> bool:
    try:
        secret_path(text)
    except InvalidInputError:
        return False
    return True


def _why_gone(answer: Answer) -> str:
    """Return whether there is no such secret, or a version that was deleted or destroyed."""
    try:
        shown = msgspec.json.decode(answer.body, type=ReadBody).data.metadata
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "no such secret or version"
    return f"version {shown.version} is {'destroyed' if shown.destroyed else 'deleted'}"
