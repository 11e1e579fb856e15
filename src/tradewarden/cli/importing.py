"""`tradewarden secrets import`: a file of many secrets, each created, updated or left as it is.

Everything in the file is checked before anything is written, and each write is a compare-and-set against what was read,
so a second run after a failure goes on where the first one stopped.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import quote

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.exit_codes import ExitCode, ServiceProblemError, exit_code
from tradewarden.cli.inputs import read_bytes
from tradewarden.cli.options import AsJson, target
from tradewarden.cli.output import line, show_json, show_table
from tradewarden.cli.progress import progress
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.value import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.cli.client import Client

_PREFIX = "ALPHAPULSE_"
_GROUPED = (
    (re.compile(r"DB_(HOST|PORT|USER|PASSWORD|NAME)"), "database_credentials"),
    (re.compile(r"(?P<it>BINANCE|BYBIT|COINBASE|KRAKEN)_(API_KEY|API_SECRET|PASSPHRASE)"), "{it}_credentials"),
)
"""Variables of AlphaPulse that belong together are one secret, as its own names have it."""


class Current(msgspec.Struct, frozen=True):
    """What stands at a path now."""

    data: msgspec.Raw
    version: int


class Outcome(msgspec.Struct):
    """What became of each path; of variables, `skipped` are settings of the service, `empty` have no value."""

    dry_run: bool
    created: list[str] = []
    updated: list[str] = []
    unchanged: list[str] = []
    skipped: list[str] = []
    empty: list[str] = []


class Found(NamedTuple):
    """What a file holds: compact JSON objects by path, and the names of variables that are left out, by why."""

    secrets: dict[str, bytes]
    skipped: list[str]
    empty: list[str]


def import_secrets(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='.env, or JSON: {"path": {"field": "value"}}; - is stdin (JSON).')
    ],
    under: Annotated[str, typer.Option("--under", help="Put every path below this one.")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import many secrets from a .env or JSON file; never shows a value.

    In a .env file ALPHAPULSE_DB_* becomes database_credentials, ALPHAPULSE_BINANCE_* and the other exchanges
    binance_credentials; any other NAME becomes name, its text in the field 'value' or, when it is a JSON object, as it
    is. The service's own settings are left out, and so is a NAME without a value: nothing is overwritten by it.
    """
    found = read_import(file)
    below = f"{under.rstrip('/')}/" if under else ""
    wanted = {secret_path(below + path): data for path, data in found.secrets.items()}
    outcome = Outcome(dry_run, skipped=found.skipped, empty=found.empty)
    with connect(target(context)) as service, progress("Importing", len(wanted)) as advance:
        for path, data in wanted.items():
            try:
                _settle(service, path, data, outcome)
            except ServiceProblemError as error:
                done = len(outcome.created) + len(outcome.updated) + len(outcome.unchanged)
                text = f"{path}: {error.detail}. {done} of {len(wanted)} are done; the same command goes on from here"
                raise ServiceProblemError(text, error.status) from error
            advance(1)
    _report(outcome, as_json=as_json)


def read_import(file: str) -> Found:
    """Return what a file holds; raises `InvalidInputError`."""
    content = read_bytes(file)
    if content.lstrip()[:1] == b"{":
        return Found(_from_json(content), [], [])
    if file == "-" or Path(file).suffix == ".json":
        raise InvalidInputError(f'{file} must be a JSON object: {{"path": {{"field": "value"}}}}')
    return _from_dotenv(file, content)


def _from_json(content: bytes) -> dict[str, bytes]:
    whole = msgspec.json.decode(parse_object(content, len(content)), type=dict[str, msgspec.Raw])
    found: dict[str, bytes] = {}
    for path, value in whole.items():
        try:
            found[secret_path(path)] = parse_object(bytes(value))
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error.detail}") from error
    return found


def _from_dotenv(file: str, content: bytes) -> Found:
    from dotenv.parser import parse_stream

    from tradewarden.settings.table import CREDENTIALS, VARIABLES

    settings = {variable.name for variable in VARIABLES} - {variable.name for variable in CREDENTIALS}
    secrets: dict[str, dict[str, object]] = {}
    skipped: list[str] = []
    empty: list[str] = []
    try:
        bindings = list(parse_stream(StringIO(content.decode("utf-8-sig"))))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8 text") from error
    for binding in bindings:
        if binding.error:
            raise InvalidInputError(f"{file}: line {binding.original.line} is not NAME=value")
        if binding.key is None:
            continue
        if binding.key.removesuffix("_FILE") in settings:
            skipped.append(binding.key)
        elif not binding.value:
            empty.append(binding.key)
        else:
            _file_away(secrets, binding.key, binding.value)
    found = {secret_path(path): msgspec.json.encode(fields) for path, fields in secrets.items()}
    return Found(found, skipped, empty)


def _file_away(secrets: dict[str, dict[str, object]], name: str, text: str) -> None:
    short = name.removeprefix(_PREFIX)
    for pattern, path in _GROUPED if name.startswith(_PREFIX) else ():
        match = pattern.fullmatch(short)
        if match is not None:
            owner = path.format(**{key: value.lower() for key, value in match.groupdict().items()})
            secrets.setdefault(owner, {})[match[match.lastindex or 0].lower()] = text
            return
    secrets[short.lower()] = _object_or_text(text)


def _object_or_text(text: str) -> dict[str, object]:
    if text.lstrip().startswith("{"):
        return msgspec.json.decode(parse_object(text.encode()), type=dict[str, object])
    return {"value": text}


def _settle(service: Client, path: str, data: bytes, outcome: Outcome) -> None:
    current = _current(service, path)
    if current is not None and _same(bytes(current.data), data):
        outcome.unchanged.append(path)
        return
    if not outcome.dry_run:
        # A deleted secret reads as missing and has versions all the same: then nothing is compared.
        body: Mapping[str, object] = {"path": path, "data": msgspec.Raw(data)}
        service.post("/secrets/store", {**body, "cas": current.version} if current else body)
    (outcome.updated if current else outcome.created).append(path)


def _current(service: Client, path: str) -> Current | None:
    try:
        return msgspec.json.decode(service.get(f"/secrets/{quote(path, safe='/')}"), type=Current)
    except ServiceProblemError as error:
        if exit_code(error) is ExitCode.NOT_FOUND:
            return None
        raise


def _same(one: bytes, other: bytes) -> bool:
    decode = msgspec.json.Decoder(dict[str, object]).decode
    return decode(one) == decode(other)


def _report(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        show_json(outcome)
        return
    kinds = (("created", outcome.created), ("updated", outcome.updated), ("unchanged", outcome.unchanged))
    rows = [(what, path) for what, paths in kinds for path in paths]
    show_table(("", "path"), rows, empty="The file holds no secrets.")
    counts = ", ".join(f"{len(paths)} {what}" for what, paths in kinds)
    line(f"{'Would be: ' if outcome.dry_run else ''}{counts}.")
    if outcome.skipped:
        note(f"Left out, because they are settings of the service: {', '.join(outcome.skipped)}")
    if outcome.empty:
        note(f"Left out, because they have no value: {', '.join(outcome.empty)}")
