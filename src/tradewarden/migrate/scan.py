"""`find`: every credential in a directory of files, each with its exact place and where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from tradewarden.migrate.detector import require
from tradewarden.migrate.document import Document
from tradewarden.migrate.finding import Destination, Finding
from tradewarden.migrate.language import language_of
from tradewarden.migrate.matching import findings
from tradewarden.migrate.walk import Unread, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tradewarden.settings.secret import Secret


class Accepted(Protocol):
    """The findings that someone looked at and accepted."""

    def __contains__(self, finding: Finding, /) -> bool:
        """Tell whether a finding is one of them."""
        ...


def find(
    root: Path,
    *,
    exclude: Sequence[str] = (),
    accepted: Accepted | None = None,
    unread: list[Unread] | None = None,
    ignored: bool = False,
) -> list[Finding]:
    """Return the credentials in the files below `root`, by file and place.

    `exclude` are patterns of files and directories. What could not be read is added to `unread`; `ignored` looks at
    what git leaves out, too.

    Raises:
        ConfigurationError: `root` is no directory, or the extra `migrate` is not installed.
    """
    require()
    found: list[Finding] = []
    for file, text in walk(root, exclude=exclude, unread=unread, ignored=ignored):
        found += find_in(file, text)
    return reduced(distinct(found), accepted)


def reduced(found: list[Finding], accepted: Accepted | None) -> list[Finding]:
    """Return the findings that nobody accepted."""
    return found if accepted is None else [each for each in found if each not in accepted]


def find_in(file: str, text: str) -> list[Finding]:
    """Return the credentials in one text. `file` is its path relative to the root, with `/`."""
    document = Document(file, text, language_of(file, text))
    return sorted(findings(document), key=lambda finding: finding.start)


def distinct(found: Sequence[Finding]) -> list[Finding]:
    """Give two values for one destination two names: the second gets `_2`, in the order of files and places."""
    taken: dict[tuple[str, str], list[Secret]] = {}
    settled: list[Finding] = []
    for finding in sorted(found, key=lambda each: (each.file, each.start)):
        held = taken.setdefault((finding.destination.name, finding.destination.field), [])
        if finding.value not in held:
            held.append(finding.value)
        settled.append(_numbered(finding, held.index(finding.value) + 1))
    return settled


def _numbered(finding: Finding, number: int) -> Finding:
    if number == 1:
        return finding
    name = f"{finding.destination.name}_{number}"
    return replace(finding, destination=Destination(name, finding.destination.field))
