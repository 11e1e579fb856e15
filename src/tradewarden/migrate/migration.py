"""One migration from end to end: look, plan, write, rewrite. Knows the disk; what it decides is decided elsewhere.

Always true here, in this order: files are looked at once more; the undo is durable; every value is at the provider and
was read back; only then files are replaced. Cut off anywhere, the same run again goes on and changes nothing twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec.structs import replace

from tradewarden.clock import SystemClock
from tradewarden.errors import ConflictError
from tradewarden.migrate.baseline import Baseline
from tradewarden.migrate.elsewhere import RULE
from tradewarden.migrate.git import git_directory
from tradewarden.migrate.opening import OUTPUT, SECRETS_DIR, open_targets
from tradewarden.migrate.plan import Plan, Tree, make_plan
from tradewarden.migrate.replacing import Replacement, remove_leftovers, replace_all, require_unchanged
from tradewarden.migrate.requirement import imports_tradewarden
from tradewarden.migrate.rewriting import Reading
from tradewarden.migrate.scan import find_in
from tradewarden.migrate.targets import Written, holds, write_all
from tradewarden.migrate.walk import Unread, walk
from tradewarden.settings.table import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tradewarden.migrate.finding import Finding
    from tradewarden.migrate.scan import Accepted
    from tradewarden.migrate.targets import Method, Target
    from tradewarden.migrate.undo import Undo


DOTENV: Final = ".env"
_SETTINGS: Final = frozenset(each.name for each in VARIABLES) | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
_MOVABLE: Final = frozenset({"JWT_SECRET_KEY", "ALPHAPULSE_JWT_SECRET"})


class Applied(msgspec.Struct, frozen=True):
    """What was done. `undo` names the way back; empty when no file changed."""

    written: tuple[Written, ...]
    changed: tuple[str, ...]
    undo: str = ""


def open_migration(
    root: Path,
    method: Method,
    environ: Mapping[str, str],
    *,
    output: Path | None = None,
    secrets_dir: Path | None = None,
    exclude: Sequence[str] = (),
    ignored: bool = False,
) -> Migration:
    """Return the migration of `root` as people ask for it: with its acceptances, to `.env.secure` and `.secrets` in it.

    Raises what `tradewarden.migrate.opening.open_targets` raises.
    """
    repository = git_directory(root)
    accepted = Baseline(repository[0] if repository is not None else root, clock=SystemClock())
    places = (output or root / OUTPUT, secrets_dir or root / SECRETS_DIR)
    targets = open_targets(method, environ, root / DOTENV, output=places[0], secrets_dir=places[1])
    left_out = [*exclude, *inside(root, [*places, root / OUTPUT, root / SECRETS_DIR])]
    return Migration(root, targets, method.reading, exclude=left_out, accepted=accepted, ignored=ignored)


def opens_providers(finding: Finding) -> bool:
    """Tell whether a finding is a setting in `.env` that opens a provider; moved there, it would lock us out."""
    return finding.file == DOTENV and finding.key in _SETTINGS - _MOVABLE


def inside(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return those of `paths` that lie in `root`, relative to it: what is written there is not found again."""
    top = root.resolve()
    found = [path.absolute().parent.resolve() / path.name for path in paths]
    return [path.relative_to(top).as_posix() for path in found if path.is_relative_to(top)]


class Migration:
    """The migration of one directory to some targets, which are closed with it."""

    def __init__(
        self, root: Path, targets: Sequence[Target], reading: Reading, *, exclude: Sequence[str] = (),
        accepted: Accepted | None = None, ignored: bool = False,
    ) -> None:  # fmt: skip
        self._root = root
        self._targets = targets
        self._reading = reading
        self._exclude = exclude
        self._accepted = accepted
        self._ignored = ignored

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for target in self._targets:
            target.close()

    def plan(self) -> Plan:
        """Look at every file and return what would be done; raises what the targets raise."""
        plan = make_plan(self._tree(), self._reading, lambda slot: holds(self._targets, slot), refused=self._refused)
        return replace(plan, duties=(*plan.duties, *self._placed(plan)))

    def apply(self, plan: Plan, undo: Undo, *, expected: str = "", rewrite: bool = True) -> Applied:
        """Do what a plan says; `rewrite` false writes the secrets only.

        Raises:
            ConflictError: the plan is not the `expected` one, or a file was changed since; nothing was written.
        """
        if expected and expected != plan.id:
            raise ConflictError(f"The plan is {plan.id} now, not {expected}: files or secrets were changed. Look again")
        replacements = self._replacements(plan) if rewrite else []
        with undo.alone():
            undo.remove_leftovers(self._root)
            remove_leftovers(each.path for each in replacements)
            require_unchanged(replacements)
            name = undo.save(self._root, replacements) if replacements else ""
            written = write_all(plan, self._targets)
            replace_all(replacements)
            if name:
                undo.finish(name)
        return Applied(tuple(written), tuple(change.file for change in plan.changes) if rewrite else (), name)

    def _placed(self, plan: Plan) -> list[str]:
        """Return what programs need to find the encrypted files from wherever they are started."""
        imports = any(imports_tradewarden(change) for change in plan.changes)
        where = [each.path for each in self._targets if each.path is not None and each.is_directory]
        if self._reading is not Reading.PROVIDER or not imports or not where:
            return []
        told = (
            f"programs look for {SECRETS_DIR} where they are started; those that are started elsewhere need "
            f"TRADEWARDEN_SECRETS_DIR={where[0].absolute()}"
        )
        return [told]

    def _tree(self) -> Tree:
        unread: list[Unread] = []
        texts = dict(walk(self._root, exclude=self._exclude, unread=unread, ignored=self._ignored))
        found = [each for file, text in texts.items() for each in find_in(file, text)]
        stays = [each for each in found if opens_providers(each)]
        accepted = [each for each in found if self._accepted is not None and each in self._accepted]
        kept = {(each.file, each.start) for each in (*stays, *accepted)}
        return Tree(
            texts,
            [each for each in found if (each.file, each.start) not in kept],
            {file: (self._root / file).stat().st_mtime_ns for file in texts},
            tuple(f"{each.file}: {each.why}" for each in unread),
            tuple(
                f"{each.key} stays in {each.file}: it opens the place where the others go"
                for each in stays
                if each not in accepted
            ),
            [*stays, *accepted],
        )

    def _replacements(self, plan: Plan) -> list[Replacement]:
        # Files that hold copies only come first: a run that is cut off finds the value itself again, and so the rest.
        found = {move.finding.file for move in plan.moves if move.finding.rule != RULE}
        return [
            Replacement(self._root / change.file, change.before.encode(), change.after.encode())
            for change in sorted(plan.changes, key=lambda each: (each.file in found, each.file))
        ]

    def _refused(self, value: str) -> str:
        return next((why for target in self._targets if (why := target.refuses(value))), "")
